import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { normalise } from '../../parity/normalise.js';
import { testedMajors } from '../../support/majors.js';
import { createDatabase, execute, primaryServer } from '../../support/postgres.js';
import { type Message, RawClient, split } from '../../support/rawClient.js';
import { type RelayProxy, startRelay } from '../../support/relay.js';
import { PROXY_TLS } from '../../support/tlsFiles.js';
import { frontend } from '../../support/wire.js';
import { type AuthenticatingServers, startAuthenticatingServers } from '../logins.js';
import { type Named, refused, type State, states } from './refusedMessages.js';
import { FIRST, refusedFinal, refusedFirst, refusedPasswords } from './refusedPasswords.js';
import { refusedStartups } from './refusedStartups.js';

const PREPARED = Buffer.concat([
  frontend.query('BEGIN; COMMIT'),
  frontend.parse('known', 'SELECT $1::text'),
  frontend.bind({ portal: 'bound', statement: 'known', values: [Buffer.from('x')] }),
  frontend.sync(),
]);

/** Sends bytes in a state, and a query behind them. @returns what has come, and the client, which still waits */
async function send(
  port: number,
  { asked, until, flight = Buffer.alloc(0) }: State,
  bytes: Buffer,
): Promise<readonly [Buffer, RawClient]> {
  const client = await RawClient.connect(port);
  client.write(frontend.startup({ user: 'postgres', database: 'refusals' }), PREPARED);
  await client.until('Z', 3);
  client.write(asked);
  const begun = await client.until(...until);
  // In one piece: a server that closes the connection before it has read everything would take its last words back.
  client.write(flight, bytes, frontend.query("SELECT 'next'"));
  return [Buffer.concat(begun.map(({ whole }) => whole)), client];
}

/** What a server answers until it has nothing more to read. */
async function answer(port: number, state: State, bytes: Buffer): Promise<Buffer> {
  const [begun, client] = await send(port, state, bytes);
  client.socket.end();
  return Buffer.concat([begun, await client.toEnd()]);
}

/** What the proxy answers: as many bytes as the server does, and then whatever comes up to the end. */
async function proxied(port: number, state: State, bytes: Buffer, length: number): Promise<Buffer> {
  const [begun, client] = await send(port, state, bytes);
  const taken = Buffer.concat([begun, await client.bytes(length - begun.length)]);
  client.socket.end();
  return Buffer.concat([taken, await client.toEnd()]);
}

const shown = (bytes: Buffer): string[] =>
  split(bytes).map((one) => normalise(one).whole.toString('latin1').replaceAll('\0', '.'));

for (const major of testedMajors()) {
  describe(`what PostgreSQL ${major} refuses`, () => {
    let port: number;
    let proxy: RelayProxy;
    before(async () => {
      const primary = await primaryServer(major);
      port = primary.port;
      await execute(await createDatabase(primary, 'refusals'), 'CREATE TABLE kept (n int)');
      proxy = await startRelay(primary);
    });
    after(() => proxy?.stop());
    for (const [when, state] of states) {
      it(`is refused alike ${when}`, async () => {
        const differences: string[] = [];
        for (const [name, bytes] of refused) {
          const direct = await answer(port, state, bytes);
          // Before PostgreSQL 14 a server reads all of such a message, and has these words upon the end of the stream only.
          if (major < 14 && /unexpected EOF|out of memory/.test(direct.toString('latin1'))) continue;
          const through = await proxied(proxy.port, state, bytes, direct.length).catch((error: Error) =>
            Buffer.from(`?    ${error.message}`),
          );
          const [expected, actual] = [shown(direct), shown(through)];
          if (expected.join() !== actual.join())
            differences.push(`${name}: direct ${expected}, through the proxy ${actual}`);
        }
        assert.deepEqual(differences, []);
      });
    }
  });
}

for (const major of testedMajors()) {
  describe(`what PostgreSQL ${major} refuses before a session begins`, () => {
    let port: number;
    let proxy: RelayProxy;
    before(async () => {
      ({ port } = await primaryServer(major));
      proxy = await startRelay(await primaryServer(major));
    });
    after(() => proxy?.stop());

    /** @param wanted so many bytes are awaited before the client closes its side */
    const answered = async (to: number, flights: readonly Buffer[], wanted = 0): Promise<string> => {
      const client = await RawClient.connect(to);
      const begun: Buffer[] = [];
      for (const flight of flights) {
        client.write(flight);
        if (begun.length < flights.length - 1) begun.push(await client.bytes(1));
      }
      begun.push(await client.bytes(Math.max(0, wanted - flights.length + 1)));
      client.socket.end();
      return Buffer.concat([...begun, await client.toEnd()])
        .toString('latin1')
        .replaceAll('\0', '.');
    };
    for (const [name, flights] of refusedStartups) {
      it(`is refused alike: ${name}`, async () => {
        // Before PostgreSQL 14 a server speaks 2.0, goes on answering, and has the form of 2.0 for what is stuffed in.
        if (major < 14 && /^version 2|again|behind it/.test(name)) return;
        const direct = await answered(port, flights);
        const through = await answered(proxy.port, flights, direct.length);
        const isOwn = name.endsWith('behind it');
        assert.equal(isOwn ? withoutPlace(through) : through, isOwn ? withoutPlace(direct) : direct);
      });
    }
  });
}

describe('a startup packet that is refused', () => {
  it('is refused by the proxy, whatever else a primary says to it', async () => {
    const error = Buffer.from('E\0\0\0\x0bSFATAL\0', 'latin1');
    for (const said of [
      '',
      'R\0\0\0\x08\0\0\0\0',
      'E',
      error.subarray(0, 8),
      Buffer.concat([error, Buffer.from('Z\0\0\0\x05I')]),
      Buffer.concat([error, error]),
      'EFATAL:  one\n\0two\n\0',
      'v\xff\xff\xff\xff',
      Buffer.concat([Buffer.from('E\x7f\xff\xff\xff'), Buffer.alloc(1_000_000)]),
    ]) {
      const primary = createServer((socket) => {
        socket.on('error', () => undefined);
        socket.once('data', () => socket.end(typeof said === 'string' ? Buffer.from(said, 'latin1') : said));
      }).listen(0, '127.0.0.1');
      await once(primary, 'listening');
      const { port } = primary.address() as AddressInfo;
      const proxy = await startRelay({ port });
      const client = await RawClient.connect(proxy.port);
      client.write(Buffer.from('000000080004000000000008', 'hex'));
      assert.match(
        (await client.toEnd()).toString('latin1'),
        /unsupported frontend protocol 4.0: server supports/,
      );
      await proxy.stop();
      primary.close();
    }
  });
});

for (const major of testedMajors()) {
  describe(`answers to requests for a password that PostgreSQL ${major} refuses`, () => {
    let servers: AuthenticatingServers;
    let relay: RelayProxy;
    let asking: RelayProxy;
    before(async () => {
      servers = await startAuthenticatingServers(major);
      relay = await startRelay(servers.plain);
      asking = await startRelay(servers.secure, {
        query: 'sslmode=require',
        flags: { ...PROXY_TLS, auth: 'password' },
      });
    });
    after(async () => {
      await Promise.all([relay?.stop(), asking?.stop()]);
      await servers?.stop();
    });

    /** A client that has been asked for a password. */
    async function asked(port: number, user: string, tls: boolean): Promise<RawClient> {
      const client = await RawClient.connect(port);
      if (tls) {
        client.write(Buffer.from('0000000804d2162f', 'hex'));
        await client.bytes(1);
        await client.startTls();
      }
      client.write(frontend.startup({ user, database: 'postgres' }));
      assert.equal((await client.message())?.type, 'R');
      return client;
    }

    /** Where what does not come alike is listed. @param ask makes a client that has been asked */
    const differing = async (
      cases: Named<Buffer>,
      ask: (direct: boolean) => Promise<RawClient>,
      show: (messages: readonly Message[]) => string,
    ): Promise<string[]> => {
      const differences: string[] = [];
      for (const [name, bytes] of cases) {
        const [direct, through] = await Promise.all([ask(true), ask(false)]);
        direct.write(bytes);
        direct.socket.end();
        const expected = await direct.toEnd();
        through.write(bytes);
        const begun = await through.bytes(expected.length);
        through.socket.end();
        const actual = Buffer.concat([begun, await through.toEnd()]);
        const [one, other] = [show(split(expected)), show(split(actual))];
        if (one !== other) differences.push(`${name}: direct ${one}, through the proxy ${other}`);
      }
      return differences;
    };

    for (const [user, cases, before] of [
      ['password', refusedPasswords, undefined],
      ['md5', refusedPasswords, undefined],
      ['scram', refusedFirst, undefined],
      ['scram', refusedFinal, FIRST],
    ] as const) {
      it(`are refused alike for ${user}${before === undefined ? '' : ', the second message'}`, async () => {
        const ask = async (direct: boolean): Promise<RawClient> => {
          const client = await asked(direct ? servers.plain.port : relay.port, user, false);
          if (before !== undefined) {
            client.write(before);
            assert.equal((await client.message())?.type, 'R');
          }
          return client;
        };
        assert.deepEqual(await differing(cases, ask, wholeText), []);
      });
    }

    it('are refused alike where the proxy asks for the password', async () => {
      // Where in its source PostgreSQL raises an error the proxy does not say, and its messages may be shorter therefore.
      for (const [name, bytes] of refusedPasswords) {
        // The primary has to look at this one.
        if (name === 'a password of 2,000 bytes') continue;
        const answers = [asked(servers.secure.port, 'password', true), asked(asking.port, 'scram', true)].map(
          async (asking) => {
            const client = await asking;
            client.write(bytes);
            client.socket.end();
            return (await client.messagesToEnd()).map(({ type, fields: { S, V, C, M } }) => [
              type,
              S,
              V,
              C,
              M,
            ]);
          },
        );
        const [direct, through] = await Promise.all(answers);
        assert.deepEqual(through, direct, name);
      }
    });
  });
}

/** Where in its source PostgreSQL raises an error that the proxy raises itself: these fields, and the length of the message. */
const withoutPlace = (answer: string): string =>
  answer.replace(/E\.\.[\s\S]{2}S/, 'ES').replace(/\.F\w+\.c\.L\d+\.R\w+(?=\.\.$)/, '');

const wholeText = (messages: readonly Message[]): string =>
  messages
    // A server's nonce.
    .map(({ type, whole }) => (type === 'R' ? 'R' : whole.toString('latin1').replaceAll('\0', '.')))
    .join();
