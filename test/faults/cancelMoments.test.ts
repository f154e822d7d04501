import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../support/eventually.js';
import { BRIDGE_FIXTURES } from './world/bridgeStatements.js';
import { type BridgeWorld, makeBridgeWorld } from './world/bridgeWorld.js';
import { brief, FaultClient, firstValue, PROTOCOLS } from './world/client.js';
import { seededRandom } from './world/random.js';
import { FOREVER } from './world/statements.js';

/**
 * From the moment in which a statement has begun a cancel ends it, whatever is being done for it by then: none is lost. That it has
 * begun is said by the log, where the proxy carries the statement out, or by the primary, where one of its functions waits for the proxy. How long the test waits
 * from then on decides only which step is met.
 */

const MOMENTS = 8;
const LATEST_MS = 15;

const CARRIED_OUT = [
  `SELECT * FROM dblink('c', 'SELECT pg_sleep(${FOREVER})') AS t(a text)`,
  `SELECT count(*) FROM dblink('c', 'SELECT 1 FROM pg_sleep(${FOREVER})') AS t(a int)`,
  `SELECT dblink_exec('{remote}', 'DO $$ BEGIN PERFORM pg_sleep(${FOREVER}); END $$')`,
];
const BRIDGED = [
  'SELECT count(*) FROM asleep',
  `SELECT count(*) FROM audited, dblink('c', 'SELECT 1 FROM pg_sleep(${FOREVER}), txid_current()') AS t(a int)`,
  `SELECT far('SELECT 1 FROM pg_sleep(${FOREVER})')`,
  `DO $$ BEGIN PERFORM far('SELECT 1 FROM pg_sleep(${FOREVER})'); END $$`,
];

describe('a cancel at any moment of a statement that has begun', () => {
  let world: BridgeWorld;
  const random = seededRandom(7);
  before(async () => {
    world = await makeBridgeWorld({ flags: { 'log-level': 'trace' } });
    await world.onPrimary(`${BRIDGE_FIXTURES};
      CREATE VIEW asleep AS SELECT * FROM dblink('c', 'SELECT pg_sleep(${FOREVER})') AS t(a text);
      CREATE FUNCTION far(sql text) RETURNS int LANGUAGE sql AS $$ SELECT a FROM dblink('c', sql) AS t(a int) $$`);
  });
  after(async () => {
    await world.assertIdle();
    await world.close();
  });

  /** Numbers of the sessions that have begun, as the log has them so far. */
  const sessions = (): number[] =>
    [...world.proxy.log().matchAll(/"session":(\d+)[^\n]*"session begins"/g)].map(([, number]) =>
      Number(number),
    );

  /** Logs in; with what tells how many requests of the session's the proxy has taken up, as the log has it so far. */
  async function logIn(): Promise<{ client: FaultClient; taken: () => number }> {
    const before = sessions();
    const client = await FaultClient.open(world.proxy.port);
    let number = 0;
    await eventually('the log has the session', () => {
      number = Math.max(...sessions());
      assert.ok(!before.includes(number));
    });
    const lines = new RegExp(`"session":${number},[^\\n]*"request taken"`, 'g');
    return { client, taken: () => [...world.proxy.log().matchAll(lines)].length };
  }

  for (const sql of [...CARRIED_OUT, ...BRIDGED]) {
    for (const protocol of PROTOCOLS) {
      const bridged = BRIDGED.includes(sql);
      it(`which the ${bridged ? 'primary' : 'proxy'} carries out, ${protocol}: ${sql}`, async () => {
        for (let moment = 0; moment < MOMENTS; moment++) {
          const { client, taken } = await logIn();
          const [[pid] = []] = await client.rows('SELECT pg_backend_pid()');
          await client.rows(`SELECT dblink_connect('c', '${world.conninfo('moments')}')`);
          await eventually('the log has the connection', () => assert.equal(taken(), 1));
          client.start(sql.replace('{remote}', world.conninfo('moments')), protocol);
          const answer = client.answer();
          await eventually('it has begun', async () => {
            if (!bridged) assert.ok(taken() > 1);
            // A cancel between the messages of the extended protocol is PostgreSQL's to lose.
            else
              assert.deepEqual(
                await world.onPrimary(`SELECT wait_event_type FROM pg_stat_activity WHERE pid = ${pid}`),
                [['Lock']],
              );
          });
          await delay(random.number() * LATEST_MS);
          await client.cancel();
          assert.match(brief(await answer), /E:57014 Z:I$/);
          // It was for that statement alone.
          assert.equal(
            firstValue(await client.query("SELECT * FROM dblink('c', 'SELECT 5') AS t(a int)")),
            '5',
          );
          await client.end();
        }
      });
    }
  }
});
