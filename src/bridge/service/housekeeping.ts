import { WITH_TRIGGERS_PATH } from '../installed/eventTriggers.js';
import { dropProof, isProof } from '../installed/roleProof.js';

/** SQL that removes large objects of the bridge. @param condition SQL: which rows of dblink_proxy.object, by the alias `o` */
export const removeObjects = (condition: string): string =>
  `WITH gone AS (DELETE FROM dblink_proxy.object AS o WHERE ${condition} RETURNING o.id)
    SELECT pg_catalog.lo_unlink(id) FROM gone WHERE EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata AS m WHERE m.oid = gone.id)`;

/** SQL that drops side tables and functions that prove roles. */
export function dropObjects(names: readonly string[]): string {
  const tables = names.filter((name) => !isProof(name)).map((name) => `dblink_proxy.${name}`);
  return [
    `SELECT ${WITH_TRIGGERS_PATH}`,
    ...(tables.length === 0 ? [] : [`DROP TABLE IF EXISTS ${tables.join(', ')} CASCADE`]),
    ...names.filter(isProof).map(dropProof),
  ].join('; ');
}
