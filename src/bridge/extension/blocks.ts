import type { SessionContext } from '../../session/context.js';
import type { Statement } from '../../sql/index.js';
import { isLight } from '../../sql/parse/weight.js';
import { replaceCreations } from '../../sql/rewrite/blockCreations.js';
import { movePosition, type ReplacedText } from '../../sql/rewrite/qualifyCalls.js';
import { FUNCTIONS_QUERY } from '../installed/objectQueries.js';
import { MAX_QUERY_BYTES } from './dumpQueries.js';
import { type Preparable, prepareBridge, readState } from './extensionCommand.js';
import { EXTENSION_COMMAND, installSql } from './extensionSql.js';

/**
 * CREATE EXTENSION dblink in a DO block. The primary, which runs the block, does not have the extension: in the place of the command it
 * gets SQL that makes the bridge's functions. In stored functions the command is not seen.
 */

const DROPS = /\bdrop\s+extension\b/i;

/** A string constant on one line, so that the lines of the block keep their numbers. */
const onOneLine = (text: string): string =>
  `E'${text.replace(/[\\']/g, (c) => c + c).replaceAll('\n', '\\n')}'`;

/** PL/pgSQL, on one line, that does what the command does. */
function creation(schema: string, ifNotExists: boolean): string {
  const exists = ifNotExists
    ? `RAISE NOTICE USING ERRCODE = 'duplicate_object', MESSAGE = 'extension "dblink" already exists, skipping'`
    : `RAISE EXCEPTION USING ERRCODE = 'duplicate_object', MESSAGE = 'extension "dblink" already exists'`;
  const found = FUNCTIONS_QUERY.replaceAll('\n', ' ');
  return `IF EXISTS (${found}) THEN ${exists}; ELSE EXECUTE ${onOneLine(installSql(schema))}; END IF;`;
}

/**
 * Changes a DO block that creates the extension, where the primary itself cannot, and makes what the functions need.
 * @param bridge undefined where the session has none
 * @returns undefined for a block that stays as it is: the primary says what is wrong
 * @throws PgError what stands in the way of a bridge; PrimaryRaised
 */
export async function blockWithCreation(
  text: Buffer,
  { span }: Statement,
  context: SessionContext,
  bridge: Preparable | undefined,
): Promise<ReplacedText | undefined> {
  const own = text.subarray(span.start, span.end);
  if (bridge === undefined || own.length > MAX_QUERY_BYTES || !isLight(own)) return undefined;
  if (context.primary.parameters.get('standard_conforming_strings') === 'off') return undefined;
  const state = await readState(context, EXTENSION_COMMAND);
  const { currentSchema } = state;
  // What is registered the primary finds by itself, unless the block drops it first.
  const there = state.registered && !DROPS.test(own.toString('latin1'));
  const needed =
    state.trusted && !state.readOnly && !state.hasExtension && !there && !state.couldHaveExtension;
  if (!needed || currentSchema === undefined) return undefined;
  const changed = replaceCreations(
    own,
    ({ ifNotExists, schema }) => creation(schema ?? currentSchema, ifNotExists),
    context.encodings.countCharacters,
  );
  if (changed === undefined) return undefined;
  await prepareBridge(context, bridge);
  return { sql: changed.sql, mapError: (error) => movePosition(error, changed.mapPosition) };
}
