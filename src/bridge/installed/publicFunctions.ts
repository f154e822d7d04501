import { CATALOGUE, COST, type Overload, PKEY_RESULTS, SET_ROWS } from '../../dblink/catalogue.js';
import { bridgeComment, MARK, QUIET, ROLL_BACK } from '../../primary/marks.js';
import { CAT, EQ, GT, LE, NE } from '../../primary/operators.js';
import {
  type AnswerKind,
  errorParts,
  FIRST_EARLIER,
  KIND,
  NO_RECORD,
  part,
  WANTED_SETTINGS,
  WITHOUT_EARLIER,
} from './answerParts.js';
import { FREQUENT_TYPES } from './commonTypes.js';
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
const serverArgument = ({ name, args }: Pick<Overload, 'name' | 'args'>): number =>
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
      answer := dblink_proxy.prove(${part('prove', 'question')});
    ELSE
      ${otherwise}
    END IF;`;
};

/** Whether the answer is of one of these kinds. */
const is = (...kinds: readonly AnswerKind[]): string =>
  kinds.map((kind) => `${KIND} ${EQ} '${kind}'`).join(' OR ');

const CARDINALITY = 'pg_catalog.cardinality(answer)';

/** In PL/pgSQL: the session's settings, those of the styles as they were when the function was called. */
const SETTINGS: Readonly<Record<(typeof WANTED_SETTINGS)[number], string>> = {
  timeZone: `pg_catalog.current_setting('timezone')`,
  dateStyle: 'style[1]',
  intervalStyle: 'style[2]',
};

const NEXT = `dblink_proxy.ask('next', current_user::pg_catalog.text, '{}')`;

/** A function of one value. */
function scalarBody(overload: Overload): string {
  const value =
    overload.returns === 'text'
      ? part('value', 'value')
      : `${part('value', 'value')}::pg_catalog.${overload.returns === 'integer' ? 'int4' : overload.returns}`;
  return `
DECLARE
  answer pg_catalog.text[];
BEGIN
  answer := ${request(overload)};
  WHILE ${KIND} ${NE} 'value' LOOP
    ${tellConnecting(overload, `${TELL_ANSWER} answer := ${NEXT};`)}
  END LOOP;
  RETURN ${value};
END`;
}

/**
 * A function of rows; what its answers are made of says answerParts.ts.
 *
 * Which types the caller's column definition list has, only a complaint tells: types is tried and corrected until there is
 * none. With more rows than an answer holds that happens first, so that the service account can convert what it may.
 */
const ONE_COLUMN = `${part('rows', 'oids')} ${EQ} ANY (ARRAY[${FREQUENT_TYPES.map(({ oids }) => `'${oids}'`).join(', ')}])`;

/**
 * In PL/pgSQL: returns the rows of one such column, by a statement that is planned once for the session. Both marks stand in front of
 * its last word, since PL/pgSQL leaves out a comment behind that.
 */
const readOneColumn = FREQUENT_TYPES.map(
  ({ oids, name }, i) => `${i === 0 ? 'IF' : 'ELSIF'} ${part('rows', 'oids')} ${EQ} '${oids}' THEN
            RETURN QUERY SELECT /*${MARK}*/ t.c1 FROM pg_catalog.json_to_recordset(${part('rows', 'rows')}::pg_catalog.json) AS t(c1 pg_catalog.${name} /*${MARK}*/);`,
)
  .join('\n          ')
  .concat('\n          END IF;');

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
    IF ${is('rows')} AND ${CARDINALITY} ${EQ} ${WITHOUT_EARLIER} THEN
      prepared := CASE WHEN ${ONE_COLUMN} THEN '' ELSE dblink_proxy.common(${part('rows', 'oids')}) END;
    END IF;
    IF prepared IS NULL AND ${KIND} ${NE} 'table' THEN
      types := dblink_proxy.guessed(CASE WHEN ${is('status')} THEN coalesce(${part('status', 'oids')}, '{25}') ELSE ${part('rows', 'oids')} END);
    END IF;
    LOOP
      fitting := false;
      styled := ${part('rows', 'dateStyle')} ${NE} style[1] OR ${part('rows', 'intervalStyle')} ${NE} style[2];
      BEGIN
        IF styled THEN
          PERFORM pg_catalog.set_config('datestyle', coalesce(${part('rows', 'dateStyle')}, style[1]), true),
            pg_catalog.set_config('intervalstyle', coalesce(${part('rows', 'intervalStyle')}, style[2]), true);
        END IF;
        IF ${is('more')} OR ${CARDINALITY} ${GT} ${WITHOUT_EARLIER} THEN
          RETURN QUERY EXECUTE dblink_proxy.reading(types) USING '[]'::pg_catalog.json;
          EXIT WHEN ${is('more')};
          fitting := true;
          FOR i IN ${FIRST_EARLIER} .. pg_catalog.cardinality(answer) LOOP
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
          RETURN QUERY EXECUTE dblink_proxy.reading_table(types, converted, ${part('table', 'relation')});
          -- Rolled back, so that no lock on the table stays; the rows do.
          RAISE EXCEPTION USING ERRCODE = '${ROLL_BACK}';
        ELSIF ${is('status')} THEN
          -- The executor says which types it takes for text; no input function reads it.
          RETURN QUERY EXECUTE dblink_proxy.reading_status(types) USING ${part('status', 'tag')};
        ELSIF prepared ${EQ} '' THEN
          ${readOneColumn}
        ELSE
          RETURN QUERY EXECUTE coalesce(prepared, dblink_proxy.reading(types)) USING ${part('rows', 'rows')}::pg_catalog.json;
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
          types := dblink_proxy.guessed(${part('rows', 'oids')});
          prepared := NULL;
        END IF;
        corrected := dblink_proxy.corrected(types, message, complaint);
        IF corrected IS NULL AND SQLSTATE ${EQ} '0A000' THEN
          BEGIN
            RETURN QUERY EXECUTE 'SELECT WHERE false';
          EXCEPTION WHEN datatype_mismatch THEN NULL;
          WHEN feature_not_supported THEN
            -- In a select list nobody says which types are wanted, so that this function can return no row.
            IF ${is('status')} THEN RETURN; END IF;
            corrected := types;
            answer := ${NO_RECORD};
          END;
          EXIT WHEN ${is('error')};
        END IF;
        IF corrected IS NULL OR corrected ${EQ} types AND types ${NE} '{}' THEN RAISE; END IF;
        IF ${is('status')} AND corrected ${EQ} '{}' AND (fitting OR ${CARDINALITY} ${LE} ${WITHOUT_EARLIER}) THEN
          answer := ${errorParts(
            '42804',
            `'function return row and query-specified return row do not match'`,
            `'Returned row contains 1 attribute, but query expects ' ${CAT}
              (pg_catalog.regexp_match(complaint, E'(\\\\d+)[^\\\\d]*$'))[1] ${CAT} '.'`,
          )};
        ELSIF corrected ${EQ} '{}' THEN
          answer := ${errorParts('42804', `'remote query result rowtype does not match the specified FROM clause rowtype'`)};
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
        converted ${CAT} ARRAY[${WANTED_SETTINGS.map((name) => SETTINGS[name]).join(', ')}]);
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
