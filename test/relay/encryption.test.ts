import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { PostgresServer } from '../../src/embedded/index.js';
import { soon } from '../support/eventually.js';
import { atLimit } from '../support/pace.js';
import { primaryServer } from '../support/postgres.js';
import { RawClient } from '../support/rawClient.js';
import { firstValue, query, type RelayProxy, refusal, startRelay, types } from '../support/relay.js';
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

/** Goes through the startup on this connection and runs a query. */
async function works(client: RawClient): Promise<void> {
  client.write(STARTUP);
  const startup = await client.until('Z');
  assert.match(types(startup), /^RS+KZ$/);
  assert.equal(firstValue(await query(client, 'SELECT 41 + 1')), '42');
  client.destroy();
}

describe('encryption of the client’s connection', () => {
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

    it('each is taken once, and refused as by the primary the second time', async () => {
      for (const requests of [
        [SSL_REQUEST, SSL_REQUEST],
        [GSSENC_REQUEST, GSSENC_REQUEST],
        [SSL_REQUEST, GSSENC_REQUEST, SSL_REQUEST],
        [GSSENC_REQUEST, SSL_REQUEST, GSSENC_REQUEST],
      ]) {
        const told = async (port: number): Promise<readonly (string | undefined)[]> => {
          const client = await RawClient.connect(port);
          for (const request of requests.slice(0, -1)) {
            client.write(request);
            assert.equal((await client.bytes(1)).toString(), 'N');
          }
          client.write(requests.at(-1)!);
          const { C, M } = await refusal(client);
          return [C, M];
        };
        assert.deepEqual(await told(plain.port), await told(primary.port));
      }
    });

    it('inside of TLS close the connection', async () => {
      for (const request of [SSL_REQUEST, GSSENC_REQUEST]) {
        const client = await RawClient.connect(secure.port);
        client.write(SSL_REQUEST);
        await client.bytes(1);
        await client.startTls();
        client.write(request);
        assert.equal((await refusal(client))['C'], '0A000');
      }
    });

    it('bytes stuffed behind SSLRequest close the connection before anything is done with them', async () => {
      for (const { port } of [plain, secure]) {
        for (const request of [SSL_REQUEST, GSSENC_REQUEST]) {
          const client = await RawClient.connect(port);
          client.write(request, STARTUP);
          // As in PostgreSQL, what is refused is refused before that is noticed.
          if (port === plain.port || request === GSSENC_REQUEST)
            assert.equal((await client.bytes(1)).toString(), 'N');
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
      assert.equal((await silent.toEnd()).length, 0);
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
      await soon('the sockets are closed', () =>
        assert.ok(sockets() <= idle, `${sockets()} sockets, ${idle} before`),
      );
      await works(await RawClient.connect(secure.port));
    });
  });

  describe('the login timeout', () => {
    const LOGIN_MS = 400;
    let hasty: RelayProxy;
    let hastySecure: RelayProxy;
    before(async () => {
      const env = { DBLINK_PROXY_TIMEOUTS_LOGIN: `${LOGIN_MS}ms` };
      hasty = await startRelay(primary, { env });
      hastySecure = await startRelay(primary, { env, flags: PROXY_TLS });
    });
    after(() => Promise.all([hasty?.stop(), hastySecure?.stop()]));

    /** The time starts before the connection is made: not later than for the proxy. */
    const closedInTime = (connection: () => Promise<RawClient>): Promise<void> =>
      atLimit('the end of the connection', LOGIN_MS, async () => (await connection()).toEnd());

    it('closes a connection on which nothing is sent', () =>
      closedInTime(() => RawClient.connect(hasty.port)));

    it('counts from accept, however slowly a packet comes', async () => {
      let sent = 0;
      let trickle: NodeJS.Timeout | undefined;
      try {
        await closedInTime(async () => {
          const client = await RawClient.connect(hasty.port);
          trickle = setInterval(() => client.write(STARTUP.subarray(sent, ++sent)), 60);
          return client;
        });
      } finally {
        clearInterval(trickle);
      }
      assert.ok(sent > 1 && sent < STARTUP.length, 'the packet was on its way');
    });

    it('counts on before, in and after the TLS handshake', async () => {
      for (const stage of ['before', 'in', 'after']) {
        await closedInTime(async () => {
          const client = await RawClient.connect(hastySecure.port);
          client.write(SSL_REQUEST);
          await client.bytes(1);
          if (stage === 'in') client.write(Buffer.from('160301', 'hex'));
          if (stage === 'after') await client.startTls();
          return client;
        });
      }
    });

    it('does not touch a session that has begun', async () => {
      const client = await RawClient.connect(hasty.port);
      client.write(STARTUP);
      await client.until('Z');
      // One that was accepted later is closed.
      await (await RawClient.connect(hasty.port)).toEnd();
      assert.equal(firstValue(await query(client, 'SELECT 1')), '1');
      client.destroy();
    });
  });
});
