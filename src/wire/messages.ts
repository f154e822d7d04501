import { PgError, protocolViolation } from './errors.js';
import { Backend, EMPTY, Frontend, MAX_MESSAGE_BYTES } from './protocol.js';
import { MessageReader } from './reader.js';
import { MessageWriter } from './writer.js';

/** Encoders and decoders of single messages, named as the protocol documentation names them ("Message Formats"). */

const simple = (type: number): Buffer => new MessageWriter(type, 0).end();

export const SYNC: Buffer = simple(Frontend.sync);
export const FLUSH: Buffer = simple(Frontend.flush);
export const TERMINATE: Buffer = simple(Frontend.terminate);
export const PARSE_COMPLETE: Buffer = simple(Backend.parseComplete);
export const BIND_COMPLETE: Buffer = simple(Backend.bindComplete);

/** A Query message. */
export const query = (sql: Uint8Array | string): Buffer =>
  new MessageWriter(Frontend.query, sql.length + 1).cstring(sql).end();

/** A Parse message. @param types OIDs of the parameters' types, 0 for one that the server is to infer */
export const parse = (
  name: Uint8Array | string,
  sql: Uint8Array | string,
  types: readonly number[],
): Buffer => {
  const writer = new MessageWriter(Frontend.parse, sql.length + 64)
    .cstring(name)
    .cstring(sql)
    .int16(types.length);
  for (const type of types) writer.int32(type);
  return writer.end();
};

/** The fields of a Bind message. */
export interface BindFields {
  readonly portal: Buffer;
  readonly statement: Buffer;
  /** None, one for all, or one for each parameter: 0 text, 1 binary. */
  readonly formats: readonly number[];
  /** The parameters' values; null is SQL NULL. */
  readonly values: readonly (Buffer | null)[];
  /** Like `formats`, for the columns of the result. */
  readonly resultFormats: readonly number[];
}

/** A Bind message, in one piece. */
export const bind = (fields: BindFields): Buffer => {
  const size = fields.values.reduce((sum, value) => sum + 4 + (value?.length ?? 0), 64);
  const writer = new MessageWriter(Frontend.bind, size).cstring(fields.portal).cstring(fields.statement);
  writer.int16(fields.formats.length);
  for (const format of fields.formats) writer.int16(format);
  writer.int16(fields.values.length);
  for (const value of fields.values) writer.value(value);
  writer.int16(fields.resultFormats.length);
  for (const format of fields.resultFormats) writer.int16(format);
  return writer.end();
};

/** A value of this length or more is not copied into its message. It is sent as a part of its own (`bindParts`). */
export const LARGE_VALUE_BYTES = 1 << 20;

/**
 * A Bind message as parts that are to be sent one after the other. Large values are parts of their own, so that they are not
 * copied.
 * @throws PgError 54000 when the message is longer than a server takes (MAX_MESSAGE_BYTES)
 */
export const bindParts = (fields: BindFields): readonly Buffer[] => {
  const isLarge = (value: Buffer | null): boolean => (value?.length ?? 0) >= LARGE_VALUE_BYTES;
  const large = fields.values.filter(isLarge);
  if (large.length === 0) return [bind(fields)];
  // The same message with an empty value in the place of each large one. Its length fields are set below.
  const frame = bind({ ...fields, values: fields.values.map((value) => (isLarge(value) ? EMPTY : value)) });
  const length = large.reduce((sum, value) => sum + value!.length, frame.length);
  if (length > MAX_MESSAGE_BYTES) throw tooLongForServer();
  frame.writeInt32BE(length - 1, 1);
  const parts: Buffer[] = [];
  let offset = 5 + fields.portal.length + 1 + fields.statement.length + 1 + 2 + fields.formats.length * 2 + 2;
  let from = 0;
  for (const value of fields.values) {
    offset += 4;
    if (value !== null && isLarge(value)) {
      frame.writeInt32BE(value.length, offset - 4);
      parts.push(frame.subarray(from, offset), value);
      from = offset;
    } else offset += value?.length ?? 0;
  }
  parts.push(frame.subarray(from));
  return parts;
};

const tooLongForServer = (): PgError =>
  new PgError(
    '54000',
    'the results of the statement are together larger than a server takes in one message',
    {
      hint: 'Let the remote queries return less.',
    },
  );

/** Reads a Bind message. The values are copies, so they stay valid after the message. @throws PgError 08P01 */
export const readBind = (message: Buffer): BindFields => {
  const reader = new MessageReader(Buffer.from(message));
  const portal = reader.cbytes();
  const statement = reader.cbytes();
  const list = <T>(item: () => T): T[] => Array.from({ length: reader.uint16() }, item);
  const formats = list(() => reader.uint16());
  const values = list(() => reader.value());
  const resultFormats = list(() => reader.uint16());
  reader.end();
  return { portal, statement, formats, values, resultFormats };
};

/**
 * The names at the beginning of a Bind message, whatever is behind them.
 * @returns copies, and where the rest of the message begins @throws PgError 08P01
 */
export const readBindNames = (
  message: Buffer,
): Pick<BindFields, 'portal' | 'statement'> & { readonly end: number } => {
  const reader = new MessageReader(message);
  const portal = Buffer.from(reader.cbytes());
  return { portal, statement: Buffer.from(reader.cbytes()), end: reader.offset };
};

/** The fields of a Parse message. */
export interface ParseFields {
  readonly name: Buffer;
  readonly sql: Buffer;
  /** OIDs of the parameters' types, 0 for one that the server is to infer. */
  readonly types: readonly number[];
}

/** Reads a Parse message. The fields are copies. @throws PgError 08P01 */
export const readParse = (message: Buffer): ParseFields => {
  const reader = new MessageReader(Buffer.from(message));
  const name = reader.cbytes();
  const sql = reader.cbytes();
  const types = Array.from({ length: reader.uint16() }, () => reader.uint32());
  reader.end();
  return { name, sql, types };
};

/** What a Describe or Close message is about: S a prepared statement, P a portal. */
export type Target = 'S' | 'P';

/** A Describe message. */
export const describe = (target: Target, name: Uint8Array | string): Buffer =>
  new MessageWriter(Frontend.describe, 16).byte(target.charCodeAt(0)).cstring(name).end();

/** A Close message. */
export const close = (target: Target, name: Uint8Array | string): Buffer =>
  new MessageWriter(Frontend.close, 16).byte(target.charCodeAt(0)).cstring(name).end();

/** An Execute message. @param maxRows 0 for all */
export const execute = (portal: Uint8Array | string, maxRows = 0): Buffer =>
  new MessageWriter(Frontend.execute, 16).cstring(portal).int32(maxRows).end();

/** Reads a Describe or Close message. The name is a copy. @throws PgError 08P01 */
export const readTarget = (message: Buffer): { readonly target: Target; readonly name: Buffer } => {
  const reader = new MessageReader(message);
  const target = String.fromCharCode(reader.byte());
  if (target !== 'S' && target !== 'P') throw protocolViolation(`invalid subtype "${target}" of a message`);
  const name = Buffer.from(reader.cbytes());
  reader.end();
  return { target, name };
};

/** Reads an Execute message. The name of the portal is a copy. @throws PgError 08P01 */
export const readExecute = (message: Buffer): { readonly portal: Buffer; readonly maxRows: number } => {
  const reader = new MessageReader(message);
  const portal = Buffer.from(reader.cbytes());
  const maxRows = reader.int32();
  reader.end();
  return { portal, maxRows };
};

/** A CommandComplete message. @param tag the command tag, a byte string */
export const commandComplete = (tag: string): Buffer =>
  new MessageWriter(Backend.commandComplete, tag.length + 1).cstring(tag, 'latin1').end();

/** A ReadyForQuery message. @param status a byte of TransactionStatus */
export const readyForQuery = (status: number): Buffer =>
  new MessageWriter(Backend.readyForQuery, 1).byte(status).end();

/** A DataRow message. @param values of the columns; null is SQL NULL */
export const dataRow = (values: readonly (Uint8Array | null)[]): Buffer => {
  const writer = new MessageWriter(Backend.dataRow, 256).int16(values.length);
  for (const value of values) writer.value(value);
  return writer.end();
};

/** A column as RowDescription describes it. */
export interface ColumnDescription {
  readonly name: Uint8Array | string;
  readonly typeOid: number;
  /** In bytes; −1 for types of variable width. */
  readonly typeLength: number;
  /** Default: −1, none. */
  readonly typeModifier?: number;
  /** 0 text, 1 binary. Default: 0. */
  readonly format?: 0 | 1;
}

/** A RowDescription message. Its columns belong to no table. */
export const rowDescription = (columns: readonly ColumnDescription[]): Buffer => {
  const writer = new MessageWriter(Backend.rowDescription, 64).int16(columns.length);
  for (const column of columns) {
    writer.cstring(column.name, 'latin1').int32(0).int16(0).int32(column.typeOid).int16(column.typeLength);
    writer.int32(column.typeModifier ?? -1).int16(column.format ?? 0);
  }
  return writer.end();
};

/** A ParameterDescription message. @param types OIDs of the parameters' types */
export const parameterDescription = (types: readonly number[]): Buffer => {
  const writer = new MessageWriter(Backend.parameterDescription, 2 + types.length * 4).int16(types.length);
  for (const type of types) writer.int32(type);
  return writer.end();
};

/** A RowDescription message with these formats. @param formats as in Bind */
export const describedIn = (description: Buffer, formats: readonly number[]): Buffer => {
  if (formats.every((format) => format === 0)) return description;
  const message = Buffer.from(description);
  const columns = columnsOf(description);
  for (let i = 0, offset = 7; i < columns; i++) {
    // Behind the name: table, column, type, length, modifier, format.
    offset = message.indexOf(0, offset) + 1 + 16;
    message.writeInt16BE(formatOf(formats, i), offset);
    offset += 2;
  }
  return message;
};

/** The number of columns of a whole RowDescription message. */
export const columnsOf = (description: Buffer): number => description.readUInt16BE(5);

/** The format of a parameter or column: 0 text, 1 binary. @param formats as in Bind @param i from 0 */
export const formatOf = (formats: readonly number[], i: number): number =>
  (formats.length === 1 ? formats[0] : formats[i]) ?? 0;

/** A BackendKeyData message. @param key the secret of the cancel key */
export const backendKeyData = (processId: number, key: Buffer): Buffer =>
  new MessageWriter(Backend.backendKeyData, 40).int32(processId).bytes(key).end();

/** An AuthenticationXXX message. @param code one of Authentication @param body what follows the code */
export const authentication = (code: number, body: Uint8Array = Buffer.alloc(0)): Buffer =>
  new MessageWriter(Backend.authentication, 8 + body.length).int32(code).bytes(body).end();

/** A ParameterStatus message. Name and value are byte strings. */
export const parameterStatus = (name: string, value: string): Buffer =>
  new MessageWriter(Backend.parameterStatus, 64).cstring(name, 'latin1').cstring(value, 'latin1').end();
