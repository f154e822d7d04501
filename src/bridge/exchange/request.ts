import { REQUEST_PREFIX } from '../../primary/marks.js';
import { parseFields } from '../../wire/errors.js';

/** What a function of the bridge asks the proxy for. Untrusted: any SQL of the session can raise one. */
export interface BridgeRequest {
  /** UUID. */
  readonly id: string;
  /** Which of the session's locks is held, as the function found it. */
  readonly held: 'a' | 'b' | 'none';
  /**
   * Where it looks for the answer: a row that a new snapshot shows; a large object, which is read as it is now, and then a
   * table that every snapshot shows; or such a table only.
   */
  readonly mode: 'row' | 'object' | 'table';
  /** The process that waits. */
  readonly pid: number;
  /** A signature of the catalogue, `next`, `types`, `server` or `proved`; `again`: it still waits, for a lock to be held; `vouch`: see askFunction.ts. */
  readonly function: string;
  /** The role that it runs as, by its own account; a byte string in the database's encoding, like the arguments. */
  readonly role: string;
  readonly args: readonly (Buffer | null)[];
}

const FORM =
  /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):(a|b|none):(row|object|table):(\d{1,10}):([a-z_0-9]+(?:\([a-z0-9,[\]]*\))?):((?:[0-9a-f]{2})*)(?::([0-9a-f,-]*))?$/;

/** The types of a row's columns, of which there are up to 1664, and some settings; no function has so many arguments. */
const MAX_ARGS = 1700;

/** Cheap test for what may be a request: nearly all notices are not. */
const PREFIX = Buffer.from(`${REQUEST_PREFIX}:`, 'latin1');

/**
 * Reads a NoticeResponse that may be a request of this session's.
 * @param token the session's @param pid of the session's own process
 * @returns undefined when it is an ordinary notice; `damaged` when it has the token and is none that a function makes, or is one for
 * somebody else: that is not for the client either, who could have it show arguments of another role's function
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
  const [, id, held, mode, process, name, role, args] = match;
  // Another process's would be answered, and believed, for what this one asks.
  if (Number(process) !== pid) return 'damaged';
  const parts = args?.split(',', MAX_ARGS + 1) ?? [];
  if (parts.length > MAX_ARGS) return 'damaged';
  return {
    id: id!,
    held: held as BridgeRequest['held'],
    mode: mode as BridgeRequest['mode'],
    pid,
    function: name!,
    role: Buffer.from(role!, 'hex').toString('latin1'),
    args: parts.map((arg) => (arg === '-' ? null : Buffer.from(arg, 'hex'))),
  };
}

/** Whether it is a request with another token, which is whatever the session's setting says. */
function isOthers(message: string): boolean {
  if (!message.startsWith(`${REQUEST_PREFIX}:`)) return false;
  const end = message.indexOf(':', REQUEST_PREFIX.length + 1);
  return end >= 0 && FORM.test(message.slice(end + 1));
}
