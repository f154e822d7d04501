import { CATALOGUE, COST, type Overload, SET_ROWS } from '../../dblink/catalogue.js';
import { bridgeComment, MARK, ROLL_BACK } from './serviceSchema.js';

/** SQL of the functions with dblink's own names: they ask the proxy, and turn its answer into what they return. */

const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** The signature as the catalogue shows it: `dblink(text,text)`. */
export const signatureOf = (overload: Overload): string =>
  `${overload.name}(${overload.args.map(({ type }) => type).join(',')})`;

/** Raises the answer's error or notice; the comment holds the context lines that stand for the bridge's frames. */
const TELL = `EXECUTE 'SELECT dblink_proxy.tell($1) /*${MARK} ' || answer[2] || '*/' USING answer;`;

const request = ({ name, args }: Overload): string => {
  const values = args.map(({ type }, i) => (type === 'text' ? `$${i + 1}` : `$${i + 1}::pg_catalog.text`));
  const list = values.length === 0 ? `'{}'::pg_catalog.text[]` : `ARRAY[${values.join(', ')}]`;
  return `dblink_proxy.ask('${signatureOf({ name, args } as Overload)}', current_user::pg_catalog.text, ${list})`;
};

const NEXT = `dblink_proxy.ask('next', current_user::pg_catalog.text, '{}')`;

/** No options need no proxy to be valid: making the wrapper calls its validator with none. */
const WITHOUT_OPTIONS = 'IF pg_catalog.cardinality($1) OPERATOR(pg_catalog.=) 0 THEN RETURN; END IF;\n  ';

/** A function of one value. */
function scalarBody(overload: Overload): string {
  const value =
    overload.returns === 'text'
      ? 'answer[3]'
      : `answer[3]::pg_catalog.${overload.returns === 'integer' ? 'int4' : overload.returns}`;
  return `
DECLARE
  answer pg_catalog.text[];
BEGIN
  ${overload.returns === 'void' ? WITHOUT_OPTIONS : ''}answer := ${request(overload)};
  WHILE answer[1] <> 'value' LOOP
    ${TELL}
    answer := ${NEXT};
  END LOOP;
  RETURN ${overload.returns === 'void' ? '' : value};
END`;
}

/**
 * A function of rows. The answer's third part is what is known of their types; the fourth, if it is all here, the JSON of
 * the rows; the fifth and sixth the DateStyle and IntervalStyle to read them in; the others are the rows of the string's
 * earlier statements, which are converted though not returned (behaviour reference, section 4.4).
 */
function rowsBody(overload: Overload): string {
  return `
DECLARE
  answer pg_catalog.text[];
  types pg_catalog.text[];
  known pg_catalog.text[];
  style CONSTANT pg_catalog.text[] := ARRAY[pg_catalog.current_setting('datestyle'), pg_catalog.current_setting('intervalstyle')];
  message pg_catalog.text;
  complaint pg_catalog.text;
  wanted pg_catalog.bool;
BEGIN
  answer := ${request(overload)};
  LOOP
    IF answer[1] IN ('error', 'notice') THEN
      ${TELL}
      answer := ${NEXT};
      CONTINUE;
    END IF;
    IF answer[1] = 'table' THEN
      -- Rolled back, so that no lock on the table stays; the rows do.
      BEGIN
        RETURN QUERY EXECUTE dblink_proxy.reading_table(types, known, answer[3]);
        RAISE EXCEPTION USING ERRCODE = '${ROLL_BACK}';
      EXCEPTION WHEN SQLSTATE '${ROLL_BACK}' THEN
        RETURN;
      END;
    END IF;
    IF answer[1] = 'nothing' THEN RETURN; END IF;
    types := CASE WHEN answer[1] = 'status' THEN ARRAY['text'] ELSE dblink_proxy.guessed(answer[3]) END;
    LOOP
      BEGIN
        IF answer[1] = 'status' THEN
          -- The executor says which types it takes for text, and reads none.
          RETURN QUERY EXECUTE '/*${MARK}*/ SELECT * FROM dblink_proxy.status($1) AS t(c1 ' || types[1] || ') /*${MARK}*/' USING answer[3];
          RETURN;
        ELSIF answer[1] = 'more' THEN
          RETURN QUERY EXECUTE dblink_proxy.reading(types) USING '[]'::pg_catalog.json;
          EXIT;
        END IF;
        IF answer[5] <> style[1] OR answer[6] <> style[2] THEN
          PERFORM pg_catalog.set_config('datestyle', coalesce(answer[5], style[1]), true),
            pg_catalog.set_config('intervalstyle', coalesce(answer[6], style[2]), true);
        END IF;
        IF pg_catalog.cardinality(answer) > 6 THEN
          RETURN QUERY EXECUTE dblink_proxy.reading(types) USING '[]'::pg_catalog.json;
          FOR i IN 7 .. pg_catalog.cardinality(answer) LOOP
            EXECUTE 'SELECT pg_catalog.count(*) FROM (' || dblink_proxy.reading(types) || ') AS earlier' USING answer[i]::pg_catalog.json;
          END LOOP;
        END IF;
        RETURN QUERY EXECUTE dblink_proxy.reading(types) USING answer[4]::pg_catalog.json;
        IF answer[5] <> style[1] OR answer[6] <> style[2] THEN
          PERFORM pg_catalog.set_config('datestyle', style[1], true), pg_catalog.set_config('intervalstyle', style[2], true);
        END IF;
        RETURN;
      EXCEPTION WHEN datatype_mismatch OR feature_not_supported THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, complaint = PG_EXCEPTION_DETAIL;
        known := dblink_proxy.corrected(types, message, complaint);
        IF known IS NULL AND SQLSTATE = '0A000' THEN
          -- In a select list nobody says which types are wanted, so that this function can return no row.
          BEGIN
            RETURN QUERY EXECUTE 'SELECT WHERE false';
          EXCEPTION
            WHEN datatype_mismatch THEN wanted := true;
            WHEN feature_not_supported THEN wanted := false;
          END;
          IF NOT wanted AND answer[1] = 'status' THEN RETURN; END IF;
          IF NOT wanted THEN
            answer := ARRAY['error', '', '0A000', 'function returning record called in context that cannot accept type record', NULL, NULL];
            EXIT;
          END IF;
        END IF;
        IF known IS NULL THEN RAISE; END IF;
        IF answer[1] = 'status' AND known = '{}' THEN
          answer := ARRAY['error', '', '42804', 'function return row and query-specified return row do not match',
            'Returned row contains 1 attribute, but query expects ' || (pg_catalog.regexp_match(complaint, '(\\d+)[^\\d]*$'))[1] || '.', NULL];
          EXIT;
        ELSIF known = '{}' THEN
          answer := ARRAY['error', '', '42804', 'remote query result rowtype does not match the specified FROM clause rowtype', NULL, NULL];
          EXIT;
        END IF;
        types := known;
      END;
    END LOOP;
    IF answer[1] = 'more' THEN
      known := dblink_proxy.portable(types);
      answer := dblink_proxy.ask('types', current_user::pg_catalog.text,
        known || ARRAY[pg_catalog.current_setting('timezone'), style[1], style[2]]);
    END IF;
  END LOOP;
END`;
}

/** What is purely local needs no proxy. */
const LOCAL_BODIES: Readonly<Record<string, string>> = {
  'dblink_current_query()': '\nBEGIN\n  RETURN pg_catalog.current_query();\nEND',
};

function argumentList({ args, columns }: Overload): string {
  const given = args.map(({ name, type }) => (name === undefined ? type : `${identifier(name)} ${type}`));
  const out = (columns ?? []).map(({ name, type }) => `OUT ${identifier(name)} ${type}`);
  return [...given, ...out].join(', ');
}

/** SQL that makes one function in a schema, or replaces it. */
export function createFunctionSql(overload: Overload, schema: string): string {
  const qualified = `${identifier(schema)}.${overload.name}`;
  const sets = overload.returns.startsWith('setof');
  const rows = sets ? ` ROWS ${SET_ROWS}` : '';
  const returns =
    overload.returns === 'setof dblink_pkey_results'
      ? `SETOF ${identifier(schema)}.dblink_pkey_results`
      : overload.returns.replace('setof', 'SETOF');
  const body = LOCAL_BODIES[signatureOf(overload)] ?? (sets ? rowsBody(overload) : scalarBody(overload));
  const attributes = `VOLATILE ${overload.strict ? 'STRICT ' : ''}${overload.securityDefiner ? 'SECURITY DEFINER ' : ''}PARALLEL UNSAFE COST ${COST}${rows}`;
  return `CREATE OR REPLACE FUNCTION ${qualified}(${argumentList(overload)}) RETURNS ${returns}
LANGUAGE plpgsql ${attributes} AS $bridge$${body} $bridge$`;
}

/** SQL statements, to be run in this order, that make the functions in a schema. */
export function publicFunctionsSql(
  schema: string,
  overloads: readonly Overload[] = CATALOGUE,
): readonly string[] {
  return overloads.flatMap((overload) => {
    const named = `${identifier(schema)}.${signatureOf(overload)}`;
    return [
      createFunctionSql(overload, schema),
      `COMMENT ON FUNCTION ${named} IS '${bridgeComment()}'`,
      ...(overload.public ? [] : [`REVOKE ALL ON FUNCTION ${named} FROM PUBLIC`]),
    ];
  });
}
