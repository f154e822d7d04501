import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { withFake } from '../relay/fakes.js';
import { eventually } from '../support/eventually.js';
import { backend, type FakeConnection, GREETING } from '../support/fakePrimary.js';
import { logIn, query, types } from '../support/relay.js';
import { frontend } from '../support/wire.js';

/** Primaries that do as they like. Each test names the rule that it tries to break. */

const CANCEL = 80877102;
const SECONDS = { env: { DBLINK_PROXY_TIMEOUTS_LOGIN: '60s', DBLINK_PROXY_TIMEOUTS_CONNECT: '60s' } };
const key = (processId: number, secret: string): Buffer => {
  const body = Buffer.alloc(4);
  body.writeInt32BE(processId);
  return backend('K', Buffer.concat([body, Buffer.from(secret)]));
};

/** Sends a cancel request and waits until its connection is closed. */
const cancel = (port: number, body: Buffer): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', reject).on('close', () => resolve());
    socket.resume();
    socket.write(frontend.cancelRequest(body.readInt32BE(0), body.subarray(4)));
  });

describe('an attack by a primary', () => {
  it('settings that are reported are bounded in number: the session ends, the proxy goes on', async () => {
    let hostile = true;
    await withFake(
      async (connection) => {
        await connection.startup();
        connection.socket.write(GREETING);
        await connection.message();
        const reports = Array.from({ length: hostile ? 5000 : 500 }, (_, i) => backend('S', `p${i}\0x\0`));
        connection.socket.write(Buffer.concat([...reports, backend('C', 'SELECT 0\0'), backend('Z', 'I')]));
      },
      async (port) => {
        const { client } = await logIn(port);
        client.write(frontend.query('SELECT'));
        const messages = await client.messagesToEnd(60_000);
        assert.deepEqual([messages.at(-1)?.type, messages.at(-1)?.fields['C']], ['E', '08006']);
        hostile = false;
        const { client: other } = await logIn(port);
        assert.match(types(await query(other, 'SELECT')), /^S{500}CZ$/);
        other.destroy();
      },
      SECONDS,
    );
  });

  it('a COPY that is announced again and again swallows no request of the client’s', async () => {
    const announced = Buffer.concat(Array.from({ length: 2000 }, () => backend('G', '\0\0\0')));
    await withFake(
      async (connection) => {
        await connection.startup();
        connection.socket.write(GREETING);
        for (let i = 0; i < 3; i++) await connection.message();
        connection.socket.write(Buffer.concat([announced, backend('C', 'COPY 0\0'), backend('Z', 'I')]));
        for (let i = 0; i < 2; i++)
          connection.socket.write(Buffer.concat([backend('C', 'SELECT 0\0'), backend('Z', 'I')]));
      },
      async (port) => {
        const { client } = await logIn(port);
        client.write(frontend.query('COPY'), frontend.query('SELECT'), frontend.query('SELECT'));
        assert.match(types(await client.until('Z', 3, 60_000)), /^G{2000}CZCZCZ$/);
        client.destroy();
      },
      SECONDS,
    );
  });

  it('the last key that it gives is the session’s, and an earlier one cancels nothing', async () => {
    const cancels: Buffer[] = [];
    await withFake(
      async (connection) => {
        const startup = await connection.startup();
        if (startup.readInt32BE(4) === CANCEL) {
          cancels.push(startup);
          connection.socket.end();
          return;
        }
        connection.socket.write(
          Buffer.concat([backend('R', '\0\0\0\0'), key(1, 'old!'), key(2, 'new!'), backend('Z', 'I')]),
        );
        await connection.message();
      },
      async (port) => {
        const { client, startup } = await logIn(port);
        const keys = startup.filter(({ type }) => type === 'K').map(({ body }) => body);
        assert.equal(keys.length, 2);
        client.write(frontend.query('SELECT'));
        await cancel(port, keys[0]!);
        await cancel(port, keys[1]!);
        await eventually('the primary is asked to cancel', () => cancels.length > 0);
        assert.deepEqual(
          cancels.map((packet) => packet.toString('latin1', 12)),
          ['new!'],
        );
        client.destroy();
      },
      SECONDS,
    );
  });

  it('a key without a secret can be used by nobody', async () => {
    let cancels = 0;
    await withFake(
      async (connection) => {
        const startup = await connection.startup();
        if (startup.readInt32BE(4) === CANCEL) {
          cancels++;
          connection.socket.end();
          return;
        }
        connection.socket.write(Buffer.concat([backend('R', '\0\0\0\0'), key(1, ''), backend('Z', 'I')]));
        await connection.message();
      },
      async (port) => {
        const { client, startup } = await logIn(port);
        const processId = startup.find(({ type }) => type === 'K')!.body.subarray(0, 4);
        client.write(frontend.query('SELECT'));
        for (const secret of ['', '\0', '\0\0\0\0'])
          await cancel(port, Buffer.concat([processId, Buffer.from(secret)]));
        assert.equal(cancels, 0);
        client.destroy();
      },
      SECONDS,
    );
  });

  it('words of the login in the midst of a session are the client’s to judge, and end no other', async () => {
    const words = [
      backend('R', '\0\0\0\x03'),
      backend('R', '\0\0\0\x63'),
      backend('R', '\0\0\0\x0aSCRAM-SHA-256\0\0'),
      backend('v', '\0\x03\0\0\xff\xff\xff\xff'),
      key(7, 'more'),
    ];
    const script = async (connection: FakeConnection): Promise<void> => {
      await connection.startup();
      connection.socket.write(GREETING);
      for (;;) {
        await connection.message();
        connection.socket.write(Buffer.concat([...words, backend('C', 'SELECT 0\0'), backend('Z', 'I')]));
      }
    };
    await withFake(
      script,
      async (port) => {
        const { client } = await logIn(port);
        const { client: other } = await logIn(port);
        assert.equal(types(await query(client, 'SELECT')), 'RRRvKCZ');
        assert.equal(types(await query(other, 'SELECT')), 'RRRvKCZ');
        client.destroy();
        other.destroy();
      },
      SECONDS,
    );
  });

  it('a request that is answered before it was made is not answered twice', async () => {
    await withFake(
      async (connection) => {
        await connection.startup();
        connection.socket.write(Buffer.concat([GREETING, backend('C', 'SELECT 0\0'), backend('Z', 'I')]));
        await connection.message();
        connection.socket.write(Buffer.concat([backend('C', 'SELECT 1\0'), backend('Z', 'I')]));
        await connection.message();
        connection.socket.write(Buffer.concat([backend('C', 'SELECT 2\0'), backend('Z', 'I')]));
      },
      async (port) => {
        const { client } = await logIn(port);
        await client.until('Z', 1, 60_000);
        for (const tag of ['SELECT 1', 'SELECT 2']) {
          const messages = await query(client, 'SELECT');
          assert.deepEqual([types(messages), messages[0]!.body.toString()], ['CZ', `${tag}\0`]);
        }
        client.destroy();
      },
      SECONDS,
    );
  });
});
