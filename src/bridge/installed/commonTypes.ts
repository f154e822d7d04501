import { MARK } from '../../primary/marks.js';
import { CAT, PLUS } from '../../primary/operators.js';

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

/** Those of which single values are asked for most: as the OIDs of a result of one column are written, and their names. */
export const FREQUENT_TYPES: readonly { readonly oids: string; readonly name: string }[] = [
  23, 25, 20, 1043, 16, 1700, 1184, 1114, 1082, 2950, 701, 21,
].map((oid) => ({ oids: `{${oid}}`, name: COMMON_TYPES.get(oid)! }));

const OIDS = `'{${[...COMMON_TYPES.keys()].join()}}'::pg_catalog.oid[]`;
const NAMES = `ARRAY[${[...COMMON_TYPES.values()].map((name) => `'${name}'`).join()}]::pg_catalog.text[]`;

/**
 * SQL of the function that makes SQL to read JSON rows ($1) as the types that a remote's columns have, like
 * dblink_proxy.reading() does for any: NULL when it takes more than the OIDs to tell which types these are.
 */
export const COMMON = `
CREATE OR REPLACE FUNCTION dblink_proxy.common(oids text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $bridge$
DECLARE
  known CONSTANT pg_catalog.oid[] := ${OIDS};
  names CONSTANT pg_catalog.text[] := ${NAMES};
  wanted pg_catalog.oid;
  place pg_catalog.int4;
  i pg_catalog.int4 := 0;
  columns pg_catalog.text;
  definitions pg_catalog.text;
BEGIN
  FOREACH wanted IN ARRAY oids::pg_catalog.oid[] LOOP
    place := pg_catalog.array_position(known, wanted);
    IF place IS NULL THEN RETURN NULL; END IF;
    i := i ${PLUS} 1;
    columns := pg_catalog.concat_ws(', ', columns, pg_catalog.concat('c', i));
    definitions := pg_catalog.concat_ws(', ', definitions, pg_catalog.concat('c', i, ' pg_catalog.', names[place]));
  END LOOP;
  RETURN '/*${MARK}*/ SELECT ' ${CAT} columns ${CAT} ' FROM pg_catalog.json_to_recordset($1) AS t(' ${CAT} definitions ${CAT} ') /*${MARK}*/';
END $bridge$;`;
