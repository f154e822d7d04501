import { renameListedCalls } from '../../bridge/extension/temporaryFunctions.js';
import { MessageSink } from '../../primary/answerSink.js';
import { PrimaryRaised } from '../../primary/raised.js';
import type { SessionContext } from '../../session/context.js';
import { PgError } from '../../wire/errors.js';
import { type BindFields, describe, readBind, readBindNames } from '../../wire/messages.js';
import { EMPTY } from '../../wire/protocol.js';
import type { PreparedDblink } from '../plans/splice/spliceExtended.js';

const HEADER_BYTES = 5;
const NUL = Buffer.alloc(1);

/** The fields of a Bind that fits a statement. */
export function fitting(message: Buffer, { said }: PreparedDblink): BindFields | undefined {
  let fields: BindFields;
  try {
    fields = readBind(message);
  } catch (error) {
    if (error instanceof PgError) return undefined;
    throw error;
  }
  const { formats, values } = fields;
  const fits =
    values.length === said.parameterTypes.length && (formats.length <= 1 || formats.length === values.length);
  return fits ? fields : undefined;
}

/**
 * Asks the primary what is wrong with a Bind that does not fit the statement. It gets it for a statement that is empty, which it also
 * takes when the transaction has failed, and that has the client's parameters alone.
 * @throws PrimaryRaised
 */
export async function askWhatIsWrong(
  context: SessionContext,
  message: Buffer,
  { said }: PreparedDblink,
): Promise<void> {
  const { primary } = context;
  const { parameterTypes: types } = said;
  const { portal, statement, end } = readBindNames(message);
  if (statement.length > 0) await assertPrepared(context, statement);
  const bind = (name: Buffer): Buffer =>
    withLength([message.subarray(0, HEADER_BYTES), portal, NUL, name, NUL, message.subarray(end)]);
  const { error } = await primary.run({ sql: EMPTY, types, bind }, 'flush', 'bind');
  if (error === undefined) return;
  const own = error.message.replace(primary.names.running.toString('latin1'), statement.toString('latin1'));
  throw new PrimaryRaised(error.with({ message: own }));
}

/** Has the primary bind the client's own text, for what it says of that. @throws PrimaryRaised */
export async function checkLeft(
  context: SessionContext,
  { text, statement, said }: PreparedDblink,
  { formats, values, resultFormats }: BindFields,
): Promise<void> {
  const listed = renameListedCalls(text, statement, context);
  const own = { sql: listed?.sql ?? text, types: said.parameterTypes, formats, values, resultFormats };
  const { error } = await context.primary.run(own, 'flush', 'bind');
  if (error !== undefined) throw new PrimaryRaised(listed?.mapError(error) ?? error);
}

/** SQL that is not seen here may have deallocated a statement. @throws PrimaryRaised 26000 when it has */
async function assertPrepared({ primary }: SessionContext, statement: Buffer): Promise<void> {
  const described = new MessageSink();
  primary.send(describe('S', statement), { kind: 'describe', sink: described });
  primary.flush();
  const { error } = await described.answered;
  primary.assertOpen();
  if (error === undefined) return;
  // When the transaction has failed, a statement that is there is not described. That is no error of the client's.
  if (error.sqlstate !== '25P02') throw new PrimaryRaised(error);
  await primary.sync();
}

/** A message of parts, the first of which is a header of another length. */
function withLength(parts: readonly Buffer[]): Buffer {
  const message = Buffer.concat(parts);
  message.writeInt32BE(message.length - 1, 1);
  return message;
}
