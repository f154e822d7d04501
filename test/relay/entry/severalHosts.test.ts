import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import {
  freePort,
  type PostgresServer,
  prepareBinaries,
  startPostgres,
} from '../../../src/embedded/index.js';
import { eventually } from '../../support/eventually.js';
import { execute } from '../../support/postgres.js';
import { RawClient } from '../../support/rawClient.js';
import { firstValue, logIn, query, type RelayProxy, refusal, startRelay } from '../../support/relay.js';
import { frontend } from '../../support/wire.js';

/** A primary that has several hosts: sessions are on the first one that is as they want it, with all that belongs to them. */

describe('several hosts', () => {
  let primary: PostgresServer;
  let readOnly: PostgresServer;
  let standby: PostgresServer;
  let nobody: number;
  const stops: (() => Promise<unknown>)[] = [];
  before(async () => {
    const installation = await prepareBinaries({ major: 18, dblink: false });
    [primary, readOnly, standby] = await Promise.all([
      startPostgres({ installation }),
      startPostgres({ installation }),
      startPostgres({ installation }),
    ]);
    await execute(readOnly.url(), 'ALTER SYSTEM SET default_transaction_read_only = on');
    await execute(readOnly.url(), 'SELECT pg_reload_conf()');
    // A server that looks for a primary to follow, and finds none, is a standby as well.
    writeFileSync(join(standby.dataDir, 'standby.signal'), '');
    await standby.restart();
    nobody = await freePort();
  });
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });
  after(() => Promise.all([primary, readOnly, standby].map((server) => server?.stop('immediate'))));

  async function start(ports: readonly number[], parameters = ''): Promise<RelayProxy> {
    const hosts = ports.map((port) => `127.0.0.1:${port}`).join();
    const url = `postgres://postgres@${hosts}/postgres?sslmode=disable${parameters}`;
    const proxy = await startRelay(primary, { flags: { primary: url } });
    stops.push(() => proxy.stop());
    return proxy;
  }

  async function open(proxy: RelayProxy): Promise<RawClient> {
    const { client } = await logIn(proxy.port);
    stops.push(async () => client.destroy());
    return client;
  }

  /** Which of the servers a session is on. */
  async function place(client: RawClient): Promise<number> {
    return Number(firstValue(await query(client, 'SHOW port')));
  }

  it('the first one that can be reached is taken', async () => {
    const proxy = await start([nobody, readOnly.port, primary.port]);
    assert.equal(await place(await open(proxy)), readOnly.port);
  });

  it('target_session_attrs says which one', async () => {
    const all = [nobody, standby.port, readOnly.port, primary.port];
    const backwards = [...all].reverse();
    for (const [wanted, ports, expected] of [
      ['any', all, standby],
      ['read-write', all, primary],
      ['read-only', backwards, readOnly],
      ['primary', all, readOnly],
      ['standby', backwards, standby],
      ['prefer-standby', backwards, standby],
      ['prefer-standby', [nobody, primary.port], primary],
    ] as const) {
      const proxy = await start(ports, `&target_session_attrs=${wanted}`);
      for (let i = 0; i < 2; i++) assert.equal(await place(await open(proxy)), expected.port, wanted);
    }
  });

  it('where none is fit the client is told what is wrong with each', async () => {
    const proxy = await start([nobody, standby.port, readOnly.port], '&target_session_attrs=read-write');
    const client = await RawClient.connect(proxy.port);
    client.write(frontend.startup({ user: 'postgres' }));
    const error = await refusal(client);
    assert.equal(error['C'], '08001');
    const [first, ...others] = (error['D'] ?? '').split('\n').filter((line) => !line.startsWith('\t'));
    assert.match(first ?? '', /Connection refused/);
    assert.deepEqual(
      others,
      [standby, readOnly].map(
        ({ port }) => `connection to server at "127.0.0.1", port ${port} failed: session is read-only`,
      ),
    );
  });

  it('a server that has become fit is found, and one that is no more so is left', async () => {
    const proxy = await start([readOnly.port, primary.port], '&target_session_attrs=read-write');
    assert.equal(await place(await open(proxy)), primary.port);
    await execute(readOnly.url(), 'ALTER SYSTEM RESET default_transaction_read_only');
    await execute(readOnly.url(), 'SELECT pg_reload_conf()');
    await eventually('it is found', async () => assert.equal(await place(await open(proxy)), readOnly.port));
    await execute(readOnly.url(), 'ALTER SYSTEM SET default_transaction_read_only = on');
    await execute(readOnly.url(), 'SELECT pg_reload_conf()');
    await eventually('it is left', async () => assert.equal(await place(await open(proxy)), primary.port));
  });

  it('load_balance_hosts=random: sessions are on all of them', async () => {
    const proxy = await start([readOnly.port, primary.port], '&load_balance_hosts=random');
    const seen = new Set<number>();
    await eventually('both', async () => {
      seen.add(await place(await open(proxy)));
      assert.equal(seen.size, 2);
    });
  });

  it('cancels, the bridge and connection strings without a host go where the session is', async () => {
    const proxy = await start([nobody, standby.port, primary.port], '&target_session_attrs=primary');
    const { client, startup } = await logIn(proxy.port);
    stops.push(async () => client.destroy());
    const own = "SELECT * FROM dblink('user=postgres', 'SHOW port') AS t(port int)";
    await query(client, 'CREATE EXTENSION IF NOT EXISTS dblink');
    await query(client, `CREATE OR REPLACE VIEW v AS ${own}`);
    for (const sql of [own, 'SELECT * FROM v'])
      assert.equal(Number(firstValue(await query(client, sql))), primary.port, sql);
    client.write(frontend.query('SELECT pg_sleep(600)'));
    const ended = client.until('Z');
    const key = startup.find(({ type }) => type === 'K')!.body;
    let over = false;
    void ended.then(() => {
      over = true;
    });
    await eventually('it is cancelled', async () => {
      const canceller = await RawClient.connect(proxy.port);
      canceller.write(frontend.cancelRequest(key.readInt32BE(0), key.subarray(4)));
      await canceller.toEnd();
      assert.ok(over);
    });
    assert.equal((await ended).find(({ type }) => type === 'E')?.fields['C'], '57014');
  });
});
