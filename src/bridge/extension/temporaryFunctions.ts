import { CATALOGUE } from '../../dblink/catalogue.js';
import { isTemporary } from '../../primary/functions/foundFunctions.js';
import { SERVICE_SCHEMA } from '../../primary/marks.js';
import type { SessionContext } from '../../session/context.js';
import type { Statement } from '../../sql/index.js';
import { qualifyCalls, type ReplacedText } from '../../sql/rewrite/qualifyCalls.js';
import { PgError } from '../../wire/errors.js';
import { eventTriggersOff } from '../installed/eventTriggers.js';
import { pkeyResultsSql, publicFunctionsSql } from '../installed/publicFunctions.js';
import type { Preparable } from './extensionCommand.js';

/**
 * Changes a statement so that all its calls go to the session's temporary functions.
 * @returns undefined for a statement that cannot be carried out in this way
 */
export const renameCalls = (
  text: Buffer,
  statement: Statement,
  context: SessionContext,
): ReplacedText | undefined =>
  qualifyCalls(text, statement, context.encodings.countCharacters, 'pg_temp.', statement.calls);

/** Functions that return one column of text where the remote ran a command. */
const LISTED: ReadonlySet<string> = new Set(['dblink', 'dblink_get_result']);

/**
 * Changes a statement so that calls of these functions in its select lists go to others that can stand there
 * (serviceSchema.ts, LISTED).
 * @returns undefined for a statement that has no such calls, or in which they cannot be changed
 */
export function renameListedCalls(
  text: Buffer,
  statement: Statement,
  context: SessionContext,
): ReplacedText | undefined {
  const listed = statement.calls.filter(
    ({ name, use }) => LISTED.has(name) && use.kind === 'scalar' && use.item === undefined,
  );
  return listed.length === 0
    ? undefined
    : qualifyCalls(text, statement, context.encodings.countCharacters, `${SERVICE_SCHEMA}.`, listed);
}

const inOneBlock = (statements: readonly string[]): string =>
  `DO $dblink_proxy$ BEGIN${eventTriggersOff(true)} ${statements.map((sql) => `${sql};`).join('\n')} END $dblink_proxy$`;

/**
 * Makes the temporary functions that the statement's calls need, where they are missing. Must be called outside of a transaction.
 * @returns whether they are there; false when the role may not make any, or the session has no bridge
 * @throws PgError 25006 on a standby, and what else stands in the way of a bridge
 */
export async function makeTemporaryFunctions(
  context: SessionContext,
  bridge: Preparable | undefined,
  statement: Statement,
): Promise<boolean> {
  if (bridge === undefined) return false;
  const { primary } = context;
  const standby = await primary.run({ sql: 'SELECT pg_catalog.pg_is_in_recovery()' }, 'sync');
  if (standby.rows[0]?.[0]?.toString() === 't') throw onStandby();
  await bridge.prepare();
  const facts = await context.probe.get('sync');
  const there = new Set(facts.bridged.filter(isTemporary).map(({ name }) => name));
  const wanted = new Set(statement.calls.map(({ name }) => name).filter((name) => !there.has(name)));
  if (wanted.size === 0) return true;
  const overloads = CATALOGUE.filter(({ name }) => (wanted as ReadonlySet<string>).has(name));
  // READ WRITE, because sessions that are read-only by default can make temporary objects, too.
  await primary.run({ sql: 'BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE' }, 'sync');
  const making = [
    ...(wanted.has('dblink_get_pkey') ? [pkeyResultsSql('pg_temp')] : []),
    ...publicFunctionsSql('pg_temp', overloads),
  ];
  const { error } = await primary.run({ sql: inOneBlock(making), changes: true }, 'sync');
  await primary.run({ sql: error === undefined ? 'COMMIT' : 'ROLLBACK' }, 'sync');
  return error === undefined;
}

const onStandby = (): PgError =>
  new PgError('25006', 'cannot carry out this use of dblink on a standby', {
    detail: 'The answer of a remote is handed over in a table, which a standby cannot write.',
    hint: 'Use dblink in a plain SELECT from it, or connect to the primary.',
  });
