import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metrics } from '../../../src/metrics/metrics.js';

const NOTHING = {
  refusals: new Map(),
  ...{ remoteConnections: 0, keptConnections: 0, heldBytes: 0, pool: { hits: 0, misses: 0 } },
  ...{ clients: { received: 0, sent: 0 }, primary: { received: 0, sent: 0 } },
};

test('the number of series is bounded, whatever databases are called', async () => {
  const metrics = new Metrics(() => NOTHING, '1');
  const ends = Array.from({ length: 5000 }, (_, i) => metrics.sessionOpened(`db${i}`, 0.1));
  const series = (await metrics.registry.metrics()).match(/^dblink_proxy_sessions\{.*/gm) ?? [];
  assert.equal(series.length, 101);
  assert.match(series.at(-1)!, /database="other"\} 4900$/);
  for (const end of ends) end();
  assert.doesNotMatch(await metrics.registry.metrics(), /^dblink_proxy_sessions\{.*\} [^0]/m);
});

test('what is no SQLSTATE makes no label of its own', async () => {
  const metrics = new Metrics(() => NOTHING, '1');
  for (const sqlstate of ['28P01', '"}\n', 'abcde', '']) metrics.clientRefused(sqlstate);
  const text = await metrics.registry.metrics();
  assert.match(text, /clients_refused_total\{sqlstate_class="28"\} 1/);
  assert.match(text, /clients_refused_total\{sqlstate_class="XX"\} 3/);
});
