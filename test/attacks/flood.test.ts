import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  assertNothingLeft,
  type BridgeSession,
  type BridgeWorld,
  makeBridgeWorld,
} from '../faults/world/bridgeWorld.js';
import { brief, FaultClient } from '../faults/world/client.js';
import { delayDuring } from './support/delay.js';

/**
 * Rule: a session that sends requests to the bridge faster than they are answered slows down itself only.
 */

const FLOOD = 100_000;
/** So many times as long as without the flood another session's call may take; unbounded it is for minutes, or fails. */
const TIMES = 60;
const LEAST_MS = 5;

let world: BridgeWorld;
let low: FaultClient;
let victim: BridgeSession;

const hex = (text: string): string => Buffer.from(text).toString('hex');

/** Raises forged requests, one after the other, without waiting for an answer. */
const flood = (
  name: string,
  args: readonly string[],
  { held = 'a', mode = 'row', count = FLOOD } = {},
): string =>
  `DO $a$ BEGIN FOR i IN 1..${count} LOOP
     RAISE INFO '%', concat_ws(':', 'dblink-proxy', split_part(current_setting('dblink_proxy.session'), ':', 1),
       gen_random_uuid(), '${held}', '${mode}', pg_backend_pid(), '${name}', '${hex('postgres')}', '${args.map(hex).join(',')}');
   END LOOP; END $a$`;

/** The slowest of the victim's calls, made one after the other until `until` says so, and of some at least. */
async function slowestCall(until: () => boolean): Promise<number> {
  let slowest = 0;
  for (let n = 1; n <= 20 || !until(); n++) {
    const began = performance.now();
    assert.deepEqual(await victim.client.rows(`SELECT triple(${n})`), [[String(3 * n)]]);
    slowest = Math.max(slowest, performance.now() - began);
  }
  return slowest;
}

describe('a flood of requests', { timeout: 900_000 }, () => {
  before(async () => {
    world = await makeBridgeWorld();
    await world.onPrimary(`CREATE ROLE low LOGIN; CREATE ROLE other LOGIN;
      CREATE FUNCTION triple(n int) RETURNS int LANGUAGE plpgsql AS $$
        BEGIN RETURN (SELECT r FROM dblink('c', 'SELECT ' || n || ' * 3') AS t(r int)); END $$`);
    low = await FaultClient.open(world.proxy.port, { user: 'low' });
    victim = await world.session('victim', { user: 'postgres' });
    await victim.client.rows(`SELECT dblink_connect('c', '${world.conninfo('victim')}')`);
    await slowestCall(() => true);
  });
  after(async () => {
    await Promise.all([low.end(), victim.client.end()]);
    await assertNothingLeft(world, []);
    await world.assertIdle();
    await world.close();
  });

  const floods: Readonly<Record<string, string>> = {
    'to connect': flood('dblink_connect_u(text,text)', ['x', 'host=127.0.0.1 port=1']),
    'for rows': flood('dblink(text,text)', ['none', 'SELECT 1']),
    'for answers in tables': flood('dblink(text,text)', ['none', 'SELECT 1'], { mode: 'table' }),
    'for answers in an object': flood('dblink(text,text)', ['none', 'SELECT 1'], { mode: 'object' }),
    'that see no lock': flood('dblink(text,text)', ['none', 'SELECT 1'], { held: 'none' }),
    'that go on with no call': flood('next', []),
    'to be vouched for': flood('vouch', []),
    'that are damaged': flood('nonsense', [], { mode: 'nowhere' }),
  };
  for (const [name, sql] of Object.entries(floods)) {
    it(`${name} does not keep others' calls waiting`, async () => {
      const costs: string[] = [];
      for (let attempt = 0; attempt < 3; attempt++) {
        const usual = await slowestCall(() => true);
        let over = false;
        const attack = low.query(sql).then((frames) => {
          over = true;
          return frames;
        });
        const attacked = await slowestCall(() => over);
        assert.match(brief(await attack), /^C:DO Z:I$/);
        // What the flood has left behind would be in front of these.
        const behind = await slowestCall(() => true);
        costs.push(`${attacked} and ${behind} ms instead of ${usual} ms`);
        if (Math.max(attacked, behind) <= TIMES * Math.max(usual, LEAST_MS)) return;
      }
      assert.fail(costs.join('; '));
    });
  }

  it('is over when its sender is gone', async () => {
    const gone = await world.session('gone', { user: 'low' });
    const usual = await delayDuring(world, () => slowestCall(() => true));
    const attacked = await delayDuring(world, async () => {
      gone.client.start(flood('dblink(text,text)', ['none', 'SELECT 1'], { count: 10 * FLOOD }), 'simple');
      await slowestCall(() => true);
      gone.reset();
      await slowestCall(() => true);
    });
    assert.ok(
      attacked.slowest <= TIMES * Math.max(usual.slowest, LEAST_MS),
      `${attacked.slowest} ms instead of ${usual.slowest} ms`,
    );
    await gone.client.end().catch(() => undefined);
  });
});
