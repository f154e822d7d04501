import { CATALOGUE } from '../../dblink/catalogue.js';
import { PgError } from '../../wire/errors.js';
import type { DblinkCall, Statement } from '../analysis/index.js';
import type { Engine } from '../engine.js';
import { isTemporary } from '../names.js';
import { asExtensionLookup } from './dumpQueries.js';
import { SERVICE_SCHEMA } from './identifiers.js';
import { pkeyResultsSql, publicFunctionsSql } from './publicFunctions.js';

/** A statement whose calls name other functions, the session's temporary ones say. */
export interface RenamedCalls {
  readonly sql: Buffer;
  /** An error of it, as one of the client's statement. */
  mapError(error: PgError): PgError;
}

/** Statements whose calls end with them: what is stored would go on to name a function that is gone. */
const PASSING: ReadonlySet<string> = new Set([
  'SelectStmt',
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
  'ExplainStmt',
  'CopyStmt',
  'DeclareCursorStmt',
  'PrepareStmt',
]);

const NAME = String.raw`(?:"(?:[^"]|"")*"|[A-Za-z_\x80-\xff][\w$\x80-\xff]*)`;
/** The name of a function in front of its arguments, with or without a schema. */
const CALLED = new RegExp(`^(?:${NAME}\\s*\\.\\s*)?(${NAME})\\s*\\(`);

/** Has all calls go to the session's temporary functions. @returns undefined for a statement that cannot be carried out so */
export const renameCalls = (text: Buffer, statement: Statement, engine: Engine): RenamedCalls | undefined =>
  qualified(text, statement, engine, 'pg_temp.', statement.calls);

/** Functions whose rows have one column of text where the remote ran a command. */
const LISTED: ReadonlySet<string> = new Set(['dblink', 'dblink_get_result']);

/**
 * Has the calls of dblink() in select lists go to the functions for them (serviceSchema.ts, LISTED).
 * @returns undefined for a statement that has none, or keeps them
 */
export function renameListedCalls(
  text: Buffer,
  statement: Statement,
  engine: Engine,
): RenamedCalls | undefined {
  const listed = statement.calls.filter(
    ({ name, use }) => LISTED.has(name) && use.kind === 'scalar' && use.item === undefined,
  );
  return listed.length === 0 ? undefined : qualified(text, statement, engine, `${SERVICE_SCHEMA}.`, listed);
}

/** Has a lookup of the extension find the bridge. @returns undefined for a statement that stays as it is */
export function lookupCalls(text: Buffer, { span }: Statement, engine: Engine): RenamedCalls | undefined {
  const changed = asExtensionLookup(text.subarray(span.start, span.end), engine.countCharacters);
  return changed && { sql: changed.sql, mapError: (error) => atPosition(error, changed.mapPosition) };
}

const atPosition = (error: PgError, map: (position: number) => number): PgError =>
  error.fields.position === undefined
    ? error
    : error.with({ position: String(map(Number(error.fields.position))) });

function qualified(
  text: Buffer,
  statement: Statement,
  engine: Engine,
  qualifier: string,
  calls: readonly DblinkCall[],
): RenamedCalls | undefined {
  const isTable =
    statement.tag === 'CreateTableAsStmt' && /^\s*create\s+(?:\w+\s+)*table\b/i.test(head(text, statement));
  if (!PASSING.has(statement.tag) && !isTable) return undefined;
  const { start, end } = statement.span;
  const pieces: Buffer[] = [];
  /** Where text was replaced: in the client's statement, and by how many characters it grew. */
  const changes: { readonly at: number; readonly by: number }[] = [];
  let from = start;
  for (const call of [...calls].sort((a, b) => a.span.start - b.span.start)) {
    const match = CALLED.exec(text.toString('latin1', call.span.start, call.span.end));
    if (match === null) return undefined;
    const [whole, name] = match;
    const nameEnd = call.span.start + whole.trimEnd().length - 1;
    const replaced = Buffer.from(`${qualifier}${name}`, 'latin1');
    pieces.push(text.subarray(from, call.span.start), replaced);
    changes.push({
      at: engine.countCharacters(text.subarray(start, call.span.start)),
      by: replaced.length - engine.countCharacters(text.subarray(call.span.start, nameEnd)),
    });
    from = nameEnd;
  }
  pieces.push(text.subarray(from, end));
  return {
    sql: Buffer.concat(pieces),
    mapError(error) {
      if (error.fields.position === undefined) return error;
      let position = Number(error.fields.position) - 1;
      for (const { at, by } of changes) if (position > at) position = Math.max(at, position - by);
      return error.with({ position: String(position + 1) });
    },
  };
}

const head = (text: Buffer, { span }: Statement): string =>
  text.toString('latin1', span.start, Math.min(span.end, span.start + 200));

const inOneBlock = (statements: readonly string[]): string =>
  `DO $dblink_proxy$ BEGIN ${statements.map((sql) => `${sql};`).join('\n')} END $dblink_proxy$`;

/**
 * Makes the temporary functions that the statement's calls need, where they are missing. Outside of a transaction.
 * @returns whether they are there; false when the role may not make any
 * @throws PgError 25006 on a standby, and what else stands in the way of a bridge
 */
export async function makeTemporaryFunctions(engine: Engine, statement: Statement): Promise<boolean> {
  if (engine.bridge === undefined) return false;
  const { primary } = engine;
  const standby = await primary.run({ sql: 'SELECT pg_catalog.pg_is_in_recovery()' }, 'sync');
  if (standby.rows[0]?.[0]?.toString() === 't') throw onStandby();
  await engine.bridge.prepare();
  const facts = await engine.probe.get('sync');
  const there = new Set(facts.bridged.filter(isTemporary).map(({ name }) => name));
  const wanted = new Set(statement.calls.map(({ name }) => name).filter((name) => !there.has(name)));
  if (wanted.size === 0) return true;
  const overloads = CATALOGUE.filter(({ name }) => (wanted as ReadonlySet<string>).has(name));
  // Temporary objects can be made by sessions that are read-only by default, too.
  await primary.run({ sql: 'BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE' }, 'sync');
  const making = [
    ...(wanted.has('dblink_get_pkey') ? [pkeyResultsSql('pg_temp')] : []),
    ...publicFunctionsSql('pg_temp', overloads),
  ];
  const { error } = await primary.run({ sql: inOneBlock(making) }, 'sync');
  await primary.run({ sql: error === undefined ? 'COMMIT' : 'ROLLBACK' }, 'sync');
  // The facts have changed.
  primary.forwarded++;
  return error === undefined;
}

const onStandby = (): PgError =>
  new PgError('25006', 'cannot carry out this use of dblink on a standby', {
    detail: 'The answer of a remote is handed over in a table, which a standby cannot write.',
    hint: 'Use dblink in a plain SELECT from it, or connect to the primary.',
  });
