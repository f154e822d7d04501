import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { brief, FaultClient, firstValue, PROTOCOLS } from '../world/client.js';
import { makeWorld, type World } from '../world/world.js';

const SESSIONS = 200;

describe('many sessions', () => {
  let world: World;
  before(async () => {
    world = await makeWorld({ settings: { max_connections: '300' } });
  });
  after(() => world.close());

  it(`${SESSIONS} with a connection named c1 each see their own rows only, while others end`, async () => {
    const clients = await Promise.all(
      Array.from({ length: SESSIONS }, () => FaultClient.open(world.proxy.port)),
    );
    await Promise.all(
      clients.map(async (client, i) => {
        await client.rows(`SELECT dblink_connect('c1', '${world.conninfo(`own-${i}`)}')`);
        await client.rows(`SELECT dblink_exec('c1', 'CREATE TEMP TABLE mine AS SELECT ${i} AS id')`);
      }),
    );
    const own = (i: number) => [
      `SELECT * FROM dblink('c1', 'SELECT id, current_setting(''application_name'') FROM mine') AS t(a int, b text)`,
      `SELECT a + 0, b FROM dblink('c1', 'SELECT id, current_setting(''application_name'') FROM mine') AS t(a int, b text) WHERE a >= 0`,
      `SELECT * FROM dblink('c1', 'SELECT id, ' || quote_literal('own-') || '||' || ${i} || ' FROM mine') AS t(a int, b text)`,
    ];
    const work = clients.map(async (client, i) => {
      for (let round = 0; round < 4; round++) {
        const sql = own(i)[(round + i) % 3]!;
        // Some leave in the middle of everything, each in its way.
        if (round === 2 && i % 5 === 0) {
          client.start(
            `SELECT * FROM dblink('c1', 'SELECT id, pg_sleep(60)::text FROM mine') AS t(a int, b text)`,
            'simple',
          );
          if (i % 2 === 0) client.wire.destroy();
          else void client.end();
          return;
        }
        if (round === 1 && i % 7 === 0) {
          client.start(
            `SELECT * FROM dblink('c1', 'SELECT id, pg_sleep(60)::text FROM mine') AS t(a int, b text)`,
            'extended',
          );
          await world.runs(`own-${i}`, 'pg_sleep');
          await client.cancel();
          assert.match(brief(await client.answer()), /E:57014 Z:I$/);
        }
        if (round === 3 && i % 11 === 0) {
          await world.onRemote(
            `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'own-${i}'`,
          );
          assert.match(brief(await client.query(sql)), /E:08006 Z:I$/);
          return client.end();
        }
        client.start(sql, PROTOCOLS[(round + i) % 2]!);
        const frames = await client.answer();
        assert.match(brief(frames), /T D C:SELECT 1 Z:I$/);
        assert.equal(firstValue(frames), String(i));
        const row = frames.find(({ type }) => type === 'D')!;
        assert.ok(row.body.toString('utf8').endsWith(`own-${i}`));
      }
      await client.end();
    });
    await Promise.all(work);
    await Promise.all(clients.map((_, i) => world.gone(`own-${i}`)));
  });

  it('names in one session are unknown in another', async () => {
    const [one, two] = await Promise.all([world.session('one'), FaultClient.open(world.proxy.port)]);
    assert.deepEqual(await two.rows('SELECT dblink_get_connections()'), [[null]]);
    assert.match(brief(await two.query("SELECT dblink_disconnect('c')")), /E:08003 Z:I$/);
    assert.match(brief(await two.query("SELECT dblink_error_message('c')")), /E:08003 Z:I$/);
    await one.query("SELECT * FROM dblink('c', 'SELECT 1/0') AS t(a int)");
    assert.match(firstValue(await one.query("SELECT dblink_error_message('c')")) ?? '', /division by zero/);
    await Promise.all([one.end(), two.end()]);
  });
});
