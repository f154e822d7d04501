import { BRIDGE_COMMENT, FIRST_OBJECT, SERVICE_SCHEMA } from '../../primary/marks.js';
import { EQ, LT, MATCHES, NE } from '../../primary/operators.js';
import { isLight } from '../../sql/parse/weight.js';
import { showTables } from '../../sql/rewrite/showTables.js';
import { EXTENSION_VERSION, FUNCTIONS_QUERY, TYPE_QUERY, WRAPPER_QUERY } from '../installed/objectQueries.js';
import { EXTENSION_COMMENT } from '../installed/registerSql.js';

/**
 * What pg_dump sees of the bridge: the catalogs as they would be with the extension. The bridge's functions, type and wrapper
 * are members of an extension dblink, which a dump then contains as CREATE EXTENSION. The service account's schema is not there.
 * This is done by changing pg_dump's queries, because that needs no privilege, writes nothing and works on a standby.
 */

/** The application_name of programs that read the catalogs for a dump. */
const DUMP_PROGRAMS: ReadonlySet<string> = new Set(['pg_dump', 'pg_dumpall']);

/** Whether a session is that of a dump program. @param startup the parameters of the session's startup packet */
export const isDumpSession = (startup: ReadonlyMap<string, string>): boolean =>
  DUMP_PROGRAMS.has(startup.get('application_name') ?? '');

/** Longer queries only fetch details of objects that the short ones found. */
export const MAX_QUERY_BYTES = 64 * 1024;

const catalog = (name: string): string => `'pg_catalog.${name}'::pg_catalog.regclass::pg_catalog.oid`;

const HIDDEN_SCHEMAS = `pg_catalog.pg_namespace n
  JOIN pg_catalog.pg_description d ON d.objoid ${EQ} n.oid
   AND d.classoid ${EQ} ${catalog('pg_namespace')} AND d.objsubid ${EQ} 0
 WHERE n.nspname ${EQ} '${SERVICE_SCHEMA}' AND d.description ${MATCHES} '${BRIDGE_COMMENT}'`;
const HIDDEN_SCHEMA = `SELECT n.oid FROM ${HIDDEN_SCHEMAS}`;

/** The rows of a catalog except those of the service account's schema. @param column where the catalog has the schema's OID */
const without = (name: string, column: string): string =>
  `SELECT tableoid, * FROM pg_catalog.${name} WHERE ${column} ${NE} ALL (ARRAY(${HIDDEN_SCHEMA}))`;

/** The row that stands for the extension, unless there is a real one. Its OID is that of one of the bridge's functions. */
const EXTENSION = `SELECT m.oid, m.owner, m.namespace FROM (${FUNCTIONS_QUERY}) m
 WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_extension x WHERE x.extname ${EQ} 'dblink') ORDER BY m.oid LIMIT 1`;

/** pg_extension with the bridge where it has no row of its own (PostgreSQL 13 to 18). @param tableoid with that column in front */
const extensionRows = (
  tableoid: boolean,
): string => `SELECT ${tableoid ? 'tableoid, ' : ''}oid, extname, extowner, extnamespace, extrelocatable, extversion, extconfig, extcondition
  FROM pg_catalog.pg_extension
 UNION ALL SELECT ${tableoid ? `${catalog('pg_extension')}, ` : ''}e.oid, 'dblink', e.owner, e.namespace, true, '${EXTENSION_VERSION}', NULL, NULL FROM (${EXTENSION}) e`;

export const PG_EXTENSION_ROWS = extensionRows(false);

/** The catalogs that are shown changed. Each is a query with the columns of the catalog (PostgreSQL 13 to 18). */
const SHOWN: Readonly<Record<string, string>> = {
  pg_namespace: without('pg_namespace', 'oid'),
  pg_class: without('pg_class', 'relnamespace'),
  pg_proc: without('pg_proc', 'pronamespace'),
  pg_type: without('pg_type', 'typnamespace'),
  pg_largeobject_metadata: `SELECT tableoid, * FROM pg_catalog.pg_largeobject_metadata
 WHERE oid ${LT} ${FIRST_OBJECT}::pg_catalog.oid OR lomowner ${NE} ALL (ARRAY(SELECT n.nspowner FROM ${HIDDEN_SCHEMAS}))`,
  pg_extension: extensionRows(true),
  pg_depend: `SELECT tableoid, classid, objid, objsubid, refclassid, refobjid, refobjsubid, deptype FROM pg_catalog.pg_depend
 UNION ALL SELECT ${catalog('pg_depend')}, m.class, m.oid, 0, ${catalog('pg_extension')}, e.oid, 0, 'e' FROM (${EXTENSION}) e,
  (SELECT ${catalog('pg_proc')} AS class, f.oid FROM (${FUNCTIONS_QUERY}) f
   UNION ALL SELECT ${catalog('pg_type')}, t.oid FROM (${TYPE_QUERY}) t
   UNION ALL SELECT ${catalog('pg_foreign_data_wrapper')}, w.oid FROM (${WRAPPER_QUERY}) w) m`,
  // What the extension's script grants and revokes is no part of a dump.
  pg_init_privs: `SELECT tableoid, objoid, classoid, objsubid, privtype, initprivs FROM pg_catalog.pg_init_privs
 UNION ALL SELECT ${catalog('pg_init_privs')}, f.oid, ${catalog('pg_proc')}, 0, 'e',
   ARRAY[pg_catalog.makeaclitem(f.owner, f.owner, 'EXECUTE', false)]
  FROM (${FUNCTIONS_QUERY}) f, (${EXTENSION}) e WHERE f.name ${EQ} 'dblink_connect_u'`,
  pg_description: `SELECT tableoid, objoid, classoid, objsubid, description FROM pg_catalog.pg_description
 UNION ALL SELECT ${catalog('pg_description')}, e.oid, ${catalog('pg_extension')}, 0,
   '${EXTENSION_COMMENT}' FROM (${EXTENSION}) e`,
};

/** pg_depend is changed only in queries that name this catalog, too: no others ask what depends on an extension. */
const PG_EXTENSION = Buffer.from('pg_extension', 'latin1');

const NAMES = Object.keys(SHOWN).map((name) => Buffer.from(name, 'latin1'));

/**
 * Changes SQL of pg_dump that reads catalogs, so that it sees the extension instead of the bridge.
 * @param text bytes in an encoding in which no byte below 128 is part of a longer character
 * @returns undefined when there is nothing to change
 */
export function asWithExtension(text: Buffer): Buffer | undefined {
  if (text.length > MAX_QUERY_BYTES || !NAMES.some((name) => text.includes(name))) return undefined;
  // Texts that take long to parse are not parsed here for anybody.
  if (!isLight(text)) return undefined;
  const ofExtensions = text.includes(PG_EXTENSION);
  const shown = (name: string): string | undefined => {
    if (name === 'pg_depend' && !ofExtensions) return undefined;
    return Object.hasOwn(SHOWN, name) ? SHOWN[name] : undefined;
  };
  return showTables(text, shown, (bytes) => bytes.length)?.sql;
}
