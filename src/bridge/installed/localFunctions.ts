import { MARK } from '../../primary/marks.js';
import { CAT, EQ, GE, GT, LE, MINUS, NE } from '../../primary/operators.js';
import { validatorBody } from './optionValidator.js';

/**
 * The functions that concern the primary alone (behaviour reference, section 7): PL/pgSQL that needs neither the proxy nor
 * the service account's schema, so that it works on a direct connection and as a temporary function, too.
 *
 * They run with the caller's rights and search_path, since the extension's do: the row is looked up by the very text that
 * the extension executes, whose operators are the caller's. Everything else is qualified. What PostgreSQL itself raises
 * for the extension is raised here by the same code of PostgreSQL's, so that it comes in the server's language.
 */

/** What CREATE FUNCTION needs to know of one. */
export interface LocalFunction {
  readonly body: string;
  /** Setting it runs under. */
  readonly set?: string;
}

/** Like quoted identifiers and literals: without a collation of the caller's, which could forbid searching. */
const TEXT = 'pg_catalog.text COLLATE pg_catalog."C"';

const raise = (sqlstate: string, message: string): string =>
  `RAISE EXCEPTION USING ERRCODE = '${sqlstate}', MESSAGE = ${message};`;

/** Marks an expression whose text PostgreSQL may quote in the CONTEXT of an error (contextFrames.ts). */
const marked = (args: string): string => `/*${MARK}*/ ${args} /*${MARK}*/`;

/**
 * Finds the relation that $1 names, as table_openrv() does: waits for who is changing it, and looks again if it is gone
 * or renamed then. Whether the caller may read it is a question of the privilege on the whole table.
 */
const OPEN = `LOOP
    relation := pg_catalog.regclass(${marked('$1')});
    EXIT WHEN pg_catalog.pg_relation_size(${marked("relation, 'main'")}) ${GE} 0 AND relation ${EQ} pg_catalog.regclass($1);
  END LOOP;
  SELECT c.relkind::pg_catalog.text INTO kind FROM pg_catalog.pg_class c
   WHERE c.oid ${EQ} relation::pg_catalog.oid;
  IF kind ${EQ} ANY (ARRAY['i', 'I', 'c']) OR NOT pg_catalog.has_table_privilege(relation, 'SELECT') THEN
    -- This one opens a relation just as the extension does, and says what is wrong with it.
    kind := pg_catalog.currtid2(${marked("$1, '(0,0)'")})::pg_catalog.text;
  END IF;`;

const OPEN_VARIABLES = `
  relation pg_catalog.regclass;
  kind ${TEXT};`;

const GET_PKEY = `
DECLARE${OPEN_VARIABLES}
BEGIN
  ${OPEN}
  RETURN QUERY
    SELECT k.number::pg_catalog.int4, a.attname::pg_catalog.text
      FROM pg_catalog.pg_index i
     CROSS JOIN LATERAL pg_catalog.unnest(i.indkey) WITH ORDINALITY AS k(attnum, number)
      JOIN pg_catalog.pg_attribute a ON a.attrelid ${EQ} i.indrelid AND a.attnum ${EQ} k.attnum
     WHERE i.indrelid ${EQ} relation::pg_catalog.oid AND i.indisprimary
       AND k.number ${LE} i.indnkeyatts
     ORDER BY k.number;
END`;

/** SQL expression: the condition that the key columns have these values, a variable of type text[]. */
const condition = (values: string): string => `(
    SELECT pg_catalog.string_agg(pg_catalog.concat(k.name, coalesce(' = ' ${CAT} pg_catalog.quote_literal(k.value), ' IS NULL')),
             ' AND ' ORDER BY k.i)
      FROM ROWS FROM (pg_catalog.unnest(key_names), pg_catalog.unnest(${values})) WITH ORDINALITY AS k(name, value, i))`;

/** The live columns' names, the relation's, and those of the key columns that $2 and $3 choose among the live ones. */
const CHOOSE_KEYS = `SELECT pg_catalog.array_agg(pg_catalog.quote_ident(a.attname) ORDER BY a.attnum) FILTER (WHERE NOT a.attisdropped),
         pg_catalog.array_agg(a.attisdropped ORDER BY a.attnum)
    INTO live, dropped
    FROM pg_catalog.pg_attribute a
   WHERE a.attrelid ${EQ} relation::pg_catalog.oid AND a.attnum ${GT} 0;
  SELECT pg_catalog.concat(CASE WHEN NOT pg_catalog.pg_table_is_visible(c.oid) THEN pg_catalog.concat(pg_catalog.quote_ident(n.nspname), '.') END,
           pg_catalog.quote_ident(c.relname))
    INTO named
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid ${EQ} c.relnamespace
   WHERE c.oid ${EQ} relation::pg_catalog.oid;
  numbers := ARRAY(SELECT k.number FROM pg_catalog.unnest($2) AS k(number));
  key_count := least($3, pg_catalog.cardinality(numbers));
  IF key_count ${LE} 0 THEN
    ${raise('22023', "'number of key attributes must be > 0'")}
  END IF;
  FOR i IN 1 .. key_count LOOP
    IF numbers[i] ${LE} 0 OR numbers[i] ${GT} coalesce(pg_catalog.cardinality(live), 0) THEN
      ${raise('22023', "pg_catalog.concat('invalid attribute number ', numbers[i])")}
    END IF;
    key_names[i] := live[numbers[i]];
  END LOOP;`;

const CHOOSE_KEYS_VARIABLES = `
  live pg_catalog.text[];
  dropped pg_catalog.bool[];
  named ${TEXT};
  numbers pg_catalog.int4[];
  key_count pg_catalog.int4;
  key_names pg_catalog.text[];`;

/** The values of an array in their order, whatever its dimensions. */
const values = (variable: string, argument: string, whose: 'source' | 'target'): string =>
  `${variable} := ARRAY(SELECT v.value FROM pg_catalog.unnest(${argument}) AS v(value));
  IF pg_catalog.cardinality(${variable}) ${NE} key_count THEN
    ${raise('2202E', `'${whose} key array length must match number of key attributes'`)}
  END IF;`;

/**
 * The values of the one row that has the source's key, as literals, then those of the key as the target has them; of a
 * column that is in the key twice the first one. A record's text is what the output functions of its columns gave,
 * each value quoted where it has to be.
 */
const LITERALS = `looked_up := pg_catalog.concat('SELECT ', (
      SELECT pg_catalog.string_agg(CASE WHEN a.attisdropped THEN 'NULL' ELSE pg_catalog.quote_ident(a.attname) END, ', ' ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a
       WHERE a.attrelid ${EQ} relation::pg_catalog.oid AND a.attnum ${GT} 0),
    ' FROM ', named, ' WHERE ', ${condition('source')});
  EXECUTE looked_up INTO source_row;
  GET DIAGNOSTICS matching = ROW_COUNT;
  IF matching ${GT} 1 THEN
    ${raise('21000', "'source criteria matched more than one record'")}
  ELSIF matching ${EQ} 0 THEN
    ${raise('21000', "'source row not found'")}
  END IF;
  written := source_row::pg_catalog.text;
  literals := ARRAY(
    SELECT CASE WHEN f.part[1] ${EQ} '' THEN 'NULL'
             WHEN pg_catalog.starts_with(f.part[1], '"') THEN pg_catalog.quote_literal(pg_catalog.replace(pg_catalog.replace(
               pg_catalog.substr(f.part[1], 2, pg_catalog.length(f.part[1]) ${MINUS} 2), '""', '"'), E'\\\\\\\\', E'\\\\'))
             ELSE pg_catalog.quote_literal(f.part[1]) END
      FROM ROWS FROM (pg_catalog.regexp_matches(written, '[(,]("(?:[^"]|"")*"|[^",)]*)', 'g'), pg_catalog.unnest(dropped))
           WITH ORDINALITY AS f(part, dropped, i)
     WHERE NOT f.dropped
     ORDER BY f.i);
  FOR i IN REVERSE key_count .. 1 LOOP
    literals[numbers[i]] := pg_catalog.quote_nullable(target[i]);
  END LOOP;`;

const LITERALS_VARIABLES = `
  source pg_catalog.text[];
  target pg_catalog.text[];
  looked_up ${TEXT};
  source_row pg_catalog.record;
  matching pg_catalog.int8;
  written ${TEXT};
  literals pg_catalog.text[];`;

/** A function that makes a statement out of the row of the source's key. */
const buildFromRow = (statement: string): string => `
DECLARE${OPEN_VARIABLES}${CHOOSE_KEYS_VARIABLES}${LITERALS_VARIABLES}
BEGIN
  ${OPEN}
  ${CHOOSE_KEYS}
  ${values('source', '$4', 'source')}
  ${values('target', '$5', 'target')}
  ${LITERALS}
  RETURN pg_catalog.concat(${statement});
END`;

const BUILD_INSERT =
  buildFromRow(`'INSERT INTO ', named, '(', pg_catalog.array_to_string(live, ','), ') VALUES(',
    pg_catalog.array_to_string(literals, ','), ')'`);

const BUILD_UPDATE = buildFromRow(`'UPDATE ', named, ' SET ', (
      SELECT pg_catalog.string_agg(pg_catalog.concat(c.name, ' = ', c.literal), ', ' ORDER BY c.i)
        FROM ROWS FROM (pg_catalog.unnest(live), pg_catalog.unnest(literals)) WITH ORDINALITY AS c(name, literal, i)),
    ' WHERE ', ${condition('target')}`);

const BUILD_DELETE = `
DECLARE${OPEN_VARIABLES}${CHOOSE_KEYS_VARIABLES}
  target pg_catalog.text[];
BEGIN
  ${OPEN}
  ${CHOOSE_KEYS}
  ${values('target', '$4', 'target')}
  RETURN pg_catalog.concat('DELETE FROM ', named, ' WHERE ', ${condition('target')});
END`;

/** By their signatures. */
export const LOCAL_FUNCTIONS: Readonly<Record<string, LocalFunction>> = {
  'dblink_current_query()': { body: '\nBEGIN\n  RETURN pg_catalog.current_query();\nEND' },
  'dblink_get_pkey(text)': { body: GET_PKEY },
  'dblink_build_sql_insert(text,int2vector,integer,text[],text[])': { body: BUILD_INSERT },
  'dblink_build_sql_update(text,int2vector,integer,text[],text[])': { body: BUILD_UPDATE },
  'dblink_build_sql_delete(text,int2vector,integer,text[])': { body: BUILD_DELETE },
  'dblink_fdw_validator(text[],oid)': { body: validatorBody(), set: 'search_path = pg_catalog, pg_temp' },
};
