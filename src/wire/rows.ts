import { MessageReader } from './reader.js';

/** One column of a RowDescription (protocol documentation, "Message Formats"). */
export interface FieldDescription {
  /** In the connection's encoding. */
  readonly name: Buffer;
  /** The table that the column belongs to. If it is not simply a column of a table, this and `column` are 0. */
  readonly tableOid: number;
  /** The column's number in its table. */
  readonly column: number;
  readonly typeOid: number;
  /** In bytes; negative for types of variable width. */
  readonly typeLength: number;
  /** The type modifier. */
  readonly typmod: number;
  /** 0 text, 1 binary. */
  readonly format: number;
}

const signed16 = (value: number): number => (value << 16) >> 16;

/**
 * Reads the columns of a whole RowDescription message, header included. The names are views of the message.
 * @throws PgError 08P01 when the message does not contain what it announces
 */
export function parseRowDescription(message: Buffer): readonly FieldDescription[] {
  const reader = new MessageReader(message);
  const count = reader.uint16();
  const fields: FieldDescription[] = [];
  for (let index = 0; index < count; index++) {
    fields.push({
      name: reader.cbytes(),
      tableOid: reader.uint32(),
      column: signed16(reader.uint16()),
      typeOid: reader.uint32(),
      typeLength: signed16(reader.uint16()),
      typmod: reader.int32(),
      format: reader.uint16(),
    });
  }
  reader.end();
  return fields;
}

/**
 * Reads the values of a whole DataRow message, header included. Null is SQL NULL. The values are views of the message.
 * @throws PgError 08P01 when the message does not contain what it announces
 */
export function parseDataRow(message: Buffer): readonly (Buffer | null)[] {
  const reader = new MessageReader(message);
  const count = reader.uint16();
  const values: (Buffer | null)[] = [];
  for (let index = 0; index < count; index++) values.push(reader.value());
  reader.end();
  return values;
}
