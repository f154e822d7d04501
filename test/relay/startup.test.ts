import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { PostgresServer } from '../../src/embedded/index.js';
import { collectGarbage } from '../support/collector.js';
import { primaryServer } from '../support/postgres.js';
import { type Message, RawClient, split } from '../support/rawClient.js';
import { firstValue, query, type RelayProxy, startRelay, types } from '../support/relay.js';
import { PROXY_TLS } from '../support/tlsFiles.js';
import { frontend } from '../support/wire.js';

const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};

const SSL_REQUEST = Buffer.concat([int32(8), int32(80877103)]);
const GSSENC_REQUEST = Buffer.concat([int32(8), int32(80877104)]);
const STARTUP = frontend.startup({ user: 'postgres' });
const ALPN = { ALPNProtocols: ['postgresql'] };

/** Fields of the error with which a connection ends; fails if something else comes, or it does not end. */
async function refusal(client: RawClient): Promise<Readonly<Record<string, string>>> {
  const messages = await client.messagesToEnd();
  assert.equal(types(messages), 'E', messages.map(({ whole }) => whole.toString('latin1')).join());
  return messages[0]!.fields;
}

/** Goes through the startup on this connection and runs a query. */
async function works(client: RawClient): Promise<void> {
  client.write(STARTUP);
  const startup = await client.until('Z');
  assert.match(types(startup), /^RS+KZ$/);
  assert.equal(firstValue(await query(client, 'SELECT 41 + 1')), '42');
  client.destroy();
}

describe('the phase before the session', () => {
  let primary: PostgresServer;
  let plain: RelayProxy;
  let secure: RelayProxy;

  before(async () => {
    primary = await primaryServer(18);
    plain = await startRelay(primary, { env: { DBLINK_PROXY_TIMEOUTS_LOGIN: '30s' } });
    secure = await startRelay(primary, { flags: PROXY_TLS });
  });
  after(() => Promise.all([plain?.stop(), secure?.stop()]));

  describe('encryption requests', () => {
    it('SSLRequest is refused without a certificate, and the session goes on without TLS', async () => {
      const client = await RawClient.connect(plain.port);
      client.write(SSL_REQUEST);
      assert.equal((await client.bytes(1)).toString(), 'N');
      await works(client);
    });

    it('SSLRequest is accepted with one, and the session goes on with TLS', async () => {
      const client = await RawClient.connect(secure.port);
      client.write(SSL_REQUEST);
      assert.equal((await client.bytes(1)).toString(), 'S');
      const socket = await client.startTls(ALPN);
      assert.equal(socket.alpnProtocol, 'postgresql');
      await works(client);
    });

    it('a plaintext client is served beside', () => RawClient.connect(secure.port).then(works));

    it('GSSENCRequest is refused politely', async () => {
      for (const { port } of [plain, secure]) {
        const client = await RawClient.connect(port);
        client.write(GSSENC_REQUEST);
        assert.equal((await client.bytes(1)).toString(), 'N');
        await works(client);
      }
    });

    it('are each answered once, in either order', async () => {
      for (const [first, other] of [
        [SSL_REQUEST, GSSENC_REQUEST],
        [GSSENC_REQUEST, SSL_REQUEST],
      ] as const) {
        const client = await RawClient.connect(plain.port);
        client.write(first);
        assert.equal((await client.bytes(1)).toString(), 'N');
        client.write(other);
        assert.equal((await client.bytes(1)).toString(), 'N');
        await works(client);
      }
      const client = await RawClient.connect(secure.port);
      client.write(GSSENC_REQUEST);
      assert.equal((await client.bytes(1)).toString(), 'N');
      client.write(SSL_REQUEST);
      assert.equal((await client.bytes(1)).toString(), 'S');
      await client.startTls();
      await works(client);
    });

    it('a third one closes the connection', async () => {
      for (const third of [SSL_REQUEST, GSSENC_REQUEST]) {
        const client = await RawClient.connect(plain.port);
        for (const request of [SSL_REQUEST, GSSENC_REQUEST]) {
          client.write(request);
          assert.equal((await client.bytes(1)).toString(), 'N');
        }
        client.write(third);
        assert.equal((await refusal(client))['C'], '08P01');
      }
    });

    it('inside of TLS close the connection', async () => {
      for (const request of [SSL_REQUEST, GSSENC_REQUEST]) {
        const client = await RawClient.connect(secure.port);
        client.write(SSL_REQUEST);
        await client.bytes(1);
        await client.startTls();
        client.write(request);
        assert.equal((await refusal(client))['C'], '08P01');
      }
    });

    it('bytes stuffed behind SSLRequest close the connection before anything is done with them', async () => {
      for (const { port } of [plain, secure]) {
        for (const request of [SSL_REQUEST, GSSENC_REQUEST]) {
          const client = await RawClient.connect(port);
          client.write(request, STARTUP);
          const fields = await refusal(client);
          assert.equal(fields['C'], '08P01');
          assert.match(fields['M'] ?? '', /received unencrypted data after/);
        }
      }
    });

    it('TLS from the first byte on works for clients that say what protocol they mean', async () => {
      const client = await RawClient.connectTls(secure.port, ALPN);
      await works(client);
      const silent = await RawClient.connectTls(secure.port, {});
      assert.equal((await refusal(silent))['C'], '08P01');
      await assert.rejects(RawClient.connectTls(secure.port, { ALPNProtocols: ['http/1.1'] }));
      await assert.rejects(RawClient.connectTls(plain.port, ALPN));
    });

    it('handshakes that are broken, reset or in the wrong protocol end that connection and leave nothing behind', async () => {
      const sockets = (): number =>
        process.getActiveResourcesInfo().filter((name) => /TCPSocket|TLS/.test(name)).length;
      const idle = sockets();
      const attempts = [
        (client: RawClient) => client.write(Buffer.from('GET / HTTP/1.1\r\n\r\n')),
        (client: RawClient) => client.write(Buffer.from('16030100050100000100', 'hex')),
        (client: RawClient) => client.write(Buffer.alloc(300, 0x16)),
        (client: RawClient) => client.socket.resetAndDestroy(),
        (client: RawClient) => client.socket.end(Buffer.from('160301', 'hex')),
        (client: RawClient) => client.destroy(),
      ];
      for (const attempt of [...attempts, ...attempts]) {
        const client = await RawClient.connect(secure.port);
        client.write(SSL_REQUEST);
        assert.equal((await client.bytes(1)).toString(), 'S');
        attempt(client);
        await client.toEnd();
      }
      for (let tries = 0; sockets() > idle && tries < 50; tries += 1) await delay(20);
      assert.ok(sockets() <= idle, `${sockets()} sockets, ${idle} before`);
      await works(await RawClient.connect(secure.port));
    });
  });

  describe('protocol versions', () => {
    /** What a server sends up to ReadyForQuery, with its process id and key made equal. */
    async function startup(port: number, version: number, parameters = {}): Promise<Message[]> {
      const client = await RawClient.connect(port);
      client.write(frontend.startup({ user: 'postgres', ...parameters }, version));
      const messages = await client.until('Z');
      client.destroy();
      return messages;
    }
    const withoutKey = (messages: readonly Message[]): string[] =>
      messages.map(({ type, whole }) =>
        type === 'K' ? `K of ${whole.length} bytes` : whole.toString('latin1'),
      );

    for (const [name, version, parameters] of [
      ['3.0', 0x30000, {}],
      ['3.2', 0x30002, {}],
      ['3.1, which never was', 0x30001, {}],
      ['3.9999 with an option that nobody knows', 0x30000 + 9999, { '_pq_.test_protocol_negotiation': '' }],
      ['3.0 with such an option', 0x30000, { '_pq_.one': '1', '_pq_.two': '2' }],
      [
        '3.0 with every kind of parameter',
        0x30000,
        {
          database: 'postgres',
          options: '-c geqo=off',
          application_name: 'ä',
          DateStyle: 'German',
          client_encoding: 'LATIN1',
        },
      ],
    ] as const) {
      it(`${name} is answered as by the primary`, async () => {
        const direct = await startup(primary.port, version, parameters);
        const proxied = await startup(plain.port, version, parameters);
        assert.deepEqual(withoutKey(proxied), withoutKey(direct));
      });
    }

    it('3.2 has long cancel keys, of the proxy’s own', async () => {
      const key = (await startup(plain.port, 0x30002)).find(({ type }) => type === 'K');
      assert.equal(key?.body.length, 4 + 32);
      const short = (await startup(plain.port, 0x30000)).find(({ type }) => type === 'K');
      assert.equal(short?.body.length, 4 + 4);
    });

    for (const [name, version] of [
      ['1.0', 0x10000],
      ['2.0', 0x20000],
      ['4.0', 0x40000],
      ['9.9', 0x90009],
    ] as const) {
      it(`${name} is refused in words that its client can read`, async () => {
        const text = async (port: number): Promise<string> => {
          const client = await RawClient.connect(port);
          client.write(frontend.startup({ user: 'postgres' }, version));
          return (await client.toEnd()).toString('latin1');
        };
        const [direct, proxied] = [await text(primary.port), await text(plain.port)];
        assert.match(
          proxied,
          new RegExp(`unsupported frontend protocol ${name}: server supports 3.0 to 3.2`),
        );
        // The primary adds where in its source the error was raised.
        const form = (answer: string): string =>
          answer.startsWith('EFATAL:  ') ? answer : types(split(Buffer.from(answer, 'latin1')));
        assert.equal(form(proxied), form(direct));
        if (version > 0x30000) assert.equal(split(Buffer.from(proxied, 'latin1'))[0]?.fields['C'], '0A000');
      });
    }
  });

  describe('bad startup packets', () => {
    const body = (rest: string, code = 0x30000): Buffer =>
      Buffer.concat([int32(8 + rest.length), int32(code), Buffer.from(rest, 'latin1')]);
    const cases: readonly (readonly [string, Buffer, string])[] = [
      ...[0, 1, 4, 7, -1, -0x80000000, 10_001, 0x7fffffff].map(
        (length) =>
          [`of length ${length}`, Buffer.concat([int32(length), Buffer.alloc(8)]), '08P01'] as const,
      ),
      ['without an end', body('user\0postgres'), '08P01'],
      ['with a name and no value', body('user\0postgres\0database\0'), '08P01'],
      ['with more behind its end', body('user\0postgres\0\0more'), '08P01'],
      ['without a user', body('database\0postgres\0\0'), '28000'],
      ['with an empty user', body('user\0\0\0'), '28000'],
      ['with a code that means nothing', body('', 0x12345678), '0A000'],
      ['of thousands of parameters', body(`user\0postgres\0${'a\0b\0'.repeat(2450)}`), '08P01'],
    ];
    for (const [name, bytes, sqlstate] of cases) {
      it(`${name} are refused with ${sqlstate}`, async () => {
        const client = await RawClient.connect(plain.port);
        client.write(bytes);
        assert.equal((await refusal(client))['C'], sqlstate);
      });
    }

    it('with parameters that the primary does not know are its business', async () => {
      for (const [parameters, sqlstate] of [
        [{ nonsense: '1' }, '42704'],
        [{ options: '--no-such-option' }, '42601'],
        [{ DateStyle: 'what' }, '22023'],
        [{ database: 'no such database' }, '3D000'],
        [{ user: 'nobody' }, '28000'],
        [{ search_path: "a'; DROP TABLE x; --" }, undefined],
        [Object.fromEntries([['__proto__', 'x']]), '42704'],
      ] as const) {
        const ask = async (port: number): Promise<string[]> => {
          const client = await RawClient.connect(port);
          client.write(frontend.startup({ user: 'postgres', ...parameters }));
          const messages = await client.until('Z');
          client.destroy();
          return messages.map((message) => (message.type === 'K' ? 'K' : message.whole.toString('latin1')));
        };
        const [direct, proxied] = [await ask(primary.port), await ask(plain.port)];
        assert.deepEqual(proxied, direct);
        if (sqlstate !== undefined) assert.match(proxied.at(-1) ?? '', new RegExp(`\0C${sqlstate}\0`));
      }
    });

    it('by the thousand take no memory', async () => {
      const attempt = async (index: number): Promise<void> => {
        const client = await RawClient.connect(plain.port);
        client.write(cases[index % cases.length]![1]);
        await client.toEnd();
      };
      const round = async (): Promise<void> => {
        for (let index = 0; index < 1000; index += 20) {
          await Promise.all(Array.from({ length: 20 }, (_, i) => attempt(index + i)));
        }
      };
      const used = (): number => {
        collectGarbage();
        const { heapUsed, external } = process.memoryUsage();
        return heapUsed + external;
      };
      await round();
      await delay(1100); // Sockets that are being closed have a second.
      const before = used();
      await round();
      await delay(1100);
      const grown = used() - before;
      assert.ok(grown < 1e6, `${grown} bytes more after 1,000 refusals`);
    });
  });

  describe('the login timeout', () => {
    let hasty: RelayProxy;
    let hastySecure: RelayProxy;
    before(async () => {
      const env = { DBLINK_PROXY_TIMEOUTS_LOGIN: '400ms' };
      hasty = await startRelay(primary, { env });
      hastySecure = await startRelay(primary, { env, flags: PROXY_TLS });
    });
    after(() => Promise.all([hasty?.stop(), hastySecure?.stop()]));

    async function closedInTime(client: RawClient, since: number): Promise<void> {
      await client.toEnd(5000);
      const elapsed = performance.now() - since;
      assert.ok(elapsed > 300 && elapsed < 1500, `closed after ${elapsed} ms`);
    }

    it('closes a connection on which nothing is sent', async () => {
      const since = performance.now();
      await closedInTime(await RawClient.connect(hasty.port), since);
    });

    it('counts from accept, however slowly a packet comes', async () => {
      const since = performance.now();
      const client = await RawClient.connect(hasty.port);
      let sent = 0;
      const trickle = setInterval(() => client.write(STARTUP.subarray(sent, ++sent)), 60);
      try {
        await closedInTime(client, since);
      } finally {
        clearInterval(trickle);
      }
      assert.ok(sent > 4 && sent < STARTUP.length, 'the packet was on its way');
    });

    it('counts on before, in and after the TLS handshake', async () => {
      for (const stage of ['before', 'in', 'after']) {
        const since = performance.now();
        const client = await RawClient.connect(hastySecure.port);
        client.write(SSL_REQUEST);
        await client.bytes(1);
        if (stage === 'in') client.write(Buffer.from('160301', 'hex'));
        if (stage === 'after') await client.startTls();
        await closedInTime(client, since);
      }
    });

    it('does not touch a session that has begun', async () => {
      const client = await RawClient.connect(hasty.port);
      client.write(STARTUP);
      await client.until('Z');
      await delay(700);
      assert.equal(firstValue(await query(client, 'SELECT 1')), '1');
      client.destroy();
    });
  });
});
