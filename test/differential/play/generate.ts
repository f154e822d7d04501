import { type ArgumentRole, CATALOGUE, type Overload } from '../../../src/dblink/catalogue.js';
import { open, testCase } from '../compare/notation.js';
import { seeded } from './random.js';
import type { Case, Step } from './types.js';

/**
 * Cases that nobody thought of: for a seed and a number always the same. Each opens a connection, and a cursor or an
 * asynchronous query now and then, and makes some calls: any overload, arguments of all kinds in their places, wrapped in
 * any construct. Most are wrong in some way, which is the point: what PostgreSQL says about it is compared.
 */

type Random = () => number;

/** In a Query of several statements the primary knows only of its own: docs/compatibility.md. */
const CALLED = CATALOGUE.filter(({ name }) => name !== 'dblink_current_query');

/** What stands in the place of an argument, by its role. Repeated entries are more likely. */
const ARGUMENTS: Readonly<Record<ArgumentRole, readonly string[]>> = {
  connection: [
    "'c'",
    "'c'",
    "'c'",
    "'c'",
    "'c'::text",
    "'c'::varchar",
    "'c'::name",
    "lower('C')",
    "'C'",
    "'nosuch'",
    "''",
    'NULL',
  ],
  conninfo: ["'{R}'", "'{R}'", "'{R}'", "'{URI}'", "'nosuch'", "'host=127.0.0.1 port=1'", "''", 'NULL'],
  sql: [
    "'SELECT 1'",
    "'SELECT 1'",
    "'SELECT id FROM people ORDER BY id'",
    "'SELECT id, name FROM people ORDER BY id'",
    "'SELECT 1 WHERE false'",
    "'SELECT 1, 2'",
    "'SELECT $$x$$'",
    "'SELECT NULL'",
    "'SELECT 1; SELECT 2'",
    "'SELECT 1/0'",
    "'SELECT 1; SELECT 1/0'",
    "'selec 1'",
    "'SET x.y = 1'",
    "'INSERT INTO scratch.w VALUES (7)'",
    "'INSERT INTO scratch.w VALUES (8) RETURNING a'",
    "'DELETE FROM scratch.w WHERE a > 5'",
    "'DO $$BEGIN RAISE EXCEPTION USING ERRCODE = $q$ZZ123$q$, MESSAGE = $q$m$q$, DETAIL = $q$d$q$, HINT = $q$h$q$; END$$'",
    "format('SELECT %L::int', 5)",
    "'SELECT date $$2024-02-03$$'",
    "'SELECT 1.5'",
    "''",
    "';'",
    'NULL',
  ],
  failOnError: ['true', 'false', 'false', "'f'", "'x'", 'NULL', '1 = 1', 'NOT true'],
  cursor: ["'cur'", "'cur'", "'cur'", "'CUR'", '\'"cur"\'', "'nocur'", "'cur'::text", 'NULL', "''"],
  howMany: ['1', '1', '2', '0', '-1', '100', "'1'", '1.5', '2::int2', '1::bigint', '1 + 1', 'NULL', "'x'"],
  relation: [
    "'local_keys'",
    "'local_keys'",
    "' Local_Keys '",
    "'nosuch'",
    "'a b'",
    "'pg_class'",
    'NULL',
    "''",
  ],
  keyAttributes: ["'1'", "'1 2'", "'2'", "'0'", "'9'", "'1'::int2vector", 'NULL', "''"],
  keyCount: ['1', '1', '2', '0', '-1', "'1'", 'NULL'],
  sourceKeys: [
    "ARRAY['1']",
    "'{1}'",
    "'{1,a}'",
    "ARRAY['1','a']",
    "'{}'",
    'ARRAY[NULL]',
    'NULL',
    "ARRAY['9']",
  ],
  targetKeys: ["ARRAY['2']", "'{2}'", "'{2,b}'", `ARRAY['it''s']`, "'{}'", 'ARRAY[NULL]', 'NULL'],
  options: ["ARRAY['host=x']", "'{}'", "ARRAY['hots=x', 'user=y']", "ARRAY['user=x']", 'NULL'],
  catalog: [
    "'pg_foreign_server'::regclass",
    "'pg_user_mapping'::regclass",
    "'pg_class'::regclass::oid",
    '0',
    'NULL',
  ],
};

const COLUMNS = [
  'a int',
  'a int',
  'a int',
  'a text',
  'a int, b text',
  'a varchar(3), b varchar(3)',
  'a date',
  'a numeric(4, 1)',
  'a json',
  'a int, b int, c int',
];

/** `@` stands for the call of a function of one value. */
const VALUES = [
  'SELECT @',
  'SELECT @',
  'SELECT @ AS x, 1 AS y',
  'SELECT 1, @, 2',
  'SELECT @ IS NULL AS nothing',
  'SELECT (@)::text',
  'SELECT length((@)::text) AS n',
  'SELECT pg_typeof(@)::text',
  'SELECT @ FROM generate_series(1, 2)',
  'SELECT @ WHERE false',
  'SELECT CASE WHEN 1 = 2 THEN @ END',
  'SELECT coalesce(@)',
  'SELECT (SELECT @)',
  'SELECT ARRAY[@]',
  'SELECT * FROM @',
  'SELECT * FROM @ AS x',
  'SELECT * FROM @ AS x(y)',
  'WITH q AS (SELECT @ AS v) SELECT v FROM q',
  'SELECT 1 AS one WHERE @ IS NOT NULL',
  'VALUES (@)',
  'SELECT @ UNION ALL SELECT @',
  'INSERT INTO scratch.taken SELECT (@)::text',
  'EXPLAIN (COSTS OFF) SELECT @',
  'COPY (SELECT @) TO STDOUT',
];

/** The same, of which only functions of the primary can make something. */
const HIDDEN_VALUES = [
  'DO $do$ BEGIN PERFORM @; END $do$',
  "DO $do$ DECLARE x text; BEGIN x := @; RAISE NOTICE '%', x; END $do$",
  "DO $do$ BEGIN PERFORM @; EXCEPTION WHEN OTHERS THEN RAISE NOTICE '% %', SQLSTATE, SQLERRM; END $do$",
];

/** `@` stands for the call of a function of rows, with its column definition list. */
const ROWS = [
  'SELECT * FROM @',
  'SELECT * FROM @',
  'SELECT t.* FROM @',
  'SELECT a FROM @',
  'SELECT count(*) FROM @',
  'SELECT * FROM @ WHERE false',
  'SELECT * FROM @ LIMIT 1',
  'SELECT * FROM @ ORDER BY 1 DESC',
  'SELECT * FROM generate_series(1, 2) AS g, @',
  'SELECT g, t.a FROM generate_series(1, 2) AS g LEFT JOIN @ ON true',
  'SELECT * FROM (VALUES (1)) AS v(x) WHERE EXISTS (SELECT FROM @)',
  'SELECT (SELECT a FROM @ LIMIT 1)',
  'WITH q AS (SELECT * FROM @) SELECT * FROM q',
  'SELECT * FROM (SELECT a FROM @) AS s',
  'SELECT a FROM @ UNION ALL SELECT NULL',
  'INSERT INTO scratch.taken SELECT a::text FROM @',
  'UPDATE scratch.taken SET v = t.a::text FROM @',
  'EXPLAIN (COSTS OFF) SELECT * FROM @',
  'COPY (SELECT * FROM @) TO STDOUT',
];

const HIDDEN_ROWS = [
  "DO $do$ DECLARE r record; BEGIN FOR r IN SELECT * FROM @ LOOP RAISE NOTICE '%', r; END LOOP; END $do$",
  "DO $do$ BEGIN PERFORM * FROM @; EXCEPTION WHEN OTHERS THEN RAISE NOTICE '% %', SQLSTATE, SQLERRM; END $do$",
];

/** What a case begins with, beside its connection. */
const PREPARATIONS: readonly (readonly string[])[] = [
  [],
  [],
  [],
  ["SELECT dblink_open('c', 'cur', 'SELECT id, name FROM people ORDER BY id')"],
  ["SELECT dblink_open('c', 'cur', 'SELECT id FROM people ORDER BY id')"],
  ["SELECT dblink_send_query('c', 'SELECT 1; SELECT 2')"],
  // To its end: whether the last message has come would decide about what follows.
  [
    "SELECT dblink_send_query('c', 'SELECT 1/0')",
    "SELECT * FROM dblink_get_result('c', false) AS t(a int)",
    "SELECT * FROM dblink_get_result('c', false) AS t(a int)",
  ],
  ["SELECT dblink_send_query('c', 'SET x.y = 1')"],
  ["SELECT dblink_exec('c', 'LISTEN chat')", "SELECT dblink_exec('c', 'NOTIFY chat, ''hi''')"],
  ["SELECT dblink_exec('c', 'BEGIN')"],
];

const pick = <T>(items: readonly T[], random: Random): T => items[Math.floor(random() * items.length)]!;

/** What depends on the moment, made something that does not. */
const REPEATABLE: Readonly<Record<string, string>> = {
  dblink_is_busy: '(@ >= 0)',
  // Names come in no particular order.
  dblink_get_connections: 'array_length(@, 1)',
};

/** A call, with arguments for its overload or, now and then, one too few. */
function callOf(overload: Overload, random: Random): string {
  const args = overload.args.map(({ role }) => pick(ARGUMENTS[role], random));
  if (random() < 0.03) args.pop();
  return `${overload.name}(${args.join(', ')})`;
}

function statementOf(random: Random): string {
  const overload = pick(CALLED, random);
  const call = callOf(overload, random);
  const hidden = random() < 0.15;
  // A function, since a template's $ means nothing here.
  const inside = (templates: readonly string[], what: string): string =>
    pick(templates, random).replaceAll('@', () => what);
  if (overload.returns === 'setof record' && overload.columns === undefined && random() < 0.9) {
    const source = `${call} AS t(${pick(COLUMNS, random)})`;
    return inside(hidden ? HIDDEN_ROWS : ROWS, source);
  }
  if (overload.name === 'dblink_get_notify') {
    return `SELECT notify_name, extra FROM ${call}`;
  }
  const steady = REPEATABLE[overload.name]?.replace('@', () => call) ?? call;
  if (steady !== call) return `SELECT ${steady} AS steady`;
  return inside(hidden ? HIDDEN_VALUES : VALUES, call);
}

/** Cases of a seed. */
export function generatedCases(seed: number, count: number): readonly Case[] {
  return Array.from({ length: count }, (_, number) => {
    const random = seeded(seed * 100_003 + number);
    const steps: Step[] = [open('c'), ...pick(PREPARATIONS, random)];
    for (let i = Math.floor(random() * 4); i >= 0; i--) {
      steps.push(statementOf(random));
    }
    steps.push(
      'SELECT array_length(dblink_get_connections(), 1) AS connections',
      "SELECT dblink_error_message('c')",
    );
    return testCase(`generated ${number} of seed ${seed}`, steps, {
      remote: 'CREATE TABLE w (a int); INSERT INTO w VALUES (1)',
      local:
        "CREATE TABLE taken (v text); CREATE TABLE local_keys (k int, l text, v text, PRIMARY KEY (k, l)); INSERT INTO local_keys VALUES (1, 'a', 'v')",
      // Without functions in the primary much of it is refused, as docs/compatibility.md says.
      bridged: true,
    });
  });
}
