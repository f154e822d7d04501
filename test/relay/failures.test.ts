import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import {
  backend,
  type FakeConnection,
  failure,
  fakePrimary,
  GREETING,
  header,
} from '../support/fakePrimary.js';
import { execute } from '../support/postgres.js';
import { type Message, RawClient } from '../support/rawClient.js';
import { firstValue, logIn, query, type RelayOptions, startRelay, types } from '../support/relay.js';
import { frontend } from '../support/wire.js';

const HASTY = { DBLINK_PROXY_TIMEOUTS_LOGIN: '500ms', DBLINK_PROXY_TIMEOUTS_CONNECT: '300ms' };

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

/** Runs a script as the primary and gives a client's way through it. */
async function withFake<T>(
  script: (connection: FakeConnection) => Promise<void> | void,
  act: (port: number) => Promise<T>,
  options: RelayOptions = {},
): Promise<T> {
  const fake = await fakePrimary(script);
  const proxy = await startRelay(fake, { env: HASTY, ...options });
  try {
    return await act(proxy.port);
  } finally {
    await proxy.stop();
    await fake.stop();
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
    const since = performance.now();
    const { fields } = await refusedWith(silent, { query: 'sslmode=require' });
    assert.equal(fields['C'], '08001');
    const elapsed = performance.now() - since;
    assert.ok(elapsed > 250 && elapsed < 480, `after ${elapsed} ms`);
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
    await delay(100);
    const next = await logIn(proxy.port);
    assert.equal(types(next.startup).at(-1), 'Z');
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

describe('a primary that goes away', () => {
  let primary: PostgresServer;
  before(async () => {
    const installation = await prepareBinaries({ major: 18, dblink: false });
    primary = await startPostgres({ installation });
  });
  after(() => primary?.stop('immediate'));

  const backendPid = async (client: RawClient): Promise<number> =>
    Number(firstValue(await query(client, 'SELECT pg_backend_pid()')));

  it('tells idle sessions why (57P01), once, and new ones work when it is back', async () => {
    const proxy = await startRelay(primary);
    const idle = await logIn(proxy.port);
    const inBlock = await logIn(proxy.port);
    await query(inBlock.client, 'BEGIN');
    await primary.restart('fast');
    for (const { client } of [idle, inBlock]) {
      const messages = await client.messagesToEnd();
      assert.deepEqual([types(messages), messages[0]?.fields['C']], ['E', '57P01']);
    }
    const again = await logIn(proxy.port);
    assert.equal(firstValue(await query(again.client, 'SELECT 1')), '1');
    again.client.destroy();
    await proxy.stop();
  });

  it('while it is away: 08001; and one that was running a statement: 57P01', async () => {
    const proxy = await startRelay(primary);
    const { client } = await logIn(proxy.port);
    client.write(frontend.query('SELECT pg_sleep(30)'));
    await delay(100);
    await execute(
      primary.url(),
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'`,
    );
    const messages = await client.messagesToEnd();
    assert.deepEqual([types(messages).at(-1), messages.at(-1)?.fields['C']], ['E', '57P01']);
    await proxy.stop();
  });

  it('without a word: 08006, also after an earlier error of a statement', async () => {
    for (const before of ['SELECT 1', 'SELECT 1/0', 'BEGIN; SELECT 1/0']) {
      for (const now of [undefined, 'SELECT pg_sleep(30)']) {
        const proxy = await startRelay(primary);
        const { client } = await logIn(proxy.port);
        const pid = await backendPid(client);
        await query(client, before);
        if (now !== undefined) client.write(frontend.query(now));
        await delay(50);
        // The postmaster restarts all its sessions when one is killed.
        process.kill(pid, 'SIGKILL');
        const messages = await client.messagesToEnd();
        assert.deepEqual(
          [types(messages).at(-1), messages.at(-1)?.fields['C']],
          ['E', '08006'],
          `${before}, ${now}: ${types(messages)}`,
        );
        await proxy.stop();
        for (;;) {
          const recovered = await execute(primary.url(), 'SELECT 1').catch(() => undefined);
          if (recovered !== undefined) break;
          await delay(50);
        }
      }
    }
  });

  it('in the middle of a row: the client gets what there is and no error inside of it', async () => {
    const row = backend('D', Buffer.concat([Buffer.from([0, 1, 0, 0, 39, 16]), Buffer.alloc(10_000, 'x')]));
    for (const part of [row.length - 1, row.length - 40, 100, 6]) {
      const received = await withFake(
        async (connection) => {
          await connection.startup();
          connection.socket.write(GREETING);
          await connection.message();
          connection.socket.write(row);
          connection.socket.end(row.subarray(0, part));
        },
        async (port) => {
          const { client } = await logIn(port);
          client.write(frontend.query('SELECT'));
          return client.toEnd();
        },
      );
      assert.deepEqual(received, Buffer.concat([row, row.subarray(0, part)]), `part of ${part} bytes`);
    }
  });

  it('in the middle of a header: the header is not completed either', async () => {
    const row = backend('D', Buffer.from([0, 0]));
    const received = await withFake(
      async (connection) => {
        await connection.startup();
        connection.socket.write(GREETING);
        await connection.message();
        connection.socket.end(Buffer.concat([row, row.subarray(0, 4)]));
      },
      async (port) => {
        const { client } = await logIn(port);
        client.write(frontend.query('SELECT'));
        return client.messagesToEnd();
      },
    );
    assert.deepEqual([types(received), received.at(-1)?.fields['C']], ['DE', '08006']);
  });

  it('with a last word of its own is not contradicted', async () => {
    for (const [severity, expected] of [
      ['FATAL', 'E'],
      ['PANIC', 'E'],
      ['ERROR', 'EE'],
    ] as const) {
      const messages = await withFake(
        async (connection) => {
          await connection.startup();
          connection.socket.write(GREETING);
          await connection.message();
          connection.socket.end(failure(severity, '57P05', 'over'));
        },
        async (port) => {
          const { client } = await logIn(port);
          client.write(frontend.query('SELECT'));
          return client.messagesToEnd();
        },
      );
      assert.equal(types(messages), expected, severity);
      assert.equal(messages[0]?.fields['C'], '57P05');
      if (expected === 'EE') assert.equal(messages[1]?.fields['C'], '08006');
    }
  });
});

describe('a primary that breaks the protocol', () => {
  /** What it says after the login, in answer to a query. */
  const nonsense: readonly (readonly [string, Buffer])[] = [
    ['a length of 0', header('D', 0)],
    ['a negative length', header('C', -5)],
    ['an error of two gigabytes', header('E', 0x7fffffff)],
    ['a ReadyForQuery of a megabyte', header('Z', 1 << 20)],
    ['a ParameterStatus of a gigabyte', header('S', 0x3fffffff)],
    ['a ParameterStatus without an end', backend('S', 'name')],
    ['a RowDescription of two gigabytes', header('T', 0x7fffffff)],
    ['an HTTP answer', Buffer.from('\0HTTP/1.1 400 Bad Request\r\n\r\n')],
  ];
  for (const [name, bytes] of nonsense) {
    it(`${name}: 08006 for that session, and the proxy goes on`, async () => {
      let hostile = true;
      await withFake(
        async (connection) => {
          await connection.startup();
          connection.socket.write(GREETING);
          await connection.message();
          connection.socket.write(hostile ? bytes : backend('Z', 'I'));
        },
        async (port) => {
          const { client } = await logIn(port);
          client.write(frontend.query('SELECT'));
          const messages = await client.messagesToEnd();
          assert.deepEqual([types(messages), messages[0]?.fields['C']], ['E', '08006']);
          hostile = false;
          const { client: other } = await logIn(port);
          assert.equal(types(await query(other, 'SELECT')), 'Z');
        },
      );
    });
  }

  it('during the login: an error for that client, and no memory for what is promised', async () => {
    const promises = [
      header('R', 0x7fffffff),
      header('R', 100_000),
      header('K', 0x3fffffff),
      header('E', 0x7fffffff),
      header('S', 3),
      backend('K', '\0'),
      Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
    ];
    for (const promise of promises) {
      const messages = await withFake(
        async (connection) => {
          await connection.startup();
          connection.socket.write(promise);
        },
        async (port) => {
          const client = await RawClient.connect(port);
          client.write(frontend.startup({ user: 'postgres' }));
          return client.messagesToEnd();
        },
      );
      assert.match(messages.at(-1)?.fields['C'] ?? types(messages), /^08/, promise.toString('latin1'));
    }
  });

  it('answers nobody asked for pass, as they would on a direct connection', async () => {
    const strange = Buffer.concat([
      backend('N', 'SNOTICE\0VNOTICE\0C00000\0Munasked\0\0'),
      backend('A', '\0\0\0\x07channel\0payload\0'),
      backend('S', 'name\0value\0'),
      backend('C', 'SELECT 1\0'),
      backend('Z', 'I'),
      backend('?', 'new in a later version'),
    ]);
    const received = await withFake(
      async (connection) => {
        await connection.startup();
        connection.socket.write(Buffer.concat([GREETING, strange]));
        await connection.message();
        connection.socket.write(backend('Z', 'I'));
      },
      async (port) => {
        const { client } = await logIn(port);
        const unasked = await client.bytes(strange.length);
        client.write(frontend.query(''));
        assert.equal(types(await client.until('Z')), 'Z');
        return unasked;
      },
    );
    assert.deepEqual(received, strange);
  });
});
