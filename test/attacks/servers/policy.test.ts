import assert from 'node:assert/strict';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { freePort } from '../../../src/embedded/freePort.js';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../../src/embedded/index.js';
import { errorOf, type FaultClient } from '../../faults/world/client.js';
import { startTestProxy, type TestProxy } from '../../support/proxy.js';
import { quoted, session } from '../support/filesWorld.js';

/** Who may reach what by dblink, whichever function it is and wherever it is called. */

const PASSWORD = 'policySecret';

describe('the policy', () => {
  let primary: PostgresServer;
  let remote: PostgresServer;
  let superuser: FaultClient;
  /** Counts who connects to it, and says nothing. */
  let silent: Server;
  let connections = 0;
  const proxies: TestProxy[] = [];

  before(async () => {
    [primary, remote] = await Promise.all([
      prepareBinaries({ major: 18, dblink: false }).then((installation) => startPostgres({ installation })),
      prepareBinaries({ major: 18, dblink: true }).then((installation) =>
        startPostgres({ installation, password: PASSWORD }),
      ),
    ]);
    silent = createServer((socket) => {
      connections++;
      socket.destroy();
    });
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const free = await proxyWith({});
    superuser = await session(free);
    await superuser.rows('CREATE EXTENSION dblink');
    await superuser.rows(
      'CREATE ROLE reporting; CREATE ROLE member LOGIN IN ROLE reporting; CREATE ROLE other LOGIN',
    );
    await superuser.rows(`CREATE FUNCTION as_member(c text) RETURNS text LANGUAGE sql SECURITY DEFINER
      AS $$SELECT a FROM dblink(c, 'SELECT ''x''') AS t(a text)$$; ALTER FUNCTION as_member OWNER TO member`);
    await superuser.rows(`SELECT dblink_exec(${quoted(at('127.0.0.1'))}, 'CREATE TABLE kept (a int)')`);
  });
  after(async () => {
    await superuser?.end();
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    silent?.close();
    await Promise.all([primary?.stop('immediate'), remote?.stop('immediate')]);
  });

  const at = (host: string, port = remote.port): string =>
    `host=${host} port=${port} user=postgres dbname=postgres password=${PASSWORD}`;

  async function proxyWith(
    policy: { rules?: readonly object[]; default?: string; connection_strings?: boolean },
    servers: object = {},
    listen = '127.0.0.1:0',
  ): Promise<TestProxy> {
    const { rules = [], default: fallback = 'allow', connection_strings: strings = true } = policy;
    const proxy = await startTestProxy(primary, {
      flags: {
        primary: `postgres://postgres@${primary.host}:${primary.port}?sslmode=disable`,
        listen: [listen],
      },
      env: {
        DBLINK_PROXY_POLICY_RULES: JSON.stringify(rules),
        DBLINK_PROXY_POLICY_DEFAULT: fallback,
        DBLINK_PROXY_POLICY_CONNECTION_STRINGS: String(strings),
        DBLINK_PROXY_DBLINK_SERVERS: JSON.stringify(servers),
      },
    });
    proxies.push(proxy);
    return proxy;
  }

  /** What a statement comes to: `OK`, or code, message and hint. */
  async function outcome(client: FaultClient, sql: string): Promise<string> {
    const frames = await client.query(sql);
    if (!frames.some(({ type }) => type === 'E')) return 'OK';
    const { C, M, H = '' } = errorOf(frames);
    return `${C} ${M}${H === '' ? '' : ` | ${H}`}`;
  }

  /** Every way to have a connection made by a string or a name. */
  const WAYS: Readonly<Record<string, (target: string) => string>> = {
    dblink_connect: (target) => `SELECT dblink_connect('n', ${quoted(target)}), dblink_disconnect('n')`,
    dblink_connect_u: (target) => `SELECT dblink_connect_u('n', ${quoted(target)}), dblink_disconnect('n')`,
    dblink: (target) => `SELECT * FROM dblink(${quoted(target)}, 'SELECT 1') AS t(a int)`,
    dblink_exec: (target) => `SELECT dblink_exec(${quoted(target)}, 'SET x.y = 1')`,
    'a function': (target) =>
      `DO ${quoted(`BEGIN PERFORM dblink_exec(${quoted(target)}, 'SET x.y = 1'); END`)}`,
    'calls for each row': (target) =>
      `SELECT * FROM (VALUES (1)) v(x), LATERAL dblink(${quoted(target)}, 'SELECT ' || x) AS t(a int)`,
  };

  it('refuses by every function, before anything is connected to, and tells superusers why', async () => {
    const { port } = silent.address() as AddressInfo;
    const proxy = await proxyWith({ rules: [{ deny: { address: 'loopback', port } }] });
    const client = await session(proxy);
    const low = await session(proxy, 'other');
    connections = 0;
    for (const [way, call] of Object.entries(WAYS))
      for (const host of ['127.0.0.1', 'localhost', '0x7f.1', '127.1', '0', '::1', '127.0.0.1,localhost'])
        assert.equal(
          await outcome(client, call(at(host, port))),
          `42501 connection to ${host.split(',')[0]}:${port} is not allowed by the policy | It is refused by policy.rules[0].`,
          way,
        );
    assert.equal(
      await outcome(low, WAYS['dblink']!(at('localhost', port))),
      `42501 connection to localhost:${port} is not allowed by the policy`,
    );
    assert.equal(connections, 0);
    for (const call of Object.values(WAYS)) assert.equal(await outcome(client, call(at('127.0.0.1'))), 'OK');
    await Promise.all([client.end(), low.end()]);
  });

  it('guards metadata and link-local addresses, and the proxy itself, without any rule', async () => {
    const port = await freePort();
    const proxy = await proxyWith({}, {}, `127.0.0.1:${port}`);
    const client = await session(proxy);
    for (const [host, at_] of [
      ['169.254.169.254', 5432],
      ['[::ffff:169.254.169.254]'.slice(1, -1), 5432],
      ['fe80::1', 5432],
      ['127.0.0.1', port],
      ['localhost', port],
      ['0.0.0.0', port],
      ['::ffff:0.0.0.0', port],
      ['::ffff:0:0', port],
      ['0:0::0', port],
    ] as const) {
      assert.match(
        await outcome(client, WAYS['dblink']!(at(host, at_))),
        /^42501 connection to .* \| It is refused by built in: /,
        host,
      );
      const hidden = `${at('127.0.0.1', at_)} hostaddr=${host}`;
      if (host !== 'localhost')
        assert.match(await outcome(client, WAYS['dblink']!(hidden)), /^42501/, hidden);
    }
    await client.end();
    const opened = await session(
      await proxyWith({ rules: [{ allow: { address: 'self' } }] }, {}, `127.0.0.1:${await freePort()}`),
    );
    assert.equal(await outcome(opened, WAYS['dblink']!(at('127.0.0.1'))), 'OK');
    await opened.end();
  });

  it('a name that a rule allows is of no use for another address', async () => {
    const client = await session(
      await proxyWith({ default: 'deny', rules: [{ allow: { host: 'localhost' } }] }),
    );
    assert.equal(await outcome(client, WAYS['dblink']!(at('LocalHost'))), 'OK');
    for (const conninfo of [
      at('127.0.0.1'),
      `${at('localhost')} hostaddr=127.0.0.1`,
      at('localhost.localdomain'),
    ])
      assert.match(await outcome(client, WAYS['dblink']!(conninfo)), /^42501 .*policy\.default\.$/);
    await client.end();
  });

  it('asks whose rights count, in functions of others too', async () => {
    const proxy = await proxyWith({ default: 'deny', rules: [{ allow: { roles: ['reporting'] } }] });
    const [member, other] = [await session(proxy, 'member'), await session(proxy, 'other')];
    const call = WAYS['dblink']!(at('127.0.0.1'));
    const inside = WAYS['a function']!(at('127.0.0.1'));
    for (const sql of [call, inside]) {
      assert.equal(await outcome(member, sql), 'OK');
      assert.match(await outcome(other, sql), /^42501 connection to/);
    }
    // The function runs as its owner, and can prove it.
    assert.equal(await outcome(other, `SELECT as_member(${quoted(at('127.0.0.1'))})`), 'OK');
    // A kept connection is not for a role that could not have made it.
    const boss = await session(proxy);
    for (const [role, code] of [
      ['member', /^OK/],
      ['other', /^42501/],
      ['member', /^OK/],
    ] as const) {
      await boss.rows(`SET ROLE ${role}`);
      assert.match(await outcome(boss, call), code);
    }
    await Promise.all([member.end(), other.end(), boss.end()]);
  });

  it('a rule that denies roles holds for those that prove none', async () => {
    const proxy = await proxyWith({ rules: [{ deny: { roles: ['reporting'] } }] });
    const [member, other] = [await session(proxy, 'member'), await session(proxy, 'other')];
    for (const way of ['dblink', 'a function'] as const) {
      assert.match(await outcome(member, WAYS[way]!(at('127.0.0.1'))), /^42501 connection to/);
      assert.equal(await outcome(other, WAYS[way]!(at('127.0.0.1'))), 'OK');
    }
    await Promise.all([member.end(), other.end()]);
  });

  it('what a rule allows can be read-only', async () => {
    const rules = [
      { allow: { from: 'postgres', user: 'postgres', database: 'p*', client: 'loopback', read_only: true } },
    ];
    const client = await session(await proxyWith({ default: 'deny', rules }));
    for (const sql of [
      'INSERT INTO kept VALUES (1)',
      'BEGIN READ WRITE',
      'SET default_transaction_read_only = off',
    ])
      assert.match(
        await outcome(client, `SELECT dblink_exec(${quoted(at('127.0.0.1'))}, ${quoted(sql)})`),
        /^25006/,
      );
    assert.equal(await outcome(client, WAYS['dblink']!(at('127.0.0.1'))), 'OK');
    await client.end();
  });

  it('connection strings can be forbidden, while servers by name go on', async () => {
    const server = {
      host: '127.0.0.1',
      port: String(remote.port),
      user: 'postgres',
      dbname: 'postgres',
      password: PASSWORD,
    };
    const servers = { declared: { ...server, sslmode: 'disable', allow_cleartext: true, roles: ['public'] } };
    const client = await session(await proxyWith({ connection_strings: false }, servers));
    for (const call of Object.values(WAYS)) {
      assert.match(await outcome(client, call(at('127.0.0.1'))), /^42501 .*policy\.connection_strings/);
      assert.equal(await outcome(client, call('declared')), 'OK');
    }
    await client.end();
  });

  it('servers are known by their names', async () => {
    await superuser.rows(`CREATE SERVER known FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host '127.0.0.1', port '${remote.port}', dbname 'postgres');
      CREATE USER MAPPING FOR postgres SERVER known OPTIONS (user 'postgres', password '${PASSWORD}')`);
    const client = await session(
      await proxyWith({ default: 'deny', rules: [{ allow: { server: 'kno*' } }] }),
    );
    assert.equal(await outcome(client, WAYS['dblink_connect']!('known')), 'OK');
    assert.match(await outcome(client, WAYS['dblink_connect']!(at('127.0.0.1'))), /^42501/);
    await client.end();
  });
});
