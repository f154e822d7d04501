import * as asynchronous from './asynchronous.js';
import { SessionConnections } from './connections/connections.js';
import type { CallContext, DblinkHome } from './context.js';
import * as cursors from './cursors.js';
import { copyNotSupported, couldNotSend, resultsNotAllowed } from './errors.js';
import type { Notification } from './remote/notifications.js';
import type { QueryOutcome } from './remote/outcome.js';
import { ResultReader, type RowSink } from './remote/results.js';
import { reading, relayFailure } from './remoteFailure.js';

/**
 * The dblink functions of one client session. All text is byte strings in the database's encoding. Where `target` is a
 * connection's name or undefined, the latter means the unnamed one.
 *
 * Every function but connect, connections and close raises 08003 for a connection that is not there and 55006 for one
 * that another call uses. When a call's signal is aborted, each throws its reason at once.
 */
export class DblinkSession {
  readonly #connections: SessionConnections;

  constructor(home: DblinkHome) {
    this.#connections = new SessionConnections(home);
  }

  /**
   * dblink_connect and dblink_connect_u.
   * @throws PgError 08001, 42710, 2F003, 42501, 55006 (behaviour reference, sections 2, 3.1, 6 and 9)
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

  /** dblink_error_message. */
  errorMessage(name: string, call: CallContext): string {
    return this.#connections.existing(name, call).errorText || 'OK';
  }

  /** Which connection a call will use, as far as calls that must not run side by side are concerned. */
  connectionKey(target: string | undefined, call: CallContext): unknown {
    return this.#connections.key(target, call);
  }

  /**
   * What a query that only reads would change of what can be asked of the connection: `results` that are pending would be
   * dropped, the error `message` would be emptied.
   */
  disturbs(target: string | undefined, call: CallContext): 'results' | 'message' | undefined {
    const connection = this.#connections.used(target, call);
    if (connection?.hasResults) return 'results';
    return connection?.errorText ? 'message' : undefined;
  }

  /**
   * dblink_exec: the tag of the last command, or `ERROR`.
   * @param target name or connection string, undefined for the unnamed connection
   * @throws PgError the remote's error, 2F003, 08001, 08006
   */
  async exec(
    target: string | undefined,
    sql: Buffer,
    failOnError: boolean,
    call: CallContext,
  ): Promise<string> {
    const lease = await this.#connections.leaseFor(target, call);
    try {
      const outcome = await lease.connection.run(sql, undefined, call.signal);
      if (outcome.kind === 'command') return outcome.tag;
      if (outcome.kind === 'rows') throw resultsNotAllowed();
      relayFailure(outcome, 'while executing command', lease, failOnError, call);
      return 'ERROR';
    } finally {
      lease.release();
    }
  }

  /**
   * dblink: runs the string; the rows of its last result are what the sink has after it. Results that dblink_send_query
   * left there are in its way: it fails, and they are dropped (behaviour reference, section 6).
   * @throws PgError the remote's error, 42804, 08001, 08006, XX000, 0A000, and what the sink throws
   */
  async query(
    target: string | undefined,
    sql: Buffer,
    failOnError: boolean,
    sink: RowSink,
    call: CallContext,
  ): Promise<QueryOutcome> {
    const lease = await this.#connections.leaseFor(target, call);
    try {
      const { connection } = lease;
      const reader = new ResultReader(connection.client, sink);
      const outcome = await reading(lease, async () => {
        const ended = await connection.run(sql, reader, call.signal);
        reader.finish();
        return ended;
      });
      if (outcome.kind === 'refused') {
        await connection.discardResults(call.signal);
        throw couldNotSend(outcome.text);
      }
      if (outcome.kind === 'copy') {
        connection.errorText = '';
        throw copyNotSupported();
      }
      if (outcome.kind === 'command') {
        sink.reset();
        return { kind: 'status', tag: outcome.tag };
      }
      if (outcome.kind !== 'rows') {
        relayFailure(outcome, 'while executing query', lease, failOnError, call);
      }
      return { kind: 'rows' };
    } finally {
      lease.release();
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
   * dblink_fetch: so many rows, backwards where negative. They have been fetched whatever the sink thinks of them.
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

  /** dblink_close: as openCursor. */
  closeCursor(
    target: string | undefined,
    cursor: string,
    failOnError: boolean,
    call: CallContext,
  ): Promise<string> {
    return this.#using(target, call, (lease) => cursors.closeCursor(lease, cursor, failOnError, call));
  }

  /** dblink_send_query: 1 when the string was sent, 0 and a NOTICE when not. */
  sendQuery(name: string, sql: Buffer, call: CallContext): Promise<0 | 1> {
    return this.#using(name, call, (lease) => asynchronous.sendQuery(lease, sql, call));
  }

  /** dblink_is_busy: whether getResult would have to wait. */
  isBusy(name: string, call: CallContext): Promise<0 | 1> {
    return this.#using(name, call, async ({ connection }) =>
      (await connection.isBusy(call.signal)) ? 1 : 0,
    );
  }

  /**
   * dblink_get_result: the next result of the string that was sent; `nothing` after the last one. A call that is aborted
   * takes all that is left with it, and cancels what runs.
   * @throws PgError the remote's error, 08006, 42804, and what the sink throws
   */
  getResult(name: string, failOnError: boolean, sink: RowSink, call: CallContext): Promise<QueryOutcome> {
    return this.#using(name, call, (lease) => asynchronous.getResult(lease, failOnError, sink, call));
  }

  /** dblink_cancel_query: `OK` when the request was sent, or why it was not. */
  cancelQuery(name: string, call: CallContext): Promise<string> {
    return this.#using(name, call, ({ connection }) => connection.cancel(call.signal));
  }

  /** dblink_get_notify: what has come by now. Without an unnamed connection there is nothing, which is no error. */
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
