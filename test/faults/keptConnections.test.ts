import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../support/eventually.js';
import { errorOf, FaultClient } from './world/client.js';
import { makeWorld, type World } from './world/world.js';

/** Connections of connection strings, which are kept for the next call: nobody can tell, except by how long it takes. */

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** What a function behind a view leaves in its session, and how a later statement would see it. */
const LEFT: readonly { readonly by: string; readonly seen: string; readonly fresh: string | null }[] = [
  { by: "PERFORM set_config('work_mem', '123kB', false)", seen: "current_setting('work_mem')", fresh: '4MB' },
  { by: 'SET ROLE kept_other', seen: 'current_user::text', fresh: 'postgres' },
  { by: 'SET SESSION AUTHORIZATION kept_other', seen: 'session_user::text', fresh: 'postgres' },
  { by: 'CREATE TEMP TABLE kept_temp (a int)', seen: "to_regclass('kept_temp')::text", fresh: null },
  {
    by: "EXECUTE 'PREPARE kept_prepared AS SELECT 1'",
    seen: '(SELECT count(*) FROM pg_prepared_statements)',
    fresh: '0',
  },
  {
    by: 'PERFORM pg_advisory_lock(4711)',
    seen: "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())",
    fresh: '0',
  },
  { by: 'LISTEN kept_channel', seen: '(SELECT count(*) FROM pg_listening_channels())', fresh: '0' },
  { by: "SET client_encoding = 'LATIN1'", seen: "current_setting('client_encoding')", fresh: 'UTF8' },
  { by: "SET DateStyle = 'German'", seen: "DATE '2001-02-03'::text", fresh: '2001-02-03' },
  {
    by: 'SET default_transaction_read_only = on',
    seen: "current_setting('default_transaction_read_only')",
    fresh: 'off',
  },
];

describe('connections that are kept for the next call', () => {
  let world: World;
  let client: FaultClient;

  before(async () => {
    world = await makeWorld();
    client = await FaultClient.open(world.proxy.port);
    await world.onRemote(
      'CREATE ROLE kept_other; CREATE SEQUENCE kept_sequence; CREATE TABLE kept_rows (a int)',
    );
  });
  after(async () => {
    await client.end();
    await world.close();
  });

  const ask = async (tag: string, remote: string, by = client): Promise<string | null> => {
    const sql = `SELECT * FROM dblink(${quoted(world.conninfo(tag))}, ${quoted(remote)}) AS t(a text)`;
    return (await by.rows(sql))[0]![0]!;
  };
  const process = (tag: string, by = client): Promise<string | null> =>
    ask(tag, 'SELECT pg_backend_pid()::text', by);
  /** Whether what is done leaves the connection to the next call. */
  const isKept = async (tag: string, act: () => Promise<unknown>): Promise<boolean> => {
    const first = await process(tag);
    assert.equal(await process(tag), first, 'it was not kept in the first place');
    await act();
    return (await process(tag)) === first;
  };

  it('serve calls that read, and those that change rows', async () => {
    const exec = (remote: string) => () =>
      client.rows(`SELECT dblink_exec(${quoted(world.conninfo('kept-kinds'))}, ${quoted(remote)})`);
    assert.equal(await isKept('kept-kinds', exec('INSERT INTO kept_rows VALUES (1)')), true);
    assert.equal(await isKept('kept-kinds', exec('UPDATE kept_rows SET a = a + 1')), true);
    // Whatever could have left something behind, or taken rights away, ends it.
    for (const remote of [
      "SET work_mem = '123kB'",
      'BEGIN',
      'CREATE TEMP TABLE t (a int)',
      'ALTER ROLE kept_other PASSWORD NULL',
      'DO $$BEGIN PERFORM setseed(0.5); END$$',
      'INSERT INTO kept_rows VALUES (1); SELECT 1 INTO TEMP u',
    ])
      assert.equal(await isKept('kept-kinds', exec(remote)), false, remote);
  });

  for (const { by, seen, fresh } of LEFT) {
    it(`show nothing of ${by}`, async () => {
      await world.onRemote(`CREATE OR REPLACE FUNCTION kept_leave() RETURNS int LANGUAGE plpgsql AS $a$ BEGIN ${by}; RETURN 1; END $a$;
        CREATE OR REPLACE VIEW kept_leaver AS SELECT kept_leave() AS a`);
      const tag = 'kept-state';
      const left = await ask(tag, "SELECT a || ' ' || pg_backend_pid() FROM kept_leaver");
      const found = await ask(tag, `SELECT concat(${seen}, ' ', pg_backend_pid())`);
      assert.deepEqual(found, `${fresh ?? ''} ${left!.split(' ')[1]}`);
    });
  }

  it('show nothing of a sequence, and no seed of random()', async () => {
    await world.onRemote(`CREATE OR REPLACE FUNCTION kept_leave() RETURNS int LANGUAGE plpgsql AS
      $a$ BEGIN PERFORM nextval('kept_sequence'), setseed(0.25); RETURN 1; END $a$`);
    const tag = 'kept-seed';
    const values = new Set<string | null>();
    for (let i = 0; i < 3; i++) {
      const first = await ask(tag, "SELECT a || ' ' || pg_backend_pid() FROM kept_leaver");
      assert.equal(`1 ${await process(tag)}`, first);
      values.add(await ask(tag, 'SELECT random()::text'));
    }
    assert.equal(values.size, 3);
    await ask(tag, 'SELECT a::text FROM kept_leaver');
    const sql = `SELECT * FROM dblink(${quoted(world.conninfo(tag))}, 'SELECT lastval()') AS t(a text)`;
    assert.equal(errorOf(await client.query(sql))['C'], '55000');
  });

  it('are those of the same session and the same credentials', async () => {
    const other = await FaultClient.open(world.proxy.port);
    const first = await process('kept-mine');
    assert.notEqual(await process('kept-mine', other), first);
    assert.notEqual(await ask("kept-mine options='-c work_mem=1MB'", 'SELECT pg_backend_pid()::text'), first);
    assert.equal(await process('kept-mine'), first);
    await other.end();
    await client.rows('SELECT 1');
  });

  it('are not kept where functions of other languages or libraries may keep something', async () => {
    await world.onRemote('CREATE DATABASE kept_dblink');
    const tag = 'kept-libraries dbname=kept_dblink';
    assert.equal(await process(tag), await process(tag));
    await client.rows(`SELECT dblink_exec(${quoted(world.conninfo(tag))}, 'CREATE EXTENSION dblink')`);
    assert.notEqual(await process(tag), await process(tag));
  });

  it('leave after a while, at the end of the session, and for whatever could wait for them', async () => {
    await process('kept-leave');
    const began = performance.now();
    await world.gone('kept-leave');
    assert.ok(performance.now() - began > 500, 'it was not kept');
    const other = await FaultClient.open(world.proxy.port);
    await process('kept-end', other);
    await other.end();
    await world.gone('kept-end');
    for (const sql of ['DISCARD ALL', 'ALTER ROLE CURRENT_USER RESET ALL', 'create  database kept_new'])
      assert.equal(await isKept('kept-commands', () => client.rows(sql)), false, sql);
    assert.equal(await isKept('kept-commands', () => client.rows("SELECT 'database'")), true);
    await process('kept-drop dbname=kept_dblink');
    await client.rows(
      `SELECT dblink_exec(${quoted(world.conninfo('kept-dropper'))}, 'DROP DATABASE kept_dblink')`,
    );
  });

  it('make room where a server has none', async () => {
    await world.onRemote('CREATE ROLE kept_limited LOGIN CONNECTION LIMIT 1');
    for (const tag of ['kept-one', 'kept-two']) {
      const limited = `${tag} user=kept_limited`;
      assert.equal(await ask(limited, 'SELECT current_user::text'), 'kept_limited');
    }
    await client.rows(
      `SELECT dblink_connect('limited', ${quoted(world.conninfo('kept-three user=kept_limited'))})`,
    );
    await client.rows("SELECT dblink_disconnect('limited')");
  });

  it('are closed when their login is old, however often they are used', async () => {
    const first = await process('kept-polled');
    await eventually('another one is used', async () => assert.notEqual(await process('kept-polled'), first));
    assert.doesNotMatch(world.proxy.log(), /MaxListenersExceeded/);
  });

  it('are not kept where something is done at login', async () => {
    await world.onRemote('CREATE DATABASE kept_login');
    const tag = 'kept-logins dbname=kept_login';
    assert.equal(await process(tag), await process(tag));
    await client.rows(
      `SELECT dblink_exec(${quoted(world.conninfo(tag))}, 'CREATE FUNCTION at_login() RETURNS event_trigger LANGUAGE plpgsql AS
         $a$ BEGIN PERFORM set_config(''app.tenant'', ''1'', false); END $a$; CREATE EVENT TRIGGER at_login ON login EXECUTE FUNCTION at_login()')`,
    );
    const see = (): Promise<string | null> =>
      ask(tag, "SELECT current_setting('app.tenant') || pg_backend_pid()");
    const seen = [await see(), await see()];
    assert.notEqual(seen[0], seen[1]);
    for (const value of seen) assert.match(value ?? '', /^1\d+$/);
  });

  it('that the server has ended are not used', async () => {
    const first = await process('kept-ended');
    await world.onRemote(`SELECT pg_terminate_backend(${first})`);
    await eventually('it has ended', async () =>
      assert.deepEqual(await world.onRemote(`SELECT FROM pg_stat_activity WHERE pid = ${first}`), []),
    );
    await delay(50);
    assert.notEqual(await process('kept-ended'), first);
  });
});

describe('dblink.keep: 0', () => {
  it('closes connections of single calls at once', async () => {
    const world = await makeWorld({ env: { DBLINK_PROXY_DBLINK_KEEP: '0' } });
    const client = await FaultClient.open(world.proxy.port);
    const sql = `SELECT * FROM dblink('${world.conninfo('unkept')}', 'SELECT pg_backend_pid()') AS t(a text)`;
    assert.notDeepEqual(await client.rows(sql), await client.rows(sql));
    await client.end();
    await world.close();
  });
});
