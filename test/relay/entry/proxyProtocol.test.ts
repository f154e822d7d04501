import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';
import type { PostgresServer } from '../../../src/embedded/index.js';
import { primaryServer } from '../../support/postgres.js';
import { RawClient } from '../../support/rawClient.js';
import { type RelayProxy, startRelay } from '../../support/relay.js';
import { PROXY_TLS } from '../../support/tlsFiles.js';
import { frontend } from '../../support/wire.js';

/** Balancers that tell by a PROXY header where a client comes from. */

const line = (from: string): Buffer => Buffer.from(`PROXY TCP4 ${from} 127.0.0.1 1 6432\r\n`, 'latin1');

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const binary = (from: readonly number[]): Buffer =>
  Buffer.concat([SIGNATURE, Buffer.from([0x21, 0x11, 0, 12, ...from, 127, 0, 0, 1, 0, 1, 0x19, 0x20])]);
const LOCAL = Buffer.concat([SIGNATURE, Buffer.from([0x20, 0, 0, 0])]);

const STARTUP = frontend.startup({ user: 'postgres' });

describe('the PROXY header of a connection', () => {
  let primary: PostgresServer;
  let proxy: RelayProxy;
  const proxies: RelayProxy[] = [];
  const logged: { client?: string; msg: string }[] = [];

  before(async () => {
    primary = await primaryServer(18);
    // Only from one network clients are let in, and one of each address.
    proxy = await startAt({
      PROXY_PROTOCOL: 'loopback',
      ACCESS: JSON.stringify([{ allow: { client: '203.0.113.0/24' } }]),
      LIMITS_CLIENTS_PER_ADDRESS: '1',
    });
  });
  after(() => Promise.all(proxies.map((one) => one.stop())));

  async function startAt(
    settings: Readonly<Record<string, string>>,
    flags: object = {},
  ): Promise<RelayProxy> {
    const env = Object.fromEntries(
      Object.entries(settings).map(([name, value]) => [`DBLINK_PROXY_${name}`, value]),
    );
    const log = pino(
      { level: 'debug' },
      { write: (text) => void logged.push(JSON.parse(text) as { msg: string }) },
    );
    const one = await startRelay(primary, { env, flags: { ...flags }, log });
    proxies.push(one);
    return one;
  }

  /** What a client gets for some bytes: `Z` for a session, `E:` with the code, or `closed`. */
  async function told(...parts: readonly Buffer[]): Promise<string> {
    const client = await RawClient.connect(proxy.port);
    for (const part of parts) {
      client.write(part);
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (;;) {
      const message = await client.message();
      if (message?.type === 'Z' || message === undefined) {
        client.destroy();
        return message === undefined ? 'closed' : 'Z';
      }
      if (message.type !== 'E') continue;
      client.destroy();
      return `E:${/C(\w{5})/.exec(message.whole.toString('latin1'))?.[1]}`;
    }
  }

  it('says where the client is, for access, limits and the log', async () => {
    assert.equal(await told(line('203.0.113.1'), STARTUP), 'Z');
    assert.equal(await told(Buffer.concat([binary([203, 0, 113, 2]), STARTUP])), 'Z');
    assert.equal(await told(line('198.51.100.1'), STARTUP), 'E:28000');
    assert.equal(await told(binary([198, 51, 100, 1]), STARTUP), 'E:28000');
    const first = await RawClient.connect(proxy.port);
    first.write(Buffer.concat([line('203.0.113.9'), STARTUP]));
    await first.until('Z');
    assert.equal(await told(line('203.0.113.9'), STARTUP), 'E:53300');
    assert.equal(await told(line('203.0.113.8'), STARTUP), 'Z');
    first.destroy();
    const begun = logged.filter(({ msg }) => msg === 'session begins').map(({ client }) => client);
    assert.deepEqual(begun.slice(0, 2), ['203.0.113.1', '203.0.113.2']);
  });

  it('may come byte by byte', async () => {
    const bytes = Buffer.concat([line('203.0.113.20'), STARTUP]);
    assert.equal(await told(...Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))), 'Z');
  });

  it('of the balancer itself leaves the address as it is', async () => {
    assert.equal(await told(LOCAL, STARTUP), 'E:28000');
    assert.equal(await told(Buffer.from('PROXY UNKNOWN\r\n'), STARTUP), 'E:28000');
  });

  it('is asked of a balancer, and nothing is said to one that sends none or a broken one', async () => {
    for (const bytes of [
      STARTUP,
      Buffer.from('PROXY TCP4 x y 1 2\r\n'),
      Buffer.concat([SIGNATURE, Buffer.from([0x35, 0x11, 0, 0])]),
    ])
      assert.equal(await told(bytes), 'closed');
  });

  it('is not missed where a balancer only looks whether somebody is there', async () => {
    const before = logged.length;
    const client = await RawClient.connect(proxy.port);
    client.destroy();
    assert.equal(await told(line('203.0.113.30'), STARTUP), 'Z');
    assert.ok(!logged.slice(before).some(({ msg }) => msg === 'client refused before its session began'));
  });

  it('comes in front of TLS, asked for or not', async () => {
    const secure = await startAt(
      {
        PROXY_PROTOCOL: '127.0.0.1',
        ACCESS: JSON.stringify([{ allow: { client: '203.0.113.7', tls: true } }]),
      },
      PROXY_TLS,
    );
    const asked = await RawClient.connect(secure.port);
    asked.write(Buffer.concat([line('203.0.113.7'), Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])]));
    assert.equal((await asked.bytes(1)).toString(), 'S');
    await asked.startTls();
    asked.write(STARTUP);
    await asked.until('Z');
    asked.destroy();
    const direct = await RawClient.connect(secure.port);
    direct.write(line('203.0.113.7'));
    await direct.startTls({ ALPNProtocols: ['postgresql'] });
    direct.write(STARTUP);
    await direct.until('Z');
    direct.destroy();
  });

  it('is shown to the primary by application_name, if that is wanted', async () => {
    const named = await startAt({ PROXY_PROTOCOL: '127.0.0.1', APPLICATION_NAME_ADD_HOST: 'on' });
    const plain = await startAt({ APPLICATION_NAME_ADD_HOST: 'on' });
    const shown = async (one: RelayProxy, header: Buffer, parameters: Readonly<Record<string, string>>) => {
      const client = await RawClient.connect(one.port);
      client.write(Buffer.concat([header, frontend.startup({ user: 'postgres', ...parameters })]));
      await client.until('Z');
      client.write(frontend.query('SHOW application_name'));
      const row = (await client.until('Z')).find(({ type }) => type === 'D');
      client.destroy();
      return row?.whole.toString('utf8', 11);
    };
    assert.equal(
      await shown(named, line('203.0.113.1'), { application_name: 'reports' }),
      'reports - 203.0.113.1',
    );
    assert.equal(await shown(named, line('203.0.113.1'), {}), 'app - 203.0.113.1');
    assert.match(
      (await shown(plain, Buffer.alloc(0), { application_name: 'x' })) ?? '',
      /^x - 127\.0\.0\.1:\d+$/,
    );
    const long = 'y'.repeat(9000);
    assert.equal(await shown(plain, Buffer.alloc(0), { application_name: long }), 'y'.repeat(63));
  });

  it('of somebody who is no balancer is no startup packet', async () => {
    const plain = await startAt({ PROXY_PROTOCOL: '203.0.113.0/24' });
    const client = await RawClient.connect(plain.port);
    client.write(Buffer.concat([line('203.0.113.1'), STARTUP]));
    assert.equal((await client.toEnd()).length, 0);
  });
});
