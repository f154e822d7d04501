import { LimitReached, PgError } from '../../wire/errors.js';
import type { WireClient } from '../../wire/outbound/index.js';
import { abortable } from '../../wire/pace/abortable.js';
import { clipName } from '../clipName.js';
import { parseConninfo } from '../conninfo/index.js';
import type { CallContext, DblinkHome } from '../context.js';
import {
  type ConnectionLabel,
  connectionNotAvailable,
  duplicateName,
  identifierTruncated,
} from '../errors.js';
import { UNLIMITED } from '../memory.js';
import { ReadOnlyCalls } from '../remote/guard/readOnlyCalls.js';
import { ReadOnlySession } from '../remote/guard/readOnlySession.js';
import { RemoteConnection } from '../remote/remote.js';
import { leavesSession } from '../remote/textEffect.js';
import type { Identity } from './keptConnections.js';
import { type OpenedRemote, type OpenOptions, openRemote } from './openRemote.js';
import type { Claim, Leave } from './places.js';
import { ConnectionRegistry } from './registry.js';

/** A connection in use by one call. */
export interface Lease {
  readonly connection: RemoteConnection;
  /** What messages and error contexts call the connection. */
  readonly label: ConnectionLabel;
  /**
   * Ends the use. A connection that was opened for this call alone is closed, or kept for the next such call.
   * @param ran the text that has run on it, if it ended well
   */
  readonly release: (ran?: Buffer) => void;
}

/** The connections of one client session, and which of them a call uses (behaviour reference, section 2). */
export class SessionConnections {
  readonly #registry = new ConnectionRegistry();
  /** Open connections that each serve a single call. */
  readonly #oneShots = new Set<RemoteConnection>();
  /** How many connections for a single call are being opened. */
  #opening = 0;
  /** Wakes the calls that wait until the connection of another call is closed. */
  #waiting: (() => void)[] = [];
  #closed = false;

  readonly #leaveFamily: () => void;

  constructor(private readonly home: DblinkHome) {
    this.#leaveFamily = home.family?.join(() => this.#held) ?? (() => {});
  }

  get #held(): number {
    return this.#registry.size + this.#oneShots.size + this.#opening;
  }

  /**
   * Opens a connection that stays open: a named one or, without a name, the unnamed one. An earlier unnamed one is
   * closed.
   * @param unchecked true for dblink_connect_u
   * @throws PgError 08001, 42710, 2F003, 42501, 55006, 53300 (behaviour reference, sections 2, 3.1, 6 and 9)
   */
  async connect(
    name: string | undefined,
    conninfo: string,
    unchecked: boolean,
    call: CallContext,
  ): Promise<void> {
    const encoding = call.facts.databaseEncoding;
    let release = () => {};
    try {
      const place = await this.#admitWithRoom(call.signal).catch((error: unknown) => this.#refused(error));
      const beforeConnect = (): void => {
        if (name === undefined) {
          this.#registry.unnamed?.refuseInUse(undefined);
          return;
        }
        const cut = clipName(name, encoding);
        if (cut !== name) call.notice(identifierTruncated(name, cut));
        if (this.#registry.has(name, encoding)) throw duplicateName();
        release = this.#registry.reserve(name, encoding);
      };
      const connection = await this.#open({ conninfo, unchecked, lasting: true, places: [place] }, call, {
        beforeConnect,
      });
      if (name === undefined) {
        this.#registry.unnamed?.close();
        this.#registry.unnamed = connection;
      } else this.#registry.add(name, encoding, connection);
    } finally {
      release();
    }
  }

  /** Whether calls of read-only transactions may not write. */
  get #guardsCalls(): boolean {
    return this.home.access?.policy.remoteWritesInReadOnly === 'deny';
  }

  /** @throws PgError 53300 */
  #admit(): Leave {
    const { admission, family } = this.home;
    return admission?.admit(family?.held ?? this.#held) ?? (() => {});
  }

  /** Takes a place. Connections that are kept for later give way. @throws PgError 53300, the signal's reason */
  async #admitWithRoom(signal: AbortSignal): Promise<Leave> {
    try {
      return this.#admit();
    } catch (error) {
      if (!(await this.home.kept?.makeRoom(signal))) throw error;
      return this.#admit();
    }
  }

  /**
   * Takes a place for a connection that serves a single call. Calls of one statement run side by side here, but one after
   * another with the extension. So a call must not fail because others of the statement hold the places: it waits for
   * them.
   * @throws PgError 53300, the signal's reason
   */
  async #admitOneShot(signal: AbortSignal): Promise<Leave> {
    for (;;) {
      try {
        return await this.#admitWithRoom(signal);
      } catch (error) {
        if (this.#oneShots.size + this.#opening === 0) this.#refused(error);
        await abortable(new Promise<void>((resolve) => this.#waiting.push(resolve)), signal);
      }
    }
  }

  /** Tells the audit that there is no place. @throws the error */
  #refused(error: unknown): never {
    if (error instanceof LimitReached)
      this.home.audit?.refused({ kind: 'limit', by: error.setting, sqlstate: error.sqlstate });
    throw error;
  }

  #oneShotEnded(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /**
   * Opens a connection and has it use the database's encoding.
   * @param wanted `lasting`: it stays open behind the call; `places` are given back with it, and another one is added to them
   */
  async #open(
    { conninfo, unchecked, lasting, places }: Wanted,
    call: CallContext,
    hooks: Pick<OpenOptions, 'beforeConnect' | 'reuse'>,
  ): Promise<RemoteConnection> {
    const { home } = this;
    const { signal, notice } = call;
    const claim: Claim = { owner: home.owner ?? home, session: home, lasting, signal, notice };
    let opened: OpenedRemote;
    try {
      const ofUser = await home.admission?.users.take(home.countedFor ?? home.user, claim);
      if (ofUser !== undefined) places.push(ofUser);
      opened = await openRemote(conninfo, { home, facts: call.facts, unchecked, signal, claim, ...hooks });
    } catch (error) {
      leaveAll(places);
      this.#refused(error);
    }
    const { client } = opened;
    client.whenReleased(() => leaveAll(places));
    try {
      await this.#nest(client, call);
    } catch (error) {
      client.close();
      throw error;
    }
    const { memory = UNLIMITED, readEffect = () => 'anything' } = this.home;
    const guard = opened.readOnly ? new ReadOnlySession(client, readEffect) : undefined;
    const connection = new RemoteConnection(client, call.facts.primaryMajor, memory, {
      guard,
      guardNow: () => (this.#guardsCalls ? new ReadOnlyCalls(client, readEffect) : undefined),
      statementMs: home.times?.remoteStatement,
      idleMs: lasting ? home.times?.idleDblink : undefined,
    });
    const encoding = call.facts.databaseEncoding;
    try {
      if (client.parameters.get('client_encoding') !== encoding) {
        // A remote that cannot use this encoding is left as it is. Its error stays in the error buffer.
        await connection.run(Buffer.from(`set client_encoding to '${encoding}'`), undefined, call.signal);
      }
      // The session may have ended while the connection was being made.
      if (this.#closed) throw sessionEnded();
    } catch (error) {
      connection.close();
      throw error;
    }
    return connection;
  }

  /** Has a connection to the primary's own cluster served as a session. @throws PgError 54001; the signal's reason */
  async #nest(client: WireClient, { facts, signal }: CallContext): Promise<void> {
    const { nesting } = this.home;
    const { primaryServer } = facts;
    // One that was kept is served already.
    if (nesting === undefined || primaryServer === undefined || client.interposed) return;
    if (await nesting.ownCluster.has(client, primaryServer, signal)) nesting.serve(client);
  }

  /** Closes a named connection or, without a name, the unnamed one. @throws PgError 08003, 55006 */
  disconnect(name: string | undefined, call: CallContext): void {
    const connection = this.existing(name, call);
    if (name === undefined) this.#registry.unnamed = undefined;
    else this.#registry.remove(name, call.facts.databaseEncoding);
    connection.close();
  }

  /** The open connection of this name, for callers that only look at it. @throws PgError 08003, 55006 */
  existing(name: string | undefined, call: CallContext): RemoteConnection {
    const connection =
      name === undefined ? this.#registry.unnamed : this.#registry.get(name, call.facts.databaseEncoding);
    if (connection === undefined) throw connectionNotAvailable(name);
    connection.refuseInUse(name);
    return connection;
  }

  get hasUnnamed(): boolean {
    return this.#registry.unnamed !== undefined;
  }

  /** Takes an open connection for one call. @throws PgError 08003, 55006 */
  lease(name: string | undefined, call: CallContext): Lease {
    return leaseOf(this.existing(name, call), name, call);
  }

  /**
   * Takes the connection that dblink and dblink_exec use: the unnamed one, a named one, or one that is opened for this
   * call alone.
   * @returns a promise only for the last one
   * @throws PgError 08003, 55006, and what opening one raises
   */
  leaseFor(target: string | undefined, call: CallContext): Lease | Promise<Lease> {
    if (target === undefined) return this.lease(undefined, call);
    const named = this.#registry.find(target, call.facts.databaseEncoding, isConninfo);
    return named === undefined ? this.#oneShot(target, call) : leaseOf(named, target, call);
  }

  async #oneShot(target: string, call: CallContext): Promise<Lease> {
    const places = [await this.#admitOneShot(call.signal), () => this.#oneShotEnded()];
    const { home } = this;
    let connection: RemoteConnection;
    let identity: Identity | undefined;
    const reuse = (known: Identity): Promise<WireClient | undefined> => {
      identity = known;
      return home.kept?.take(home, known, call.signal) ?? Promise.resolve(undefined);
    };
    this.#opening++;
    try {
      connection = await this.#open({ conninfo: target, unchecked: false, lasting: false, places }, call, {
        reuse,
      });
      connection.serves(call.facts);
      this.#oneShots.add(connection);
    } finally {
      this.#opening--;
      this.#oneShotEnded();
    }
    const release = (ran?: Buffer): void => {
      this.#oneShots.delete(connection);
      // What is kept takes no place of those who need one.
      if (this.#keeps(connection, identity, ran)) leaveAll(places);
      else connection.close();
      this.#oneShotEnded();
    };
    return { connection, label: undefined, release };
  }

  /** Keeps a connection that a single call has used, if what has run on it can have left nothing in its session. */
  #keeps({ client }: RemoteConnection, identity: Identity | undefined, ran: Buffer | undefined): boolean {
    const { kept, effectOf } = this.home;
    if (this.#closed || kept === undefined || identity === undefined || ran === undefined) return false;
    // A nested session that has used dblink may have connections of its own.
    if (!client.pristine) return false;
    return effectOf !== undefined && leavesSession(effectOf(ran)) && kept.keep(this.home, identity, client);
  }

  /**
   * To be called before a remote gets SQL: connections that are kept must not be in its way, and must not outlive a login that it
   * takes away.
   */
  leaveFor(sql: Buffer): void {
    const { kept, effectOf } = this.home;
    if (kept?.has(this.home) && (effectOf === undefined || !leavesSession(effectOf(sql))))
      kept.leave(this.home);
  }

  /**
   * A key for the connection that a call of dblink or dblink_exec will use. Calls with the same key must not run side by
   * side.
   */
  key(target: string | undefined, call: CallContext): unknown {
    return this.used(target, call) ?? (target === undefined ? 'unnamed' : Symbol('one-shot'));
  }

  /** The connection that dblink or dblink_exec will use, if it is open already. */
  used(target: string | undefined, call: CallContext): RemoteConnection | undefined {
    if (target === undefined) return this.#registry.unnamed;
    return this.#registry.find(target, call.facts.databaseEncoding, isConninfo);
  }

  /** The names of the open named connections. */
  names(): readonly string[] {
    return this.#registry.names();
  }

  /** Ends all connections. What runs on the remotes is cancelled. */
  close(): void {
    this.#closed = true;
    this.home.kept?.leave(this.home);
    this.#leaveFamily();
    this.#registry.closeAll();
    for (const connection of this.#oneShots) connection.close();
    this.#oneShots.clear();
  }
}

/** A connection that is to be opened. */
interface Wanted {
  readonly conninfo: string;
  readonly unchecked: boolean;
  readonly lasting: boolean;
  readonly places: Leave[];
}

const leaveAll = (places: readonly Leave[]): void => {
  for (const leave of places) leave();
};

const leaseOf = (connection: RemoteConnection, label: ConnectionLabel, call: CallContext): Lease => ({
  connection,
  label,
  release: connection.acquire(label, call),
});

const sessionEnded = (): PgError =>
  new PgError('57P01', 'terminating connection due to administrator command', { severity: 'FATAL' });

function isConninfo(text: string): boolean {
  try {
    parseConninfo(Buffer.from(text, 'latin1'));
    return true;
  } catch {
    return false;
  }
}
