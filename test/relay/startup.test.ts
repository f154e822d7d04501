import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { PostgresServer } from '../../src/embedded/index.js';
import { collectGarbage } from '../support/collector.js';
import { eventually } from '../support/eventually.js';
import { primaryServer } from '../support/postgres.js';
import { type Message, RawClient, split } from '../support/rawClient.js';
import { type RelayProxy, startRelay, types } from '../support/relay.js';
import { PROXY_TLS } from '../support/tlsFiles.js';
import { frontend } from '../support/wire.js';

const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};

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
    const cancel = (secret: number): Buffer =>
      Buffer.concat([int32(12 + secret), int32(80877102), int32(1), Buffer.alloc(secret)]);
    const cases: readonly (readonly [string, Buffer])[] = [
      ...[0, 1, 4, 7, -1, -0x80000000, 10_005, 0x7fffffff].map(
        (length) => [`of length ${length}`, Buffer.concat([int32(length), Buffer.alloc(8)])] as const,
      ),
      ['that are a Terminate', frontend.terminate()],
      ['that are a Query', frontend.query('SELECT 1')],
      ['that are a request of another protocol', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
      ['without an end', body('user\0postgres')],
      ['with a name and no value', body('user\0postgres\0database\0')],
      ['with a letter in the place of the end', body('user\0nobody\0x')],
      ['with more behind its end', body('user\0postgres\0\0more')],
      ['without a user', body('database\0postgres\0\0')],
      ['with an empty user', body('user\0\0\0')],
      ['with a code that means nothing', body('', 0x12345678)],
      ['of thousands of parameters', body(`user\0postgres\0${'a\0b\0'.repeat(2450)}`)],
      ['that cancel, with a key of no length', cancel(0)],
      ['that cancel, with a key that is too long', cancel(257)],
      ['that cancel nothing', cancel(32)],
    ];
    /** Everything that comes up to the end, but for where in the source an error was raised. */
    const answer = async (port: number, bytes: Buffer): Promise<string> => {
      const client = await RawClient.connect(port);
      client.write(bytes);
      return (await client.messagesToEnd())
        .map(({ type, fields: { S, C, M, D, H } }) => JSON.stringify({ type, S, C, M, D, H }))
        .join();
    };
    for (const [name, bytes] of cases) {
      it(`${name} are answered as by the primary`, async () => {
        assert.equal(await answer(plain.port, bytes), await answer(primary.port, bytes));
      });
    }

    it('that end early are closed without a word', async () => {
      for (const bytes of [
        Buffer.alloc(0),
        int32(50).subarray(0, 2),
        body('user\0postgres\0\0').subarray(0, 12),
      ]) {
        const told = async (port: number): Promise<string> => {
          const client = await RawClient.connect(port);
          client.socket.end(bytes);
          return (await client.toEnd()).toString('latin1');
        };
        assert.equal(await told(plain.port), await told(primary.port));
      }
    });

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
      const sockets = (): number =>
        process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
      const open = sockets();
      // Sockets that are being closed have a second.
      const closed = (): Promise<void> =>
        eventually('all sockets are closed', () => assert.ok(sockets() <= open, `${sockets()} sockets`));
      await round();
      await closed();
      // What leaks does so in every round; what the compiler and the collector do comes and goes.
      let grown = Number.POSITIVE_INFINITY;
      for (let rounds = 0; rounds < 5 && grown >= 1e6; rounds++) {
        const before = used();
        await round();
        await closed();
        grown = used() - before;
      }
      assert.ok(grown < 1e6, `${grown} bytes more after 1,000 refusals`);
    });
  });
});
