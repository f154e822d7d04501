import { randomBytes } from 'node:crypto';
import { argumentsOf, type CallArguments } from '../dblink/callArguments.js';
import { callScalar, callSource } from '../dblink/carryOut.js';
import { CATALOGUE, type Overload } from '../dblink/catalogue.js';
import type { ForeignServer } from '../dblink/connections/foreignServer.js';
import type { CallContext } from '../dblink/context.js';
import { HeldMemory } from '../dblink/memory.js';
import type { RemoteStyle } from '../dblink/remote/results.js';
import { rolesJson } from '../primary/declaredServers.js';
import { readServer } from '../primary/foreignServerQuery.js';
import type { MappingReader } from '../primary/foreignServers.js';
import type { SessionContext } from '../session/context.js';
import { PgError } from '../wire/errors.js';
import {
  type BridgeAnswer,
  moreAnswer,
  nothingAnswer,
  notificationsAnswer,
  proofAnswer,
  raisingAnswer,
  serverAnswer,
  valueAnswer,
  withoutPlace,
} from './exchange/answer.js';
import type { BridgeRequest } from './exchange/request.js';
import type { SessionLocks } from './exchange/sessionLocks.js';
import { readWantedTypes } from './exchange/wantedTypes.js';
import { signatureOf } from './installed/publicFunctions.js';
import { IS_EVIDENCE_QUERY, MAKE_PROOF_QUERY, questionOf } from './installed/roleProof.js';
import { VERSION_HINT, VERSION_MESSAGE } from './installed/serviceSchema.js';
import type { ClaimedRole, Proving, Roles } from './roles.js';
import { BulkRows } from './rows/bulkRows.js';
import { RowsSink } from './rows/rowsSink.js';

const BY_SIGNATURE: ReadonlyMap<string, Overload> = new Map(
  CATALOGUE.map((overload) => [signatureOf(overload), overload]),
);

type Arguments = CallArguments & { readonly kind: 'call' };

/** What a call needs of its session's bridge. */
export interface CallBridge {
  readonly context: SessionContext;
  readonly locks: SessionLocks;
  readonly roles: Roles;
  /** Makes sure that the call can be answered. @throws PgError what stands in the way */
  attach(call: BridgedCall): Promise<void>;
  /** Hands over an answer to the call's last request. */
  give(call: BridgedCall, answer: BridgeAnswer): Promise<void>;
  /** A name for an object that the call makes in the service schema, which no other has. */
  nameObject(kind: 'rows' | 'proof', pid: number): string;
  /** Such an object is there, or may be: it goes when the statement that runs is over. */
  made(object: string): void;
}

/**
 * A call that a function of the primary waits for: carried out here, while the function is asked what only it can tell, and
 * answers by further requests.
 */
export class BridgedCall {
  /** The function's last request. */
  #request: BridgeRequest;
  /** When the call came, by performance.now(). */
  readonly askedAt = performance.now();
  readonly #abort = new AbortController();
  /** Resolved with the function's next request while the call goes on. */
  #next: ((request: BridgeRequest) => void) | undefined;

  constructor(
    private readonly bridge: CallBridge,
    request: BridgeRequest,
  ) {
    this.#request = request;
  }

  get request(): BridgeRequest {
    return this.#request;
  }

  /** Stops what goes on for it. */
  abandon(reason: PgError): void {
    this.#abort.abort(reason);
  }

  get abandoned(): boolean {
    return this.#abort.signal.aborted;
  }

  /** The function goes on. @returns whether that was awaited */
  goOn(request: BridgeRequest): boolean {
    const next = this.#next;
    if (next === undefined) return false;
    this.#request = request;
    this.#next = undefined;
    next(request);
    return true;
  }

  /** Answers in between, and waits for what the function then asks: one thing at a time. */
  async #converse(answer: BridgeAnswer): Promise<BridgeRequest> {
    const { signal } = this.#abort;
    signal.throwIfAborted();
    const next = new Promise<BridgeRequest>((resolve, reject) => {
      this.#next = resolve;
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
    next.catch(() => undefined);
    await this.bridge.give(this, answer);
    return next;
  }

  /** Carries it out. @returns the answer to its last request @throws PgError */
  async run(): Promise<BridgeAnswer> {
    const { function: signature, args: given } = this.#request;
    const overload = BY_SIGNATURE.get(signature);
    if (overload === undefined || overload.args.length !== given.length) throw unknownFunction();
    if (overload.runs === 'primary' || overload.name === 'dblink_current_query') throw unknownFunction();
    const args = argumentsOf(
      overload.args.map(({ role }) => role),
      given,
    );
    // The functions are STRICT: only who forges a request gives a NULL.
    if (args.kind === 'null') return valueAnswer(null);
    // Until it can be answered nothing remote is to happen.
    await this.bridge.attach(this);
    const notices: PgError[] = [];
    const callContext = await this.#callContext(overload, (notice) => void notices.push(notice));
    this.#abort.signal.throwIfAborted();
    let answer: BridgeAnswer;
    try {
      answer = await this.#act(overload, args, callContext);
    } catch (error) {
      if (!(error instanceof PgError) || this.abandoned) throw error;
      answer = raisingAnswer('error', error);
    }
    for (const notice of notices) await this.#converse(raisingAnswer('notice', notice));
    return answer;
  }

  /** Whose rights count, and what there is. @throws PgError 42501 */
  async #callContext(overload: Overload, notice: (notice: PgError) => void): Promise<CallContext> {
    const { context, roles } = this.bridge;
    const unchecked = overload.name === 'dblink_connect_u';
    let proof: Promise<boolean> | undefined;
    const role: ClaimedRole = {
      name: this.#request.role,
      prove: (by) => (proof ??= this.#prove(by)),
    };
    if (unchecked && !(await roles.mayConnectUnchecked(role))) {
      throw new PgError('42501', `permission denied for function ${overload.name}`);
    }
    return {
      facts: {
        superuser: await roles.mayBeSuperuser(role.name),
        confirmSuperuser: async () => (await roles.counting(role)).superuser,
        findServer: (name, _asOwner, signal) => {
          // That of dblink_connect_u has been proven.
          const counting = async () => (unchecked ? role.name : (await roles.counting(role)).name);
          return this.#findServer(name, { role: counting, signal }, role.name);
        },
        primaryMajor: context.majorVersion,
        databaseEncoding: context.encodings.database,
      },
      signal: this.#abort.signal,
      notice,
    };
  }

  async #act(overload: Overload, args: Arguments, callContext: CallContext): Promise<BridgeAnswer> {
    const { dblink } = this.bridge.context;
    if (overload.name === 'dblink_get_notify')
      return notificationsAnswer(await dblink.notifications(args.connection, callContext));
    if (overload.returns === 'setof record') return this.#rows(overload, args, callContext);
    return valueAnswer(await callScalar(dblink, overload, args, callContext));
  }

  /** Whether the function runs as the role of its request: only then can it get the evidence. */
  async #prove(by: Proving): Promise<boolean> {
    const { role, pid } = this.#request;
    const { bridge } = this;
    const { connection } = await bridge.locks.attach();
    this.#abort.signal.throwIfAborted();
    const nonce = randomBytes(16).toString('hex');
    const maker = by === 'made' ? bridge.nameObject('proof', pid) : undefined;
    if (maker !== undefined) {
      try {
        await connection.query(MAKE_PROOF_QUERY, [maker, role]);
      } catch (error) {
        // Where in the bridge it was is nobody's business.
        throw error instanceof PgError ? withoutPlace(error) : error;
      } finally {
        bridge.made(maker);
      }
    }
    const { function: name, args } = await this.#converse(proofAnswer(questionOf(nonce, maker)));
    const evidence = name === 'proved' ? args[0]?.toString('latin1') : undefined;
    if (evidence === undefined || !/^[0-9a-f]{64}$/.test(evidence)) return false;
    const [row] = await connection.query(IS_EVIDENCE_QUERY, [nonce, role, evidence]);
    return row?.[0]?.toString() === 't';
  }

  /**
   * What the function finds under the name, else a server of the configuration. It is worth no more than a connection string
   * of the session's.
   * @param reader whose rights count beyond that: dblink_connect_u has its owner's
   * @param claimed the role that the function runs as, by its own account
   */
  async #findServer(
    name: string,
    reader: MappingReader,
    claimed: string,
  ): Promise<ForeignServer | undefined> {
    const { context, roles } = this.bridge;
    const { foreignServers, encodings } = context;
    const [found] = (await this.#converse(serverAnswer)).args;
    const server = found ? readServer(found.toString('latin1')) : undefined;
    if (server !== undefined) return foreignServers.usable(server, reader);
    return foreignServers.declared(name, async (declared) => {
      // Who could not use it anyway has nothing to prove.
      if (!(await roles.isMember(claimed, rolesJson(declared, encodings.database)))) return false;
      return (await reader.role()) === claimed;
    });
  }

  async #rows(overload: Overload, args: Arguments, callContext: CallContext): Promise<BridgeAnswer> {
    const { dblink, memory: ofTheSession, settings } = this.bridge.context;
    const stop = new AbortController();
    const cancel = (): void => stop.abort(callContext.signal.reason);
    callContext.signal.addEventListener('abort', cancel, { once: true });
    const memory = new HeldMemory(ofTheSession);
    const sink = new RowsSink(
      settings.limits.spliceBytes,
      (oids, style) => this.#openTable(oids, style),
      (error) => stop.abort(error),
      memory,
    );
    /** What dblink() got before an error has been converted when the error comes. */
    const check = async (): Promise<void> => {
      const answer = overload.name === 'dblink' ? await sink.checking() : undefined;
      if (answer !== undefined) await this.#converse(answer);
    };
    let told = false;
    try {
      const { signal } = stop;
      const notice = (notice: PgError): void => {
        told = true;
        callContext.notice(notice);
      };
      const outcome = await callSource(dblink, overload, args, sink, {
        ...callContext,
        notice,
        signal,
      }).catch(async (error: unknown) => {
        if (error instanceof PgError && !signal.aborted) await check();
        throw error;
      });
      if (told) await check();
      if (outcome.kind === 'nothing') {
        await sink.abort();
        return nothingAnswer;
      }
      return await sink.answer(outcome.kind === 'status' ? outcome.tag : undefined);
    } catch (error) {
      await sink.abort();
      throw error;
    } finally {
      memory.release();
    }
  }

  /** For more rows than an answer holds: a table with the types that the function's caller wants. */
  async #openTable(oids: readonly number[], style: RemoteStyle): Promise<BulkRows> {
    const { bridge } = this;
    const { args, pid } = await this.#converse(moreAnswer(oids));
    const name = bridge.nameObject('rows', pid);
    const table = { name, pid, ...readWantedTypes(args, style) };
    return BulkRows.open(bridge.locks.services!, table, {
      user: bridge.context.asker[0],
      signal: this.#abort.signal,
      made: () => bridge.made(name),
    });
  }
}

const unknownFunction = (): PgError => new PgError('0A000', VERSION_MESSAGE, { hint: VERSION_HINT });
