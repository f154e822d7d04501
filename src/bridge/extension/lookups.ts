import { ColumnOrigins } from '../../primary/columnOrigins.js';
import { isTemporary } from '../../primary/functions/foundFunctions.js';
import { EQ } from '../../primary/operators.js';
import { asRaised } from '../../primary/raised.js';
import type { SessionFacts } from '../../primary/sessionFacts.js';
import type { SessionContext } from '../../session/context.js';
import { UPDATE_PATHS } from '../../sql/analysis/extension.js';
import type { Statement } from '../../sql/index.js';
import { isLight } from '../../sql/parse/weight.js';
import { movePosition, type ReplacedText } from '../../sql/rewrite/qualifyCalls.js';
import type { ShownFunction } from '../../sql/rewrite/showFunctions.js';
import { showTables } from '../../sql/rewrite/showTables.js';
import type { PgError } from '../../wire/errors.js';
import { EXTENSION_VERSION, FUNCTIONS_QUERY } from '../installed/objectQueries.js';
import { EXTENSION_COMMENT } from '../installed/registerSql.js';
import { MAX_QUERY_BYTES, PG_EXTENSION_ROWS } from './dumpQueries.js';

/**
 * Statements that read which extensions there are: they find dblink as on a server that has its files. Which are available the server
 * reads from its files, so stored code does not see that. Which are installed is a row that stored code sees as well, where a
 * superuser has made the functions (installed/registerSql.ts); elsewhere statements of the client see one.
 */

/** The bridge is installed. */
const INSTALLED = `EXISTS (${FUNCTIONS_QUERY})`;

const notAmong = (view: string): string =>
  `WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.${view} a WHERE a.name ${EQ} 'dblink')`;

const AVAILABLE: Readonly<Record<string, string>> = {
  pg_available_extensions: `SELECT name, default_version, installed_version, comment FROM pg_catalog.pg_available_extensions
 UNION ALL SELECT 'dblink', '${EXTENSION_VERSION}', CASE WHEN ${INSTALLED} THEN '${EXTENSION_VERSION}' END, '${EXTENSION_COMMENT}' ${notAmong('pg_available_extensions')}`,
  pg_available_extension_versions: `SELECT name, version, installed, superuser, trusted, relocatable, schema, requires, comment FROM pg_catalog.pg_available_extension_versions
 UNION ALL SELECT 'dblink', '${EXTENSION_VERSION}', ${INSTALLED}, true, false, true, NULL, NULL, '${EXTENSION_COMMENT}' ${notAmong('pg_available_extension_versions')}`,
};

/** The extension's versions, from the first one to each of which a script leads from the one before. */
const VERSIONS = ['1.0', '1.1', '1.2'];

/** What pg_extension_update_paths() says of dblink where the server has its files. */
const UPDATE_ROWS = VERSIONS.flatMap((source, from) =>
  VERSIONS.flatMap((target, to) => {
    if (from === to) return [];
    const path = from < to ? `'${VERSIONS.slice(from, to + 1).join('--')}'` : 'NULL';
    return `('${source}', '${target}', ${path})`;
  }),
).join(', ');

/** The name in `a.n` is dblink's, and the server does not have the files. */
const IS_MISSING = `(a.n ${EQ} 'dblink' AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_available_extensions x WHERE x.name ${EQ} a.n))`;

/**
 * What stands around a call in FROM. The call itself is never executed, and has its errors: of its argument, and of that one's type. The
 * argument is computed once for each row, as natively.
 */
const updatePaths: ShownFunction = (argument) => ({
  before: 'SELECT source, target, path FROM ',
  behind: ` WHERE false UNION ALL SELECT p.source, p.target, p.path
 FROM (SELECT CAST((${argument}
) AS pg_catalog.name) AS n OFFSET 0) AS a CROSS JOIN LATERAL (
  SELECT f.source, f.target, f.path FROM pg_catalog.${UPDATE_PATHS}(CASE WHEN NOT ${IS_MISSING} THEN a.n END) AS f
   UNION ALL SELECT v.source, v.target, v.path FROM (VALUES ${UPDATE_ROWS}) AS v(source, target, path) WHERE ${IS_MISSING}) AS p`,
});

interface LookupOptions {
  readonly facts: SessionFacts;
  /** See PrimaryLink.run. */
  readonly end: 'flush' | 'sync';
  /** OIDs of the parameters' types, as in Parse. */
  readonly types?: readonly number[];
}

/**
 * Changes a statement that reads which extensions there are, so that it finds the bridge.
 * @returns undefined for a statement that stays as it is
 * @throws PrimaryRaised what the primary raised
 */
export async function lookupCalls(
  text: Buffer,
  { span, tag }: Statement,
  context: SessionContext,
  { facts, end, types = [] }: LookupOptions,
): Promise<ReplacedText | undefined> {
  const own = text.subarray(span.start, span.end);
  if (own.length > MAX_QUERY_BYTES || !isLight(own)) return undefined;
  const installed = facts.bridged.some((named) => !isTemporary(named));
  const lacksRow = installed && !(await context.probe.hasExtensionRow(end).catch(asRaised));
  const changed = showTables(
    own,
    (name) => (name === 'pg_extension' && lacksRow ? PG_EXTENSION_ROWS : AVAILABLE[name]),
    context.encodings.countCharacters,
    { functions: (name) => (name === UPDATE_PATHS ? updatePaths : undefined) },
  );
  if (changed === undefined) return undefined;
  const mapError = (error: PgError): PgError => movePosition(error, changed.mapPosition);
  if (tag !== 'SelectStmt') return { sql: changed.sql, mapError };
  const offset = context.encodings.countCharacters(text.subarray(0, span.start));
  const place = (error: PgError): PgError => movePosition(error, (position) => position + offset);
  const origins = await ColumnOrigins.of(context.primary, { sql: own, types }, end, place);
  return {
    sql: changed.sql,
    mapError,
    ...(origins && { mapDescription: (message: Buffer) => origins.shownIn(message) }),
  };
}
