import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { untilSleeping } from '../support/activity.js';
import { eventually } from '../support/eventually.js';
import { backend, failure, GREETING, header } from '../support/fakePrimary.js';
import { execute } from '../support/postgres.js';
import { RawClient } from '../support/rawClient.js';
import { firstValue, logIn, query, startRelay, types } from '../support/relay.js';
import { frontend } from '../support/wire.js';
import { withFake } from './fakes.js';

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
    const { client } = await logIn(proxy.port, { application_name: 'terminated' });
    client.write(frontend.query('SELECT pg_sleep(600)'));
    await untilSleeping(primary, 'terminated');
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
      for (const now of [undefined, 'SELECT pg_sleep(600)']) {
        const proxy = await startRelay(primary);
        const { client } = await logIn(proxy.port, { application_name: 'killed' });
        const pid = await backendPid(client);
        await query(client, before);
        // The third has failed, so that nothing else is run.
        if (now !== undefined) {
          client.write(frontend.query(now));
          if (before.startsWith('BEGIN')) await client.until('Z');
          else await untilSleeping(primary, 'killed');
        }
        // The postmaster restarts all its sessions when one is killed.
        process.kill(pid, 'SIGKILL');
        const messages = await client.messagesToEnd();
        assert.deepEqual(
          [types(messages).at(-1), messages.at(-1)?.fields['C']],
          ['E', '08006'],
          `${before}, ${now}: ${types(messages)}`,
        );
        await proxy.stop();
        await eventually('the primary is back', async () => void (await execute(primary.url(), 'SELECT 1')));
      }
    }
  });

  it('before its first word: 08006, also where another attempt would follow its refusal', async () => {
    for (const mode of ['disable', 'allow']) {
      const messages = await withFake(
        async (connection) => {
          await connection.startup();
          connection.socket.end();
        },
        async (port) => {
          const client = await RawClient.connect(port);
          client.write(frontend.startup({ user: 'postgres' }));
          return client.messagesToEnd();
        },
        { query: `sslmode=${mode}` },
      );
      assert.deepEqual([types(messages), messages[0]?.fields['C']], ['E', '08006'], mode);
      assert.match(messages[0]?.fields['M'] ?? '', /was lost/, mode);
    }
  });

  it('that says so while it does not read: 08006, though there is more to send to it', async () => {
    const messages = await withFake(
      async (connection) => {
        await connection.startup();
        connection.socket.write(GREETING);
        await connection.message();
        connection.socket.pause();
        // Until whatever lies between is full.
        await delay(500);
        connection.socket.end();
      },
      async (port) => {
        const { client } = await logIn(port);
        client.write(frontend.query('SELECT 1'), frontend.query(' '.repeat(64 << 20)));
        return client.messagesToEnd();
      },
    );
    assert.deepEqual([types(messages), messages[0]?.fields['C']], ['E', '08006']);
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
