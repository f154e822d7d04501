import type { Metrics } from '../metrics/metrics.js';
import { PgError } from '../wire/errors.js';
import * as asynchronous from './asynchronous.js';
import { clipName } from './clipName.js';
import { SessionConnections } from './connections/connections.js';
import type { CallContext, DblinkHome } from './context.js';
import * as cursors from './cursors.js';
import { wantedDatabases } from './databaseCommand.js';
import { copyNotSupported, couldNotSend, resultsNotAllowed } from './errors.js';
import type { DblinkFunction } from './functions.js';
import type { Notification } from './remote/notifications.js';
import type { Outcome, QueryOutcome } from './remote/outcome.js';
import { ResultReader, type RowSink } from './remote/results.js';
import { malformed, relayFailure } from './remoteFailure.js';

/**
 * The dblink functions of one client session. All text is byte strings in the database's encoding. A `target` is a
 * connection's name, or undefined for the unnamed connection.
 *
 * Every function but connect, connections and close raises 08003 when there is no such connection, and 55006 when another
 * call uses it. When a call's signal is aborted, the function throws the signal's reason at once.
 */
export class DblinkSession {
  readonly #connections: SessionConnections;

  /** @param metrics undefined where nobody asks for them */
  constructor(
    private readonly home: DblinkHome,
    private readonly metrics?: Pick<Metrics, 'called'>,
  ) {
    this.#connections = new SessionConnections(home);
  }

  /** Carries out a call of a function, and has it measured. */
  async timed<T>(name: DblinkFunction, act: () => Promise<T>): Promise<T> {
    const { metrics } = this;
    if (metrics === undefined) return act();
    const began = performance.now();
    try {
      return await act();
    } finally {
      metrics.called(name, (performance.now() - began) / 1000);
    }
  }

  /** To be awaited before a remote gets SQL. @param awaited whether the call waits for what that does */
  #makeWay(sql: Buffer, awaited = true): Promise<void> | undefined {
    this.#connections.leaveFor(sql);
    const databases = wantedDatabases(sql);
    return databases && this.home.makeWay?.(databases, awaited);
  }

  /**
   * dblink_connect and dblink_connect_u.
   * @param unchecked true for dblink_connect_u
   * @throws PgError 08001, 42710, 2F003, 42501, 55006, 53300 (behaviour reference, sections 2, 3.1, 6 and 9)
   */
  async connect(
    name: string | undefined,
    conninfo: string,
    unchecked: boolean,
    call: CallContext,
  ): Promise<'OK'> {
    await this.#connections.connect(name, conninfo, unchecked, call);
    return 'OK';
  }

  /** dblink_disconnect. */
  disconnect(name: string | undefined, call: CallContext): 'OK' {
    this.#connections.disconnect(name, call);
    return 'OK';
  }

  /** dblink_get_connections: names in no particular order, or null when there are none. */
  connections(): readonly string[] | null {
    const names = this.#connections.names();
    return names.length === 0 ? null : names;
  }

  /** dblink_error_message: what the connection's error buffer holds, or `OK` when it is empty. */
  errorMessage(name: string, call: CallContext): string {
    return this.#connections.existing(name, call).errorText || 'OK';
  }

  /** A key for the connection that a call will use. Calls with the same key must not run side by side. */
  connectionKey(target: string | undefined, call: CallContext): unknown {
    return this.#connections.key(target, call);
  }

  /**
   * What even a query that only reads would change of what can be asked of the connection. `results`: pending results of
   * dblink_send_query would be dropped. `message`: the error message would be emptied. undefined: nothing.
   */
  disturbs(target: string | undefined, call: CallContext): 'results' | 'message' | undefined {
    const connection = this.#connections.used(target, call);
    if (connection?.hasResults) return 'results';
    return connection?.errorText ? 'message' : undefined;
  }

  /** Whether a call of dblink or dblink_exec will use a session that cannot write. False where that cannot be told. */
  async isReadOnly(target: string | undefined, call: CallContext): Promise<boolean> {
    const open = this.#connections.used(target, call);
    if (open !== undefined || target === undefined) return open?.readOnly === true;
    const { findServer, databaseEncoding } = call.facts;
    try {
      return (await findServer(clipName(target, databaseEncoding), false, call.signal))?.readOnly === true;
    } catch (error) {
      // The call itself will say what is wrong, if it is reached.
      if (error instanceof PgError && !call.signal.aborted) return false;
      throw error;
    }
  }

  /**
   * dblink_exec: the tag of the last command, or `ERROR` with fail_on_error = false.
   * @param target name or connection string, undefined for the unnamed connection
   * @throws PgError the remote's error, 2F003, 08001, 08006
   */
  async exec(
    target: string | undefined,
    sql: Buffer,
    failOnError: boolean,
    call: CallContext,
  ): Promise<string> {
    const found = this.#connections.leaseFor(target, call);
    const lease = found instanceof Promise ? await found : found;
    let ran: Buffer | undefined;
    try {
      const way = this.#makeWay(sql);
      if (way !== undefined) await way;
      const outcome = await lease.connection.run(sql, undefined, call.signal, 'dblink_exec');
      if (outcome.kind === 'command') ran = sql;
      if (outcome.kind === 'command') return outcome.tag;
      if (outcome.kind === 'rows') throw resultsNotAllowed();
      relayFailure(outcome, 'while executing command', lease, failOnError, call);
      return 'ERROR';
    } finally {
      lease.release(ran);
    }
  }

  /**
   * dblink: runs the query string. Afterwards the sink has the rows of the string's last result. If results of
   * dblink_send_query are pending, the call fails, and they are dropped (behaviour reference, section 6).
   * @param target name or connection string, undefined for the unnamed connection
   * @throws PgError the remote's error, 42804, 08001, 08006, XX000 when the string could not be sent, 0A000 for a COPY,
   * and what the sink throws
   */
  async query(
    target: string | undefined,
    sql: Buffer,
    failOnError: boolean,
    sink: RowSink,
    call: CallContext,
  ): Promise<QueryOutcome> {
    const found = this.#connections.leaseFor(target, call);
    const lease = found instanceof Promise ? await found : found;
    let ran: Buffer | undefined;
    try {
      const { connection } = lease;
      const reader = new ResultReader(connection.client, sink);
      const way = this.#makeWay(sql);
      if (way !== undefined) await way;
      let outcome: Outcome;
      try {
        outcome = await connection.run(sql, reader, call.signal, 'dblink');
        reader.finish();
      } catch (error) {
        outcome = malformed(lease, error);
      }
      if (outcome.kind === 'refused') {
        await connection.discardResults(call.signal);
        throw couldNotSend(outcome.text);
      }
      if (outcome.kind === 'copy') {
        connection.errorText = '';
        throw copyNotSupported();
      }
      if (outcome.kind === 'command' || outcome.kind === 'rows') ran = sql;
      if (outcome.kind === 'command') {
        sink.reset();
        return { kind: 'status', tag: outcome.tag };
      }
      if (outcome.kind !== 'rows') {
        relayFailure(outcome, 'while executing query', lease, failOnError, call);
      }
      return { kind: 'rows' };
    } finally {
      lease.release(ran);
    }
  }

  /**
   * dblink_open: `OK`, or `ERROR` with fail_on_error = false.
   * @throws PgError the remote's error, 08006, XX000
   */
  openCursor(
    target: string | undefined,
    cursor: string,
    sql: Buffer,
    failOnError: boolean,
    call: CallContext,
  ): Promise<string> {
    return this.#using(target, call, (lease) => cursors.openCursor(lease, cursor, sql, failOnError, call));
  }

  /**
   * dblink_fetch: fetches rows, backwards if `howMany` is negative. The cursor has moved even if the sink refuses the
   * rows.
   * @throws PgError the remote's error, 08006, 34000, 42804, and what the sink throws
   */
  fetchCursor(
    target: string | undefined,
    cursor: string,
    howMany: number,
    failOnError: boolean,
    sink: RowSink,
    call: CallContext,
  ): Promise<QueryOutcome> {
    return this.#using(target, call, async (lease) => {
      const fetched = await cursors.fetchCursor(lease, cursor, howMany, failOnError, sink, call);
      return { kind: fetched ? 'rows' : 'nothing' };
    });
  }

  /** dblink_close: `OK`, or `ERROR` with fail_on_error = false. @throws PgError the remote's error, 08006, XX000 */
  closeCursor(
    target: string | undefined,
    cursor: string,
    failOnError: boolean,
    call: CallContext,
  ): Promise<string> {
    return this.#using(target, call, (lease) => cursors.closeCursor(lease, cursor, failOnError, call));
  }

  /** dblink_send_query: 1 when the string was sent; 0 when it was not, and the client gets a NOTICE. */
  sendQuery(name: string, sql: Buffer, call: CallContext): Promise<0 | 1> {
    return this.#using(name, call, async (lease) => {
      await this.#makeWay(sql, false);
      return asynchronous.sendQuery(lease, sql, call);
    });
  }

  /** dblink_is_busy: 1 when getResult would have to wait, else 0. */
  isBusy(name: string, call: CallContext): Promise<0 | 1> {
    return this.#using(name, call, async ({ connection }) =>
      (await connection.isBusy(call.signal)) ? 1 : 0,
    );
  }

  /**
   * dblink_get_result: takes the next result of the string that was sent; `nothing` after the last one. When the call is
   * aborted, the results that are left are lost, and what runs on the remote is cancelled.
   * @throws PgError the remote's error, 08006, 42804, and what the sink throws
   */
  getResult(name: string, failOnError: boolean, sink: RowSink, call: CallContext): Promise<QueryOutcome> {
    return this.#using(name, call, (lease) => asynchronous.getResult(lease, failOnError, sink, call));
  }

  /** dblink_cancel_query: `OK` when the request was sent, or why it was not. */
  cancelQuery(name: string, call: CallContext): Promise<string> {
    return this.#using(name, call, ({ connection }) => connection.cancel(call.signal));
  }

  /**
   * dblink_get_notify: takes the notifications that have come by now. If there is no unnamed connection it returns none;
   * that is no error.
   */
  async notifications(name: string | undefined, call: CallContext): Promise<readonly Notification[]> {
    if (name === undefined && !this.#connections.hasUnnamed) return [];
    return this.#using(name, call, ({ connection }) => connection.takeNotifications(call.signal));
  }

  async #using<T>(
    name: string | undefined,
    call: CallContext,
    act: (lease: ReturnType<SessionConnections['lease']>) => Promise<T>,
  ): Promise<T> {
    const lease = this.#connections.lease(name, call);
    try {
      return await act(lease);
    } finally {
      lease.release();
    }
  }

  /** Ends the session's connections; remote work is cancelled. */
  close(): void {
    this.#connections.close();
  }
}
