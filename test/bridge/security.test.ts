import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import {
  assertNothingLeft,
  type BridgeSession,
  type BridgeWorld,
  makeBridgeWorld,
} from '../faults/world/bridgeWorld.js';
import { brief, errorOf, FaultClient, fieldsOf, firstValue } from '../faults/world/client.js';
import { startProxyProcess } from '../faults/world/proxyProcess.js';
import { eventually } from '../support/eventually.js';
import { dataRowText, type Frame } from '../support/wire.js';

/**
 * What somebody with a login and nothing else can do to the bridge: raise requests of their own, look for answers of
 * others, take the locks by which others wait (docs/bridge.md, "Security").
 */

const PASSWORD = 'Pq7secretPassword';
const SECRET = 'WordInRowsOfOthers';

let world: BridgeWorld;
let low: BridgeSession;
let victim: BridgeSession;

const hex = (text: string): string => Buffer.from(text).toString('hex');
const token = "split_part(current_setting('dblink_proxy.session'), ':', 1)";

interface Forged {
  readonly token?: string;
  readonly id?: string;
  readonly held?: string;
  readonly mode?: string;
  readonly pid?: string;
  readonly function: string;
  readonly role?: string;
  readonly args?: readonly string[];
}

/** A statement of PL/pgSQL that raises what looks like a request. */
function forge(request: Forged): string {
  const { id = randomUUID(), held = 'a', mode = 'row', pid = 'pg_backend_pid()', role = 'low' } = request;
  const parts = [
    "'dblink-proxy'",
    request.token ?? token,
    `'${id}'`,
    `'${held}'`,
    `'${mode}'`,
    pid,
    `'${request.function}'`,
    `'${hex(role)}'`,
    ...(request.args === undefined ? [] : [`'${request.args.map(hex).join(',')}'`]),
  ];
  return `RAISE INFO '%', concat_ws(':', ${parts.join(', ')});`;
}

/** Statements of PL/pgSQL that try to get what proves a role, and say when that succeeds. */
const TRY_PROOFS = `FOR statement IN
  SELECT format('SELECT dblink_proxy.%I(%s)', p.proname, array_to_string((ARRAY['''0123456789abcdef''', '''postgres'''])[:p.pronargs], ', '))
    FROM pg_proc p WHERE p.pronamespace = 'dblink_proxy'::regnamespace AND p.proname ~ '^(proof_|evidence$|make_proof$)'
  UNION ALL SELECT 'SELECT key FROM dblink_proxy.secret' LOOP
  BEGIN
    EXECUTE statement;
    RAISE NOTICE 'not refused: %', statement;
  EXCEPTION WHEN insufficient_privilege OR undefined_table OR undefined_function THEN NULL;
  END;
END LOOP;`;

/** A request to connect, and what the proxy asks the function in between: which foreign server has the name. */
const forgeConnect = (request: Forged): readonly string[] => [
  forge(request),
  'PERFORM pg_sleep(0.1);',
  forge({ function: 'server' }),
];

/** And then, what proves the role. */
const FORGED_PROOF = ['PERFORM pg_sleep(0.1);', TRY_PROOFS, forge({ function: 'proved' })];

/** Raises requests, and gives the proxy time to act on them. @returns the messages of notices that the client got */
async function raise(client: FaultClient, ...statements: string[]): Promise<string[]> {
  const frames = await client.query(
    `DO $$ DECLARE relation text; statement text; BEGIN ${statements.join('\n')} PERFORM pg_sleep(0.15); END $$`,
  );
  assert.match(brief(frames.filter(({ type }) => type !== 'N')), /^C:DO Z:[IT]$/, brief(frames));
  return noticesOf(frames);
}

const noticesOf = (frames: readonly Frame[]): string[] =>
  frames.filter(({ type }) => type === 'N').map((frame) => fieldsOf(frame)['M'] ?? '');

const rowsOf = (frames: readonly Frame[]): (string | null)[][] =>
  frames.filter(({ type }) => type === 'D').map(({ body }) => dataRowText(body));

/** The session's calls give what they should, and what they should only. */
async function works({ client }: BridgeSession): Promise<void> {
  for (const n of [1, 2]) {
    const frames = await client.query(`SELECT triple(${n})`);
    assert.deepEqual(rowsOf(frames), [[String(n * 3)]], brief(frames));
    assert.deepEqual(noticesOf(frames), []);
  }
}

async function open(user: string, tag: string): Promise<BridgeSession> {
  const session = await world.session(tag, { user });
  await session.client.rows(`SELECT dblink_connect('c', '${world.conninfo(tag)} password=${PASSWORD}')`);
  return session;
}

describe('security of the bridge', () => {
  before(async () => {
    world = await makeBridgeWorld({ remotePassword: PASSWORD });
    await world.onPrimary(`
      CREATE ROLE low LOGIN; CREATE ROLE other LOGIN; CREATE SCHEMA low AUTHORIZATION low;
      CREATE ROLE admin SUPERUSER; GRANT admin TO low WITH SET FALSE;
      CREATE FUNCTION triple(n int) RETURNS int LANGUAGE plpgsql AS $$
        BEGIN RETURN (SELECT r FROM dblink('c', 'SELECT ' || n || ' * 3') AS t(r int)); END $$;
      CREATE VIEW large AS SELECT * FROM dblink('c',
        'SELECT i, ''WordInRows'' || ''OfOthers'' || repeat(''x'', 100) FROM generate_series(1, 3000) i') AS t(a int, b text);
      GRANT SELECT ON large TO PUBLIC`);
    low = await open('low', 'low');
    victim = await open('other', 'victim');
    await Promise.all([works(low), works(victim)]);
  });
  after(async () => {
    await Promise.all([low.client.end(), victim.client.end()]);
    await assertNothingLeft(world, []);
    await world.assertIdle();
    await world.close();
  });

  describe('a forged request', () => {
    const settled = async (): Promise<void> => {
      await Promise.all([works(low), works(victim)]);
      await assertNothingLeft(world, [low, victim]);
    };

    it('with the right token does what a call of the session would do, and never shows', async () => {
      const call = forge({ function: 'dblink_exec(text,text)', args: ['c', 'SET a.b = 1'] });
      assert.deepEqual(await raise(low.client, call, call), []);
      for (const mode of ['row', 'table']) {
        for (const held of ['a', 'b', 'none']) {
          assert.deepEqual(
            await raise(
              low.client,
              forge({ function: 'dblink(text,text)', args: ['c', 'SELECT 1'], mode, held }),
            ),
            [],
          );
          await settled();
        }
      }
    });

    it('with a wrong token, or of another process, does nothing and shows to nobody', async () => {
      for (const [token, pid] of [
        ["'0123456789abcdef'", undefined],
        ["''", undefined],
        [undefined, String(victim.pid)],
      ]) {
        const request = forge({
          function: 'dblink_exec(text,text)',
          args: ['c', 'SET a.b = 1'],
          ...(token === undefined ? {} : { token }),
          ...(pid === undefined ? {} : { pid }),
        });
        assert.deepEqual(await raise(low.client, request), []);
      }
      await settled();
    });

    it('that is damaged does nothing', async () => {
      const damaged = [
        { function: 'dblink(text,text)', id: 'no-uuid' },
        { function: 'dblink(text,text)', held: 'c' },
        { function: 'dblink(text,text)', mode: 'file' },
        { function: 'dblink(text,text)', pid: "'99999999999999999999'" },
        { function: 'dblink(text,text)', pid: "'4294967296'" },
        { function: 'dblink(text); DROP TABLE x' },
        { function: '../../etc' },
        { function: '__proto__' },
        { function: 'constructor' },
        { function: 'dblink(text,text)', args: ['c'] },
        { function: 'dblink(text,text)', args: ['c', 'SELECT 1', 'x', 'y', 'z'] },
        { function: 'dblink_exec(text)', args: [] },
      ];
      for (const request of damaged) {
        assert.deepEqual(await raise(low.client, forge(request)), []);
      }
      const bare = (text: string): string => `RAISE INFO '%', concat('dblink-proxy:', ${token}, '${text}');`;
      for (const text of ['', ':', '::::::::', ':'.repeat(100_000), `:${'f'.repeat(100_000)}`]) {
        await raise(low.client, bare(text));
      }
      await settled();
    });

    it("does not get a superuser's or anybody's rights by naming a role", async () => {
      // The primary asks nobody for a password: only a superuser may use that.
      const conninfo = `host=127.0.0.1 port=${world.primary.port} user=postgres dbname=postgres application_name=evaded`;
      const evaded = async (session: BridgeSession): Promise<unknown> =>
        (await session.client.rows('SELECT dblink_get_connections()'))[0]?.[0];
      const refused = await low.client.query(`SELECT dblink_connect('evaded', '${conninfo}')`);
      assert.equal(errorOf(refused)['C'], '2F003');
      const requests = ['postgres', 'admin', 'low', 'other', 'nobody', ''].flatMap((role) =>
        ['dblink_connect(text,text)', 'dblink_connect_u(text,text)'].map((name) =>
          forgeConnect({ function: name, role, args: ['evaded', conninfo] }),
        ),
      );
      for (const request of requests) {
        assert.deepEqual(await raise(low.client, ...request, ...FORGED_PROOF), []);
        assert.equal(await evaded(low), '{c}');
      }
      // A function of one's own that claims to be the bridge's.
      await low.client.rows(`CREATE FUNCTION low.dblink_connect_u(text, text) RETURNS text LANGUAGE plpgsql AS $$
        DECLARE answer text[] := dblink_proxy.ask('dblink_connect_u(text,text)', 'postgres', ARRAY[$1, $2]);
        BEGIN
          WHILE answer[1] = 'prove' LOOP answer := dblink_proxy.ask('proved', 'postgres', '{}'); END LOOP;
          RETURN concat_ws(' ', answer[1], answer[3]); END $$`);
      await low.client.rows(
        "COMMENT ON FUNCTION low.dblink_connect_u(text, text) IS 'dblink-proxy bridge 1'",
      );
      assert.deepEqual(await low.client.rows(`SELECT low.dblink_connect_u('evaded', '${conninfo}')`), [
        ['error 42501'],
      ]);
      assert.equal(await evaded(low), '{c}');
      // The same request of a superuser's, who can prove it, is carried out: they were what they were meant to be.
      const root = await open('postgres', 'root');
      await root.client.rows(`DO $$
        DECLARE answer text[] := dblink_proxy.ask('dblink_connect(text,text)', 'postgres', ARRAY['evaded', '${conninfo}']);
        BEGIN
          WHILE answer[1] IN ('server', 'prove') LOOP
            answer := CASE answer[1] WHEN 'server' THEN dblink_proxy.ask('server', 'postgres', '{}') ELSE dblink_proxy.prove(answer[3]) END;
          END LOOP;
        END $$`);
      assert.equal(await evaded(root), '{c,evaded}');
      await root.client.end();
      await settled();
    });

    it("does not get a superuser's rights behind, around or inside of a function that has them", async () => {
      const conninfo = `host=127.0.0.1 port=${world.primary.port} user=postgres dbname=postgres application_name=lent`;
      const connections = async (): Promise<unknown> =>
        (await low.client.rows('SELECT dblink_get_connections()'))[0]?.[0];
      await world.onPrimary(`
        CREATE FUNCTION lent() RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
          BEGIN PERFORM dblink_connect('lent', '${conninfo}'); RETURN dblink_disconnect('lent'); END $$;
        CREATE FUNCTION lent_to(what text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
          BEGIN RETURN dblink_connect('lent', what); END $$`);
      const request = { function: 'dblink_connect(text,text)', role: 'postgres', args: ['evaded', conninfo] };
      const forged = [...forgeConnect(request), ...FORGED_PROOF];
      for (const level of ['READ COMMITTED', 'REPEATABLE READ', 'REPEATABLE READ, READ ONLY']) {
        // Its lock does not outlive its call, nor does a question of another call become its own.
        await low.client.rows(`BEGIN ISOLATION LEVEL ${level}`);
        assert.deepEqual(await low.client.rows('SELECT lent()'), [['OK']]);
        assert.deepEqual(await raise(low.client, ...forged), []);
        assert.deepEqual(await raise(low.client, forge({ function: 'proved' })), []);
        for (let steps = 1; steps < forged.length; steps++) {
          const around = [...forged.slice(0, steps), 'PERFORM lent();', ...forged.slice(steps)];
          assert.deepEqual(await raise(low.client, ...around), [], `${level}, after ${steps} steps`);
        }
        assert.equal(await connections(), '{c}');
        await low.client.rows('COMMIT');
      }
      // What it is asked to connect to is its own business.
      assert.deepEqual(await low.client.rows(`SELECT lent_to('${conninfo}')`), [['OK']]);
      await low.client.rows("SELECT dblink_disconnect('lent')");
      await settled();
    });

    it('does not get dblink_connect_u by installing it, where the proxy has no account of its own', async () => {
      await world.onPrimary('CREATE DATABASE lows OWNER low');
      const { host, port } = world.primary;
      const proxy = await startProxyProcess({ primary: world.primary });
      try {
        const client = await FaultClient.open(proxy.port, { user: 'low', database: 'lows' });
        await client.rows('CREATE EXTENSION dblink');
        const conninfo = `host=${host} port=${port} user=postgres dbname=postgres`;
        for (const [name, sqlstate] of [
          ['dblink_connect', '2F003'],
          ['dblink_connect_u', '42501'],
        ]) {
          const frames = await client.query(`DO $$ BEGIN PERFORM ${name}('x', '${conninfo}'); END $$`);
          assert.equal(errorOf(frames)['C'], sqlstate, brief(frames));
        }
        // What the account makes to be locked would be theirs as well.
        for (const name of ['dblink_connect(text,text)', 'dblink_connect_u(text,text)']) {
          const request = { function: name, role: 'postgres', args: ['x', conninfo] };
          await raise(
            client,
            ...forgeConnect(request),
            'PERFORM pg_sleep(0.1);',
            `FOR relation IN SELECT relname FROM pg_class WHERE relname LIKE 'proof%' LOOP
               EXECUTE format('LOCK TABLE dblink_proxy.%I IN EXCLUSIVE MODE', relation);
             END LOOP;`,
            forge({ function: 'proved' }),
          );
          assert.deepEqual(await client.rows('SELECT dblink_get_connections()'), [[null]]);
        }
        await client.end();
      } finally {
        await proxy.stop();
      }
      await settled();
    });

    it('that is a later step of a call which does not wait for one is refused', async () => {
      for (const name of ['next', 'types', 'server', 'proved', 'again']) {
        for (const mode of ['row', 'table']) {
          assert.deepEqual(
            await raise(low.client, forge({ function: name, mode }), forge({ function: name, mode })),
            [],
          );
          await settled();
        }
      }
      // In the middle of calls.
      const frames = await low.client.query(`DO $$ BEGIN
        FOR i IN 1 .. 20 LOOP
          ${forge({ function: 'next' })}
          IF triple(i) IS DISTINCT FROM i * 3 THEN RAISE EXCEPTION 'wrong'; END IF;
          ${forge({ function: 'dblink(text,text)', args: ['c', 'SELECT 5'] })}
          IF triple(i) IS DISTINCT FROM i * 3 THEN RAISE EXCEPTION 'wrong'; END IF;
        END LOOP; END $$`);
      // A request that hinders the session's own calls may cost them their answer, never another one's.
      assert.match(brief(frames), /^(C:DO|E:08P01|E:08006) Z:I$/);
      await settled();
    });

    it("with another session's process takes nothing from that session and gives it nothing", async () => {
      let over = false;
      const calls = (async () => {
        let count = 0;
        for (; !over; count++) {
          const level = count % 2 === 0 ? 'READ COMMITTED' : 'REPEATABLE READ';
          const frames = await victim.client.query(
            `BEGIN ISOLATION LEVEL ${level}; SELECT triple(${count}); COMMIT`,
          );
          assert.deepEqual(rowsOf(frames), [[String(count * 3)]], brief(frames));
        }
        return count;
      })();
      const pid = String(victim.pid);
      for (let i = 0; i < 5; i++) {
        const requests = ['row', 'table'].flatMap((mode) => [
          forge({ function: 'dblink(text,text)', args: ['c', 'SELECT 666'], pid, mode }),
          `PERFORM pg_sleep(0.05);`,
        ]);
        await raise(low.client, ...requests, ...requests);
      }
      over = true;
      assert.ok((await calls) > 10);
      await settled();
    });

    it('that is answered after another function has looked at the locks does not have it miss its answer', async () => {
      await low.client.rows("SET statement_timeout = '5s'");
      for (const mode of ['row', 'object', 'table', 'row', 'object', 'table']) {
        const request = (name: string, held: string): string =>
          forge({ function: name, args: ['c', 'SELECT 1'], held, mode });
        // What a function does that is held up behind its look, while the answer to a call that it has left is on its way.
        const frames = await low.client.query(`DO $$ DECLARE
            keys bigint[] := (string_to_array(current_setting('dblink_proxy.session'), ':'))[2:3];
            a_is_held boolean := NOT (pg_try_advisory_lock(keys[1]) AND pg_advisory_unlock(keys[1]));
            seen integer := CASE WHEN a_is_held THEN 1 ELSE 2 END;
          BEGIN
            IF a_is_held THEN ${request('dblink_connect(text,text)', 'a')} ELSE ${request('dblink_connect(text,text)', 'b')} END IF;
            PERFORM pg_sleep(0.1);
            IF a_is_held THEN ${request('dblink(text,text)', 'a')} ELSE ${request('dblink(text,text)', 'b')} END IF;
            PERFORM pg_sleep(0.1);
            PERFORM pg_advisory_lock(keys[seen]), pg_advisory_unlock(keys[seen]);
            PERFORM pg_advisory_lock(keys[3 - seen]), pg_advisory_unlock(keys[3 - seen]);
          END $$`);
        assert.equal(brief(frames), 'C:DO Z:I');
        await works(low);
      }
      await low.client.rows('RESET statement_timeout');
      await settled();
    });

    it('a thousand at once leave nothing, and other sessions get their answers', async () => {
      for (const mode of ['row', 'table']) {
        const request = forge({ function: 'dblink(text,text)', args: ['c', 'SELECT 1'], mode });
        const many = low.client.query(`DO $$ BEGIN FOR i IN 1 .. 1000 LOOP ${request} END LOOP; END $$`);
        for (let i = 0; i < 10; i++) await works(victim);
        assert.equal(brief(await many), 'C:DO Z:I');
        await settled();
      }
    });

    it('of 30 MB is refused or carried out, and is gone afterwards', async () => {
      const refused = await low.client.query(
        "SELECT r FROM (VALUES (1)) v(x), LATERAL dblink('c', repeat('x', 30000001 + x)) AS t(r int)",
      );
      assert.match(brief(refused), /E:54000 Z:I$/);
      const carried = await low.client.query(
        "SELECT r FROM (VALUES (1)) v(x), LATERAL dblink('c', 'SELECT ' || x || ' /*' || repeat('x', 20000000) || '*/') AS t(r int)",
      );
      assert.equal(firstValue(carried), '1', brief(carried));
      await raise(
        low.client,
        `RAISE INFO '%', concat('dblink-proxy:', ${token}, ':', '${randomUUID()}', ':a:row:', pg_backend_pid(), ':dblink(text,text):', '6c', ':63,', repeat('20', 30000000));`,
      );
      await settled();
    });
  });

  it('answers to others, and all that is behind the functions, cannot be read or called', async () => {
    const denied = async (sql: string): Promise<void> => {
      const frames = await low.client.query(sql);
      assert.equal(errorOf(frames)['C'], '42501', `${sql}: ${brief(frames)}`);
    };
    await low.client.rows(`CREATE FUNCTION low.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$
      BEGIN RAISE NOTICE 'leaked %', $1; RETURN true; END $$`);
    for (const level of ['READ COMMITTED', 'REPEATABLE READ']) {
      // Until the statement ends its answers are kept.
      victim.client.start(
        `BEGIN ISOLATION LEVEL ${level}; DO $$ BEGIN PERFORM count(*) FROM large; PERFORM pg_sleep(2); END $$; COMMIT`,
        'simple',
      );
      let names: string[] = [];
      await eventually('there is a side table', async () => {
        const found = await low.client.rows(
          "SELECT relname FROM pg_class WHERE relnamespace = 'dblink_proxy'::regnamespace AND relkind IN ('r', 'v') AND relname LIKE 'rows%'",
        );
        names = found.map(([name]) => name!);
        assert.ok(names.length >= 2, String(names));
      });
      const all = await low.client.rows(
        "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'dblink_proxy'::regnamespace AND relkind IN ('r', 'v')",
      );
      for (const [name, kind] of all) {
        if (kind === 'r') await denied(`SELECT * FROM dblink_proxy.${name}`);
        else {
          const frames = await low.client.query(
            `SELECT * FROM dblink_proxy.${name} AS r WHERE low.leak(r::text)`,
          );
          assert.equal(brief(frames), 'T C:SELECT 0 Z:I');
        }
      }
      for (const [name, kind] of all.filter(([name]) => name?.startsWith('rows'))) {
        await denied(`DROP ${kind === 'r' ? 'TABLE' : 'VIEW'} dblink_proxy.${name}`);
      }
      const objects = await low.client.rows('SELECT oid FROM pg_largeobject_metadata');
      assert.equal(objects.length, level === 'READ COMMITTED' ? 0 : 1);
      for (const [object] of objects) {
        await denied(`SELECT lo_get(${object})`);
        await denied(`SELECT lo_open(${object}, ${0x20000})`);
        await denied(`SELECT lo_put(${object}, 0, 'x')`);
        await denied(`SELECT lo_unlink(${object})`);
      }
      assert.match(brief(await victim.client.answer()), /^C:BEGIN C:DO C:COMMIT Z:I$/);
    }
    await denied('SELECT * FROM pg_largeobject');
    await denied('SELECT * FROM dblink_proxy.object');
    await denied('SELECT * FROM dblink_proxy.answer');
    await denied('DELETE FROM dblink_proxy.answer');
    await denied('SELECT dblink_proxy.hold(1)');
    await denied('CREATE TABLE dblink_proxy.mine (a int)');
    // With the keys of others one does not get their answers either.
    await low.client.rows(`SELECT set_config('dblink_proxy.session', 'x:1:2:3', false)`);
    await low.client.rows('SET statement_timeout = 500');
    const frames = await low.client.query("SELECT dblink_proxy.ask('next', 'low', '{}')");
    assert.ok(!frames.some(({ body }) => body.includes(SECRET)));
    await low.client.end();
    low = await open('low', 'low');
    await works(low);
    await assertNothingLeft(world, [low, victim]);
  });

  it('what is handed over is as little for others where default privileges give them whatever the account makes', async () => {
    await world.onPrimary('CREATE DATABASE generous');
    const open = (user: string): Promise<FaultClient> =>
      FaultClient.open(world.proxy.port, { database: 'generous', user });
    const root = await open('postgres');
    const [spy, other] = [await open('low'), await open('other')];
    try {
      for (const kind of ['TABLES', 'FUNCTIONS', 'SEQUENCES', 'LARGE OBJECTS']) {
        await root.rows(
          `ALTER DEFAULT PRIVILEGES GRANT ALL ON ${kind} TO low; ALTER DEFAULT PRIVILEGES GRANT ALL ON ${kind} TO PUBLIC`,
        );
      }
      const { host } = world.primary;
      await root.rows(`CREATE EXTENSION dblink; CREATE TABLE given (a int);
        CREATE ROLE middle; CREATE SERVER pub FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host '${host}', port '1');
        GRANT USAGE ON FOREIGN SERVER pub TO middle; CREATE USER MAPPING FOR PUBLIC SERVER pub OPTIONS (password 'x');
        CREATE FUNCTION lent() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
          PERFORM dblink_connect('x', 'pub'); EXCEPTION WHEN sqlclient_unable_to_establish_sqlconnection THEN NULL; END $$;
        ALTER FUNCTION lent() OWNER TO middle`);
      await spy.rows('SELECT * FROM given');
      for (const session of [root, other]) {
        await session.rows(
          `SELECT dblink_connect('c', '${world.conninfo('generous')} password=${PASSWORD}')`,
        );
      }
      const rows = (count: number): string =>
        `count(*) FROM dblink('c', 'SELECT ''x'' || g FROM generate_series(1, ${count}) AS g') AS t(a text)`;
      // Every way in which something is handed over, and what there is to be seen of it while the function sleeps.
      for (const [session, begin, call, shows] of [
        [root, 'BEGIN', rows(30_000), /^dblink_proxy\.rows_\d/],
        [root, 'BEGIN', rows(1), /^dblink_proxy\.answer$/],
        [root, 'BEGIN ISOLATION LEVEL REPEATABLE READ', rows(1), /^dblink_proxy\.object$/],
        [root, 'BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY', rows(1), /^dblink_proxy\.answer_\d/],
        [other, 'BEGIN', 'lent()', /^dblink_proxy\.proof_\d/],
      ] as const) {
        session.start(`${begin}; DO $$ BEGIN PERFORM ${call}; PERFORM pg_sleep(2); END $$; COMMIT`, 'simple');
        await eventually(`something is there in ${begin}`, async () => {
          const relations =
            await spy.rows(`SELECT c.oid::regclass::text, has_table_privilege(c.oid, 'SELECT'),
              has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
            FROM pg_class AS c WHERE c.relnamespace = 'dblink_proxy'::regnamespace AND c.relkind IN ('r', 'v')
            UNION ALL SELECT 'dblink_proxy.' || p.proname, has_function_privilege(p.oid, 'EXECUTE'), false FROM pg_proc AS p
             WHERE p.pronamespace = 'dblink_proxy'::regnamespace AND p.proname ~ '^(proof_|evidence$|make_)'`);
          for (const [name, read, write] of relations) {
            assert.equal(read, name?.endsWith('_v') ? 't' : 'f', name!);
            assert.equal(write, 'f', name!);
          }
          const names = relations.map(([name]) => name!);
          assert.ok(
            names.some((name) => shows.test(name)),
            names.join(),
          );
        });
        assert.deepEqual(await spy.rows('SELECT oid FROM pg_largeobject_metadata'), []);
        assert.match(brief(await session.answer()), /^C:BEGIN C:DO C:COMMIT Z:I$/);
      }
    } finally {
      await Promise.all([root.end(), spy.end(), other.end()]);
    }
  });

  it("who takes a session's locks hinders that session only, and it has a way out", async () => {
    const bystander = await open('other', 'bystander');
    await works(bystander);
    // Everybody sees which locks are held; a session's other one shows when it is held in its turn.
    const keys = new Set<string>();
    for (let i = 0; i < 8 && keys.size < 6; i++) {
      const found = await low.client.rows(
        "SELECT (classid::bigint << 32 | objid::bigint)::text FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()",
      );
      for (const [key] of found) keys.add(key!);
      await victim.client.rows('SELECT triple(1)');
    }
    const own = (await low.client.rows("SELECT current_setting('dblink_proxy.session')"))[0]![0]!.split(':');
    const bystanders = (
      await bystander.client.rows("SELECT current_setting('dblink_proxy.session')")
    )[0]![0]!.split(':');
    const victims = [...keys].filter((key) => !own.includes(key) && !bystanders.includes(key));
    assert.equal(victims.length, 2, String(victims));
    const thief = await open('low', 'thief');
    const [taken] = await thief.client.rows(
      `SELECT ${victims.map((key) => `pg_try_advisory_lock(${key})`).join(', ')}`,
    );
    assert.ok(taken?.includes('t'), String(taken));
    for (let i = 0; i < 4; i++) {
      victim.client.start(`SELECT triple(${i})`, 'simple');
      await Promise.all([works(bystander), works(low)]);
      await new Promise((resolve) => setTimeout(resolve, 300));
      await victim.client.cancel();
      const frames = await victim.client.answer();
      assert.match(brief(frames), /^(T D C:SELECT 1|(T )?E:57014|(T )?E:55P03|(T )?E:08006) Z:I$/);
      if (!frames.some(({ type }) => type === 'E')) assert.equal(firstValue(frames), String(i * 3));
    }
    await thief.client.end();
    await eventually('the locks are free', async () => {
      const held = await world.onPrimary(
        `SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = ${thief.pid}`,
      );
      assert.equal(held.length, 0);
    });
    await works(victim);
    await bystander.client.end();
    await assertNothingLeft(world, [low, victim]);
  });

  it('no password of a remote is in a log, at default settings', async () => {
    await world.onPrimary(`
      CREATE TABLE targets (name text, conninfo text);
      GRANT SELECT ON targets TO low;
      INSERT INTO targets VALUES ('right', '${world.conninfo('target')} password=${PASSWORD}'),
        ('wrong', '${world.conninfo('target')} password=Wz3wrongPassword'), ('option', 'password=${PASSWORD} nonsense=1'),
        ('nowhere', 'host=127.0.0.1 port=1 password=${PASSWORD}'), ('syntax', 'password=${PASSWORD} host')`);
    const marker = `marker${Date.now()}`;
    for (const [name] of await low.client.rows('SELECT name FROM targets')) {
      for (const level of ['READ COMMITTED', 'REPEATABLE READ']) {
        for (const sql of ['SELECT 1', 'SELECT 1/0', 'no sql', 'SELECT pg_sleep(10)']) {
          await low.client.rows(`BEGIN ISOLATION LEVEL ${level}; SET LOCAL statement_timeout = 300`);
          const frames = await low.client.query(
            `SELECT r FROM targets, LATERAL dblink(conninfo, '${sql}') AS t(r text) WHERE name = '${name}'`,
          );
          assert.match(brief(frames), name === 'right' && sql === 'SELECT 1' ? / D / : /E:/);
          const connected = await low.client.query(
            `ROLLBACK; SELECT dblink_connect('x', conninfo) FROM targets WHERE name = '${name}'`,
          );
          if (name === 'right') await low.client.rows("SELECT dblink_disconnect('x')");
          for (const { type, body } of [...frames, ...connected]) {
            if (type === 'E')
              assert.ok(!body.includes(PASSWORD) && !body.includes('Wz3wrong'), body.toString());
          }
        }
      }
    }
    await low.client.query(`SELECT ${marker}`);
    await eventually('the primary logs', () =>
      assert.ok(readFileSync(world.primary.logFile, 'utf8').includes(marker)),
    );
    const logs = [readFileSync(world.primary.logFile, 'utf8'), world.proxy.log()];
    assert.match(logs[0]!, /division by zero/);
    for (const log of logs) {
      for (const word of [PASSWORD, 'Wz3wrongPassword']) {
        for (const form of [word, hex(word), Buffer.from(word).toString('base64').slice(0, 18)]) {
          const line = log.split('\n').find((text) => text.includes(form));
          assert.equal(line, undefined);
        }
      }
    }
    await works(low);
  });
});
