import { MARK } from './identifiers.js';

/**
 * Types that have had these OIDs in every version, by the names of their rows in pg_type; none is json, which is read in
 * two steps.
 */
export const COMMON_TYPES: ReadonlyMap<number, string> = new Map([
  [16, 'bool'],
  [17, 'bytea'],
  [18, '"char"'],
  [19, 'name'],
  [20, 'int8'],
  [21, 'int2'],
  [23, 'int4'],
  [25, 'text'],
  [26, 'oid'],
  [700, 'float4'],
  [701, 'float8'],
  [869, 'inet'],
  [1007, '_int4'],
  [1009, '_text'],
  [1016, '_int8'],
  [1042, 'bpchar'],
  [1043, 'varchar'],
  [1082, 'date'],
  [1083, 'time'],
  [1114, 'timestamp'],
  [1184, 'timestamptz'],
  [1186, 'interval'],
  [1700, 'numeric'],
  [2950, 'uuid'],
]);

/**
 * SQL that reads JSON rows ($1) as the types that a remote's columns have, like dblink_proxy.reading() does for any.
 * @returns the empty string when it takes more than the OIDs to tell which types these are
 */
export function readingSql(oids: readonly number[]): string {
  const types = oids.map((oid) => COMMON_TYPES.get(oid));
  if (types.length === 0 || types.includes(undefined)) return '';
  const columns = types.map((_, i) => `c${i + 1}`).join(', ');
  const definitions = types.map((type, i) => `c${i + 1} pg_catalog.${type}`).join(', ');
  return `/*${MARK}*/ SELECT ${columns} FROM pg_catalog.json_to_recordset($1) AS t(${definitions}) /*${MARK}*/`;
}
