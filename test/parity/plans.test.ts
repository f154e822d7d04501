import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type BridgeWorld, makeBridgeWorld } from '../faults/world/bridgeWorld.js';
import { FaultClient } from '../faults/world/client.js';
import { eventually } from '../support/eventually.js';
import { frontend } from '../support/wire.js';

/** By which plan a statement is served, as the log tells: the same in both protocols unless a row says otherwise. */

type Plans = readonly string[];

const ROWS = "dblink('c', 'SELECT 1 AS a') AS t(a int)";

const SAMPLE: readonly (readonly [sql: string, simple: Plans, extended?: Plans])[] = [
  ["SELECT dblink_exec('c', 'SELECT')", ['answer'], ['splice']],
  [`SELECT * FROM ${ROWS}`, ['stream']],
  [`SELECT a + 1 FROM ${ROWS}`, ['splice']],
  [`SELECT a FROM ${ROWS} JOIN l USING (a)`, ['splice']],
  [`INSERT INTO l SELECT * FROM ${ROWS}`, ['splice']],
  ["SELECT * FROM l, LATERAL dblink('c', 'SELECT ' || l.a) AS t(b int)", ['bridge']],
  ["SELECT dblink_exec('c', 'SELECT 1') FROM l", ['bridge']],
  [`SELECT current_query(), * FROM ${ROWS}`, ['bridge']],
  ['SELECT * FROM v', []],
  [`SELECT * FROM own.${ROWS}`, []],
  [`SELECT own.dblink_exec('c', 'x')`, []],
  ["SELECT extname FROM pg_extension WHERE extname = 'dblink'", ['relay']],
  [`CREATE EXTENSION IF NOT EXISTS dblink`, ['relay']],
];

describe('the plan of a statement in the log', () => {
  let world: BridgeWorld;
  let client: FaultClient;
  let other: FaultClient;
  /** The client's session, by its number in the log. */
  let own = 0;

  before(async () => {
    world = await makeBridgeWorld();
    await world.onPrimary(`CREATE TABLE l (a int); INSERT INTO l VALUES (1); CREATE SCHEMA own;
      CREATE VIEW v AS SELECT * FROM ${ROWS}`);
    client = await FaultClient.open(world.proxy.port);
    await eventually('the session before is logged', () => assert.ok(logged().length > 0));
    const before = Math.max(...logged().map(({ session }) => session));
    await client.rows(`SELECT dblink_connect('c', '${world.conninfo('plans')}')`);
    await eventually('the session is known', () => {
      own = Math.max(...logged().map(({ session }) => session));
      assert.ok(own > before);
    });
    other = await FaultClient.open(world.proxy.port);
  });
  after(async () => {
    await client?.end();
    await other?.end();
    await world?.close();
  });

  interface Line {
    readonly session: number;
    readonly plan: string;
  }

  const logged = (): Line[] =>
    world.proxy
      .log()
      .split('\n')
      .filter((line) => line.includes('dblink statement'))
      .map((line) => JSON.parse(line) as Line);

  /** What has been logged by now of the one session; the other one's next statement tells when that is all. */
  async function plans(): Promise<Plans> {
    const others = (): number => logged().filter(({ session }) => session > own).length;
    const before = others();
    await other.query('SELECT dblink_get_connections()');
    await eventually('everything is logged', () => assert.ok(others() > before));
    return logged()
      .filter(({ session }) => session === own)
      .map(({ plan }) => plan);
  }

  /** What is logged while something runs. */
  async function plansOf(act: () => Promise<unknown>): Promise<Plans> {
    const { length } = await plans();
    await act();
    return (await plans()).slice(length);
  }

  for (const [sql, simple, extended = simple] of SAMPLE) {
    it(sql, async () => {
      assert.deepEqual(await plansOf(() => client.query(sql)), simple, 'simple');
      const messages = client.extended(sql);
      const run = async (): Promise<void> => {
        client.wire.send(messages);
        await client.answer();
      };
      assert.deepEqual(await plansOf(run), extended, 'extended');
    });
  }

  it('of several statements in one Query, each has its own', async () => {
    const plans = await plansOf(() =>
      client.query(`SELECT 1; SELECT * FROM ${ROWS}; SELECT a + 1 FROM ${ROWS}; SELECT a FROM ${ROWS}, l`),
    );
    assert.deepEqual(plans, ['relay', 'stream', 'splice', 'splice']);
  });

  it('a prepared statement that is passed on is logged once, one that is carried out each time', async () => {
    const execute = [frontend.bind({ statement: 's' }), frontend.execute('', 0)];
    const threeTimes = (sql: string) => async (): Promise<void> => {
      client.wire.send(Buffer.concat([frontend.parse('s', sql), ...execute, ...execute, frontend.sync()]));
      await client.answer();
      client.wire.send(Buffer.concat([...execute, frontend.sync()]));
      await client.answer();
      await client.query('DEALLOCATE s');
    };
    assert.deepEqual(await plansOf(threeTimes("SELECT dblink_exec('c', 'SELECT 1') FROM l")), ['bridge']);
    assert.deepEqual(await plansOf(threeTimes(`SELECT a + 1 FROM ${ROWS}`)), ['splice', 'splice', 'splice']);
  });

  it('what several statements have set for themselves alone decides nothing for the next Query', async () => {
    const date = "SELECT * FROM dblink('c', $$SELECT date '2024-02-03'$$) AS t(d date)";
    await client.rows("SET datestyle = 'SQL, DMY'");
    for (const end of ['', '; SELECT 1/0']) {
      await client.query(`SET LOCAL datestyle = 'ISO, MDY'; ${date}${end}`);
      assert.deepEqual(await client.rows(date), [['03/02/2024']]);
    }
    await client.rows('RESET datestyle');
  });

  it('what nothing serves is refused', async () => {
    const refused = "SELECT * FROM l, LATERAL dblink('c', 'SELECT ' || l.a) AS t(b int)";
    await client.rows('DROP EXTENSION dblink CASCADE');
    try {
      const plans = await plansOf(async () => {
        await client.query('BEGIN');
        await client.query(refused);
        await client.query('ROLLBACK');
      });
      assert.deepEqual(plans, ['refuse']);
    } finally {
      await client.query('CREATE EXTENSION dblink');
    }
  });
});
