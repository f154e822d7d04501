import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { loadConfig } from '../../../src/config/index.js';
import type { PostgresServer } from '../../../src/embedded/index.js';
import { createLogger } from '../../../src/server/log.js';
import { type RunningProxy, startProxy } from '../../../src/server/server.js';
import { extensionServer, primaryServer } from '../../support/postgres.js';
import { RawClient } from '../../support/rawClient.js';
import { firstValue, logIn, query, refusal } from '../../support/relay.js';
import { frontend } from '../../support/wire.js';

describe('a proxy that has more memory than limits.memory_high', () => {
  let primary: PostgresServer;
  let remote: PostgresServer;
  let running: RunningProxy;
  before(async () => {
    [primary, remote] = await Promise.all([primaryServer(18), extensionServer(18)]);
    running = await startProxy(configured('0'), createLogger(configured('0').log));
  });
  after(() => running?.close());

  const configured = (high: string) =>
    loadConfig({
      flags: {
        listen: ['127.0.0.1:0'],
        primary: `postgres://127.0.0.1:${primary.port}?sslmode=disable`,
        'log-level': 'silent',
      },
      env: { DBLINK_PROXY_LIMITS_MEMORY_HIGH: high },
    });
  const join = (rows: number): string =>
    `SELECT count(*) FROM dblink('c', 'SELECT i, repeat(''x'', 1000) FROM generate_series(1, ${rows}) i') AS t(a int, b text)
      JOIN generate_series(1, ${rows}) n ON n = a`;

  it('refuses new sessions and large results with 53200, goes on with what there is, and recovers', async () => {
    const port = running.addresses[0]!.port!;
    const { client, startup } = await logIn(port);
    const connect = `SELECT dblink_connect('c', 'host=127.0.0.1 port=${remote.port} user=postgres dbname=postgres')`;
    assert.equal(firstValue(await query(client, connect)), 'OK');
    assert.equal(firstValue(await query(client, join(5000))), '5000');

    // This process has more than that.
    await running.reload(configured('1MiB'));
    const late = await RawClient.connect(port);
    late.write(frontend.startup({ user: 'postgres' }));
    const { S: severity, C: sqlstate, M: message = '' } = await refusal(late);
    assert.deepEqual([severity, sqlstate], ['FATAL', '53200']);
    assert.match(message, /"limits\.memory_high", which is 1048576 bytes/);
    assert.equal(firstValue(await query(client, 'SELECT 1')), '1');
    assert.equal(firstValue(await query(client, join(50))), '50');
    const refused = (await query(client, join(5000))).find(({ type }) => type === 'E')?.fields;
    assert.deepEqual([refused?.['S'], refused?.['C']], ['ERROR', '53200']);
    // Rows that are not held pass.
    const streamed = await query(
      client,
      "SELECT * FROM dblink('c', 'SELECT repeat(''x'', 1000) FROM generate_series(1, 5000)') AS t(a text)",
    );
    assert.equal(streamed.filter(({ type }) => type === 'D').length, 5000);
    // A cancel request needs no session.
    const key = startup.find(({ type }) => type === 'K')!.body;
    client.write(frontend.query('SELECT pg_sleep(600)'));
    let cancelled = false;
    const answer = client.until('Z').then((messages) => {
      cancelled = true;
      return messages;
    });
    while (!cancelled) {
      const sender = await RawClient.connect(port);
      sender.write(frontend.cancelRequest(key.readInt32BE(0), key.subarray(4)));
      await sender.toEnd();
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal((await answer).find(({ type }) => type === 'E')?.fields['C'], '57014');

    await running.reload(configured('0'));
    assert.equal(firstValue(await query((await logIn(port)).client, 'SELECT 2')), '2');
    assert.equal(firstValue(await query(client, join(5000))), '5000');
  });
});
