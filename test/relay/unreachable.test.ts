import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { eventually } from '../support/eventually.js';
import { type FakeConnection, failure, fakePrimary } from '../support/fakePrimary.js';
import { atLimit } from '../support/pace.js';
import { execute } from '../support/postgres.js';
import { type Message, RawClient } from '../support/rawClient.js';
import { firstValue, logIn, query, type RelayOptions, startRelay, types } from '../support/relay.js';
import { frontend } from '../support/wire.js';
import { HASTY, HASTY_CONNECT_MS, withFake } from './fakes.js';

/** What a client is told that logs in; the one error it must get, and nothing before or behind it. */
async function refusedWith(primary: { port: number }, options: RelayOptions = {}): Promise<Message> {
  const proxy = await startRelay(primary, { env: HASTY, ...options });
  try {
    const client = await RawClient.connect(proxy.port);
    client.write(frontend.startup({ user: 'postgres' }));
    const messages = await client.messagesToEnd();
    assert.equal(types(messages).replaceAll(/[RSK]/g, ''), 'E', types(messages));
    assert.equal(messages.at(-1)?.fields['S'], 'FATAL');
    return messages.at(-1)!;
  } finally {
    await proxy.stop();
  }
}

describe('a primary that cannot be reached', () => {
  it('because nobody listens: 08001, with what was tried and what to do', async () => {
    const free = await fakePrimary(() => {});
    await free.stop();
    const { fields } = await refusedWith(free);
    assert.equal(fields['C'], '08001');
    assert.match(fields['D'] ?? '', new RegExp(`127\\.0\\.0\\.1.*port ${free.port}.*Connection refused`));
    assert.ok(fields['H']);
  });

  it('because its name cannot be resolved: 08001', async () => {
    const { fields } = await refusedWith({ port: 5432 }, { host: 'no-such-host.invalid' });
    assert.equal(fields['C'], '08001');
    assert.match(fields['D'] ?? '', /no-such-host\.invalid/);
  });

  it('because it accepts and says nothing: 08001 after the connect timeout if TLS is asked for', async () => {
    const silent = await fakePrimary(() => {});
    // No other limit ends it.
    const env = { ...HASTY, DBLINK_PROXY_TIMEOUTS_LOGIN: '1h' };
    await atLimit('the attempt', HASTY_CONNECT_MS, async () => {
      const { fields } = await refusedWith(silent, { query: 'sslmode=require', env });
      assert.equal(fields['C'], '08001');
    });
    await silent.stop();
  });

  it('because it accepts and never answers: 08006 at the login timeout', async () => {
    for (const mode of ['disable', 'allow']) {
      const silent = await fakePrimary(() => {});
      const { fields } = await refusedWith(silent, { query: `sslmode=${mode}` });
      assert.equal(fields['C'], '08006');
      assert.match(fields['M'] ?? '', /did not answer/);
      await silent.stop();
    }
  });

  it('because it closes at once: 08006', async () => {
    for (const script of [
      ({ socket }: FakeConnection) => void socket.destroy(),
      ({ socket }: FakeConnection) => void socket.resetAndDestroy(),
      async (connection: FakeConnection) => {
        await connection.startup();
        connection.socket.end();
      },
    ]) {
      const closing = await fakePrimary(script);
      const { fields } = await refusedWith(closing);
      assert.match(fields['C'] ?? '', /^080(01|06)$/);
      await closing.stop();
    }
  });
});

describe('a primary that refuses', () => {
  let primary: PostgresServer;
  before(async () => {
    const installation = await prepareBinaries({ major: 18, dblink: false });
    primary = await startPostgres({
      installation,
      settings: { max_connections: '4', superuser_reserved_connections: '0', reserved_connections: '0' },
      hba: ['host all rejected all reject', 'host all checked all scram-sha-256', 'host all all all trust'],
    });
    await execute(primary.url(), "CREATE ROLE checked LOGIN PASSWORD 'right'");
  });
  after(() => primary?.stop('immediate'));

  /** What a client is told directly and through the proxy, which must be the same. */
  async function bothWays(parameters: Readonly<Record<string, string>>): Promise<string> {
    const proxy = await startRelay(primary);
    const answers = await Promise.all(
      [primary.port, proxy.port].map(async (port) => {
        const client = await RawClient.connect(port);
        client.write(frontend.startup({ user: 'postgres', ...parameters }));
        return client.toEnd();
      }),
    );
    await proxy.stop();
    assert.equal(answers[1]?.toString('latin1'), answers[0]?.toString('latin1'));
    return /\0C(.....)\0/.exec(answers[1]?.toString('latin1') ?? '')?.[1] ?? 'no error';
  }

  it('is quoted, word for word and once', async () => {
    assert.equal(await bothWays({ database: 'missing' }), '3D000');
    assert.equal(await bothWays({ user: 'missing' }), '28000');
    assert.equal(await bothWays({ user: 'rejected' }), '28000');
  });

  it('is quoted when it has too many clients', async () => {
    const proxy = await startRelay(primary);
    const clients = await Promise.all(Array.from({ length: 4 }, () => logIn(proxy.port)));
    const refused = await RawClient.connect(proxy.port);
    refused.write(frontend.startup({ user: 'postgres' }));
    assert.equal((await refused.messagesToEnd())[0]?.fields['C'], '53300');
    // The sessions that there are go on, and one that ends makes room.
    assert.equal(firstValue(await query(clients[0]!.client, 'SELECT 1')), '1');
    clients[0]!.client.write(frontend.terminate());
    await clients[0]!.client.toEnd();
    await eventually('there is room', async () => {
      const next = await logIn(proxy.port);
      assert.equal(types(next.startup).at(-1), 'Z');
    });
    await proxy.stop();
  });

  it('a wrong password is quoted', async () => {
    const proxy = await startRelay(primary);
    const client = new Client({
      host: '127.0.0.1',
      port: proxy.port,
      user: 'checked',
      password: 'wrong',
      database: 'postgres',
    });
    await assert.rejects(client.connect(), { code: '28P01' });
    await proxy.stop();
  });

  it('while it starts up is quoted', async () => {
    const text = failure('FATAL', '57P03', 'the database system is starting up');
    await withFake(
      async (connection) => {
        await connection.startup();
        connection.socket.end(text);
      },
      async (port) => {
        const client = await RawClient.connect(port);
        client.write(frontend.startup({ user: 'postgres' }));
        assert.deepEqual(await client.toEnd(), text);
      },
    );
  });

  it('gets a second try without TLS under prefer, with it under allow, as libpq makes it', async () => {
    const seen: string[] = [];
    const fake = await fakePrimary(async (connection) => {
      const first = await connection.take(8);
      const isTls = first.readInt32BE(4) === 80877103;
      seen.push(isTls ? 'TLS asked' : 'startup');
      if (isTls) return void connection.socket.end('N');
      await connection.take(first.readInt32BE(0) - 8);
      connection.socket.end(failure('FATAL', '28000', `refused ${connection.number}`));
    });
    const { fields } = await refusedWith(fake, { query: 'sslmode=allow' });
    assert.deepEqual(seen, ['startup', 'TLS asked']);
    // The second connection was closed before it had an answer.
    assert.match(fields['C'] ?? '', /^080(01|06)$/);
    await fake.stop();
  });
});
