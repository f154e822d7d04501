import { bound, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/** How tools find out whether dblink is installed, and in which schema. */

/**
 * What the bridge is taken for is there only where its functions are. Columns are wrapped in expressions, since a result
 * does not say of them that they are columns of pg_extension: docs/bridge.md.
 */
const lookup = (name: string, ...steps: Case['steps']): Case =>
  testCase(`lookup: ${name}`, steps, { bridged: true });

export const lookupCases: readonly Case[] = [
  lookup('is it there', "SELECT 1 AS one FROM pg_extension WHERE extname = 'dblink'"),
  lookup(
    'in which schema',
    `SELECT (SELECT nspname::text FROM pg_namespace WHERE oid = e.extnamespace) AS schema, e.extversion || '' AS version
       FROM pg_catalog.pg_extension AS e WHERE e.extname = 'dblink'`,
    `SELECT n.nspname || '' AS schema FROM pg_catalog.pg_extension x JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace
      WHERE x.extname = 'dblink'::name`,
  ),
  lookup(
    'in a condition',
    "SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'dblink')",
    "SELECT count(*) FROM pg_extension WHERE extname IN ('dblink', 'nosuch')",
    "SELECT count(*) FROM pg_extension WHERE 'dblink' = extname AND extrelocatable",
    "SELECT extname::text FROM pg_extension WHERE extname = 'dblink' UNION ALL SELECT 'x'",
  ),
  lookup(
    'with a parameter beside it',
    bound("SELECT count(*) FROM pg_extension WHERE extname = 'dblink' AND extversion = $1", ['1.2']),
    bound("SELECT count(*) FROM pg_extension WHERE extname = 'dblink' AND extversion = $1", ['9.9']),
  ),
  lookup(
    'errors behind the table',
    "SELECT nosuch FROM pg_extension WHERE extname = 'dblink'",
    "SELECT 1 FROM pg_extension, nosuch WHERE extname = 'dblink'",
  ),
  lookup('of another extension', "SELECT extname::text FROM pg_extension WHERE extname = 'plpgsql'"),
];
