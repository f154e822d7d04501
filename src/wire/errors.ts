import { Backend } from './protocol.js';
import { MessageWriter } from './writer.js';

/**
 * The fields of an ErrorResponse or NoticeResponse (protocol documentation, "Error and Notice Message Fields").
 * Text that came from a server stays in the encoding it came in. It is kept as a byte string (latin1, one character for each
 * byte), so that it can be passed on unchanged. The proxy's own text is ASCII, where both forms are the same.
 */
export interface ErrorFields {
  readonly severity: string;
  readonly sqlstate: string;
  readonly message: string;
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
  readonly position?: string | undefined;
  readonly internalPosition?: string | undefined;
  readonly internalQuery?: string | undefined;
  readonly context?: string | undefined;
  readonly schema?: string | undefined;
  readonly table?: string | undefined;
  readonly column?: string | undefined;
  readonly dataType?: string | undefined;
  readonly constraint?: string | undefined;
  readonly file?: string | undefined;
  readonly line?: string | undefined;
  readonly routine?: string | undefined;
  /** The severity before translation (field V, 9.6 and later). */
  readonly severityNonLocalized?: string | undefined;
}

/** The type of a message and its length come before the fields. */
const HEADER_BYTES = 5;

const FIELD_CODES: readonly (readonly [string, keyof ErrorFields])[] = [
  ['S', 'severity'],
  ['V', 'severityNonLocalized'],
  ['C', 'sqlstate'],
  ['M', 'message'],
  ['D', 'detail'],
  ['H', 'hint'],
  ['W', 'context'],
  ['s', 'schema'],
  ['t', 'table'],
  ['c', 'column'],
  ['d', 'dataType'],
  ['n', 'constraint'],
  ['P', 'position'],
  ['p', 'internalPosition'],
  ['q', 'internalQuery'],
  ['F', 'file'],
  ['L', 'line'],
  ['R', 'routine'],
];

const NAME_BY_CODE = new Map<number, keyof ErrorFields>(
  FIELD_CODES.map(([code, name]) => [code.charCodeAt(0), name]),
);

/** The fields of an error other than its SQLSTATE and message. */
export type ErrorDetails = Partial<Omit<ErrorFields, 'sqlstate' | 'message'>>;

/**
 * An error that can be sent to a client as it is. Errors reach a client in no other form: whatever else is thrown is turned
 * into a PgError at the session's error boundary.
 */
export class PgError extends Error {
  readonly fields: ErrorFields;

  /** @param details other fields; the severity is ERROR unless it is given here */
  constructor(sqlstate: string, message: string, details: ErrorDetails = {}) {
    super(message);
    this.name = 'PgError';
    this.fields = { severity: 'ERROR', ...details, sqlstate, message };
  }

  get sqlstate(): string {
    return this.fields.sqlstate;
  }

  /** A copy of the error with some fields replaced; `undefined` removes a field. */
  with(changes: Partial<ErrorFields>): PgError {
    const { sqlstate, message, ...details } = { ...this.fields, ...changes };
    return new PgError(sqlstate, message, details);
  }

  /** A copy of the error in which every text has been changed (byte strings in, byte strings out). */
  mapText(change: (text: string) => string): PgError {
    const entries = Object.entries(this.fields).map(([name, value]) => [
      name,
      typeof value === 'string' ? change(value) : value,
    ]);
    return PgError.from(Object.fromEntries(entries) as ErrorFields);
  }

  /** An error object for fields that a server sent. */
  static from(fields: ErrorFields): PgError {
    return new PgError(fields.sqlstate, fields.message, fields);
  }
}

/** A limit of the proxy's is reached. */
export class LimitReached extends PgError {
  /** @param setting the one that limits it, as the configuration names it */
  constructor(
    readonly setting: string,
    sqlstate: string,
    message: string,
    details: ErrorDetails = {},
  ) {
    super(sqlstate, message, details);
  }
}

/** The error for a violation of the protocol by a peer (FATAL, 08P01). It ends that peer's connection and nothing else. */
export function protocolViolation(message: string, detail?: string): PgError {
  return new PgError('08P01', message, { severity: 'FATAL', detail });
}

/** An ErrorResponse or NoticeResponse with these fields. Without `severityNonLocalized` the field V repeats the severity. */
function encodeFields(
  type: typeof Backend.errorResponse | typeof Backend.noticeResponse,
  fields: ErrorFields,
): Buffer {
  const writer = new MessageWriter(type);
  for (const [code, name] of FIELD_CODES) {
    const value = name === 'severityNonLocalized' ? (fields[name] ?? fields.severity) : fields[name];
    // Whatever a field quotes, it must not be taken for further fields.
    if (value !== undefined) writer.byte(code.charCodeAt(0)).cstring(value.replaceAll('\0', ''), 'latin1');
  }
  return writer.byte(0).end();
}

/** An ErrorResponse message. */
export const errorResponse = (error: PgError): Buffer => encodeFields(Backend.errorResponse, error.fields);

/** A NoticeResponse message. */
export const noticeResponse = (notice: PgError): Buffer =>
  encodeFields(Backend.noticeResponse, notice.fields);

/** The bytes of one field of a whole ErrorResponse or NoticeResponse message, not copied; undefined when it has none. */
export function fieldBytes(message: Buffer, field: keyof ErrorFields): Buffer | undefined {
  for (let offset = HEADER_BYTES; offset < message.length && message[offset] !== 0; ) {
    const end = message.indexOf(0, offset + 1);
    if (end < 0) break;
    if (NAME_BY_CODE.get(message[offset]!) === field) return message.subarray(offset + 1, end);
    offset = end + 1;
  }
  return undefined;
}

/**
 * Reads the fields of a whole ErrorResponse or NoticeResponse message, header included. Never throws: a damaged error of a
 * server is still an error. What cannot be read is left out. A missing SQLSTATE or message becomes the empty string.
 */
export function parseFields(message: Buffer): ErrorFields {
  const found: { -readonly [K in keyof ErrorFields]: ErrorFields[K] } = {
    severity: 'ERROR',
    sqlstate: '',
    message: '',
  };
  let offset = HEADER_BYTES;
  while (offset < message.length) {
    const code = message[offset]!;
    if (code === 0) break;
    const end = message.indexOf(0, offset + 1);
    if (end < 0) break;
    const name = NAME_BY_CODE.get(code);
    if (name !== undefined) found[name] = message.toString('latin1', offset + 1, end);
    offset = end + 1;
  }
  return found;
}
