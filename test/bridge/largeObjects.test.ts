import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, type DatabaseError } from 'pg';
import { packAnswer, rowsAnswer, valueAnswer } from '../../src/bridge/exchange/bridgeAnswer.js';
import type { BridgeRequest } from '../../src/bridge/exchange/request.js';
import { makeSessionKeys, SessionLocks } from '../../src/bridge/exchange/sessionLocks.js';
import { uninstallBridge } from '../../src/bridge/extension/install.js';
import { OBJECT_HEAD_BYTES, SLOT_BYTES } from '../../src/bridge/installed/askFunction.js';
import type { ServiceConnection, Step } from '../../src/bridge/service/serviceConnection.js';
import type { DatabaseServices } from '../../src/bridge/service/services.js';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { PgError } from '../../src/wire/errors.js';
import { SIDE_TABLES } from '../faults/world/bridgeWorld.js';
import { eventually } from '../support/eventually.js';
import { createDatabase, execute } from '../support/postgres.js';
import { type RelayProxy, startRelay } from '../support/relay.js';

/** Answers in a session's large object (docs/decisions/007-large-objects.md), and what else can become of the object. */

/** About so long is a text with which an answer is as long as what ask() reads at once. */
const READ_AT_ONCE =
  2000 -
  OBJECT_HEAD_BYTES -
  packAnswer(
    rowsAnswer(Buffer.from('[{"c1":""}]'), {
      oids: [25],
      style: { dateStyle: undefined, intervalStyle: undefined },
      earlier: [],
    }),
  ).length;

const LEVELS = ['REPEATABLE READ', 'SERIALIZABLE', 'REPEATABLE READ, READ ONLY'];

for (const major of [18, 15]) {
  describe(`large objects of the bridge, PostgreSQL ${major}`, () => {
    let primary: PostgresServer;
    let proxy: RelayProxy;
    let lesser: RelayProxy;
    let number = 0;

    before(async () => {
      primary = await startPostgres({ installation: await prepareBinaries({ major, dblink: false }) });
      await execute(primary.url(), 'CREATE ROLE service LOGIN');
      proxy = await startRelay(primary);
      lesser = await startRelay(primary, {
        flags: { primary: `postgres://service@127.0.0.1:${primary.port}/?sslmode=disable` },
      });
    });
    after(async () => {
      await Promise.all([proxy?.stop(), lesser?.stop()]);
      await primary?.stop('immediate');
    });

    const FUNCTIONS = `
      CREATE EXTENSION IF NOT EXISTS dblink;
      CREATE OR REPLACE FUNCTION remote(sql text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
        RETURN (SELECT r FROM dblink('c', sql) AS t(r text));
      END $$;
      CREATE OR REPLACE FUNCTION echo(value text) RETURNS text LANGUAGE sql AS $$ SELECT remote(format('SELECT %L', value)) $$`;

    /** A session in a database of its own, which has functions that call dblink. */
    async function session(settings = '', through = proxy): Promise<{ client: Client; url: string }> {
      const database = `objects_${++number}`;
      const url = await createDatabase(primary, database);
      await execute(url, `GRANT CREATE ON DATABASE ${database} TO service; ${settings}`);
      const client = new Client({ connectionString: through.url(database) });
      // Of one that a failed test has left.
      client.on('error', () => undefined);
      await client.connect();
      await client.query(`${FUNCTIONS}; SET statement_timeout = 10000`);
      await client.query(
        `SELECT dblink_connect('c', 'host=127.0.0.1 port=${primary.port} dbname=postgres user=postgres password=x')`,
      );
      return { client, url };
    }

    const single = async (client: Client, sql: string): Promise<unknown> =>
      (await client.query({ text: sql, rowMode: 'array' })).rows[0]?.[0];

    const objects = async (url: string): Promise<unknown[]> =>
      (await execute(url, 'SELECT oid::bigint FROM pg_largeobject_metadata')).map(([oid]) => oid);

    /** The OID that the session's object has, or would have. */
    const OID = "split_part(current_setting('dblink_proxy.session'), ':', 4)::oid";

    // What is the same on all majors takes long.
    const itOnce = major === 15 ? () => undefined : it;
    itOnce('answers of every size come back whole, at every level', async () => {
      const { client, url } = await session();
      for (const level of LEVELS) {
        await client.query(`BEGIN ISOLATION LEVEL ${level}`);
        // At the end of what is read at once characters are cut.
        const wrong = await client.query(
          `SELECT n, part FROM generate_series(0, ${READ_AT_ONCE + 12}) AS n, (VALUES (U&'\\00e9'), (U&'\\6f22'), (U&'\\+01f600')) AS p(part)
            WHERE (n < 3 OR n > ${level.endsWith('READ ONLY') ? READ_AT_ONCE + 6 : READ_AT_ONCE - 12})
              AND echo(repeat(part, n / octet_length(part)) || repeat('x', n % octet_length(part)))
                IS DISTINCT FROM repeat(part, n / octet_length(part)) || repeat('x', n % octet_length(part))`,
        );
        assert.deepEqual(wrong.rows, []);
        for (const bytes of [65_535, 65_536, 65_537, SLOT_BYTES - 400, SLOT_BYTES, 3 * SLOT_BYTES]) {
          const sql = `SELECT remote('SELECT repeat(''x'', ${bytes})') = repeat('x', ${bytes})`;
          assert.equal(await single(client, sql), true, `${level}, ${bytes}`);
        }
        assert.equal(await single(client, "SELECT remote('SELECT NULL') IS NULL AND echo('') = ''"), true);
        const special = `E'\\x01\\t\\n"\\\\\\\\u0041 \\x7f' || U&'\\0085\\2028'`;
        assert.equal(await single(client, `SELECT echo(${special}) = ${special}`), true);
        const used = (await objects(url)).length;
        assert.equal(used, level.endsWith('READ ONLY') ? 0 : 1, level);
        await client.query('COMMIT');
        await eventually('the object is gone', async () => assert.deepEqual(await objects(url), []));
      }
      await client.end();
    });

    itOnce("errors about a slot's size are those of the remote", async () => {
      const { client } = await session();
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
      await client.query('SAVEPOINT s');
      for (const short of [1000, 250, 200, 150, 100, 50, 0]) {
        const length = SLOT_BYTES - short;
        const raise = `DO $r$ BEGIN RAISE EXCEPTION USING MESSAGE = repeat('x', ${length}), ERRCODE = '22012'; END $r$`;
        await assert.rejects(
          client.query(`SELECT echo('1'), remote($$${raise} $$)`),
          (error: DatabaseError) => {
            assert.equal(error.code, '22012', error.message.slice(0, 200));
            assert.ok(error.message === 'x'.repeat(length));
            return true;
          },
        );
        await client.query('ROLLBACK TO s');
      }
      await client.end();
    });

    it('read-only transactions have answers in it where they may open it', async () => {
      const { client, url } = await session();
      const tables = async (): Promise<unknown> =>
        (await execute(url, SIDE_TABLES)).filter(([name]) => String(name).startsWith('answer_')).length;
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY');
      for (const n of ['1', '2']) assert.equal(await single(client, `SELECT echo('${n}')`), n);
      assert.equal(await single(client, 'SELECT count(echo(n::text)) FROM generate_series(1, 3) n'), '3');
      assert.equal((await objects(url)).length, major < 16 ? 1 : 0);
      await client.query('COMMIT');
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY');
      await eventually('no tables are left of what has ended', async () => assert.equal(await tables(), 0));
      assert.equal(await single(client, "SELECT echo('3')"), '3');
      if (major < 16) assert.equal(await tables(), 0);
      await client.query('COMMIT');
      await client.end();
    });

    it('a call gives its transaction no id', async () => {
      const { client } = await session();
      await client.query('BEGIN ISOLATION LEVEL SERIALIZABLE');
      assert.equal(await single(client, "SELECT echo('1')"), '1');
      assert.equal(await single(client, 'SELECT pg_current_xact_id_if_assigned()'), null);
      await client.end();
    });

    it('an OID that is taken stays whose it is', async () => {
      const { client, url } = await session();
      await client.query(`SELECT lo_from_bytea(${OID}, 'mine')`);
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
      assert.equal(await single(client, "SELECT echo('1') || echo('2')"), '12');
      await client.query('COMMIT');
      assert.equal((await single(client, `SELECT lo_get(${OID})`))?.toString(), 'mine');
      await client.end();
      await delay(200);
      assert.equal((await objects(url)).length, 1);
    });

    it('there is none where everybody could read it', async () => {
      const { client, url } = await session(
        `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET lo_compat_privileges = on', current_database()); END $$`,
      );
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
      assert.equal(await single(client, "SELECT echo('1') || echo('2')"), '12');
      assert.deepEqual(await objects(url), []);
      await client.end();
    });

    it('there is none where the account may not read it', async () => {
      const { client, url } = await session('REVOKE EXECUTE ON FUNCTION lo_lseek FROM PUBLIC', lesser);
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
      assert.equal(await single(client, "SELECT echo('1') || echo('2')"), '12');
      assert.deepEqual(await objects(url), []);
      await client.end();
    });

    it('one that others have removed is made again, and no call fails', async () => {
      const { client, url } = await session();
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
      for (const value of ['1', '2', '3']) {
        assert.equal(await single(client, `SELECT echo('${value}')`), value);
        await execute(url, 'SELECT lo_unlink(oid) FROM pg_largeobject_metadata');
      }
      await client.end();
    });

    it('goes while the session does other things', async () => {
      const { client, url } = await session();
      await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT echo('1')");
      assert.equal((await objects(url)).length, 1);
      await eventually('the object is gone', async () => {
        await client.query('SELECT 1');
        assert.deepEqual(await objects(url), []);
      });
      assert.equal(await single(client, "SELECT echo('2')"), '2');
      await client.end();
    });

    it('goes when it was made for a call that had been cancelled', async () => {
      const { client, url } = await session();
      assert.equal(await single(client, "SELECT echo('1')"), '1');
      const other = new Client({ connectionString: url });
      await other.connect();
      await other.query('BEGIN; LOCK TABLE dblink_proxy.object');
      await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL statement_timeout = '200ms'");
      await assert.rejects(client.query("SELECT echo('2')"), /statement timeout/);
      await other.query('ROLLBACK');
      await other.end();
      // Or it may be too early to find none.
      await delay(200);
      await eventually('the object is gone', async () => assert.deepEqual(await objects(url), []));
      await client.end();
    });

    it('the bridge can be uninstalled and installed while a session has one', async () => {
      const { client, url } = await session();
      await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT echo('1'); COMMIT");
      const tls = { mode: 'disable', serverName: primary.host } as const;
      const address = { host: primary.host, port: primary.port };
      const account = { address, tls, user: 'postgres', password: undefined, database: 'postgres' };
      await uninstallBridge(account, new URL(url).pathname.slice(1));
      assert.deepEqual(await objects(url), []);
      await client.query(FUNCTIONS);
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
      assert.equal(await single(client, "SELECT echo('1') || echo('2')"), '12');
      await client.end();
    });
  });
}

describe("a session's large object, by what the service connections are told", () => {
  const REQUEST: BridgeRequest = {
    id: '0123456789ab-0000-4000-8000-000000000000',
    held: 'a',
    mode: 'object',
    readOnly: false,
    pid: 1,
    function: 'next',
    role: 'postgres',
    args: [],
  };
  const ANSWER = valueAnswer('1');
  const kindOf = (sql: string): string | undefined =>
    ['lo_create', 'lo_put', 'lo_unlink', 'CREATE TABLE'].find((word) => sql.includes(word));

  /** Sessions' locks on connections that write down what concerns large objects. */
  function recorded(connections: readonly { joins?: number; loses?: string; denies?: string }[]) {
    const log: string[] = [];
    let joined = 0;
    const make = ({ loses, denies }: { loses?: string; denies?: string }) => {
      const connection = {
        closed: false,
        async pipeline(steps: readonly Step[]) {
          for (const { sql } of steps) {
            const kind = kindOf(sql);
            if (kind === undefined) continue;
            log.push(kind);
            if (kind === loses) connection.closed = true;
            if (kind === loses) throw new PgError('08006', 'lost');
            if (kind === denies) throw new PgError('42P01', 'no such relation');
          }
          return [[Buffer.from('t')]];
        },
        query: (sql: string) => connection.pipeline([{ sql, returnsRows: true }]),
      };
      return connection;
    };
    const made = connections.map(make);
    const locks = new SessionLocks(makeSessionKeys(), async () => {
      const index = joined++;
      await delay(connections[index]!.joins ?? 0);
      const connection = made[index] as unknown as ServiceConnection;
      return { connection, services: {} as DatabaseServices, onLost: undefined, leave: () => undefined };
    });
    return { log, locks, made };
  }

  const give = (locks: SessionLocks): Promise<void> =>
    locks.give(
      REQUEST,
      ANSWER,
      () => true,
      () => undefined,
    );

  it('one that may have been made when the connection was lost is removed before it is made', async () => {
    const { log, locks } = recorded([{ loses: 'lo_create' }, {}]);
    await assert.rejects(give(locks), { sqlstate: '08006' });
    await give(locks);
    assert.deepEqual(log, ['lo_create', 'lo_unlink', 'lo_create', 'lo_put']);
  });

  it('is not removed behind an answer that a slow connection brought', async () => {
    const { log, locks, made } = recorded([{}, { joins: 700 }]);
    await give(locks);
    locks.statementEnded();
    made[0]!.closed = true;
    await give(locks);
    await delay(50);
    assert.equal(log.at(-1), 'lo_put', String(log));
    locks.statementEnded();
    await eventually('it is removed', () => assert.equal(log.at(-1), 'lo_unlink'));
  });

  it('is forgotten when the bridge was uninstalled', async () => {
    const { log, locks } = recorded([{ denies: 'lo_unlink' }]);
    await give(locks);
    locks.statementEnded();
    await delay(1200);
    assert.deepEqual(log, ['lo_create', 'lo_put', 'lo_unlink']);
  });
});
