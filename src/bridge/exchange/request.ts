import { POLL, REQUEST_PREFIX } from '../../primary/marks.js';
import { parseFields } from '../../wire/errors.js';

/** What a function of the bridge asks the proxy for. Untrusted: any SQL of the session can raise one. */
export interface BridgeRequest {
  /** A UUID that the function has made up, by which it finds and knows its answer (answerSeal.ts). */
  readonly id: string;
  /** Which of the session's two locks was held when the function looked. */
  readonly held: 'a' | 'b' | 'none';
  /**
   * Where the function looks for the answer. `row`: in a row, which a new snapshot shows. `object`: in a large object, which is
   * read as it is now, and then in a table that every snapshot shows. `table`: in such a table only.
   */
  readonly mode: 'row' | 'object' | 'table';
  /** Whether the transaction in which the function runs is read-only. */
  readonly readOnly: boolean;
  /** The process that waits. */
  readonly pid: number;
  /**
   * A signature of the catalogue begins a call; `next`, `types`, `server`, `proved` and `poll` go on with one. `again`: the function
   * still waits, and needs no answer to this. `vouch`: see askFunction.ts.
   */
  readonly function: string;
  /** The role that the function says it runs as. A byte string in the database's encoding, like the arguments. */
  readonly role: string;
  readonly args: readonly (Buffer | null)[];
}

/** Whether the function waits without a lock, and looks for its answer all the time. */
export const polls = ({ function: name }: BridgeRequest): boolean => name === POLL;

/**
 * A request behind the prefix and the token: id, lock, mode with `!` in a read-only transaction, process, function, then in hexadecimal the role and the arguments,
 * with `-` for NULL.
 */
const FORM =
  /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):(a|b|none):(row|object|table)(!?):(\d{1,10}):([a-z_0-9]+(?:\([a-z0-9,[\]]*\))?):((?:[0-9a-f]{2})*)(?::([0-9a-f,-]*))?$/;

/** Enough for the types of a row's columns, up to 1664, and some settings. No function has so many arguments. */
const MAX_ARGS = 1700;

/** For a cheap first test: nearly all notices are no requests. */
const PREFIX = Buffer.from(`${REQUEST_PREFIX}:`, 'latin1');

/**
 * Reads a NoticeResponse that may be a request of this session.
 * @param token the session's @param pid of the session's own process
 * @returns undefined for an ordinary notice; `damaged` for one with the session's token that no function makes, and for a request
 * with another token or process. That is not for the client either: it could show arguments of another role's function
 */
export function readRequest(
  message: Buffer,
  token: string,
  pid: number,
): BridgeRequest | 'damaged' | undefined {
  if (!message.includes(PREFIX)) return undefined;
  const fields = parseFields(message);
  if ((fields.severityNonLocalized ?? fields.severity) !== 'INFO') return undefined;
  const own = `${REQUEST_PREFIX}:${token}:`;
  if (!fields.message.startsWith(own)) return isOthers(fields.message) ? 'damaged' : undefined;
  const match = FORM.exec(fields.message.slice(own.length));
  if (match === null) return 'damaged';
  const [, id, held, mode, readOnly, process, name, role, args] = match;
  // Another process's would be answered, and believed, for what this one asks.
  if (Number(process) !== pid) return 'damaged';
  const parts = args?.split(',', MAX_ARGS + 1) ?? [];
  if (parts.length > MAX_ARGS) return 'damaged';
  return {
    id: id!,
    held: held as BridgeRequest['held'],
    mode: mode as BridgeRequest['mode'],
    readOnly: readOnly !== '',
    pid,
    function: name!,
    role: Buffer.from(role!, 'hex').toString('latin1'),
    args: parts.map((arg) => (arg === '-' ? null : Buffer.from(arg, 'hex'))),
  };
}

/** Whether it is a request with another token: functions take the token from a setting, which the session can change. */
function isOthers(message: string): boolean {
  if (!message.startsWith(`${REQUEST_PREFIX}:`)) return false;
  const end = message.indexOf(':', REQUEST_PREFIX.length + 1);
  return end >= 0 && FORM.test(message.slice(end + 1));
}
