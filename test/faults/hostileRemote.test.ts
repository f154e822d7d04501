import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { eventually } from '../support/eventually.js';
import { backend, type FakeConnection, header } from '../support/fakePrimary.js';
import { brief, errorOf, firstValue } from './world/client.js';
import { COLUMNS, GOOD, HostileWorld, MIB, PLANS } from './world/hostile.js';
import { remote, WELCOME } from './world/scriptedRemote.js';

const row = remote.row(['1', 'one']);

describe('a hostile remote', () => {
  const hostile = new HostileWorld();

  it('a second ReadyForQuery: this call is served, the next one fails once', async (t) => {
    const server = await hostile.start(t, {
      query: (_, socket) => socket.write(Buffer.concat([GOOD, remote.ready()])),
    });
    const client = await hostile.connected(server);
    assert.match(brief(await client.query(PLANS.stream)), /C:SELECT 2 Z:I$/);
    await eventually('the connection is closed', () => assert.equal(server.open(), 0));
    assert.equal(brief(await client.query(PLANS.stream)), 'T E:08006 Z:I');
    assert.equal(errorOf(await client.query(PLANS.stream))['M']?.startsWith('could not send query'), true);
    await client.end();
    await hostile.othersAreWell();
  });

  it('endless notices: memory stays, a cancel ends it', async (t) => {
    const flood = remote.notice('n'.repeat(60_000));
    const pour = (socket: Socket): void => {
      while (!socket.destroyed && socket.write(flood));
      if (!socket.destroyed) socket.once('drain', () => pour(socket));
    };
    const server = await hostile.start(t, { query: (_, socket) => pour(socket) });
    const client = await hostile.connected(server);
    const { memory: idle } = await hostile.world.proxy.state(true);
    client.start(PLANS.splice, 'simple');
    for (let i = 0; i < 20; i++) await hostile.othersAreWell();
    const { memory } = await hostile.world.proxy.state(true);
    await client.cancel();
    assert.match(brief(await client.answer()), /E:57014 Z:I$/);
    assert.ok(
      memory.rss + memory.external < idle.rss + idle.external + 48 * MIB,
      JSON.stringify([idle, memory]),
    );
    await client.end();
    await eventually('the remote connections are closed', () => assert.equal(server.open(), 0));
  });

  it('a promised row of a gigabyte of which 32 MiB come: memory for what came, not for the promise', async (t) => {
    for (const sql of Object.values(PLANS)) {
      const server = await hostile.start(t, {
        query: (_, socket) => {
          socket.write(
            Buffer.concat([
              COLUMNS,
              header('D', 0x3ffffff0),
              Buffer.from([0, 2, 0, 0, 0, 1, 0x31, 0x3f, 0, 0, 0]),
            ]),
          );
          socket.write(Buffer.alloc(32 * MIB, 'x'));
        },
      });
      const client = await hostile.connected(server);
      const { memory: idle } = await hostile.world.proxy.state(true);
      client.start(sql, 'simple');
      for (let i = 0; i < 10; i++) await hostile.othersAreWell();
      await client.cancel();
      assert.match(brief(await client.answer()), /^T E:\w{5} Z:I$/);
      const { memory } = await hostile.world.proxy.state(true);
      assert.ok(memory.peak < idle.rss + idle.external + 160 * MIB, JSON.stringify([idle, memory]));
      await client.end();
    }
    await hostile.othersAreWell();
  });

  it('that never answers: a cancel ends the call, the next one waits, and the end of the session closes it', async (t) => {
    const server = await hostile.start(t, {});
    const client = await hostile.connected(server);
    for (let i = 0; i < 2; i++) {
      client.start(PLANS.stream, 'simple');
      await hostile.othersAreWell();
      await client.cancel();
      assert.equal(brief(await client.answer()), 'T E:57014 Z:I');
    }
    assert.equal(brief(await client.query("SELECT dblink_disconnect('h')")), 'T D C:SELECT 1 Z:I');
    await eventually('the remote connection is closed', () => assert.equal(server.open(), 0));
    await client.end();
  });

  it('that misses a cancel request gets another one, and the connection goes on', async (t) => {
    let cancels = 0;
    let waiting: Socket | undefined;
    const server = await hostile.start(t, {
      query: (_, socket) => {
        if (cancels > 0) socket.write(GOOD);
        else waiting = socket;
      },
      cancel: () => {
        cancels++;
        if (cancels === 2) waiting?.write(Buffer.concat([remote.error('57014', 'x'), remote.ready()]));
      },
    });
    const client = await hostile.connected(server);
    client.start(PLANS.stream, 'simple');
    await eventually('the remote is asked', () => assert.ok(waiting));
    await client.cancel();
    assert.equal(brief(await client.answer()), 'T E:57014 Z:I');
    assert.equal(brief(await client.query(PLANS.stream)), 'T D C:SELECT 2 Z:I');
    assert.equal(cancels, 2);
    await client.end();
  });

  const scram = (message: string): Buffer => Buffer.concat([backend('R', `\0\0\0\x0b${message}`)]);
  const logins: readonly (readonly [string, (connection: FakeConnection) => Promise<void> | void])[] = [
    ['garbage', ({ socket }) => void socket.write('SSH-2.0-OpenSSH_9.9\r\n')],
    ['an unknown authentication code', ({ socket }) => void socket.write(backend('R', '\0\0\0\x63'))],
    ['an authentication request of 1 GB', ({ socket }) => void socket.write(header('R', 1 << 30))],
    ['an error of 2 GB', ({ socket }) => void socket.write(header('E', 0x7fffffff))],
    ['a negative length', ({ socket }) => void socket.write(header('R', -1))],
    [
      'NegotiateProtocolVersion, then the end',
      ({ socket }) => void socket.end(backend('v', '\0\x03\0\0\0\0\0\x01_pq_.x\0')),
    ],
    ['a NegotiateProtocolVersion that is cut', ({ socket }) => void socket.end(backend('v', '\0'))],
    ['rows', ({ socket }) => void socket.write(Buffer.concat([backend('R', '\0\0\0\0'), COLUMNS, row]))],
    [
      'a key of 300 bytes',
      ({ socket }) =>
        void socket.write(Buffer.concat([backend('R', '\0\0\0\0'), backend('K', 'k'.repeat(300))])),
    ],
    ['the end at once', ({ socket }) => void socket.end()],
    ['a reset', ({ socket }) => void socket.resetAndDestroy()],
    [
      'a SCRAM iteration count of ten million',
      async (connection) => {
        connection.socket.write(backend('R', '\0\0\0\x0aSCRAM-SHA-256\0\0'));
        const first = (await connection.message()).toString('latin1');
        const nonce = /r=([^,]+)/.exec(first)?.[1] ?? '';
        connection.socket.write(scram(`r=${nonce}abc,s=${Buffer.alloc(16).toString('base64')},i=10000000`));
      },
    ],
    [
      'a nonce that is not ours',
      async (connection) => {
        connection.socket.write(backend('R', '\0\0\0\x0aSCRAM-SHA-256\0\0'));
        await connection.message();
        connection.socket.write(scram(`r=abc,s=${Buffer.alloc(16).toString('base64')},i=4096`));
      },
    ],
    [
      'ten thousand parameters',
      ({ socket }) =>
        void socket.write(
          Buffer.concat([
            backend('R', '\0\0\0\0'),
            ...Array.from({ length: 10_000 }, (_, i) => remote.parameter(`p${i}`, 'x'.repeat(100))),
          ]),
        ),
    ],
  ];
  for (const [name, login] of logins) {
    it(`at login: ${name}: 08001`, async (t) => {
      const server = await hostile.start(t, { login });
      const client = await hostile.client();
      for (const statement of [
        `SELECT dblink_connect('h', '${server.conninfo} password=p')`,
        `SELECT * FROM dblink('${server.conninfo} password=p', 'SELECT 1') AS t(a int)`,
      ]) {
        const frames = await client.query(statement);
        assert.equal(brief(frames), 'T E:08001 Z:I');
        assert.equal(errorOf(frames)['M'], 'could not establish connection');
        assert.ok(errorOf(frames)['D']);
      }
      assert.deepEqual(await client.rows('SELECT dblink_get_connections()'), [[null]]);
      await client.end();
      await eventually('the remote connections are closed', () => assert.equal(server.open(), 0));
      await hostile.othersAreWell();
    });
  }

  it('at login: an older protocol and unknown options are no failure', async (t) => {
    const negotiate = backend('v', '\0\x03\0\0\0\0\0\x01_pq_.x\0');
    const server = await hostile.start(t, {
      login: ({ socket }) => void socket.write(Buffer.concat([negotiate, WELCOME])),
      query: (_, socket) => socket.write(GOOD),
    });
    const client = await hostile.connected(server);
    assert.match(brief(await client.query(PLANS.stream)), /C:SELECT 2 Z:I$/);
    await client.end();
  });

  it('while it is asked for its attributes: 08001 for what is no answer', async (t) => {
    for (const answer of [
      (socket: Socket) => void socket.end(),
      (socket: Socket) => void socket.resetAndDestroy(),
      (socket: Socket) => void socket.write('garbage garbage'),
      (socket: Socket) => void socket.write(Buffer.concat([remote.error('42601', 'no'), remote.ready()])),
      (socket: Socket) => void socket.write(Buffer.concat([remote.tag('SELECT 0'), remote.ready()])),
    ]) {
      const server = await hostile.start(t, { query: (_, socket) => answer(socket) });
      const client = await hostile.client();
      const frames = await client.query(
        `SELECT dblink_connect('h', '${server.conninfo} target_session_attrs=standby')`,
      );
      assert.equal(brief(frames), 'T E:08001 Z:I', answer.toString());
      assert.equal(firstValue(await client.query('SELECT 1')), '1');
      await client.end();
      await eventually('the remote connections are closed', () => assert.equal(server.open(), 0));
    }
  });
});
