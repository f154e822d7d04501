import {
  bind,
  bound,
  describeStatement,
  execute,
  fetch,
  flow,
  open,
  parse,
  sync,
} from '../compare/notation.js';
import type { Case } from '../play/types.js';
import { plpgsql } from './functionNotation.js';
import { ONE_QUERY, shape } from './shapeNotation.js';

/**
 * The shapes with the helpers that contact no remote (dblink_get_pkey, dblink_build_sql_*, dblink_current_query,
 * dblink_fdw_validator) and with dblink_get_notify.
 *
 * Played as they stand elsewhere: T4 "primary keys: aliases, ordinality, limits"; J6 "primary keys: of many relations"; E3 and P4
 * "primary keys: parameters", "build_sql: parameters"; F6 "primary keys: in a function", "build_sql: in a function"; S9 "notify:
 * from oneself".
 */

const TABLES = {
  local: `CREATE TABLE o (id int, part text, v text, PRIMARY KEY (part, id));
    INSERT INTO o VALUES (1, 'a', 'it''s'), (2, 'b', NULL), (3, 'b', 'three')`,
};
const REMOTE = { remote: 'CREATE TABLE o (id int, part text, v text)' };
const KEY = "dblink_get_pkey('o')";
const LISTENING = [open('c'), "SELECT dblink_exec('c', 'LISTEN ch')"];
const notify = (...payloads: readonly string[]): string =>
  `SELECT dblink_exec('c', $$${payloads.map((payload) => `NOTIFY ch, '${payload}'`).join('; ')}$$)`;
const HEARD = "dblink_get_notify('c') AS n";

const keys: readonly Case[] = [
  shape(
    'T6 T12 T13',
    'keys in one Query, with a schema',
    [
      `CREATE TABLE p (a int PRIMARY KEY); SELECT * FROM dblink_get_pkey('p'); DROP TABLE p; SELECT * FROM dblink_get_pkey('p'); SELECT 1`,
      `SELECT * FROM "public".Dblink_Get_Pkey('o') k (n, c); SELECT * FROM extensions.dblink_get_pkey('o'); SELECT 1`,
    ],
    { ...TABLES, ...ONE_QUERY },
  ),
  shape(
    'E4 E6 E7 E12 E13',
    'keys, computed and nested',
    [
      "SELECT * FROM dblink_get_pkey((SELECT relname FROM pg_class WHERE oid = 'o'::regclass)::text)",
      "SELECT k.colname FROM dblink_get_pkey(CAST('o' AS text)) k(pos, colname) WHERE k.pos = 1",
      `SELECT loud((SELECT string_agg(quote_ident(colname), ', ' ORDER BY position) FROM ${KEY}))`,
      `SELECT attname FROM pg_attribute WHERE attrelid = 'o'::regclass AND attname IN (SELECT colname FROM ${KEY}) ORDER BY 1`,
      `SELECT EXISTS (SELECT 1 FROM ${KEY} WHERE colname = 'v'), ARRAY(SELECT colname FROM ${KEY} ORDER BY 1)`,
    ],
    TABLES,
  ),
  shape(
    'E15 D9 D10',
    'keys in COPY, EXPLAIN and DECLARE',
    [
      `COPY (SELECT * FROM ${KEY} ORDER BY 1) TO STDOUT`,
      `EXPLAIN (COSTS OFF) SELECT * FROM ${KEY}`,
      "EXPLAIN (COSTS OFF) SELECT * FROM dblink_get_pkey('nosuch')",
      'BEGIN',
      `DECLARE s CURSOR FOR SELECT * FROM ${KEY} ORDER BY 1`,
      'FETCH 1 FROM s',
      'FETCH ALL FROM s',
      'COMMIT',
    ],
    { ...TABLES, contexts: ['autocommit'] },
  ),
  shape(
    'J1 J5 J8 J9 J11',
    'keys joined',
    [
      open('c'),
      `SELECT k.*, a.attnum FROM ${KEY} k JOIN pg_attribute a ON a.attname = k.colname AND a.attrelid = 'o'::regclass ORDER BY 1`,
      `WITH k AS MATERIALIZED (SELECT * FROM ${KEY}) SELECT count(*) FROM k, k l`,
      `SELECT colname FROM ${KEY} EXCEPT SELECT a FROM dblink('c', 'SELECT ''id''') AS t(a text)`,
      "SELECT k.colname, t.a FROM dblink_get_pkey('o') k LEFT JOIN dblink('c', 'SELECT ''part'', 7') AS t(n text, a int) ON t.n = k.colname ORDER BY 1",
      `SELECT * FROM ROWS FROM (${KEY}, generate_series(1, 3)) WITH ORDINALITY`,
      `SELECT ${Array.from({ length: 5 }, (_, n) => `(SELECT count(*) FROM ${KEY}) AS n${n}`).join(', ')}`,
    ],
    TABLES,
  ),
  shape(
    'D1 D11 V1 V4 V5',
    'keys kept in tables and views',
    [
      `CREATE VIEW kv AS SELECT * FROM ${KEY}`,
      'SELECT * FROM kv ORDER BY 1',
      "SELECT pg_get_viewdef('kv'::regclass)",
      `CREATE TABLE kt AS SELECT * FROM ${KEY}`,
      `INSERT INTO kt SELECT * FROM ${KEY} WHERE position = 2 RETURNING *`,
      `SELECT * INTO TEMP ki FROM ${KEY}`,
      'SELECT count(*) FROM kt, ki',
      "CREATE FUNCTION keys(text) RETURNS TABLE (n int, c text) LANGUAGE sql SECURITY DEFINER SET search_path = '' AS $$ SELECT * FROM public.dblink_get_pkey($1) $$",
      "SELECT * FROM keys('scratch.o')",
      "SELECT * FROM keys('o')",
    ],
    TABLES,
  ),
  shape(
    'P1 P5 P6 P7',
    'keys prepared, in binary, in parts',
    [
      'PREPARE p(text) AS SELECT * FROM dblink_get_pkey($1) ORDER BY 1',
      "EXECUTE p('o')",
      "EXECUTE p('nosuch')",
      flow(
        parse('SELECT * FROM dblink_get_pkey($1)', 's'),
        describeStatement('s'),
        bind({ statement: 's', params: ['o'], resultFormats: [1] }),
        execute(1),
        execute(),
        sync,
      ),
    ],
    TABLES,
  ),
];

const ROW = 'ARRAY[part, id::text], ARRAY[part, id::text]';
const built: readonly Case[] = [
  shape(
    'M7 D6 E7',
    'rows pushed with built statements',
    [
      open('c'),
      `SELECT dblink_exec('c', dblink_build_sql_insert('o', '2 1', 2, ${ROW})) FROM o ORDER BY id`,
      `SELECT dblink_exec('c', dblink_build_sql_update('o', '2 1', 2, ARRAY['a', '1'], ARRAY['b', '2']))`,
      `SELECT dblink_exec('c', dblink_build_sql_delete('o', '2 1', 2, ARRAY['b', '3']))`,
      fetch('SELECT * FROM o ORDER BY id', 'id int, part text, v text'),
      `SELECT dblink_send_query('c', string_agg(dblink_build_sql_insert('o', '2 1', 2, ${ROW}), '; ' ORDER BY id)) FROM o`,
      "SELECT * FROM dblink_get_result('c') AS t(s text)",
    ],
    { ...TABLES, ...REMOTE },
  ),
  shape(
    'M7 F4 F12',
    'changes replicated by a trigger',
    [
      open('c'),
      "INSERT INTO o VALUES (4, 'c', E'back\\\\slash'), (5, 'c', NULL)",
      "UPDATE o SET v = 'new' WHERE id = 4",
      "DELETE FROM o WHERE part = 'c' AND id = 5",
      'UPDATE o SET id = 40 WHERE id = 4',
      fetch('SELECT * FROM o ORDER BY id', 'id int, part text, v text'),
    ],
    {
      local: `${TABLES.local};
        CREATE FUNCTION trig() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $body$
        DECLARE k int2vector; BEGIN
          SELECT string_agg(a.attnum::text, ' ' ORDER BY p.position)::int2vector INTO k FROM public.dblink_get_pkey('scratch.o') p
            JOIN pg_catalog.pg_attribute a ON a.attrelid = TG_RELID AND a.attname = p.colname;
          PERFORM public.dblink_exec('c', 'SET search_path = scratch');
          IF TG_OP = 'INSERT' THEN
            PERFORM public.dblink_exec('c', public.dblink_build_sql_insert('scratch.o', k, 2, ARRAY[NEW.part, NEW.id::text], ARRAY[NEW.part, NEW.id::text]));
          ELSIF TG_OP = 'UPDATE' THEN
            PERFORM public.dblink_exec('c', public.dblink_build_sql_update('scratch.o', k, 2, ARRAY[NEW.part, NEW.id::text], ARRAY[OLD.part, OLD.id::text]));
          ELSE
            PERFORM public.dblink_exec('c', public.dblink_build_sql_delete('scratch.o', k, 2, ARRAY[OLD.part, OLD.id::text]));
          END IF;
          RETURN NULL;
        END $body$;
        CREATE TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON o FOR EACH ROW EXECUTE FUNCTION trig()`,
      ...REMOTE,
    },
  ),
  shape(
    'T12 T13 E6 E8 E12',
    'statements built in one Query, in sub-queries and conditions',
    [
      "INSERT INTO o VALUES (6, 'd', 'six'); SELECT PUBLIC.dblink_build_sql_insert('o'::text, '2 1'::int2vector, 2::int, '{d,6}'::text[], '{d,7}'::text[]); DELETE FROM o WHERE id = 6; SELECT dblink_build_sql_insert('o', '2 1', 2, '{d,6}', '{d,7}'); SELECT 1",
      `SELECT CASE WHEN id < 3 THEN (SELECT dblink_build_sql_delete('o', '2 1', 2, ARRAY[o.part, o.id::text])) END FROM o ORDER BY id`,
      "SELECT coalesce('kept', dblink_build_sql_delete('nosuch', '1', 1, '{1}'))",
      "SELECT extensions.dblink_build_sql_delete('o', '1', 1, '{1}')",
    ],
    { ...TABLES, ...ONE_QUERY },
  ),
  shape(
    'E15 D1 D9 D10 V1 V4 V6',
    'statements built in COPY, INSERT, views and rules',
    [
      `COPY (SELECT dblink_build_sql_insert('o', '2 1', 2, ${ROW}) FROM o ORDER BY id) TO STDOUT`,
      `EXPLAIN (COSTS OFF, VERBOSE) SELECT dblink_build_sql_delete('nosuch', '1', 1, '{1}') FROM o`,
      `CREATE VIEW b AS SELECT id, dblink_build_sql_update('o', '2 1', 2, ${ROW}) AS sql FROM o`,
      'SELECT * FROM b ORDER BY id',
      "SELECT pg_get_viewdef('b'::regclass)",
      'CREATE TABLE log AS SELECT sql FROM b WHERE id = 2',
      "CREATE RULE r AS ON DELETE TO o DO ALSO INSERT INTO log VALUES (dblink_build_sql_delete('o', '2 1', 2, ARRAY[OLD.part, OLD.id::text]))",
      'DELETE FROM o WHERE id = 2',
      'SELECT * FROM log ORDER BY 1',
      'BEGIN',
      'DECLARE s CURSOR FOR SELECT * FROM b ORDER BY id',
      'FETCH 1 FROM s',
      'COMMIT',
    ],
    { ...TABLES, contexts: ['autocommit'] },
  ),
  shape(
    'P1 P3 P5 P6',
    'statements built by prepared ones',
    [
      "PREPARE p(text, int) AS SELECT dblink_build_sql_insert('o', '2 1', 2, ARRAY[$1, $2::text], ARRAY[$1, ($2 + 1)::text])",
      "EXECUTE p('a', 1)",
      "EXECUTE p('a', 9)",
      bound(
        "SELECT id, dblink_build_sql_update($1, '2 1', 2, ARRAY[part, id::text], $2) FROM o WHERE id > $3 ORDER BY id",
        ['o', '{x,y}', 1],
        [25, 1009, 23],
      ),
      flow(
        parse("SELECT dblink_build_sql_delete('o', $1, $2, $3)", 's'),
        describeStatement('s'),
        bind({ statement: 's', params: ['2 1', '2', '{a,1}'], resultFormats: [1] }),
        execute(),
        sync,
      ),
    ],
    TABLES,
  ),
];

/** What the statement of the message is: the same wherever the call stands in it. */
const current: readonly Case[] = [
  shape(
    'T12 D1 D9 V1 V4 P5',
    'the current query in many places',
    [
      'SELECT dblink_current_query() = current_query() AS same, dblink_current_query()',
      'CREATE TABLE q AS SELECT dblink_current_query() AS q',
      'INSERT INTO q SELECT dblink_current_query() FROM generate_series(1, 2) RETURNING q',
      'CREATE VIEW qv AS SELECT dblink_current_query() AS q',
      'SELECT q FROM qv -- asks',
      'EXPLAIN (COSTS OFF, VERBOSE) SELECT dblink_current_query()',
      'PREPARE p AS SELECT dblink_current_query() AS q',
      'EXECUTE p',
      "SELECT * FROM dblink('{R}', format('SELECT %L', dblink_current_query())) AS t(q text)",
      "SELECT current_query(), pg_catalog.\"current_query\"() IS NOT NULL, a FROM dblink('{R}', 'SELECT 1') AS t(a int)",
      bound("SELECT current_query(), a FROM dblink($1, 'SELECT 1') AS t(a int) WHERE a > 0", ['{R}']),
      'SELECT q FROM q ORDER BY 1',
    ],
    // Sent with others the message would be another.
    { local: '', transports: ['simple', 'extended', 'binary', 'describe-first'] },
  ),
];

const notifications: readonly Case[] = [
  shape(
    'S9 F5 F10',
    'notifications awaited in a loop',
    [...LISTENING, notify('1', '2'), 'SELECT * FROM f()', 'SELECT * FROM f()'],
    {
      local: plpgsql(
        `DECLARE r record; tries int := 0; BEGIN
         LOOP
           FOR r IN SELECT notify_name, extra FROM dblink_get_notify('c') LOOP RETURN NEXT r.notify_name || r.extra; END LOOP;
           tries := tries + 1;
           IF FOUND OR tries = 3 THEN EXIT; END IF;
           PERFORM pg_sleep(0.01);
         END LOOP;
       END`,
        { returns: 'SETOF text' },
      ),
    },
  ),
  shape('T4 T6 T13 E4 E6', 'notifications grouped, of a computed connection', [
    ...LISTENING,
    notify('1', '2', '3'),
    `SELECT notify_name, count(*), max(extra) FROM PUBLIC.dblink_get_notify(lower('C')::text) GROUP BY 1 ORDER BY 2 LIMIT 1`,
    notify('4'),
    "SELECT k.x FROM dblink_get_notify((SELECT 'c')) k(ch, pid, x)",
    'SELECT * FROM extensions.dblink_get_notify()',
  ]),
  shape('E12 E13 J1 J3 J5', 'notifications in sub-queries and joins', [
    ...LISTENING,
    open('d'),
    "SELECT dblink_exec('d', 'LISTEN ch')",
    notify('1'),
    `SELECT i.name, n.extra FROM items i JOIN ${HEARD} ON n.extra = i.id::text`,
    notify('2'),
    `WITH h AS MATERIALIZED (SELECT extra FROM ${HEARD}) SELECT * FROM h, h g`,
    notify('3'),
    `SELECT EXISTS (SELECT 1 FROM ${HEARD}), (SELECT max(extra) FROM ${HEARD})`,
    // By then they have come on the other connection, too.
    'SELECT pg_sleep(0.5)',
    "SELECT s.name, n.extra FROM (VALUES ('c'), ('d')) s(name), LATERAL dblink_get_notify(s.name) n ORDER BY 1, 2",
  ]),
  shape(
    'E15 D1 D9 D10 V1 V3 V4 P5',
    'notifications kept, explained, prepared',
    [
      ...LISTENING,
      notify('1'),
      `EXPLAIN (COSTS OFF) SELECT * FROM ${HEARD}`,
      `CREATE TABLE log AS SELECT notify_name, extra FROM ${HEARD}`,
      notify('2', '3'),
      `INSERT INTO log SELECT notify_name, extra FROM ${HEARD} RETURNING *`,
      notify('4'),
      `COPY (SELECT notify_name, extra FROM ${HEARD}) TO STDOUT`,
      `CREATE MATERIALIZED VIEW m AS SELECT extra FROM ${HEARD} WITH NO DATA`,
      notify('5'),
      'REFRESH MATERIALIZED VIEW m',
      'SELECT * FROM m',
      'PREPARE p(text) AS SELECT extra FROM dblink_get_notify($1)',
      notify('6'),
      "EXECUTE p('c')",
      "EXECUTE p('c')",
      'BEGIN',
      notify('7', '8'),
      `DECLARE s CURSOR FOR SELECT extra FROM ${HEARD}`,
      'FETCH 1 FROM s',
      'FETCH ALL FROM s',
      'COMMIT',
    ],
    { local: '', contexts: ['autocommit'] },
  ),
  shape('P1 P6', 'notifications described, in binary', [
    ...LISTENING,
    notify('1'),
    flow(
      parse('SELECT notify_name, extra FROM dblink_get_notify($1)', 's'),
      describeStatement('s'),
      bind({ statement: 's', params: ['c'], resultFormats: [1] }),
      execute(1),
      execute(),
      parse('SELECT * FROM dblink_get_notify()', 'u'),
      describeStatement('u'),
      sync,
    ),
  ]),
];

const validated: readonly Case[] = [
  shape('E9 E7 V9 M6', 'options checked row by row', [
    "SELECT o, dblink_fdw_validator(ARRAY[o], 'pg_foreign_server'::regclass) IS NOT NULL FROM unnest(ARRAY['host=x', 'port=1']) o",
    "SELECT o, dblink_fdw_validator(ARRAY[o], 'pg_user_mapping'::regclass) FROM unnest(ARRAY['user=x', 'host=x']) o",
    "SELECT CASE WHEN false THEN dblink_fdw_validator('{x=1}', 0) END",
    "DO $$ BEGIN PERFORM dblink_fdw_validator('{hots=1}', 'pg_foreign_server'::regclass); EXCEPTION WHEN fdw_invalid_option_name THEN RAISE NOTICE '% %', SQLSTATE, SQLERRM; END $$",
  ]),
  shape(
    'V10 V11',
    'privileges and search_path of the newer functions',
    [
      open('c'),
      "SELECT f, has_function_privilege('plain_user', f, 'execute') FROM unnest(ARRAY['dblink_open(text,text)', 'dblink_fetch(text,int)', 'dblink_send_query(text,text)', 'dblink_get_notify()', 'dblink_get_pkey(text)', 'dblink_connect_u(text)']) f",
      'SET search_path = scratch',
      "SELECT dblink_send_query('c', 'SELECT 1')",
      "SELECT dblink_open('c', 'k', 'SELECT 1')",
      "SELECT * FROM dblink_get_pkey('o')",
      "SELECT set_config('search_path', 'scratch, public', false)",
      "SELECT dblink_send_query('c', 'SELECT 1')",
      "SELECT * FROM dblink_get_pkey('o')",
      'CREATE FUNCTION dblink_is_busy(text) RETURNS int LANGUAGE sql AS $$ SELECT 42 $$',
      "SELECT dblink_is_busy('c')",
      "SELECT public.dblink_cancel_query('c')",
    ],
    TABLES,
  ),
];

export const shapeHelperCases: readonly Case[] = [
  ...keys,
  ...built,
  ...current,
  ...notifications,
  ...validated,
];
