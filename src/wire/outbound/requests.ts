import { Frontend } from '../protocol.js';
import { MessageWriter } from '../writer.js';

/** How a statement of an extended query is run. Of formats, 0 is text and 1 is binary. */
export interface ExecuteOptions {
  /** The format of all columns of the result. Undefined for a statement that returns no row; it is not described then. */
  readonly resultFormat: 0 | 1 | undefined;
  /** OIDs of the parameters' types. Where one is 0 or missing, the server infers the type. */
  readonly paramTypes?: readonly number[] | undefined;
  /** The format of each parameter; text where missing. */
  readonly paramFormats?: readonly (0 | 1)[] | undefined;
  /** The prepared statement's name; unnamed by default. `known`: it has been prepared before, so no Parse is sent. */
  readonly statement?: { readonly name: string; readonly known: boolean } | undefined;
}

/** One statement of a pipeline. */
export interface PipelineStep {
  readonly sql: Buffer;
  readonly params: readonly (Buffer | null)[];
  readonly options: ExecuteOptions;
}

/** The server would read what follows a zero byte as another field of the message. */
function checkSql(sql: Buffer): void {
  if (sql.includes(0)) throw new TypeError('SQL text contains a zero byte');
}

/** A Query message. @throws TypeError for SQL with a zero byte */
export function simpleQuery(sql: Buffer): Buffer {
  checkSql(sql);
  return new MessageWriter(Frontend.query, sql.length + 1).cstring(sql).end();
}

/**
 * Parse, Bind, Describe and Execute of each step, and one Sync at the end (protocol documentation, "Extended Query",
 * "Pipelining"). The portal is the unnamed one, and so is the statement unless the step gives it a name.
 * @throws TypeError for SQL with a zero byte; RangeError for more than 65535 parameters
 */
export function extendedQuery(steps: readonly PipelineStep[]): Buffer {
  let bytes = 0;
  for (const { sql, params, options } of steps) {
    checkSql(sql);
    if (params.length > 0xffff)
      throw new RangeError(`${params.length} parameters are more than the protocol allows`);
    if (options.statement?.known !== true) bytes += sql.length;
    for (const param of params) bytes += (param?.length ?? 0) + 8;
    bytes += STEP_BYTES;
  }
  const writer = MessageWriter.several(bytes);
  for (const step of steps) writeStep(writer, step);
  return writer.next(Frontend.sync).end();
}

/** Estimate for the fixed parts of a step's messages. They take less if the statement's name is short. */
const STEP_BYTES = 96;
const PORTAL = 'P'.charCodeAt(0);

function writeStep(writer: MessageWriter, { sql, params, options }: PipelineStep): void {
  const { resultFormat, paramTypes = [], paramFormats = [], statement } = options;
  const name = statement?.name ?? '';
  if (statement?.known !== true) {
    writer.next(Frontend.parse).cstring(name).cstring(sql).int16(paramTypes.length);
    for (const type of paramTypes) writer.int32(type);
  }
  writer.next(Frontend.bind).byte(0).cstring(name).int16(params.length);
  for (let index = 0; index < params.length; index++) writer.int16(paramFormats[index] ?? 0);
  writer.int16(params.length);
  for (const value of params) writer.value(value);
  writer.int16(1).int16(resultFormat ?? 0);
  if (resultFormat !== undefined) writer.next(Frontend.describe).byte(PORTAL).byte(0);
  writer.next(Frontend.execute).byte(0).int32(0);
}
