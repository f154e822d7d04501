import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import {
  assertNothingLeft,
  type BridgeWorld,
  makeBridgeWorld,
  SIDE_TABLES,
} from '../faults/world/bridgeWorld.js';
import { brief, errorOf, FaultClient } from '../faults/world/client.js';
import { startProxyProcess } from '../faults/world/proxyProcess.js';
import { eventually } from '../support/eventually.js';

/** Bridged calls in a primary that logs, measures and watches whatever it can (docs/bridge.md, "Security"). */

const PASSWORD = 'Pq7secretPassword';
/** What the remote answers, and queries whose text does not contain it. */
const ANSWER = 'fed5cba9';
const ROW = "reverse(''9abc5def'')";
const hex = (text: string): string => Buffer.from(text).toString('hex');

let world: BridgeWorld;
let client: FaultClient;

/** Everything that the primary logs while this runs. */
async function logged(action: () => Promise<void>): Promise<string> {
  const from = readFileSync(world.primary.logFile).length;
  await action();
  return readFileSync(world.primary.logFile).subarray(from).toString('utf8');
}

/** Calls with answers of every kind, in and outside of repeatable snapshots. */
const CALLS: readonly (readonly [sql: string, expected: RegExp])[] = [
  [`SELECT far('SELECT ${ROW}') = reverse('9abc5def')`, /^T D C:SELECT 1 Z:/],
  [`SELECT length(far('SELECT repeat(${ROW}, 20000)'))`, /^T D C:SELECT 1 Z:/],
  ['SELECT count(*) FROM far_many', /^T D C:SELECT 1 Z:/],
  ["SELECT far('INSERT INTO words VALUES (reverse(''9abc5def''))')", /^T D C:SELECT 1 Z:/],
];

async function callAll(): Promise<void> {
  for (const begin of ['BEGIN', 'BEGIN ISOLATION LEVEL REPEATABLE READ', 'BEGIN READ ONLY']) {
    await client.rows(begin);
    for (const [sql, expected] of CALLS) assert.match(brief(await client.query(sql)), expected, sql);
    await client.rows('COMMIT');
  }
}

describe('the log of the primary', () => {
  before(async () => {
    world = await makeBridgeWorld({
      remotePassword: PASSWORD,
      settings: {
        shared_preload_libraries: 'pg_stat_statements,auto_explain',
        'pg_stat_statements.track': 'all',
        'auto_explain.log_min_duration': '0',
        'auto_explain.log_nested_statements': 'on',
        'auto_explain.log_analyze': 'on',
        'auto_explain.log_parameter_max_length': '0',
        log_statement: 'all',
        log_min_duration_statement: '0',
        log_parameter_max_length: '-1',
        log_parameter_max_length_on_error: '-1',
        log_lock_waits: 'on',
        deadlock_timeout: '20ms',
      },
    });
    client = await FaultClient.open(world.proxy.port);
    await client.rows('CREATE EXTENSION pg_stat_statements');
    await client.rows(
      `CREATE TABLE conf AS SELECT '${world.conninfo('logged')} password=${PASSWORD}'::text AS remote`,
    );
    await client.rows(`CREATE FUNCTION far(query text) RETURNS text LANGUAGE plpgsql AS $$
      BEGIN RETURN (SELECT t.a FROM dblink((SELECT remote FROM conf), query) AS t(a text)); END $$`);
    await client.rows(`CREATE VIEW far_many AS SELECT * FROM dblink((SELECT remote FROM conf),
      'SELECT ${ROW} || i FROM generate_series(1, 20000) i') AS t(a text)`);
    await client.rows("SELECT far('CREATE TABLE words (word text)')");
  });
  after(async () => {
    await client.end();
    await assertNothingLeft(world, [], eventually);
    await world.assertIdle();
    await world.close();
  });

  it('shows neither a password nor what a remote has answered, to whatever a statement is logged', async () => {
    const log = await logged(callAll);
    // It does log the calls, and the statements by which they are answered.
    assert.match(log, /far_many/);
    assert.match(log, /INSERT INTO dblink_proxy\.answer/);
    assert.match(log, /Query Text: /);
    for (const secret of [PASSWORD, hex(PASSWORD), ANSWER, hex(ANSWER)]) {
      assert.equal(log.includes(secret), false, secret);
    }
  });

  it('has an error of the remote once, as the error of the statement', async () => {
    const log = await logged(async () => {
      const error = errorOf(await client.query(`SELECT far('SELECT (${ROW} || 1)::int')`));
      assert.equal(error['C'], '22P02');
    });
    assert.equal(log.match(/ERROR: {2}/g)?.length, 1, log);
  });

  it('tells of a call that takes longer than deadlock_timeout that it waits for an advisory lock', async () => {
    const log = await logged(async () => {
      assert.deepEqual(await client.rows("SELECT far('SELECT 1 FROM pg_sleep(0.2)')"), [['1']]);
    });
    assert.match(log, /still waiting for ExclusiveLock on advisory lock/);
  });

  it('shows answers where the account may not set log_parameter_max_length, and not where that was granted', async () => {
    const { primary } = world;
    for (const [account, shown] of [
      ['plain', true],
      ['granted', false],
    ] as const) {
      await world.onPrimary(`CREATE ROLE ${account} LOGIN`);
      await world.onPrimary(`CREATE DATABASE of_${account} OWNER ${account}`);
      if (!shown) await world.onPrimary(`GRANT SET ON PARAMETER log_parameter_max_length TO ${account}`);
      const proxy = await startProxyProcess({
        primary,
        flags: { primary: `postgres://${account}@${primary.host}:${primary.port}?sslmode=disable` },
      });
      try {
        const session = await FaultClient.open(proxy.port, { database: `of_${account}` });
        await session.rows('CREATE EXTENSION dblink');
        await session.rows(`CREATE FUNCTION far() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
          RETURN (SELECT upper(t.a) FROM dblink('${world.conninfo(account)} password=${PASSWORD}', 'SELECT ${ROW}') AS t(a text));
        END $$`);
        const log = await logged(async () => {
          assert.deepEqual(await session.rows('SELECT far()'), [[ANSWER.toUpperCase()]]);
        });
        assert.match(log, /INSERT INTO dblink_proxy\.answer/);
        assert.equal(log.includes(ANSWER), shown, account);
        await session.end();
      } finally {
        await proxy.stop();
      }
    }
  });

  it('pg_stat_statements: no secret, and nothing new with every call, but in a read-only transaction of a higher level', async () => {
    const entries = async (): Promise<number> => {
      const [[count] = []] = await world.onPrimary('SELECT count(*)::int FROM pg_stat_statements');
      return Number(count);
    };
    const call = "SELECT far('SELECT 1')";
    let before = 0;
    // What earlier calls have left is still being cleared away at first.
    await eventually('twenty calls add nothing', async () => {
      before = await entries();
      for (let i = 0; i < 20; i++) await client.rows(call);
      assert.equal(await entries(), before);
    });
    const inRepeatableRead = async (mode: string): Promise<void> => {
      await client.rows(`BEGIN ISOLATION LEVEL REPEATABLE READ, ${mode}`);
      for (let i = 0; i < 20; i++) await client.rows(call);
      await client.rows('COMMIT');
    };
    // Those by which the large object is made, written and removed.
    await inRepeatableRead('READ WRITE');
    const { length } = await world.onPrimary("SELECT FROM pg_stat_statements WHERE query LIKE '%lo_put%'");
    assert.equal(length, 1);
    assert.ok((await entries()) < before + 20);
    // Of each side table's own name.
    before = await entries();
    await inRepeatableRead('READ ONLY');
    assert.ok((await entries()) > before + 20);
    assert.deepEqual(
      await world.onPrimary(`SELECT query FROM pg_stat_statements
        WHERE query ~ '${PASSWORD}|${hex(PASSWORD)}|${ANSWER}|${hex(ANSWER)}'
          AND query !~ '^CREATE (TABLE conf|FUNCTION far\\()'`),
      [],
    );
  });

  it('event triggers see nothing of what an account makes that may switch them off, and cannot refuse it', async (t) => {
    await world.onPrimary('CREATE TABLE events (tag text)');
    await world.onPrimary(`CREATE FUNCTION seen() RETURNS event_trigger LANGUAGE plpgsql AS $$
      BEGIN INSERT INTO public.events VALUES (tg_tag); END $$`);
    await world.onPrimary(`CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION 'no tables today'; END $$`);
    await world.onPrimary('CREATE EVENT TRIGGER seen ON ddl_command_start EXECUTE FUNCTION seen()');
    await world.onPrimary(
      "CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN tag IN ('CREATE TABLE') EXECUTE FUNCTION refuse()",
    );
    t.after(() => world.onPrimary('DROP EVENT TRIGGER seen; DROP EVENT TRIGGER refuse'));

    await callAll();
    await eventually('the side tables are dropped', async () => {
      assert.deepEqual(await world.onPrimary(SIDE_TABLES), []);
    });
    assert.deepEqual(await world.onPrimary('SELECT tag FROM events'), []);
  });
});
