import { CATALOGUE, COST, type Overload, PKEY_RESULTS, SET_ROWS } from '../../dblink/catalogue.js';
import { bridgeComment, QUIET, ROLL_BACK } from '../../primary/marks.js';
import { fingerprintsOf } from './fingerprints.js';
import { LOCAL_FUNCTIONS } from './localFunctions.js';
import { TELL_ANSWER } from './serviceSchema.js';

/** SQL of the functions with dblink's own names: they ask the proxy, and turn its answer into what they return. */

const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** The signature as the catalogue shows it: `dblink(text,text)`. */
export const signatureOf = (overload: Overload): string =>
  `${overload.name}(${overload.args.map(({ type }) => type).join(',')})`;

/**
 * Which argument may be the name of a foreign server (behaviour reference, section 2).
 * @returns its index, or -1
 */
export const serverArgument = ({ name, args }: Pick<Overload, 'name' | 'args'>): number =>
  args.findIndex(
    ({ role }) => role === 'conninfo' || (role === 'connection' && /^dblink(_exec)?$/.test(name)),
  );

const request = ({ name, args }: Overload): string => {
  const values = args.map(({ type }, i) => (type === 'text' ? `$${i + 1}` : `$${i + 1}::pg_catalog.text`));
  const given = values.length === 0 ? `'{}'::pg_catalog.text[]` : `ARRAY[${values.join(', ')}]`;
  return `dblink_proxy.ask('${signatureOf({ name, args } as Overload)}', current_user::pg_catalog.text, ${given})`;
};

/**
 * In PL/pgSQL: asks on where the answer is a question that comes before connecting: what there is under the name of a
 * foreign server, and which role the function runs as. Nothing for a function that makes no connection.
 */
const tellConnecting = (overload: Overload, otherwise: string): string => {
  const server = serverArgument(overload);
  if (server < 0) return otherwise;
  return `IF ${is('server')} THEN
      answer := dblink_proxy.ask('server', current_user::pg_catalog.text, dblink_proxy.server($${server + 1}));
    ELSIF ${is('prove')} THEN
      answer := dblink_proxy.prove(answer[3]);
    ELSE
      ${otherwise}
    END IF;`;
};

/** Whether the answer is of one of these kinds. */
const is = (...kinds: readonly string[]): string =>
  kinds.map((kind) => `answer[1] OPERATOR(pg_catalog.=) '${kind}'`).join(' OR ');

const CARDINALITY = 'pg_catalog.cardinality(answer)';

const NEXT = `dblink_proxy.ask('next', current_user::pg_catalog.text, '{}')`;

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
  answer := ${request(overload)};
  WHILE answer[1] OPERATOR(pg_catalog.<>) 'value' LOOP
    ${tellConnecting(overload, `${TELL_ANSWER} answer := ${NEXT};`)}
  END LOOP;
  RETURN ${value};
END`;
}

/**
 * A function of rows. Parts of an answer that has any: its kind; nothing; for `rows` and `more` the OIDs of the remote's types, for `status` the command tag, for `table` the relation that the rows are in; for `rows` their JSON, for `status`
 * OIDs; DateStyle and IntervalStyle to read them in; the rows of the string's earlier statements, JSON or the name of a
 * relation, which are converted though not returned (behaviour reference, section 4.4). `checked` has such rows only, and
 * the types of `rows`: what comes behind them is asked for when they have been converted.
 *
 * Which types the caller's column definition list has, only a complaint tells: types is tried and corrected until there is
 * none. With more rows than an answer holds that happens first, so that the service account can convert what it may.
 */
function rowsBody(overload: Overload): string {
  return `
DECLARE
  answer pg_catalog.text[];
  types pg_catalog.text[];
  corrected pg_catalog.text[];
  converted pg_catalog.text[];
  style CONSTANT pg_catalog.text[] := ARRAY[pg_catalog.current_setting('datestyle'), pg_catalog.current_setting('intervalstyle')];
  styled pg_catalog.bool;
  fitting pg_catalog.bool;
  message pg_catalog.text;
  complaint pg_catalog.text;
  prepared pg_catalog.text;
BEGIN
  answer := ${request(overload)};
  LOOP
    IF ${is('error', 'notice', 'server', 'prove')} THEN
      ${tellConnecting(overload, `${TELL_ANSWER} answer := ${NEXT};`)}
      CONTINUE;
    END IF;
    IF ${is('nothing')} THEN RETURN; END IF;
    prepared := NULL;
    IF ${is('rows')} AND ${CARDINALITY} OPERATOR(pg_catalog.=) 6 THEN
      prepared := dblink_proxy.common(answer[3]);
    END IF;
    IF prepared IS NULL AND answer[1] OPERATOR(pg_catalog.<>) 'table' THEN
      types := dblink_proxy.guessed(CASE WHEN ${is('status')} THEN coalesce(answer[4], '{25}') ELSE answer[3] END);
    END IF;
    LOOP
      fitting := false;
      styled := answer[5] OPERATOR(pg_catalog.<>) style[1] OR answer[6] OPERATOR(pg_catalog.<>) style[2];
      BEGIN
        IF styled THEN
          PERFORM pg_catalog.set_config('datestyle', coalesce(answer[5], style[1]), true),
            pg_catalog.set_config('intervalstyle', coalesce(answer[6], style[2]), true);
        END IF;
        IF ${is('more')} OR ${CARDINALITY} OPERATOR(pg_catalog.>) 6 THEN
          RETURN QUERY EXECUTE dblink_proxy.reading(types) USING '[]'::pg_catalog.json;
          EXIT WHEN ${is('more')};
          fitting := true;
          FOR i IN 7 .. pg_catalog.cardinality(answer) LOOP
            IF pg_catalog.starts_with(answer[i], '[') THEN
              EXECUTE dblink_proxy.counting(dblink_proxy.reading(types)) USING answer[i]::pg_catalog.json;
            ELSE
              EXECUTE dblink_proxy.counting(dblink_proxy.reading_table(types, converted, answer[i]));
            END IF;
          END LOOP;
        END IF;
        IF ${is('checked')} THEN
          IF styled THEN
            PERFORM pg_catalog.set_config('datestyle', style[1], true), pg_catalog.set_config('intervalstyle', style[2], true);
          END IF;
          EXIT;
        END IF;
        IF ${is('table')} THEN
          RETURN QUERY EXECUTE dblink_proxy.reading_table(types, converted, answer[3]);
          -- Rolled back, so that no lock on the table stays; the rows do.
          RAISE EXCEPTION USING ERRCODE = '${ROLL_BACK}';
        ELSIF ${is('status')} THEN
          -- The executor says which types it takes for text; no input function reads it.
          RETURN QUERY EXECUTE dblink_proxy.reading_status(types) USING answer[3];
        ELSE
          RETURN QUERY EXECUTE coalesce(prepared, dblink_proxy.reading(types)) USING answer[4]::pg_catalog.json;
        END IF;
        IF styled THEN
          PERFORM pg_catalog.set_config('datestyle', style[1], true), pg_catalog.set_config('intervalstyle', style[2], true);
        END IF;
        RETURN;
      EXCEPTION WHEN SQLSTATE '${ROLL_BACK}' THEN
        RETURN;
      WHEN datatype_mismatch OR feature_not_supported THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, complaint = PG_EXCEPTION_DETAIL;
        IF prepared IS NOT NULL THEN
          types := dblink_proxy.guessed(answer[3]);
          prepared := NULL;
        END IF;
        corrected := dblink_proxy.corrected(types, message, complaint);
        IF corrected IS NULL AND SQLSTATE OPERATOR(pg_catalog.=) '0A000' THEN
          BEGIN
            RETURN QUERY EXECUTE 'SELECT WHERE false';
          EXCEPTION WHEN datatype_mismatch THEN NULL;
          WHEN feature_not_supported THEN
            -- In a select list nobody says which types are wanted, so that this function can return no row.
            IF ${is('status')} THEN RETURN; END IF;
            corrected := types;
            answer := ARRAY['error', '', '0A000', 'function returning record called in context that cannot accept type record', NULL, NULL];
          END;
          EXIT WHEN ${is('error')};
        END IF;
        IF corrected IS NULL OR corrected OPERATOR(pg_catalog.=) types AND types OPERATOR(pg_catalog.<>) '{}' THEN RAISE; END IF;
        IF ${is('status')} AND corrected OPERATOR(pg_catalog.=) '{}' AND (fitting OR ${CARDINALITY} OPERATOR(pg_catalog.<=) 6) THEN
          answer := ARRAY['error', '', '42804', 'function return row and query-specified return row do not match',
            'Returned row contains 1 attribute, but query expects ' OPERATOR(pg_catalog.||)
              (pg_catalog.regexp_match(complaint, E'(\\\\d+)[^\\\\d]*$'))[1] OPERATOR(pg_catalog.||) '.', NULL];
        ELSIF corrected OPERATOR(pg_catalog.=) '{}' THEN
          answer := ARRAY['error', '', '42804', 'remote query result rowtype does not match the specified FROM clause rowtype', NULL, NULL];
        END IF;
        EXIT WHEN ${is('error')};
        types := corrected;
      END;
    END LOOP;
    IF ${is('checked')} THEN
      answer := ${NEXT};
    ELSIF ${is('more')} THEN
      converted := dblink_proxy.portable(types);
      answer := dblink_proxy.ask('types', current_user::pg_catalog.text,
        converted OPERATOR(pg_catalog.||) ARRAY[pg_catalog.current_setting('timezone'), style[1], style[2]]);
    END IF;
  END LOOP;
END`;
}

function argumentList({ args, columns }: Overload): string {
  const given = args.map(({ name, type }) => (name === undefined ? type : `${identifier(name)} ${type}`));
  const out = (columns ?? []).map(({ name, type }) => `OUT ${identifier(name)} ${type}`);
  return [...given, ...out].join(', ');
}

/** SQL that makes the type of dblink_get_pkey()'s rows in a schema. */
export function pkeyResultsSql(schema: string): string {
  const columns = PKEY_RESULTS.map(({ name, type }) => `${identifier(name)} ${type}`).join(', ');
  return `CREATE TYPE ${identifier(schema)}.dblink_pkey_results AS (${columns})`;
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
  const local = LOCAL_FUNCTIONS[signatureOf(overload)];
  const body = local?.body ?? (sets ? rowsBody(overload) : scalarBody(overload));
  const parallel = local === undefined ? 'unsafe' : overload.parallel;
  const set = local === undefined ? ` ${QUIET}` : local.set === undefined ? '' : ` SET ${local.set}`;
  const attributes = `VOLATILE ${overload.strict ? 'STRICT ' : ''}${overload.securityDefiner ? 'SECURITY DEFINER ' : ''}PARALLEL ${parallel} COST ${COST}${rows}${set}`;
  return `CREATE OR REPLACE FUNCTION ${qualified}(${argumentList(overload)}) RETURNS ${returns}
LANGUAGE plpgsql ${attributes} AS $bridge$${body} $bridge$`;
}

/** The functions' bodies, as `md5(prosrc)` shows them. */
export const PUBLIC_BODIES: readonly string[] = CATALOGUE.flatMap((overload) =>
  fingerprintsOf(createFunctionSql(overload, 'public')).map((fingerprint) => fingerprint.split(' ')[1]!),
);

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
