import { PgError } from '../../wire/errors.js';
import { type BindFields, readBind } from '../../wire/messages.js';
import type { PreparedDblink } from '../plans/splice/spliceExtended.js';

/** The fields of a Bind that fits a statement. */
export function fitting(message: Buffer, { spliced }: PreparedDblink): BindFields | undefined {
  let fields: BindFields;
  try {
    fields = readBind(message);
  } catch (error) {
    if (error instanceof PgError) return undefined;
    throw error;
  }
  const { formats, values } = fields;
  const fits =
    values.length === spliced.parameters && (formats.length <= 1 || formats.length === values.length);
  return fits ? fields : undefined;
}

/** A message of parts, the first of which is a header of another length. */
export function withLength(parts: readonly Buffer[]): Buffer {
  const message = Buffer.concat(parts);
  message.writeInt32BE(message.length - 1, 1);
  return message;
}
