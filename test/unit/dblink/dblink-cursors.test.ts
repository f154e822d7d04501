import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { DblinkSession } from '../../../src/dblink/session.js';
import { createDatabase, execute, extensionServer } from '../../support/postgres.js';
import { CollectingSink, callContext, newSession, sql } from './dblink-support.js';

describe('cursors of a dblink connection', () => {
  let session: DblinkSession;
  let url: string;
  const { call, notices } = callContext();

  before(async () => {
    url = await createDatabase(await extensionServer(18), 'cursors');
    await execute(url, 'CREATE TABLE w (a int)');
  });
  beforeEach(async () => {
    session?.close();
    session = newSession();
    notices.length = 0;
    await session.connect('c', url, false, call);
    await execute(url, 'TRUNCATE w');
  });
  after(() => session.close());

  const exec = (text: string): Promise<string> => session.exec('c', sql(text), true, call);
  const open = (cursor: string): Promise<string> =>
    session.openCursor('c', cursor, sql('VALUES (1), (2), (3)'), true, call);
  const close = (cursor: string): Promise<string> => session.closeCursor('c', cursor, true, call);
  const inTransaction = async (): Promise<boolean> => {
    const sink = new CollectingSink();
    // Outside of a transaction block every statement has a time of its own.
    await session.query('c', sql('SELECT now()'), true, sink, call);
    const first = sink.rows[0]![0];
    await session.query('c', sql('SELECT now()'), true, sink, call);
    return sink.rows[0]![0] === first;
  };
  const written = async (): Promise<number> => Number((await execute(url, 'SELECT count(*) FROM w'))[0]![0]);
  async function fetch(cursor: string, howMany: number): Promise<readonly (string | null)[]> {
    const sink = new CollectingSink();
    assert.deepEqual(await session.fetchCursor('c', cursor, howMany, true, sink, call), { kind: 'rows' });
    return sink.rows.map(([value]) => value!);
  }

  it('commits what was done between the first open and the last close', async () => {
    assert.equal(await open('k'), 'OK');
    assert.equal(await open('l'), 'OK');
    await exec('INSERT INTO w VALUES (1)');
    assert.deepEqual(await fetch('k', 2), ['1', '2']);
    assert.deepEqual(await fetch('k', -1), ['1']);
    assert.equal(await close('k'), 'OK');
    assert.equal(await written(), 0);
    assert.equal(await close('l'), 'OK');
    assert.equal(await written(), 1);
    assert.equal(await inTransaction(), false);
  });

  it('leaves a transaction of the user open', async () => {
    await exec('BEGIN');
    await exec('INSERT INTO w VALUES (1)');
    await open('k');
    await close('k');
    assert.equal(await inTransaction(), true);
    await exec('ROLLBACK');
    assert.equal(await written(), 0);
  });

  /** What ends the transaction of dblink_open and begins one of the user's. */
  const replacements: readonly (readonly string[])[] = [
    ['ROLLBACK', 'BEGIN'],
    ['ROLLBACK; BEGIN'],
    ['ROLLBACK; START TRANSACTION'],
    ['COMMIT', 'BEGIN'],
    ['COMMIT AND CHAIN'],
    ['ROLLBACK WORK AND CHAIN'],
    ['ABORT AND CHAIN'],
    ['SAVEPOINT s; ROLLBACK TO s; ROLLBACK; BEGIN'],
  ];
  for (const statements of replacements) {
    it(`does not commit the user's transaction after ${statements.join(', ')}`, async () => {
      await open('k');
      for (const statement of statements) await exec(statement);
      await exec('INSERT INTO w VALUES (1)');
      await exec('DECLARE m CURSOR FOR SELECT 1');
      assert.equal(await close('m'), 'OK');
      assert.equal(await inTransaction(), true);
      await exec('ROLLBACK');
      assert.equal(await written(), 0);
    });
  }

  /** What looks like an end of the transaction and is none. */
  for (const statement of ['SAVEPOINT s; ROLLBACK TO s', 'BEGIN', 'SAVEPOINT s; ROLLBACK TO s; BEGIN']) {
    it(`still commits after ${statement}`, async () => {
      await open('k');
      await exec(statement);
      await exec('INSERT INTO w VALUES (1)');
      await close('k');
      assert.equal(await written(), 1);
      assert.equal(await inTransaction(), false);
    });
  }

  it('counts a cursor that could not be made, and lets the transaction fail', async () => {
    assert.equal(await session.openCursor('c', 'k', sql('SELECT * FROM nosuch'), false, call), 'ERROR');
    assert.equal(await session.openCursor('c', 'k', sql('SELECT 1'), false, call), 'ERROR');
    assert.deepEqual(
      notices.map((notice) => notice.slice(0, 5)),
      ['42P01', '25P02'],
    );
    assert.equal(await exec('ROLLBACK'), 'ROLLBACK');
  });

  it('says that it could not commit', async () => {
    await exec('CREATE TABLE IF NOT EXISTS d (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)');
    await open('k');
    await exec('INSERT INTO d VALUES (1), (1)');
    await assert.rejects(session.closeCursor('c', 'k', false, call), {
      sqlstate: 'XX000',
      message:
        'commit error: ERROR:  duplicate key value violates unique constraint "d_a_key"\n' +
        'DETAIL:  Key (a)=(1) already exists.',
    });
    assert.equal(await inTransaction(), false);
  });

  it('has fetched the rows whatever becomes of them', async () => {
    await open('k');
    const sink = new CollectingSink(2);
    await assert.rejects(session.fetchCursor('c', 'k', 1, true, sink, call), { sqlstate: '42804' });
    const failing = new CollectingSink();
    failing.onRow = () => {
      throw new RangeError('no');
    };
    await assert.rejects(session.fetchCursor('c', 'k', 1, true, failing, call), RangeError);
    assert.deepEqual(await fetch('k', 5), ['3']);
  });

  it('returns nothing from a cursor that is not there, and refuses what is no FETCH', async () => {
    await open('k');
    const fetchNothing = (cursor: string) =>
      session.fetchCursor('c', cursor, 1, false, new CollectingSink(), call);
    assert.deepEqual(await fetchNothing('k; SELECT 1/0'), { kind: 'nothing' });
    assert.deepEqual(notices, ['22012 division by zero']);
    await exec('ROLLBACK');
    await open('k');
    await assert.rejects(fetchNothing('k; COMMIT'), {
      sqlstate: '34000',
      message: 'cursor "k; COMMIT" does not exist',
    });
  });

  it('cancels a FETCH of a call that is aborted, and can be used again', async () => {
    await session.openCursor('c', 'k', sql('SELECT pg_sleep(60)'), true, call);
    const stop = new AbortController();
    const reason = new Error('stopped');
    const fetching = session.fetchCursor('c', 'k', 1, true, new CollectingSink(), {
      ...call,
      signal: stop.signal,
    });
    setTimeout(() => stop.abort(reason), 100);
    await assert.rejects(fetching, reason);
    assert.equal(await session.exec('c', sql('SELECT 1'), false, call), 'ERROR');
    assert.match(notices[0]!, /^25P02/);
    assert.equal(await exec('ROLLBACK'), 'ROLLBACK');
  });

  it('has no cursors without a connection', async () => {
    const none = { sqlstate: '08003', message: 'connection "x" not available' };
    await assert.rejects(session.openCursor('x', 'k', sql('SELECT 1'), false, call), none);
    await assert.rejects(session.fetchCursor('x', 'k', 1, false, new CollectingSink(), call), none);
    await assert.rejects(session.closeCursor('x', 'k', false, call), none);
    await assert.rejects(session.closeCursor(undefined, 'k', false, call), {
      sqlstate: '08003',
      message: 'connection not available',
    });
  });
});
