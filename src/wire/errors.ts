import { Backend } from './protocol.js';
import { MessageWriter } from './writer.js';

/**
 * The fields of an ErrorResponse or NoticeResponse (protocol documentation, "Error and Notice Message Fields").
 * Text that came from a server stays in the encoding it came in: it is kept as a latin1 string, one character a byte,
 * so that it can be passed on unchanged. Text of our own is ASCII, where the two agree.
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

/** Details of an error beside its SQLSTATE and message. */
export type ErrorDetails = Partial<Omit<ErrorFields, 'sqlstate' | 'message'>>;

/**
 * An error that can be sent to a client as it is. The only way errors reach a client: whatever else is thrown is turned
 * into one of these at the session's error boundary.
 */
export class PgError extends Error {
  readonly fields: ErrorFields;

  constructor(sqlstate: string, message: string, details: ErrorDetails = {}) {
    super(message);
    this.name = 'PgError';
    this.fields = { severity: 'ERROR', ...details, sqlstate, message };
  }

  get sqlstate(): string {
    return this.fields.sqlstate;
  }

  /** The error with some fields replaced; `undefined` removes a field. */
  with(changes: Partial<ErrorFields>): PgError {
    const { sqlstate, message, ...details } = { ...this.fields, ...changes };
    return new PgError(sqlstate, message, details);
  }

  /** The error with every text changed (byte strings in, byte strings out). */
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

/** A violation of the protocol by a peer: ends that peer's connection and nothing else (08P01). */
export function protocolViolation(message: string, detail?: string): PgError {
  return new PgError('08P01', message, { severity: 'FATAL', detail });
}

/** An ErrorResponse or NoticeResponse with these fields; severity is written as both S and V unless V is given. */
export function encodeFields(
  type: typeof Backend.errorResponse | typeof Backend.noticeResponse,
  fields: ErrorFields,
): Buffer {
  const writer = new MessageWriter(type);
  for (const [code, name] of FIELD_CODES) {
    const value = name === 'severityNonLocalized' ? (fields[name] ?? fields.severity) : fields[name];
    if (value !== undefined) writer.byte(code.charCodeAt(0)).cstring(value, 'latin1');
  }
  return writer.byte(0).end();
}

export const errorResponse = (error: PgError): Buffer => encodeFields(Backend.errorResponse, error.fields);

export const noticeResponse = (notice: PgError): Buffer =>
  encodeFields(Backend.noticeResponse, notice.fields);

/**
 * Reads the fields of a whole ErrorResponse or NoticeResponse message. Never throws: a server's damaged error still is
 * an error, so what cannot be read is left out, and a missing SQLSTATE or message becomes the empty string.
 */
export function parseFields(message: Buffer): ErrorFields {
  const found: { -readonly [K in keyof ErrorFields]: ErrorFields[K] } = {
    severity: 'ERROR',
    sqlstate: '',
    message: '',
  };
  let offset = 5;
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
