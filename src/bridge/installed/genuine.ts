import { EQ } from '../../primary/operators.js';
import { fingerprintsOf } from './fingerprints.js';
import { SERVICE_SCHEMA_SQL } from './serviceSchema.js';

/** Query for the name and the body's MD5 of each function of the service schema. */
export const SERVICE_BODIES_QUERY = `SELECT p.proname, pg_catalog.md5(p.prosrc) FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid ${EQ} p.pronamespace WHERE n.nspname ${EQ} 'dblink_proxy'`;

const SERVICE_FUNCTIONS = fingerprintsOf(SERVICE_SCHEMA_SQL);

/** Whether the functions of the service schema are those of this version. @param rows of SERVICE_BODIES_QUERY */
export function isGenuine(rows: readonly (readonly (Buffer | string | null | undefined)[])[]): boolean {
  const found = new Set(rows.map(([name, md5]) => `${name} ${md5}`));
  return SERVICE_FUNCTIONS.every((known) => found.has(known));
}
