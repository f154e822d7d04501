import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { assertNothingLeft, type BridgeWorld, makeBridgeWorld } from '../faults/world/bridgeWorld.js';
import { brief, errorOf, FaultClient, fieldsOf } from '../faults/world/client.js';
import { startProxyProcess } from '../faults/world/proxyProcess.js';
import { eventually } from '../support/eventually.js';
import { CLOSED, type Frame, TIMEOUT } from '../support/wire.js';

/**
 * What the caller of a SECURITY DEFINER function can do to the dblink calls in it: everything that the caller's session has is
 * the caller's, the path, the settings, and other sessions as well. (That requests cannot be made up: security.test.ts.)
 */

const hex = (text: string): string => Buffer.from(text).toString('hex');

let world: BridgeWorld;
/** The primary itself, which asks nobody for a password: for superusers only. */
let trusting: string;

const open = (user = 'low', port = world.proxy.port): Promise<FaultClient> =>
  FaultClient.open(port, { user });
const noticesOf = (frames: readonly Frame[]): Readonly<Record<string, string>>[] =>
  frames.filter(({ type }) => type === 'N').map(fieldsOf);

/** In the schema low: operators and types of names that the bridge's functions could mean, which fail. */
const HOSTILE = [
  `CREATE FUNCTION low.boom() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
     RAISE EXCEPTION 'hijacked as %', current_user USING ERRCODE = 'ZZ666'; END $$`,
  ...['text', 'integer', 'bigint', 'oid', 'name', 'text[]'].flatMap((type, i) => [
    `CREATE FUNCTION low.op${i}(${type}, ${type}) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN low.boom(); END $$`,
    ...['=', '<>', '<', '>', '<=', '>=', '||', '~', '!~', '~~', '+', '-'].map(
      (operator) =>
        `CREATE OPERATOR low.${operator} (LEFTARG = ${type}, RIGHTARG = ${type}, FUNCTION = low.op${i})`,
    ),
  ]),
  ...['text', 'name', 'oid', 'json', 'bytea', 'uuid', 'int4', 'int8', 'bool', 'regtype', 'regclass'].map(
    (type) => `CREATE DOMAIN low.${type} AS pg_catalog.${type} CHECK (low.boom())`,
  ),
  ...['count(pg_catalog.int4)', 'cardinality(pg_catalog.text[])', 'ask(pg_catalog.text)'].map(
    (signature) =>
      `CREATE FUNCTION low.${signature} RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN low.boom(); END $$`,
  ),
];

for (const major of [18, 15]) {
  describe(`functions with the rights of others, PostgreSQL ${major}`, () => {
    before(async () => {
      world = await makeBridgeWorld({ major });
      trusting = `host=${world.primary.host} port=${world.primary.port} user=postgres dbname=postgres application_name=evaded`;
      const definer = (name: string, returns: string, body: string): string =>
        `CREATE FUNCTION public.${name} RETURNS ${returns} LANGUAGE plpgsql SECURITY DEFINER AS $f$ BEGIN ${body} END $f$;`;
      await world.onPrimary(`CREATE ROLE low LOGIN; CREATE SCHEMA low AUTHORIZATION low;
        CREATE TABLE public.secrets (conninfo pg_catalog.text); INSERT INTO public.secrets VALUES ('host=127.0.0.1 port=1 password=TopSecret');
        CREATE SERVER srv FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host '127.0.0.1', port '1');
        CREATE USER MAPPING FOR postgres SERVER srv OPTIONS (password 'MappingSecret');
        ${definer('connects()', 'pg_catalog.text', `RETURN public.dblink_connect('d', '${world.conninfo('definer')}');`)}
        ${definer('disconnects()', 'pg_catalog.text', "RETURN public.dblink_disconnect('d');")}
        ${definer('executes(q pg_catalog.text)', 'pg_catalog.text', "RETURN public.dblink_exec('d', q);")}
        ${definer('fails(q pg_catalog.text)', 'pg_catalog.text', "RETURN public.dblink_exec('d', q, false);")}
        ${definer('reads(q pg_catalog.text)', 'SETOF pg_catalog.int4', "RETURN QUERY SELECT t.a FROM public.dblink('d', q) AS t(a pg_catalog.int4);")}
        ${definer('reads_texts(q pg_catalog.text)', 'SETOF pg_catalog.text', "RETURN QUERY SELECT t.a FROM public.dblink('d', q) AS t(a pg_catalog.text);")}
        ${definer('performs(q pg_catalog.text)', 'void', "PERFORM public.dblink('d', q);")}
        ${definer('asks_server()', 'SETOF pg_catalog.text', "RETURN QUERY SELECT t.a FROM public.dblink('srv', 'SELECT 1') AS t(a pg_catalog.text);")}
        ${definer('asks_secret()', 'SETOF pg_catalog.text', "RETURN QUERY SELECT t.a FROM public.dblink((SELECT s.conninfo FROM public.secrets AS s), 'SELECT 1') AS t(a pg_catalog.text);")}
        CREATE ROLE middle; GRANT CREATE ON SCHEMA public TO middle;
        CREATE SERVER pub FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host '127.0.0.1', port '1');
        GRANT USAGE ON FOREIGN SERVER pub TO middle;
        CREATE USER MAPPING FOR PUBLIC SERVER pub OPTIONS (user 'nobody', password 'MappingSecret');
        ${definer('asks_mapping()', 'pg_catalog.text', "RETURN public.dblink_connect('m', 'pub');")}
        ALTER FUNCTION public.asks_mapping() OWNER TO middle;
        ${definer('harmless()', 'pg_catalog.text', "RETURN public.dblink_connect('harmless', 'host=127.0.0.1 port=1 user=nobody');")}`);
      const low = await open();
      for (const sql of HOSTILE) await low.rows(sql);
      await low.end();
    });
    after(async () => {
      await assertNothingLeft(world, [], eventually);
      await world.assertIdle();
      await world.close();
    });

    it("run nothing of the caller's, whatever is in front in the path", async () => {
      const low = await open();
      await low.rows('SET search_path = low, pg_catalog, public');
      const statements: readonly (readonly [sql: string, expected: RegExp])[] = [
        ['SELECT public.connects()', /^T D C:SELECT 1$/],
        ["SELECT public.executes('SET a.b = 1')", /^T D C:SELECT 1$/],
        ["SELECT public.executes('selec')", /^T E:42601$/],
        ["SELECT public.fails('selec')", /^T N:42601 D C:SELECT 1$/],
        ["SELECT * FROM public.reads('SELECT 1')", /^T D C:SELECT 1$/],
        ["SELECT * FROM public.reads('SELECT 1::bigint; SELECT 2::numeric')", /^T D C:SELECT 1$/],
        ["SELECT * FROM public.reads('SELECT ''x''')", /^T E:22P02$/],
        ["SELECT * FROM public.reads('SELECT 1, 2')", /^T E:42804$/],
        [
          "SELECT * FROM public.reads('SELECT g FROM generate_series(1, 30000) AS g')",
          /^T D C:SELECT 30000$/,
        ],
        [
          "SELECT * FROM public.reads_texts('SELECT g FROM generate_series(1, 30000) AS g')",
          /^T D C:SELECT 30000$/,
        ],
        ["SELECT * FROM public.reads_texts('SET a.b = 1')", /^T D C:SELECT 1$/],
        ["SELECT public.performs('SET a.b = 1')", /^T D C:SELECT 1$/],
        ["SELECT public.performs('SELECT 1')", /^T E:0A000$/],
        ['SELECT * FROM public.asks_server()', /^T E:08001$/],
        ['SELECT public.disconnects()', /^T D C:SELECT 1$/],
      ];
      for (const level of ['READ COMMITTED', 'REPEATABLE READ', 'REPEATABLE READ, READ ONLY']) {
        await low.rows(`SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE`);
        await low.rows(`SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL ${level}`);
        for (const [sql, expected] of statements) {
          const frames = await low.query(sql);
          assert.match(brief(frames).replace(/ Z:I$/, ''), expected, `${level}: ${sql}: ${brief(frames)}`);
        }
      }
      await low.end();
    });

    it('are not told answers that another session of the caller has asked for, nor prove a role to it', async () => {
      for (const port of [world.proxy.port, world.primary.port]) {
        const [asking, calling, post] = [await open(), await open('low', port), await open()];
        await asking.rows(`DO $$ BEGIN PERFORM public.dblink_get_connections(); END $$`);
        const [[setting] = []] = await asking.rows("SELECT current_setting('dblink_proxy.session')");
        await calling.rows(`SELECT set_config('dblink_proxy.session', '${setting}', false)`);
        await post.rows('CREATE TABLE low.post (n serial, message pg_catalog.text)');
        // What the function in one session asks the other one raises, with arguments of its own.
        asking.start(
          `DO $$ DECLARE last int := 0; r record; BEGIN FOR i IN 1 .. 200 LOOP
             FOR r IN SELECT * FROM low.post WHERE n > last ORDER BY n LOOP last := r.n; RAISE INFO '%', r.message; END LOOP;
             PERFORM pg_sleep(0.01); END LOOP; END $$`,
          'simple',
        );
        calling.start('SET statement_timeout = 2500; SELECT public.harmless()', 'simple');
        for (let over = false; !over; ) {
          const [frame] = (await calling.wire.until(() => true, 8000)).slice(-1);
          if (frame?.type === 'N') {
            const parts = (fieldsOf(frame)['M'] ?? '').split(':');
            if (parts[6]?.startsWith('dblink_connect')) parts[8] = ['x', trusting].map(hex).join();
            await post.rows(`INSERT INTO low.post (message) VALUES ('${parts.slice(0, 9).join(':')}')`);
          }
          over = frame === undefined || ['Z', CLOSED, TIMEOUT].includes(frame.type);
        }
        assert.equal(brief(await asking.answer()), 'C:DO Z:I');
        assert.deepEqual(await asking.rows('SELECT dblink_get_connections()'), [[null]]);
        await post.rows('DROP TABLE low.post');
        await Promise.all([asking, calling, post].map((client) => client.end()));
      }
    });

    it('show their arguments to nobody, whatever the setting says and whichever way one comes', async () => {
      for (const port of [world.proxy.port, world.primary.port]) {
        const low = await open('low', port);
        for (const setting of ['t:1:2:3', ':1:2:3', `${randomUUID()}:1:2:3`]) {
          await low.rows(`SELECT set_config('dblink_proxy.session', '${setting}', false)`);
          for (const call of ['asks_secret()', 'asks_server()']) {
            const frames = await low.query(`SET statement_timeout = 300; SELECT * FROM public.${call}`);
            assert.equal(errorOf(frames)['C'], '57014', brief(frames));
            for (const { M: message = '' } of noticesOf(frames)) {
              assert.match(message, /^dblink-proxy:[^:]*:[^:]*:none:row:\d+:vouch:$/);
            }
            for (const secret of ['TopSecret', 'MappingSecret']) {
              for (const form of [secret, hex(secret)]) {
                assert.ok(!frames.some(({ body }) => body.includes(form)), brief(frames));
              }
            }
          }
          await low.rows('RESET statement_timeout');
        }
        await low.end();
      }
    });

    it('are not stood for by whoever may lock any table', async () => {
      const groups = ['pg_write_all_data', ...(major >= 17 ? ['pg_maintain'] : [])];
      const token = "split_part(current_setting('dblink_proxy.session'), ':', 1)";
      const forged = (name: string, ...args: string[]): string => {
        const parts = [
          `'${randomUUID()}'`,
          "'a'",
          "'row'",
          'pg_backend_pid()',
          `'${name}'`,
          `'${hex('postgres')}'`,
        ];
        if (args.length > 0) parts.push(`'${args.map(hex).join()}'`);
        return `RAISE INFO '%', concat_ws(':', 'dblink-proxy', ${token}, ${parts.join(', ')}); PERFORM pg_sleep(0.15);`;
      };
      for (const group of groups) {
        await world.onPrimary(`CREATE ROLE of_${group} LOGIN; GRANT ${group} TO of_${group}`);
        const client = await open(`of_${group}`);
        const frames = await client.query(`DO $$ DECLARE relation text; BEGIN
          ${forged('dblink_connect(text,text)', 'x', trusting)} ${forged('server')}
          FOR relation IN SELECT relname FROM pg_class WHERE relname LIKE 'proof%' LOOP
            EXECUTE format('LOCK TABLE dblink_proxy.%I IN EXCLUSIVE MODE', relation);
          END LOOP;
          ${forged('proved')} END $$`);
        assert.equal(brief(frames), 'C:DO Z:I');
        assert.deepEqual(await client.rows('SELECT dblink_get_connections()'), [[null]]);
        await client.end();
      }
    });

    it('are vouched for by a connection that is newer than what their transaction knows of the sessions', async () => {
      for (const before of ['SELECT 1', 'SELECT count(*) FROM pg_stat_activity']) {
        await world.killProxy();
        const low = await open();
        await low.rows(`BEGIN; ${before}`);
        assert.deepEqual(await low.rows('SELECT public.connects()'), [['OK']]);
        await low.rows('COMMIT');
        assert.deepEqual(await low.rows('SELECT public.disconnects()'), [['OK']]);
        await low.end();
      }
    });

    it('say what is missing where the proxy cannot vouch for them', async () => {
      const { host, port } = world.primary;
      const flags = { primary: `postgres://nosuch@${host}:${port}?sslmode=disable` };
      const proxy = await startProxyProcess({ primary: world.primary, flags });
      try {
        const low = await open('low', proxy.port);
        for (let i = 0; i < 2; i++) {
          const {
            C: sqlstate,
            D: detail = '',
            W: context,
          } = errorOf(await low.query('SELECT public.connects()'));
          assert.equal(sqlstate, '08001');
          assert.match(detail, /role "nosuch" does not exist/);
          assert.equal(context, undefined);
        }
        await low.end();
      } finally {
        await proxy.stop();
      }
    });

    it('leave nothing when they are cancelled while a proof is being made, and name nothing of it in errors', async () => {
      const low = await open();
      const held = await open('postgres', world.primary.port);
      await held.rows("SET application_name = 'observer'");
      await held.rows('BEGIN; LOCK TABLE pg_proc IN SHARE MODE');
      low.start('SELECT public.asks_mapping()', 'simple');
      await eventually('the proof is being made', async () => {
        const waiting = await held.rows(
          "SELECT FROM pg_locks WHERE relation = 'pg_proc'::regclass AND NOT granted",
        );
        assert.ok(waiting.length > 0);
      });
      await low.cancel();
      const cancelled = await low.answer();
      assert.equal(errorOf(cancelled)['C'], '57014');
      assert.equal(errorOf(cancelled)['W'], 'PL/pgSQL function asks_mapping() line 1 at RETURN');
      await held.rows('COMMIT; BEGIN; LOCK TABLE pg_proc IN SHARE MODE');
      // Longer than a service connection waits for a lock.
      const late = errorOf(await low.query('SELECT public.asks_mapping()'));
      assert.deepEqual(
        [late['C'], late['W']],
        ['55P03', 'PL/pgSQL function asks_mapping() line 1 at RETURN'],
      );
      await held.rows('COMMIT');
      // Nobody listens there.
      assert.equal(errorOf(await low.query('SELECT public.asks_mapping()'))['C'], '08001');
      await Promise.all([low.end(), held.end()]);
    });
  });
}
