import { randomBytes } from 'node:crypto';
import { argumentsOf, type CallArguments } from '../dblink/callArguments.js';
import { callScalar, callSource } from '../dblink/carryOut.js';
import { CATALOGUE, type Overload } from '../dblink/catalogue.js';
import type { ForeignServer } from '../dblink/connections/foreignServer.js';
import { CLUSTER_QUERY } from '../dblink/connections/ownCluster.js';
import type { CallContext } from '../dblink/context.js';
import { HeldMemory } from '../dblink/memory.js';
import type { RemoteStyle } from '../dblink/remote/results.js';
import { rolesJson } from '../primary/declaredServers.js';
import { readServer } from '../primary/foreignServerQuery.js';
import type { MappingReader } from '../primary/foreignServers.js';
import type { SessionContext } from '../session/context.js';
import { PgError } from '../wire/errors.js';
import type { AbortPool } from './abortPool.js';
import { isEvidence } from './evidence.js';
import {
  type BridgeAnswer,
  moreAnswer,
  nothingAnswer,
  notificationsAnswer,
  proofAnswer,
  raisingAnswer,
  serverAnswer,
  valueAnswer,
  waitAnswer,
  withoutPlace,
} from './exchange/bridgeAnswer.js';
import { type BridgeRequest, polls } from './exchange/request.js';
import type { SessionLocks } from './exchange/sessionLocks.js';
import { readWantedTypes } from './exchange/wantedTypes.js';
import { signatureOf } from './installed/publicFunctions.js';
import { MAKE_PROOF_QUERY, questionOf } from './installed/roleProof.js';
import { VERSION_HINT, VERSION_MESSAGE } from './installed/serviceSchema.js';
import type { ClaimedRole, EvidenceSource, Roles } from './roles.js';
import { BulkRows } from './rows/bulkRows.js';
import { RowsSink } from './rows/rowsSink.js';

const BY_SIGNATURE: ReadonlyMap<string, Overload> = new Map(
  CATALOGUE.map((overload) => [signatureOf(overload), overload]),
);

type Arguments = CallArguments & { readonly kind: 'call' };

/** What a call needs from its session's bridge. */
export interface CallBridge {
  readonly context: SessionContext;
  readonly locks: SessionLocks;
  readonly roles: Roles;
  readonly aborts: AbortPool;
  /** Makes sure that the call can be answered. @throws PgError what stands in the way, see SessionLocks.attach */
  attach(call: BridgedCall): Promise<void>;
  /** Hands over an answer to the call's last request. */
  give(call: BridgedCall, answer: BridgeAnswer): Promise<void>;
  /** A new name for an object that the call makes in the service schema. @param pid the process that waits */
  nameObject(kind: 'rows' | 'proof', pid: number): string;
  /** Called when such an object exists, or may exist. It is dropped when the statement that runs is over. */
  made(object: string): void;
}

/**
 * A call that a function of the primary waits for. It is carried out here. In between, the function is asked for what only it
 * can tell, and it answers by further requests.
 */
export class BridgedCall {
  /** The function's last request. */
  #request: BridgeRequest;
  /** When the call came, by performance.now(). */
  readonly askedAt = performance.now();
  readonly #abort: AbortController;
  /** Ends the remote work for rows alone. */
  #rowsAbort: AbortController | undefined;
  #abandoned = false;
  /** It is certain that the function can be answered. */
  #attached = false;
  /** Everything has been done for it, so that there is nothing to stop. */
  #over = false;
  /** The exchanges with the function, one after the other. */
  #exchanges: Promise<unknown> = Promise.resolve();
  /** Set while the function's next request is awaited: takes that request. */
  #next: ((request: BridgeRequest) => void) | undefined;
  /** Ends that waiting. */
  #refuse: ((reason: PgError) => void) | undefined;

  constructor(
    private readonly bridge: CallBridge,
    request: BridgeRequest,
  ) {
    this.#request = request;
    this.#abort = bridge.aborts.take();
  }

  get request(): BridgeRequest {
    return this.#request;
  }

  /** Stops whatever is under way for the call. */
  abandon(reason: PgError): void {
    this.#abandoned = true;
    this.#refuse?.(reason);
    if (this.#over) return;
    this.#abort.abort(reason);
    this.#rowsAbort?.abort(reason);
  }

  get abandoned(): boolean {
    return this.#abandoned;
  }

  /** Takes a further request of the function. @returns whether one was awaited */
  goOn(request: BridgeRequest): boolean {
    const next = this.#next;
    if (next === undefined) return false;
    this.#request = request;
    this.#next = undefined;
    this.#refuse = undefined;
    next(request);
    return true;
  }

  /**
   * Has the function wait for its answer without a lock, unless it is not certain yet that it waits at all. Comes back when it does,
   * or when the call is over. Never rejects.
   */
  async waitWithoutLock(): Promise<void> {
    if (!this.#attached) return;
    await this.#inTurn(async () => {
      if (!this.#over && !polls(this.#request)) await this.#exchange(waitAnswer);
    }).catch(() => undefined);
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const result = this.#exchanges.then(act);
    this.#exchanges = result.catch(() => undefined);
    return result;
  }

  /**
   * Gives the function an answer in between, and waits for its next request.
   * @throws the reason for which the call was abandoned
   */
  #converse(answer: BridgeAnswer): Promise<BridgeRequest> {
    return this.#inTurn(() => this.#exchange(answer));
  }

  /** See #converse. Only one may be under way. */
  async #exchange(answer: BridgeAnswer): Promise<BridgeRequest> {
    this.#abort.signal.throwIfAborted();
    const next = new Promise<BridgeRequest>((resolve, reject) => {
      this.#next = resolve;
      this.#refuse = reject;
    });
    next.catch(() => undefined);
    await this.bridge.give(this, answer);
    return next;
  }

  /**
   * Carries the call out. An error of the dblink function itself is an answer, too.
   * @returns the answer to the function's last request
   * @throws PgError 0A000 for a function that the proxy does not carry out, 42501 for a dblink_connect_u that is not permitted,
   * what keeps the function from being answered, the reason for which the call was abandoned
   */
  async run(): Promise<BridgeAnswer> {
    try {
      return await this.#run();
    } finally {
      this.#over = true;
      // The answer is for the function's last request.
      await this.#exchanges;
      this.bridge.aborts.giveBack(this.#abort);
    }
  }

  async #run(): Promise<BridgeAnswer> {
    const { function: signature, args: given } = this.#request;
    const overload = BY_SIGNATURE.get(signature);
    if (overload === undefined || overload.args.length !== given.length) throw unknownFunction();
    if (overload.runs === 'primary' || overload.name === 'dblink_current_query') throw unknownFunction();
    const args = argumentsOf(
      overload.args.map(({ role }) => role),
      given,
    );
    // The functions are STRICT, so that only a forged request has a NULL among its arguments.
    if (args.kind === 'null') return valueAnswer(null);
    // Nothing remote is to happen before it is certain that the function can be answered.
    await this.bridge.attach(this);
    this.#attached = true;
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

  /** What the call needs to know, above all whose rights count. @throws PgError 42501 for dblink_connect_u */
  async #callContext(overload: Overload, notice: (notice: PgError) => void): Promise<CallContext> {
    const { context, roles } = this.bridge;
    const unchecked = overload.name === 'dblink_connect_u';
    let proof: Promise<boolean> | undefined;
    const role: ClaimedRole = {
      name: this.#request.role,
      prove: (source) => (proof ??= this.#prove(source)),
    };
    if (unchecked && !(await roles.mayConnectUnchecked(role))) {
      throw new PgError('42501', `permission denied for function ${overload.name}`);
    }
    return {
      facts: {
        superuser: await roles.mayBeSuperuser(role.name),
        readOnly: this.#request.readOnly,
        confirmSuperuser: async () => (await roles.counting(role)).superuser,
        findServer: (name, _asOwner, signal) => {
          // The role that calls dblink_connect_u has been proven above.
          const counting = async () => (unchecked ? role.name : (await roles.counting(role)).name);
          return this.#findServer(name, { role: counting, signal }, role.name);
        },
        isMember: async (names) => {
          // The role that calls dblink_connect_u has been proven above.
          const counting = unchecked ? role.name : (await roles.counting(role)).name;
          if (counting === undefined) return undefined;
          return roles.isMember(counting, rolesJson({ roles: names }, context.encodings.database));
        },
        primaryMajor: context.majorVersion,
        primaryServer: context.primaryServer(async () => {
          const [row] = await this.bridge.locks.query(CLUSTER_QUERY, []);
          return row?.[0]?.toString('latin1');
        }),
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

  /** Whether the function runs as the role that its request names. Only then can it get the evidence (roleProof.ts). */
  async #prove(source: EvidenceSource): Promise<boolean> {
    const { role, pid } = this.#request;
    const { bridge } = this;
    const { connection } = await bridge.locks.attach();
    this.#abort.signal.throwIfAborted();
    const nonce = randomBytes(16).toString('hex');
    const maker = source === 'made' ? bridge.nameObject('proof', pid) : undefined;
    if (maker !== undefined) {
      try {
        await connection.query(MAKE_PROOF_QUERY, [maker, role]);
      } catch (error) {
        // The client is not to see in which statement of the bridge it happened.
        throw error instanceof PgError ? withoutPlace(error) : error;
      } finally {
        bridge.made(maker);
      }
    }
    const { function: name, args } = await this.#converse(proofAnswer(questionOf(nonce, maker)));
    const evidence = name === 'proved' ? args[0]?.toString('latin1') : undefined;
    return evidence !== undefined && isEvidence(connection, { nonce, role, evidence });
  }

  /**
   * The foreign server that the function finds under the name, or else one of the configuration. What the function says of it
   * may be forged. So it is trusted no more than a connection string that the session gives itself.
   * @param reader whose rights count for what the session itself cannot read: for dblink_connect_u those of its owner
   * @param claimed the role that the function says it runs as
   * @throws PgError see ForeignServers.usable and ForeignServers.declared
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
      // A role that may not use the server does not have to be proven.
      if (!(await roles.isMember(claimed, rolesJson(declared, encodings.database)))) return false;
      return (await reader.role()) === claimed;
    });
  }

  /** Carries out a function that returns rows. */
  async #rows(overload: Overload, args: Arguments, callContext: CallContext): Promise<BridgeAnswer> {
    const { dblink, memory: ofTheSession, settings } = this.bridge.context;
    const stop = this.bridge.aborts.take();
    this.#rowsAbort = stop;
    const memory = new HeldMemory(ofTheSession);
    const sink = new RowsSink(
      settings.limits.spliceBytes,
      (oids, style) => this.#openTable(oids, style),
      (error) => {
        // It can come when the controller is another call's.
        if (this.#rowsAbort === stop) stop.abort(error);
      },
      memory,
    );
    /** Has the function convert the rows that came before an error: natively dblink() has converted them when the error comes. */
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
      this.#rowsAbort = undefined;
      this.bridge.aborts.giveBack(stop);
    }
  }

  /** Opens a side table, for more rows than an answer holds. Its columns have the types that the function's caller wants. */
  async #openTable(oids: readonly number[], style: RemoteStyle): Promise<BulkRows> {
    const { bridge } = this;
    const { args, pid } = await this.#converse(moreAnswer(oids));
    const name = bridge.nameObject('rows', pid);
    const table = { name, pid, ...readWantedTypes(args, style) };
    return BulkRows.open(bridge.locks.services!, table, {
      user: bridge.context.asker[0],
      depth: bridge.context.depth,
      signal: this.#abort.signal,
      made: () => bridge.made(name),
    });
  }
}

const unknownFunction = (): PgError => new PgError('0A000', VERSION_MESSAGE, { hint: VERSION_HINT });
