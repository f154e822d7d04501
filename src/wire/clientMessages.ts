import { Frontend } from './protocol.js';
import { MessageWriter } from './writer.js';

/** Formats and types of an extended query: 0 is text, 1 is binary. */
export interface ExecuteOptions {
  /** Of all columns of the result. */
  readonly resultFormat: 0 | 1;
  /** OIDs of the parameters' types; 0, or one that is missing, leaves it to the server. */
  readonly paramTypes?: readonly number[] | undefined;
  /** For each parameter; text where missing. */
  readonly paramFormats?: readonly (0 | 1)[] | undefined;
  /** The statement's name on the server; unnamed by default. `known`: it has been prepared under it before. */
  readonly statement?: { readonly name: string; readonly known: boolean } | undefined;
}

const SYNC = new MessageWriter(Frontend.sync).end();

/** The server would take what follows a zero byte for another field. */
function checkSql(sql: Buffer): void {
  if (sql.includes(0)) throw new TypeError('SQL text contains a zero byte');
}

/** A Query message. @throws TypeError for SQL with a zero byte */
export function simpleQuery(sql: Buffer): Buffer {
  checkSql(sql);
  return new MessageWriter(Frontend.query, sql.length + 1).cstring(sql).end();
}

/**
 * Parse, Bind, Describe, Execute and Sync for the unnamed portal and, unless it has a name, statement (protocol documentation, "Extended Query").
 * @throws TypeError for SQL with a zero byte; RangeError for more than 65535 parameters
 */
export function extendedQuery(
  sql: Buffer,
  params: readonly (Buffer | null)[],
  options: ExecuteOptions,
): Buffer {
  checkSql(sql);
  if (params.length > 0xffff)
    throw new RangeError(`${params.length} parameters are more than the protocol allows`);
  const { resultFormat, paramTypes = [], paramFormats = [], statement } = options;
  const name = statement?.name ?? '';

  const parse = new MessageWriter(Frontend.parse, sql.length + 16)
    .cstring(name)
    .cstring(sql)
    .int16(paramTypes.length);
  for (const type of paramTypes) parse.int32(type);

  const bind = new MessageWriter(Frontend.bind).cstring('').cstring(name).int16(params.length);
  for (let index = 0; index < params.length; index++) bind.int16(paramFormats[index] ?? 0);
  bind.int16(params.length);
  for (const value of params) bind.value(value);
  bind.int16(1).int16(resultFormat);

  const describe = new MessageWriter(Frontend.describe).byte('P'.charCodeAt(0)).cstring('');
  const execute = new MessageWriter(Frontend.execute).cstring('').int32(0);
  const prepare = statement?.known === true ? [] : [parse.end()];
  return Buffer.concat([...prepare, bind.end(), describe.end(), execute.end(), SYNC]);
}
