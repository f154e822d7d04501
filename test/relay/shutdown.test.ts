import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { PostgresServer } from '../../src/embedded/index.js';
import { untilGone, untilSleeping } from '../support/activity.js';
import { atLimit, LIVENESS_MS, lively } from '../support/pace.js';
import { execute, primaryServer } from '../support/postgres.js';
import { RawClient } from '../support/rawClient.js';
import { logIn, query, startRelay, types } from '../support/relay.js';
import { frontend } from '../support/wire.js';

describe('at a shutdown a session', () => {
  let primary: PostgresServer;
  before(async () => {
    primary = await primaryServer(18);
    await execute(primary.url(), 'CREATE TABLE kept (n int)');
  });

  it('is ended with 57P01 when idle; in a transaction it may finish that first', async () => {
    const leaving = await startRelay(primary);
    const idle = await logIn(leaving.port);
    const inBlock = await logIn(leaving.port);
    const running = await logIn(leaving.port, { application_name: 'not cut short' });
    await query(inBlock.client, 'BEGIN; INSERT INTO kept VALUES (5)');
    running.client.write(frontend.query("SELECT pg_sleep(1), 'done'"));
    await untilSleeping(primary, 'not cut short');
    // Longer than a test may take: it ends before.
    const stopped = leaving.stop(2 * LIVENESS_MS);

    const messages = await idle.client.messagesToEnd();
    assert.deepEqual([types(messages), messages[0]?.fields['C']], ['E', '57P01']);
    await assert.rejects(RawClient.connect(leaving.port), { code: 'ECONNREFUSED' });

    // Not cut short: the statement's own end comes before the session's.
    const answer = await running.client.messagesToEnd();
    assert.deepEqual([types(answer), answer.at(-1)?.fields['C']], ['TDCZE', '57P01']);

    assert.equal(types(await query(inBlock.client, 'INSERT INTO kept VALUES (6)')), 'CZ');
    inBlock.client.write(frontend.query('COMMIT'));
    const last = await inBlock.client.messagesToEnd();
    assert.deepEqual([types(last), last.at(-1)?.fields['C']], ['CZE', '57P01']);
    await lively('the shutdown', stopped);
    assert.equal((await execute(primary.url(), 'SELECT 1 FROM kept WHERE n IN (5, 6)')).length, 2);
    await execute(primary.url(), 'DELETE FROM kept');
  });

  it('is ended at the limit, and what it ran is cancelled', async () => {
    const leaving = await startRelay(primary);
    const running = await logIn(leaving.port, { application_name: 'too long' });
    const inBlock = await logIn(leaving.port, { application_name: 'too long' });
    await query(inBlock.client, 'BEGIN');
    running.client.write(frontend.query('SELECT pg_sleep(600)'));
    await untilSleeping(primary, 'too long');
    await atLimit(
      'the shutdown',
      500,
      () => leaving.stop(500),
      // What it runs is cancelled, too, on a connection of its own.
      () => execute(primary.url(), 'SELECT pg_cancel_backend(0)'),
    );
    for (const { client } of [running, inBlock]) {
      const messages = await client.messagesToEnd();
      assert.equal(messages.at(-1)?.fields['C'], '57P01');
    }
    await untilGone(primary, 'too long');
  });

  it('does not wait for connections that have not logged in', async () => {
    const leaving = await startRelay(primary);
    const silent = await RawClient.connect(leaving.port);
    // What is not a session has half a second for its last words.
    await atLimit('the shutdown', 500, async () => {
      await leaving.stop(2 * LIVENESS_MS);
      await silent.toEnd();
    });
  });
});
