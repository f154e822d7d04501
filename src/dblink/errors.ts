import { type ErrorFields, PgError } from '../wire/errors.js';

/** The errors of the dblink functions (behaviour reference, section 3), made in one place. Texts are byte strings. */

const NO_MESSAGE = 'could not obtain message string for remote error';

/**
 * What messages and error contexts call a connection: its name as the caller wrote it. undefined for the unnamed
 * connection, and for one that serves a single call.
 */
export type ConnectionLabel = string | undefined;

/** There is no connection of that name, or no unnamed one. */
export const connectionNotAvailable = (name: ConnectionLabel): PgError =>
  new PgError(
    '08003',
    name === undefined ? 'connection not available' : `connection "${name}" not available`,
  );

/** The policy does not let a connection be made (42501). */
export class RefusedByPolicy extends PgError {
  /** @param shown host and port, a byte string @param refusal what decided; `told`: the caller is told that, too */
  constructor(
    shown: string,
    readonly refusal: { readonly by: string; readonly count: number; readonly told: boolean },
  ) {
    super(
      '42501',
      `connection to ${shown} is not allowed by the policy`,
      refusal.told ? { hint: `It is refused by ${refusal.by}.` } : {},
    );
  }
}

/** A text that could make a session one that writes, for a server that is declared read-only. */
export const leavesReadOnly = (): PgError =>
  new PgError('25006', 'cannot execute this on a server that is declared read-only', {
    detail: 'It could make the remote session one that writes, or the proxy cannot tell.',
    hint: "Send queries, or single commands that a read-only transaction permits, with quotes in literals as ''.",
  });

/** A text that could write, or make a session one that writes, for a call of a read-only transaction. */
export const leavesReadOnlyCall = (): PgError =>
  new PgError('25006', 'cannot execute this on a remote in a read-only transaction', {
    detail: 'It could make the remote session one that writes, or the proxy cannot tell.',
    hint: 'The setting "policy.remote_writes_in_read_only" of the proxy forbids it. Begin a transaction that is not read-only.',
  });

/** A remote transaction that can write is open, and a call of a read-only transaction does more than read. */
export const writingBlock = (): PgError =>
  new PgError('25006', 'cannot execute this on a remote in a read-only transaction', {
    detail: 'The transaction that is open on the remote can write.',
    hint: 'The setting "policy.remote_writes_in_read_only" of the proxy forbids it. Send plain queries, or end that transaction first.',
  });

/** The session of a server that is declared read-only has become one that writes. */
export const leftReadOnly = (): PgError =>
  new PgError('25006', 'the remote session is not read-only any more', {
    detail: 'The server is declared read-only, and "default_transaction_read_only" is off there.',
    hint: 'Close the connection and open it again.',
  });

/** The name for a new connection is in use. */
export const duplicateName = (): PgError => new PgError('42710', 'duplicate connection name');

/** A connection could not be opened. @param detail libpq's message, a byte string */
export const couldNotConnect = (detail: string): PgError =>
  new PgError('08001', 'could not establish connection', { detail });

/** The process of the proxy, or its host, has no file descriptor left for a connection. */
export const tooManyFiles = (): PgError =>
  new PgError('08001', 'could not establish connection', {
    detail: 'There are too many open files on the local server.',
    hint: 'Raise the open files limit ("ulimit -n") of the process that runs the proxy.',
  });

/** The allow-list of dblink refuses an option of a connection string (findRefusedOption). */
export const optionRefused = (keyword: string): PgError =>
  new PgError('42501', `permission denied to set connection option "${keyword}"`);

/** Says in words whom a setting of the proxy permits something. @param rule its value, other than `everybody` */
const permittedRoles = (setting: string, rule: string): string =>
  rule === 'nobody'
    ? `The setting "${setting}" of the proxy permits it to nobody.`
    : `The setting "${setting}" of the proxy permits it to superusers of the primary only.`;

const DECLARE_HINT =
  'The administrator of the proxy can declare the server, with its certificates and credentials, under "dblink.servers".';

/** A connection string names a file or a socket of the proxy's host. @param rule the setting `dblink.host_files` */
export const hostFileRefused = (keyword: string, rule: string): PgError =>
  new PgError('42501', `permission denied to set connection option "${keyword}"`, {
    detail: `Its value names a file or socket of the host that the proxy runs on. ${permittedRoles('dblink.host_files', rule)}`,
    hint: keyword === 'sslrootcert' ? `Use sslrootcert=system. ${DECLARE_HINT}` : DECLARE_HINT,
  });

/** A connection string names an entry of a service file. @param rule the setting `dblink.host_environment` */
export const serviceRefused = (rule: string): PgError =>
  new PgError('42501', 'permission denied to set connection option "service"', {
    detail: `Service files belong to the host that the proxy runs on. ${permittedRoles('dblink.host_environment', rule)}`,
    hint: DECLARE_HINT,
  });

/**
 * A connection string asks for verification and names no root certificates.
 * @param rule the setting `dblink.host_environment`
 */
export const rootsRefused = (sslmode: string, rule: string): PgError =>
  new PgError('08001', 'could not establish connection', {
    detail: `sslmode "${sslmode}" needs root certificates, and those in ~/.postgresql belong to the host that the proxy runs on. ${permittedRoles('dblink.host_environment', rule)}`,
    hint: `Use sslrootcert=system with sslmode=verify-full. ${DECLARE_HINT}`,
  });

/** The role has no user mapping for the foreign server. @param major of the primary */
export const mappingNotFound = (role: string, server: string, major: number): PgError =>
  new PgError(
    '42704',
    major >= 17
      ? `user mapping not found for user "${role}", server "${server}"`
      : `user mapping not found for "${role}"`,
  );

/** The role may not use the foreign server. */
export const serverNotPermitted = (server: string): PgError =>
  new PgError('42501', `permission denied for foreign server ${server}`);

/** An option of a foreign server or of a user mapping has a value that is no boolean. */
export const notBoolean = (option: string): PgError =>
  new PgError('42601', `${option} requires a Boolean value`);

/**
 * A foreign server asks for use_scram_passthrough, but the proxy has only relayed the client's login. So it knows neither
 * the password nor the SCRAM keys.
 */
export const passthroughImpossible = (server: string): PgError =>
  new PgError('0A000', `foreign server "${server}" asks for SCRAM pass-through, which this proxy cannot do`, {
    detail: 'The proxy passed the SCRAM exchange of this login on to the primary and has no keys of its own.',
    hint: 'Let the proxy run with "auth: password", or give the user mapping a password.',
  });

/** dblink_exec was given a string whose last result has rows. */
export const resultsNotAllowed = (): PgError =>
  new PgError('2F003', 'statement returning results not allowed');

/** A result has another number of columns than the caller declared. */
export const rowTypeMismatch = (): PgError =>
  new PgError('42804', 'remote query result rowtype does not match the specified FROM clause rowtype');

/** dblink() could not send its query. @param reason libpq's message */
export const couldNotSend = (reason: string): PgError =>
  new PgError('XX000', `could not send query: ${reason}`);

/** The same for dblink_send_query, which reports it in a NOTICE. */
export const notSent = (reason: string): PgError =>
  new PgError('00000', `could not send query: ${reason}`, { severity: 'NOTICE' });

/** The transaction around cursors could not be begun or committed. @param text libpq's whole error message */
export const transactionFailed = (command: 'begin' | 'commit', text: string): PgError =>
  new PgError('XX000', `${command} error: ${text}`);

/** dblink_fetch: the FETCH returned no result with columns but a command tag. */
export const cursorDoesNotExist = (cursor: string): PgError =>
  new PgError('34000', `cursor "${cursor}" does not exist`);

/** A call was made while another one uses the connection (behaviour reference, section 6, "Re-entrancy"). */
export const alreadyInUse = (name: ConnectionLabel): PgError =>
  new PgError('55006', `connection ${name === undefined ? '' : `"${name}" `}is already in use`);

/** A result of a remote that violates the protocol. `message` is libpq's text for it. */
export class MalformedResult extends Error {}

/** A remote sent a row that is longer than the sink takes. */
export const rowTooLong = (maxBytes: number): PgError =>
  new PgError('54000', `the remote sent a row of more than ${maxBytes} bytes`, {
    detail: 'A row is handed on when all of it has come.',
    hint: 'Let the remote query return less, or raise the setting "limits.splice_bytes" of the proxy.',
  });

/** dblink() was given a COPY from or to the client. */
export const copyNotSupported = (): PgError =>
  new PgError('0A000', 'COPY to or from the client is not supported in a statement that dblink runs', {
    hint: 'Use a COPY that reads or writes a file or program on the remote server, or a SELECT or INSERT.',
  });

/** The name for a new connection is too long for an identifier. @param cut what is left of it */
export const identifierTruncated = (name: string, cut: string): PgError =>
  new PgError('42622', `identifier "${name}" will be truncated to "${cut}"`, { severity: 'NOTICE' });

/** A non-superuser's connection string has no password (behaviour reference, section 9). @param major of the primary */
export const passwordMissing = (major: number): PgError =>
  major >= 16
    ? new PgError('2F003', 'password or GSSAPI delegated credentials required', {
        detail:
          'Non-superusers must provide a password in the connection string or send delegated GSSAPI credentials.',
      })
    : new PgError('2F003', 'password is required', {
        detail: 'Non-superusers must provide a password in the connection string.',
      });

/**
 * The remote did not ask a non-superuser for the password (behaviour reference, section 9).
 * @param major of the primary
 */
export const passwordNotRequested = (major: number): PgError =>
  major >= 16
    ? new PgError('2F003', 'password or GSSAPI delegated credentials required', {
        detail: `Non-superusers may only connect using credentials they provide, eg: password in connection string or delegated GSSAPI credentials${major >= 19 ? '.' : ''}`,
        hint: "Ensure provided credentials match target server's authentication method.",
      })
    : new PgError('2F003', 'password is required', {
        detail: 'Non-superuser cannot connect if the server does not request a password.',
        hint: "Target server's authentication method must be changed.",
      });

/**
 * The SQLSTATE of a remote's error. A remote can send anything in its place: what is not five digits and capital letters
 * becomes XX000.
 * @returns undefined when the remote sent none
 */
function sqlstateOf(fields: ErrorFields | undefined): string | undefined {
  const code = fields?.sqlstate;
  if (code === undefined || code === '') return undefined;
  return /^[0-9A-Z]{5}$/.test(code) ? code : 'XX000';
}

/** Longest phrase of a context line, in bytes, without the suffix that names the connection. */
const MAX_PHRASE_BYTES = 511;

/** The context line that a call adds to an error. @param phrase such as `while executing query` */
function contextLine(phrase: string, label: ConnectionLabel): string {
  const suffix =
    label === undefined ? ' on unnamed dblink connection' : ` on dblink connection named "${label}"`;
  return `${phrase.slice(0, MAX_PHRASE_BYTES)}${suffix}`;
}

/**
 * A remote's error as dblink relays it (behaviour reference, section 3.2): SQLSTATE, message, detail, hint and context,
 * nothing else. Without an SQLSTATE it is 08006.
 * @param fields undefined when the failure is not the server's answer
 * @param fallback libpq's text for the connection, used when there is no message
 */
export function remoteError(
  fields: ErrorFields | undefined,
  fallback: string,
  phrase: string,
  label: ConnectionLabel,
  severity: 'ERROR' | 'NOTICE',
): PgError {
  const own = contextLine(phrase, label);
  return new PgError(sqlstateOf(fields) ?? '08006', fields?.message || fallback || NO_MESSAGE, {
    severity,
    detail: fields?.detail,
    hint: fields?.hint,
    context: fields?.context === undefined ? own : `${fields.context}\n${own}`,
  });
}
