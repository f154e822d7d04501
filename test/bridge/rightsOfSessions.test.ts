import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { probeQuery } from '../../src/primary/functions/functionQueries.js';
import { type BridgeWorld, makeBridgeWorld } from '../faults/world/bridgeWorld.js';
import { brief, FaultClient } from '../faults/world/client.js';

/** What one session has found about the functions counts for the next one only as long as nothing has changed that decides about it. */
describe('a session that begins right after another one', () => {
  let world: BridgeWorld;

  before(async () => {
    world = await makeBridgeWorld();
    await world.onPrimary(`CREATE ROLE caller LOGIN; CREATE ROLE outer_group; CREATE ROLE inner_group;
      GRANT inner_group TO outer_group; REVOKE EXECUTE ON FUNCTION dblink_get_connections() FROM PUBLIC;
      GRANT EXECUTE ON FUNCTION dblink_get_connections() TO inner_group; CREATE SCHEMA own`);
  });
  after(async () => {
    await world?.close();
  });

  /** The answer to the first statement of a new session. */
  async function answer(sql = 'SELECT dblink_get_connections()'): Promise<string> {
    const client = await FaultClient.open(world.proxy.port, { user: 'caller' });
    try {
      return brief(await client.query(sql));
    } finally {
      await client.end();
    }
  }
  const PERMITTED = 'T D C:SELECT 1 Z:I';
  const REFUSED = 'E:42501 Z:I';

  it('sees memberships, their properties and superusers as they are', async () => {
    assert.equal(await answer(), REFUSED);
    await world.onPrimary('GRANT outer_group TO caller');
    assert.equal(await answer(), PERMITTED);
    await world.onPrimary('REVOKE inner_group FROM outer_group');
    assert.equal(await answer(), REFUSED);
    await world.onPrimary('GRANT inner_group TO outer_group');
    assert.equal(await answer(), PERMITTED);
    await world.onPrimary('GRANT outer_group TO caller WITH INHERIT FALSE');
    assert.equal(await answer(), REFUSED);
    await world.onPrimary('ALTER ROLE caller SUPERUSER');
    assert.equal(await answer(), PERMITTED);
    await world.onPrimary('ALTER ROLE caller NOSUPERUSER; GRANT outer_group TO caller WITH INHERIT TRUE');
    assert.equal(await answer(), PERMITTED);
  });

  it('sees privileges and functions as they are', async () => {
    await world.onPrimary('REVOKE EXECUTE ON FUNCTION dblink_get_connections() FROM inner_group');
    assert.equal(await answer(), REFUSED);
    await world.onPrimary('GRANT EXECUTE ON FUNCTION dblink_get_connections() TO caller');
    assert.equal(await answer(), PERMITTED);
    await world.onPrimary(`GRANT USAGE ON SCHEMA own TO caller; ALTER ROLE caller SET search_path = own, public;
      CREATE FUNCTION own.dblink_get_connections() RETURNS int LANGUAGE sql AS $$ SELECT 1 / 0 $$`);
    assert.equal(await answer(), 'E:22012 Z:I');
    await world.onPrimary('DROP FUNCTION own.dblink_get_connections()');
    assert.equal(await answer(), PERMITTED);
  });

  it('sees that neighbouring functions were changed in one transaction, and again in the next one', async () => {
    const functions = Array.from({ length: 8 }, (_, i) => `own.dblink_neighbour_${i}()`);
    const create = functions.map((name) => `CREATE FUNCTION ${name} RETURNS int LANGUAGE sql AS 'SELECT 1'`);
    const seen: unknown[] = [];
    await world.onPrimary(create.join(';'));
    // One transaction follows the other, so every parity of their numbers is among these.
    for (const change of ['GRANT', 'REVOKE', 'GRANT', 'REVOKE', 'GRANT']) {
      const to = change === 'GRANT' ? 'TO' : 'FROM';
      await world.onPrimary(`${change} EXECUTE ON FUNCTION ${functions.join()} ${to} caller`);
      const [[, fingerprint] = []] = await world.onPrimary(probeQuery('1'));
      seen.push(fingerprint);
    }
    assert.equal(new Set(seen).size, seen.length);
    await world.onPrimary(`DROP FUNCTION ${functions.join()}`);
  });

  it('tells a role from another one whose name goes on as a search path', async () => {
    const answers: unknown[] = [];
    for (const [role, path] of [
      ['bob', '0 '],
      ['bob 0', ''],
    ] as const) {
      await world.onPrimary(`CREATE ROLE "${role}" LOGIN`);
      const client = await FaultClient.open(world.primary.port, { user: role });
      try {
        await client.rows(`SELECT set_config('search_path', '${path}', false)`);
        const [[, fingerprint] = []] = await client.rows(probeQuery('1'));
        answers.push(fingerprint);
      } finally {
        await client.end();
      }
    }
    assert.match(String(answers[0]), / \d+ 0 0 $/);
    assert.match(String(answers[1]), / \d+ 0 $/);
    assert.notEqual(answers[0], answers[1]);
  });

  it('works where not everybody may ask when the server was started', async () => {
    await world.onPrimary('REVOKE EXECUTE ON FUNCTION pg_postmaster_start_time() FROM PUBLIC');
    assert.equal(await answer(), PERMITTED);
    await world.onPrimary('GRANT EXECUTE ON FUNCTION pg_postmaster_start_time() TO PUBLIC');
  });
});
