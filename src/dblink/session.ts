import type { ErrorFields } from '../wire/errors.js';
import { PgError } from '../wire/errors.js';
import { parseConninfo } from './conninfo/index.js';
import type { CallContext, DblinkHome } from './context.js';
import {
  type ConnectionLabel,
  connectionNotAvailable,
  copyNotSupported,
  couldNotSend,
  duplicateName,
  identifierTruncated,
  MalformedResult,
  remoteError,
  resultsNotAllowed,
} from './errors.js';
import { clipName } from './names.js';
import { openRemote } from './open.js';
import { ConnectionRegistry } from './registry.js';
import { type Outcome, RemoteConnection } from './remote.js';
import { ResultReader, type RowSink } from './results.js';

/** What dblink() returned beside the rows that its sink was given. */
export type QueryOutcome =
  /** Rows, those of the sink's last result. */
  | { readonly kind: 'rows' }
  /** The last statement was a command: one row with its tag. */
  | { readonly kind: 'status'; readonly tag: string };

/** A connection in use by one call. */
interface Lease {
  readonly connection: RemoteConnection;
  readonly label: ConnectionLabel;
  readonly release: () => void;
}

/** The dblink functions of one client session, and its connections. All text is byte strings in the database's encoding. */
export class DblinkSession {
  readonly #registry = new ConnectionRegistry();
  readonly #oneShots = new Set<RemoteConnection>();
  #closed = false;

  constructor(private readonly home: DblinkHome) {}

  /**
   * dblink_connect and dblink_connect_u.
   * @throws PgError 08001, 42710, 2F003, 42501 (behaviour reference, sections 2, 3.1 and 9)
   */
  async connect(
    name: string | undefined,
    conninfo: string,
    unchecked: boolean,
    call: CallContext,
  ): Promise<'OK'> {
    const encoding = call.facts.databaseEncoding;
    let release = () => {};
    try {
      const connection = await this.#open(conninfo, unchecked, call, () => {
        if (name === undefined) return;
        const cut = clipName(name, encoding);
        if (cut !== name) call.notice(identifierTruncated(name, cut));
        if (this.#registry.has(name, encoding)) throw duplicateName();
        release = this.#registry.reserve(name, encoding);
      });
      if (name === undefined) {
        this.#registry.unnamed?.close();
        this.#registry.unnamed = connection;
      } else this.#registry.add(name, encoding, connection);
      return 'OK';
    } finally {
      release();
    }
  }

  async #open(
    conninfo: string,
    unchecked: boolean,
    call: CallContext,
    beforeConnect?: () => void,
  ): Promise<RemoteConnection> {
    const client = await openRemote(conninfo, {
      home: this.home,
      facts: call.facts,
      unchecked,
      signal: call.signal,
      ...(beforeConnect === undefined ? {} : { beforeConnect }),
    });
    const connection = new RemoteConnection(client, call.facts.primaryMajor);
    const encoding = call.facts.databaseEncoding;
    try {
      if (client.parameters.get('client_encoding') !== encoding) {
        // A remote that cannot is left as it is; its complaint stays in the error buffer.
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

  /** dblink_disconnect. @throws PgError 08003 */
  disconnect(name: string | undefined, call: CallContext): 'OK' {
    const connection = this.#existing(name, call);
    if (name === undefined) this.#registry.unnamed = undefined;
    else this.#registry.remove(name, call.facts.databaseEncoding);
    connection.close();
    return 'OK';
  }

  #existing(name: string | undefined, call: CallContext): RemoteConnection {
    const connection =
      name === undefined ? this.#registry.unnamed : this.#registry.get(name, call.facts.databaseEncoding);
    if (connection === undefined) throw connectionNotAvailable(name);
    return connection;
  }

  /** dblink_get_connections: names in no particular order, or null when there are none. */
  connections(): readonly string[] | null {
    const names = this.#registry.names();
    return names.length === 0 ? null : names;
  }

  /** dblink_error_message. @throws PgError 08003 */
  errorMessage(name: string, call: CallContext): string {
    return this.#existing(name, call).errorText || 'OK';
  }

  /**
   * The connection that dblink and dblink_exec use: the unnamed one, a named one, or one for this call alone (behaviour
   * reference, section 2).
   */
  async #lease(target: string | undefined, call: CallContext): Promise<Lease> {
    if (target === undefined)
      return { connection: this.#existing(undefined, call), label: undefined, release() {} };
    const named = this.#registry.find(target, call.facts.databaseEncoding, isConninfo);
    if (named !== undefined) return { connection: named, label: target, release() {} };
    const connection = await this.#open(target, false, call);
    this.#oneShots.add(connection);
    const release = () => {
      this.#oneShots.delete(connection);
      connection.close();
    };
    return { connection, label: undefined, release };
  }

  /** Which connection a call will use, as far as calls that must not run side by side are concerned. */
  connectionKey(target: string | undefined, call: CallContext): unknown {
    if (target === undefined) return this.#registry.unnamed ?? 'unnamed';
    return this.#registry.find(target, call.facts.databaseEncoding, isConninfo) ?? Symbol('one-shot');
  }

  /**
   * dblink_exec: the tag of the last command, or `ERROR`.
   * @param target name or connection string, undefined for the unnamed connection
   * @throws PgError the remote's error, 2F003, 08001, 08003, 08006
   */
  async exec(
    target: string | undefined,
    sql: Buffer,
    failOnError: boolean,
    call: CallContext,
  ): Promise<string> {
    const lease = await this.#lease(target, call);
    try {
      const { connection, label } = lease;
      const outcome: Outcome = connection.sendable
        ? await connection.run(sql, undefined, call.signal)
        : { kind: 'error', fields: undefined, text: connection.refuse() };
      if (outcome.kind === 'command') return outcome.tag;
      if (outcome.kind === 'rows') throw resultsNotAllowed();
      this.#complain(failure(outcome), 'while executing command', label, failOnError, call);
      return 'ERROR';
    } finally {
      lease.release();
    }
  }

  /**
   * dblink: runs the string; the rows of its last result are what the sink has after it.
   * @throws PgError the remote's error, 42804, 08001, 08003, 08006, XX000, 0A000, and what the sink throws
   */
  async query(
    target: string | undefined,
    sql: Buffer,
    failOnError: boolean,
    sink: RowSink,
    call: CallContext,
  ): Promise<QueryOutcome> {
    const lease = await this.#lease(target, call);
    try {
      const { connection, label } = lease;
      if (!connection.sendable) throw couldNotSend(connection.refuse());
      const reader = new ResultReader(connection.client, sink);
      let outcome: Outcome;
      try {
        outcome = await connection.run(sql, reader, call.signal);
        reader.finish();
      } catch (error) {
        if (!(error instanceof MalformedResult)) throw error;
        connection.errorText = error.message;
        outcome = { kind: 'error', fields: undefined, text: error.message };
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
        this.#complain(failure(outcome), 'while executing query', label, failOnError, call);
      }
      return { kind: 'rows' };
    } finally {
      lease.release();
    }
  }

  #complain(
    what: { readonly fields: ErrorFields | undefined; readonly text: string },
    phrase: string,
    label: ConnectionLabel,
    failOnError: boolean,
    call: CallContext,
  ): void {
    const severity = failOnError ? 'ERROR' : 'NOTICE';
    const error = remoteError(what.fields, what.text, phrase, label, severity);
    if (failOnError) throw error;
    call.notice(error);
  }

  /** Ends the session's connections; remote work is cancelled. */
  close(): void {
    this.#closed = true;
    this.#registry.closeAll();
    for (const connection of this.#oneShots) connection.close();
    this.#oneShots.clear();
  }
}

const sessionEnded = (): PgError =>
  new PgError('57P01', 'terminating connection due to administrator command', { severity: 'FATAL' });

/** An empty string or a COPY is a failure without a message (reference, section 4.4). */
function failure(outcome: Exclude<Outcome, { kind: 'command' | 'rows' }>) {
  if (outcome.kind !== 'error') return { fields: undefined, text: '' };
  return outcome.fields === undefined ? outcome : { fields: outcome.fields, text: '' };
}

function isConninfo(text: string): boolean {
  try {
    parseConninfo(Buffer.from(text, 'latin1'));
    return true;
  } catch {
    return false;
  }
}
