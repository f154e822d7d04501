import { type ErrorFields, PgError } from '../wire/errors.js';

/** The errors of the dblink functions (behaviour reference, section 3), made in one place. Texts are byte strings. */

const NO_MESSAGE = 'could not obtain message string for remote error';

/** How the connection of a call is called in its error context: a name as the caller typed it, or undefined. */
export type ConnectionLabel = string | undefined;

export const connectionNotAvailable = (name: ConnectionLabel): PgError =>
  new PgError(
    '08003',
    name === undefined ? 'connection not available' : `connection "${name}" not available`,
  );

export const duplicateName = (): PgError => new PgError('42710', 'duplicate connection name');

/** @param detail libpq's message */
export const couldNotConnect = (detail: string): PgError =>
  new PgError('08001', 'could not establish connection', { detail });

export const tooManyFiles = (): PgError =>
  new PgError('08001', 'could not establish connection', {
    detail: 'There are too many open files on the local server.',
    hint: 'Raise the open files limit ("ulimit -n") of the process that runs the proxy.',
  });

export const optionRefused = (keyword: string): PgError =>
  new PgError('42501', `permission denied to set connection option "${keyword}"`);

/** Who may use it, as a setting of the proxy has it. */
const permittedRoles = (setting: string, rule: string): string =>
  rule === 'nobody'
    ? `The setting "${setting}" of the proxy permits it to nobody.`
    : `The setting "${setting}" of the proxy permits it to superusers of the primary only.`;

const DECLARE_HINT =
  'The administrator of the proxy can declare the server, with its certificates and credentials, under "dblink.servers".';

/** A string names a file or a socket of the proxy's host. */
export const hostFileRefused = (keyword: string, rule: string): PgError =>
  new PgError('42501', `permission denied to set connection option "${keyword}"`, {
    detail: `Its value names a file or socket of the host that the proxy runs on. ${permittedRoles('dblink.host_files', rule)}`,
    hint: keyword === 'sslrootcert' ? `Use sslrootcert=system. ${DECLARE_HINT}` : DECLARE_HINT,
  });

/** A string names an entry of a service file. */
export const serviceRefused = (rule: string): PgError =>
  new PgError('42501', 'permission denied to set connection option "service"', {
    detail: `Service files belong to the host that the proxy runs on. ${permittedRoles('dblink.host_environment', rule)}`,
    hint: DECLARE_HINT,
  });

/** A string asks for verification and names no root certificates. */
export const rootsRefused = (sslmode: string, rule: string): PgError =>
  new PgError('08001', 'could not establish connection', {
    detail: `sslmode "${sslmode}" needs root certificates, and those in ~/.postgresql belong to the host that the proxy runs on. ${permittedRoles('dblink.host_environment', rule)}`,
    hint: `Use sslrootcert=system with sslmode=verify-full. ${DECLARE_HINT}`,
  });

/** @param major of the primary */
export const mappingNotFound = (role: string, server: string, major: number): PgError =>
  new PgError(
    '42704',
    major >= 17
      ? `user mapping not found for user "${role}", server "${server}"`
      : `user mapping not found for "${role}"`,
  );

export const serverNotPermitted = (server: string): PgError =>
  new PgError('42501', `permission denied for foreign server ${server}`);

export const notBoolean = (option: string): PgError =>
  new PgError('42601', `${option} requires a Boolean value`);

/** use_scram_passthrough where the proxy has relayed the client's login and knows neither password nor keys. */
export const passthroughImpossible = (server: string): PgError =>
  new PgError('0A000', `foreign server "${server}" asks for SCRAM pass-through, which this proxy cannot do`, {
    detail: 'The proxy passed the SCRAM exchange of this login on to the primary and has no keys of its own.',
    hint: 'Let the proxy run with "auth: password", or give the user mapping a password.',
  });

export const resultsNotAllowed = (): PgError =>
  new PgError('2F003', 'statement returning results not allowed');

export const rowTypeMismatch = (): PgError =>
  new PgError('42804', 'remote query result rowtype does not match the specified FROM clause rowtype');

export const couldNotSend = (reason: string): PgError =>
  new PgError('XX000', `could not send query: ${reason}`);

/** dblink_send_query tells it in a NOTICE. */
export const notSent = (reason: string): PgError =>
  new PgError('00000', `could not send query: ${reason}`, { severity: 'NOTICE' });

/** The transaction around cursors could not be begun or committed. @param text libpq's, whole */
export const transactionFailed = (command: 'begin' | 'commit', text: string): PgError =>
  new PgError('XX000', `${command} error: ${text}`);

export const cursorDoesNotExist = (cursor: string): PgError =>
  new PgError('34000', `cursor "${cursor}" does not exist`);

/** A call was made while another one uses the connection (reference, section 6, "Re-entrancy"). */
export const alreadyInUse = (name: ConnectionLabel): PgError =>
  new PgError('55006', `connection ${name === undefined ? '' : `"${name}" `}is already in use`);

/** A remote's result that is not what the protocol says; `message` is libpq's text for it. */
export class MalformedResult extends Error {}

export const rowTooLong = (maxBytes: number): PgError =>
  new PgError('54000', `the remote sent a row of more than ${maxBytes} bytes`, {
    detail: 'A row is handed on when all of it has come.',
    hint: 'Let the remote query return less, or raise the setting "limits.splice_bytes" of the proxy.',
  });

export const copyNotSupported = (): PgError =>
  new PgError('0A000', 'COPY to or from the client is not supported in a statement that dblink runs', {
    hint: 'Use a COPY that reads or writes a file or program on the remote server, or a SELECT or INSERT.',
  });

export const identifierTruncated = (name: string, cut: string): PgError =>
  new PgError('42622', `identifier "${name}" will be truncated to "${cut}"`, { severity: 'NOTICE' });

/** A non-superuser's string has no password (reference, section 9). @param major of the primary */
export const passwordMissing = (major: number): PgError =>
  major >= 16
    ? new PgError('2F003', 'password or GSSAPI delegated credentials required', {
        detail:
          'Non-superusers must provide a password in the connection string or send delegated GSSAPI credentials.',
      })
    : new PgError('2F003', 'password is required', {
        detail: 'Non-superusers must provide a password in the connection string.',
      });

/** The remote did not ask a non-superuser for the password (reference, section 9). @param major of the primary */
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
 * A remote's SQLSTATE, which it may have made up: anything but five digits and letters is not one.
 * @returns undefined when there is none
 */
function sqlstateOf(fields: ErrorFields | undefined): string | undefined {
  const code = fields?.sqlstate;
  if (code === undefined || code === '') return undefined;
  return /^[0-9A-Z]{5}$/.test(code) ? code : 'XX000';
}

/** Longest phrase of a context line before its suffix, in bytes. */
const MAX_PHRASE_BYTES = 511;

/** The context line that a call adds. @param phrase such as `while executing query` */
export function contextLine(phrase: string, label: ConnectionLabel): string {
  const suffix =
    label === undefined ? ' on unnamed dblink connection' : ` on dblink connection named "${label}"`;
  return `${phrase.slice(0, MAX_PHRASE_BYTES)}${suffix}`;
}

/**
 * A remote's error as dblink relays it (reference, section 3.2): SQLSTATE, message, detail, hint and context, nothing else.
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
