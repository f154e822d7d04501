import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { frontend } from '../support/wire.js';
import { brief, errorOf, firstValue, PROTOCOLS } from './world/client.js';
import { CASES } from './world/statements.js';
import { makeWorld, type World } from './world/world.js';

describe('statement_timeout', () => {
  let world: World;
  let release: () => Promise<void>;
  before(async () => {
    world = await makeWorld();
    release = await world.hold();
  });
  after(async () => {
    await release();
    await world.close();
  });

  for (const protocol of PROTOCOLS) {
    it(`stops a remote call: 57014, and the connection goes on, ${protocol}`, async () => {
      const tag = `timeout-${protocol}`;
      const client = await world.session(tag);
      await client.rows("SET statement_timeout = '150ms'");
      for (const { sql } of CASES) {
        client.start(sql, protocol);
        const frames = await client.answer();
        assert.match(brief(frames), /E:57014 Z:I$/, sql);
        assert.equal(errorOf(frames)['M'], 'canceling statement due to statement timeout');
        await world.idle(tag);
        assert.equal(
          firstValue(await client.query("SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)")),
          '1',
        );
      }
      await client.end();
    });
  }

  it('counts each statement by itself', async () => {
    const client = await world.session('timeout-each');
    await client.rows("SET statement_timeout = '2s'");
    // Together they take longer.
    const sql = "SELECT * FROM dblink('c', 'SELECT pg_sleep(1.1)::text') AS t(a text)";
    client.wire.send(frontend.query(`${sql};${sql}`));
    assert.equal(brief(await client.answer()), 'T D C:SELECT 1 T D C:SELECT 1 Z:I');
    await client.end();
  });
});
