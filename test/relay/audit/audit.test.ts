import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import { freePort } from '../../../src/embedded/freePort.js';
import { brief, FaultClient, PROTOCOLS } from '../../faults/world/client.js';
import { eventually } from '../../support/eventually.js';
import { frontend } from '../../support/wire.js';
import { type AuditedProxy, type AuditLine, type AuditWorld, makeAuditWorld, PASSWORD } from './world.js';

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** What every event has that is none of its own fields. */
const COMMON = ['time', 'event', 'pid', 'session', 'user', 'database', 'client'];

/** An event's own fields, without those that differ each time. */
function own(line: AuditLine): Readonly<Record<string, unknown>> {
  const left = Object.entries(line).filter(
    ([name]) => !COMMON.includes(name) && name !== 'duration_ms' && name !== 'fingerprint',
  );
  return Object.fromEntries(left);
}

describe('the audit', () => {
  let world: AuditWorld;
  let proxy: AuditedProxy;
  before(async () => {
    world = await makeAuditWorld();
    const rules = [
      { deny: { host: 'forbidden' } },
      { deny: { address: '127.9.0.0/16' } },
      { allow: { database: 'solely', read_only: true } },
      { allow: { host: '*' } },
    ];
    proxy = await world.proxy({ DBLINK_PROXY_POLICY_RULES: JSON.stringify(rules) });
    const client = await FaultClient.open(proxy.port);
    await client.rows('CREATE EXTENSION dblink');
    await client.rows('CREATE DATABASE other');
    await client.end();
  });
  after(() => world.close());

  /** Runs a statement by either protocol and returns what came, in short. */
  async function run(
    client: FaultClient,
    sql: string,
    protocol: (typeof PROTOCOLS)[number],
  ): Promise<string> {
    client.start(sql, protocol);
    return brief(await client.answer());
  }

  describe('of sessions', () => {
    it('says who came, and that they said they leave', async () => {
      const client = await FaultClient.open(proxy.port, { application_name: 'näme' });
      const opened = await proxy.next('session_opened', { application: 'näme' });
      assert.deepEqual(own(opened), { tls: false, application: 'näme' });
      assert.deepEqual(
        [opened['user'], opened['database'], opened['client']],
        ['postgres', 'postgres', '127.0.0.1'],
      );
      assert.equal(opened['pid'], process.pid);
      await client.rows('SELECT 1');
      await client.end();
      const ended = await proxy.next('session_ended', { session: opened['session'] });
      assert.deepEqual(own(ended), { reason: 'client_terminated', requests: 2 });
    });

    /** Ends a session and returns what was told of that. */
    async function ending(
      end: (client: FaultClient) => unknown,
      by = proxy,
    ): Promise<Readonly<Record<string, unknown>>> {
      const client = await FaultClient.open(by.port, { application_name: 'ending' });
      const { session } = await by.next('session_opened', { application: 'ending' });
      await end(client);
      const { requests: _, ...ended } = own(await by.next('session_ended', { session }));
      return ended;
    }

    it('has a reason for each end', async () => {
      assert.deepEqual(await ending((client) => client.wire.destroy()), { reason: 'client_closed' });
      assert.deepEqual(await ending((client) => client.wire.send(Buffer.from('?garbage'))), {
        reason: 'server_ended',
        sqlstate: '08P01',
      });
      assert.deepEqual(
        await ending((client) => client.query('SELECT pg_terminate_backend(pg_backend_pid())')),
        {
          reason: 'server_ended',
          sqlstate: '57P01',
        },
      );
      const limited = await world.proxy({ DBLINK_PROXY_TIMEOUTS_IDLE: '1ms' });
      assert.deepEqual(await ending(() => undefined, limited), { reason: 'time_limit', sqlstate: '57P05' });
      const stopping = await world.proxy();
      assert.deepEqual(await ending(() => void stopping.stop(), stopping), {
        reason: 'shutdown',
        sqlstate: '57P01',
      });
    });

    it('says why nobody got in', async () => {
      const open = async (by: AuditedProxy, parameters: object): Promise<void> => {
        await assert.rejects(FaultClient.open(by.port, { ...parameters }));
      };
      await open(proxy, { database: 'nosuch' });
      const failed = await proxy.next('login_failed', { database: 'nosuch' });
      assert.deepEqual(own(failed), { tls: false, reason: 'rejected', sqlstate: '3D000' });
      const away = await world.proxy(
        {},
        { flags: { primary: `postgres://127.0.0.1:${await freePort()}?sslmode=disable` } },
      );
      await open(away, {});
      assert.deepEqual(own(await away.next('login_failed')), {
        tls: false,
        reason: 'unreachable',
        sqlstate: '08001',
      });

      const picky = await world.proxy({
        DBLINK_PROXY_ACCESS: JSON.stringify([{ deny: { user: 'nobody' } }, { allow: { user: '*' } }]),
        DBLINK_PROXY_LIMITS_CLIENTS: '1',
      });
      await open(picky, { user: 'nobody' });
      assert.deepEqual(own(await picky.next('refused')), {
        kind: 'access',
        by: 'access[0]',
        sqlstate: '28000',
        tls: false,
      });
      const first = await FaultClient.open(picky.port);
      await open(picky, {});
      assert.deepEqual(own(await picky.next('refused')), {
        kind: 'limit',
        by: 'limits.clients',
        sqlstate: '53300',
      });
      await first.end();
    });
  });

  describe('of connections', () => {
    for (const protocol of PROTOCOLS)
      it(`says where they lead and how they end (${protocol})`, async () => {
        const client = await FaultClient.open(proxy.port);
        assert.match(
          await run(client, `SELECT dblink_connect('c', ${quoted(world.conninfo)})`, protocol),
          /C:SELECT 1 Z:I$/,
        );
        const opened = await proxy.next('connection_opened');
        const to = {
          host: 'localhost',
          address: '127.0.0.1',
          port: world.remote.port,
          database: 'postgres',
          user: 'postgres',
        };
        assert.deepEqual(own(opened), {
          connection: opened['connection'],
          to,
          tls: true,
          rule: 'policy.rules[3]',
          read_only: false,
        });
        await run(client, "SELECT dblink_disconnect('c')", protocol);
        const ended = await proxy.next('connection_ended', { connection: opened['connection'] });
        assert.equal(ended['reason'], 'closed');

        await run(client, `SELECT dblink_connect('c', ${quoted(world.conninfo)})`, protocol);
        await run(
          client,
          "SELECT dblink_exec('c', 'SELECT pg_terminate_backend(pg_backend_pid())')",
          protocol,
        );
        const lost = await proxy.next('connection_ended', { reason: 'lost' });
        assert.equal(lost['sqlstate'], '57P01');
        await client.end();
      });

    it('says why they could not be, without a word of the error', async () => {
      const client = await FaultClient.open(proxy.port);
      const port = await freePort();
      const last = async (conninfo: string): Promise<Readonly<Record<string, unknown>>> => {
        await client.query(`SELECT dblink_connect('x', ${quoted(conninfo)})`);
        return own(await proxy.next('connection_failed'));
      };
      const base = { database: 'postgres', user: 'postgres' };
      const user = 'user=postgres dbname=postgres password=x';
      assert.deepEqual(await last(`host=127.0.0.1 port=${port} ${user}`), {
        to: { ...base, host: '127.0.0.1', address: '127.0.0.1', port },
        rule: 'policy.rules[3]',
        stage: 'network',
        sqlstate: '08001',
        code: 'ECONNREFUSED',
      });
      assert.deepEqual(await last(world.conninfo.replace(PASSWORD, 'wrong')), {
        to: { ...base, host: 'localhost', address: '127.0.0.1', port: world.remote.port },
        rule: 'policy.rules[3]',
        stage: 'auth',
        sqlstate: '28P01',
      });
      assert.deepEqual(await last(`host=no.such.invalid ${user}`), {
        to: { ...base, host: 'no.such.invalid', port: 5432 },
        stage: 'name',
        sqlstate: '08001',
      });
      assert.deepEqual(await last('nonsense'), { to: {}, stage: 'before', sqlstate: '08001' });
      // A password with an @ in it: what is behind that looks like the host.
      assert.deepEqual(await last(`postgres://postgres:x@${PASSWORD}@127.0.0.1:${port}/postgres`), {
        to: { port },
        stage: 'name',
        sqlstate: '08001',
      });
      await client.end();
    });

    it('says what the policy has refused, and how often', async () => {
      const client = await FaultClient.open(proxy.port);
      const target = (host: string): string => `host=${host} user=postgres dbname=postgres password=x`;
      for (const count of [1, 2]) {
        await client.query(`SELECT * FROM dblink(${quoted(target('forbidden'))}, 'SELECT 1') AS t(a int)`);
        assert.deepEqual(own(await proxy.next('refused')), {
          kind: 'policy',
          by: 'policy.rules[0]',
          sqlstate: '42501',
          count,
          to: { host: 'forbidden', port: 5432, database: 'postgres', user: 'postgres' },
        });
      }
      // Inside of a function, by address.
      const inside = `BEGIN PERFORM dblink_exec(${quoted(target('127.9.9.9'))}, 'SELECT 1'); END`;
      await client.query(`DO ${quoted(inside)}`);
      assert.deepEqual(own(await proxy.next('refused')), {
        kind: 'policy',
        by: 'policy.rules[1]',
        sqlstate: '42501',
        count: 1,
        to: { host: '127.9.9.9', address: '127.9.9.9', port: 5432, database: 'postgres', user: 'postgres' },
      });
      await client.end();
    });

    it('says which limit was in the way', async () => {
      const limited = await world.proxy({ DBLINK_PROXY_LIMITS_REMOTE_CONNECTIONS_PER_SESSION: '1' });
      const client = await FaultClient.open(limited.port);
      await client.rows(`SELECT dblink_connect('a', ${quoted(world.conninfo)})`);
      await client.query(`SELECT dblink_connect('b', ${quoted(world.conninfo)})`);
      const by = 'limits.remote_connections_per_session';
      assert.deepEqual(own(await limited.next('refused')), { kind: 'limit', by, sqlstate: '53300' });
      await client.end();
    });

    it('names declared servers, and has no more of a kept one than its first call', async () => {
      const servers = {
        declared: {
          host: '127.0.0.1',
          port: String(world.remote.port),
          user: 'postgres',
          dbname: 'postgres',
          password: PASSWORD,
          roles: ['public'],
        },
      };
      const other = await world.proxy({
        DBLINK_PROXY_DBLINK_SERVERS: JSON.stringify(servers),
        DBLINK_PROXY_DBLINK_KEEP: '1h',
      });
      const client = await FaultClient.open(other.port);
      await client.rows("SELECT * FROM dblink('declared', 'SELECT 1') AS t(a int)");
      const { connection, to } = await other.next('connection_opened');
      assert.equal((to as { server?: string }).server, 'declared');
      await other.next('statement', { connection });
      await client.rows("SELECT * FROM dblink('declared', 'SELECT 1') AS t(a int)");
      await other.next('statement', { connection });
      await client.end();
      assert.equal(own(await other.next('connection_ended', { connection }))['reason'], 'closed');
      assert.equal(other.events().filter(({ event }) => event === 'connection_opened').length, 1);
    });
  });

  describe('of statements', () => {
    let client: FaultClient;
    before(async () => {
      client = await FaultClient.open(proxy.port);
      await client.rows(`SELECT dblink_connect('c', ${quoted(world.conninfo)})`);
    });
    after(() => client.end());

    /** What is told of the next statement. */
    async function told(): Promise<Readonly<Record<string, unknown>>> {
      const { connection, ...fields } = own(await proxy.next('statement'));
      assert.equal(typeof connection, 'number');
      return fields;
    }

    for (const protocol of PROTOCOLS)
      it(`says what each function has sent, and what came of it (${protocol})`, async () => {
        const sent = (name: string, text: string, more: object = {}): object => ({
          function: name,
          keyword: text.split(' ')[0],
          text_bytes: text.length,
          rows: 0,
          bytes: 0,
          complete: true,
          ...more,
        });
        const rows = 'SELECT generate_series(1, 3)';
        await run(client, `SELECT * FROM dblink('c', '${rows}') AS t(a int)`, protocol);
        // A row of one digit has 12 bytes.
        assert.deepEqual(await told(), sent('dblink', rows, { rows: 3, bytes: 36 }));
        await run(client, `SELECT sum(a) FROM dblink('c', '${rows}') AS t(a int)`, protocol);
        assert.deepEqual(await told(), sent('dblink', rows, { rows: 3, bytes: 36 }));
        const command = 'CREATE TEMP TABLE x AS SELECT 1 AS a';
        await run(client, `SELECT dblink_exec('c', '${command}')`, protocol);
        assert.deepEqual(await told(), sent('dblink_exec', command, { rows: 1 }));
        await run(client, "SELECT dblink_exec('c', 'DROP TABLE x')", protocol);
        assert.deepEqual(await told(), sent('dblink_exec', 'DROP TABLE x'));
        await run(client, `SELECT * FROM dblink('c', 'SELECT 1/0') AS t(a int)`, protocol);
        assert.deepEqual(await told(), sent('dblink', 'SELECT 1/0', { sqlstate: '22012' }));

        await run(client, `SELECT dblink_open('c', 'k', '${rows}')`, protocol);
        assert.deepEqual(await told(), sent('dblink_open', 'BEGIN'));
        assert.deepEqual(await told(), sent('dblink_open', `DECLARE k CURSOR FOR ${rows}`));
        await run(client, "SELECT * FROM dblink_fetch('c', 'k', 2) AS t(a int)", protocol);
        assert.deepEqual(await told(), sent('dblink_fetch', 'FETCH 2 FROM k', { rows: 2, bytes: 24 }));
        await run(client, "SELECT dblink_close('c', 'k')", protocol);
        assert.deepEqual(await told(), sent('dblink_close', 'CLOSE k'));
        assert.deepEqual(await told(), sent('dblink_close', 'COMMIT'));

        await run(client, `SELECT dblink_send_query('c', '${rows}')`, protocol);
        await run(client, "SELECT * FROM dblink_get_result('c') AS t(a int)", protocol);
        await run(client, "SELECT * FROM dblink_get_result('c') AS t(a int)", protocol);
        assert.deepEqual(await told(), sent('dblink_send_query', rows, { rows: 3, bytes: 36 }));

        // Where the primary's functions ask for it.
        await run(
          client,
          `SELECT count(*) FROM (VALUES (1)) v(x), LATERAL dblink('c', 'SELECT 1' || x) AS t(a int)`,
          protocol,
        );
        assert.deepEqual(await told(), sent('dblink', 'SELECT 11', { rows: 1, bytes: 13 }));
        await run(client, `DO 'BEGIN PERFORM dblink_exec(''c'', ''SET a.b = 1''); END'`, protocol);
        assert.deepEqual(await told(), sent('dblink_exec', 'SET a.b = 1'));
      });

    it('says why a call was given up, and what was not read', async () => {
      // Not by the proxy whose audit is looked at.
      const watcher = await FaultClient.open((await world.proxy()).port);
      client.wire.send(frontend.query("SELECT * FROM dblink('c', 'SELECT pg_sleep(600)') AS t(a text)"));
      await eventually('the remote sleeps', async () => {
        const [[count]] = (await watcher.rows(
          `SELECT * FROM dblink(${quoted(world.conninfo)}, 'SELECT count(*) FROM pg_stat_activity WHERE wait_event = ''PgSleep''') AS t(a text)`,
        )) as [[string]];
        assert.equal(count, '1');
      });
      await watcher.end();
      await client.cancel();
      assert.match(brief(await client.answer()), /E:57014 Z:I$/);
      const { text_bytes: _, ...fields } = await told();
      assert.deepEqual(fields, {
        function: 'dblink',
        keyword: 'SELECT',
        rows: 0,
        bytes: 0,
        complete: true,
        sqlstate: '57014',
      });
      await client.query(`SELECT dblink_exec('c', ${quoted(`${PASSWORD} is no SQL`)})`);
      const unread = await told();
      assert.deepEqual(unread, {
        function: 'dblink_exec',
        unread: true,
        text_bytes: PASSWORD.length + 10,
        rows: 0,
        bytes: 0,
        complete: true,
        sqlstate: '42601',
      });
    });

    it('says which texts could write where nothing may be written', async () => {
      const reader = await FaultClient.open(proxy.port);
      await world.remoteRows('CREATE DATABASE solely');
      await reader.rows(
        `SELECT dblink_connect('r', ${quoted(world.conninfo.replace('dbname=postgres', 'dbname=solely'))})`,
      );
      const opened = await proxy.next('connection_opened');
      assert.deepEqual([opened['rule'], opened['read_only']], ['policy.rules[2]', true]);
      for (const call of [
        "dblink_exec('r', 'SET default_transaction_read_only = off')",
        "dblink_send_query('r', 'BEGIN READ WRITE')",
      ]) {
        await reader.query(`SELECT ${call}`);
        const { function: name, connection, ...refused } = own(await proxy.next('refused'));
        assert.equal(name, call.split('(')[0]);
        assert.equal(connection, opened['connection']);
        assert.deepEqual(refused, { kind: 'read_only', by: 'read_only', sqlstate: '25006' });
      }
      await reader.end();
    });

    it('has the same fingerprint for those that differ in literals', async () => {
      const fingerprints: unknown[] = [];
      for (const text of ["SELECT 1, 'a'", "SELECT 2, 'b'", 'SELECT 1 FROM pg_class']) {
        await client.query(`SELECT * FROM dblink('c', ${quoted(text)}) AS t(a int)`);
        fingerprints.push((await proxy.next('statement'))['fingerprint']);
      }
      assert.match(String(fingerprints[0]), /^[0-9a-f]{16}$/);
      assert.equal(fingerprints[0], fingerprints[1]);
      assert.notEqual(fingerprints[0], fingerprints[2]);
    });

    it('is silent, or has texts without secrets, as configured', async () => {
      const [none, full] = [
        await world.proxy({ DBLINK_PROXY_AUDIT_STATEMENTS: 'none' }),
        await world.proxy({ DBLINK_PROXY_AUDIT_STATEMENTS: 'full' }),
      ];
      for (const one of [none, full]) {
        const client = await FaultClient.open(one.port);
        await client.rows(`SELECT dblink_connect('c', ${quoted(world.conninfo)})`);
        for (const text of [
          `SELECT 'ä'`,
          `SELECT 1 AS a, 'x' AS password`,
          `SELECT '${'y'.repeat(100_000)}'`,
        ])
          await client.query(`SELECT * FROM dblink('c', ${quoted(text)}) AS t(a text)`);
        await client.end();
        await one.next('session_ended');
      }
      assert.deepEqual(
        none.events().map(({ event }) => event),
        ['session_opened', 'connection_opened', 'connection_ended', 'session_ended'],
      );
      const [first, second, third] = full.events().filter(({ event }) => event === 'statement');
      assert.equal(first!['text'], "SELECT 'ä'");
      assert.equal(second!['text'], "SELECT '***' AS a, '***' AS password");
      assert.equal(third!['text_cut'], true);
      assert.equal(String(third!['text']).length, 64 * 1024);
      assert.equal(third!['text_bytes'], 100_009);
    });
  });

  it('knows sessions that are nested in the client’s', async () => {
    const client = await FaultClient.open(proxy.port);
    const own = `dbname=postgres user=postgres`;
    const inner = `SELECT * FROM dblink(${quoted(world.conninfo)}, 'SELECT 1') AS t(a int)`;
    await client.rows(`SELECT * FROM dblink(${quoted(own)}, ${quoted(inner)}) AS t(a int)`);
    const { session } = await proxy.next('statement', { depth: 1 });
    assert.equal(session, (await proxy.next('statement', { depth: undefined }))['session']);
    await client.end();
  });

  it('cannot be written: sessions wait, for their cancel and the login’s time, or events are dropped', async () => {
    const full = { DBLINK_PROXY_AUDIT_FILE: '/dev/full', DBLINK_PROXY_AUDIT_BUFFER: '1' };
    const waiting = await world.proxy({ ...full, DBLINK_PROXY_TIMEOUTS_LOGIN: '2s' });
    const client = await FaultClient.open(waiting.port);
    // What is not told of goes on.
    assert.deepEqual(await client.rows('SELECT 1'), [['1']]);
    client.wire.send(frontend.query(`SELECT dblink_connect('c', ${quoted(world.conninfo)})`));
    await assert.rejects(FaultClient.open(waiting.port), /E:57014/);
    await client.cancel();
    assert.match(brief(await client.answer()), /E:57014 Z:I$/);
    await client.end();

    const dropping = await world.proxy({ ...full, DBLINK_PROXY_AUDIT_ON_FULL: 'drop' });
    const other = await FaultClient.open(dropping.port);
    assert.deepEqual(await other.rows(`SELECT dblink_connect('c', ${quoted(world.conninfo)})`), [['OK']]);
    await other.end();
  });

  it('tells how much was dropped', async () => {
    const dropping = await world.proxy({
      DBLINK_PROXY_AUDIT_BUFFER: '1',
      DBLINK_PROXY_AUDIT_ON_FULL: 'drop',
    });
    // All connections end in one turn of the event loop, in which nothing is written.
    const client = await FaultClient.open(dropping.port);
    await client.rows(
      ['a', 'b', 'c', 'd']
        .map((name) => `SELECT dblink_connect('${name}', ${quoted(world.conninfo)})`)
        .join(';'),
    );
    await client.end();
    assert.ok(Number((await dropping.next('dropped'))['events']) > 0);
  });

  it('says which calls are left to an extension in the primary', async () => {
    const server = { host: '127.0.0.1', user: 'postgres', database: 'postgres', password: PASSWORD };
    await world.remoteRows('CREATE EXTENSION dblink');
    const left = await world.proxy(
      { DBLINK_PROXY_DBLINK_CALLS: 'primary' },
      { flags: { primary: `postgres://127.0.0.1:${world.remote.port}?sslmode=disable` } },
    );
    const client = new Client({ ...server, port: left.port });
    await client.connect();
    const text = "SELECT dblink_error_message('x'), dblink_get_connections(), dblink_get_connections()";
    const functions = ['dblink_error_message', 'dblink_get_connections'];
    for (const [query, times] of [
      [text, 'each'],
      [{ name: 'prepared', text }, 'once'],
    ] as const) {
      await assert.rejects(client.query(query as string), { code: '08003' });
      assert.deepEqual(own(await left.next('left_to_extension')), { functions, times });
    }
    await client.end();
  });

  it('is told by the documentation, field by field', async () => {
    const text = readFileSync(new URL('../../../../docs/audit.md', import.meta.url), 'utf8');
    const documented = new Map<string, string[]>();
    let event: string | undefined;
    for (const line of text.split('\n')) {
      if (line.startsWith('## Fields of every event')) event = '';
      event = /^### `(\w+)`$/.exec(line)?.[1] ?? event;
      const field = /^\| `(\w+)` \|/.exec(line)?.[1];
      if (event !== undefined && field !== undefined)
        documented.set(event, [...(documented.get(event) ?? []), field]);
    }
    const written = new Map<string, Set<string>>();
    const common = documented.get('')!;
    for (const line of world.all())
      for (const name of Object.keys(line)) {
        const where = common.includes(name) ? '' : line.event;
        written.set(where, (written.get(where) ?? new Set()).add(name));
      }
    const sorted = (of: ReadonlyMap<string, Iterable<string>>): object =>
      Object.fromEntries(
        [...of]
          .map(([name, fields]) => [name, [...fields].sort()] as const)
          .sort(([a], [b]) => (a < b ? -1 : 1)),
      );
    assert.deepEqual(sorted(written), sorted(documented));
  });

  it('has no secret in it', () => {
    assert.ok(!JSON.stringify(world.all()).includes(PASSWORD));
  });
});
