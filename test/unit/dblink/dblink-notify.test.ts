import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { MAX_QUEUED_BYTES } from '../../../src/dblink/remote/notifications.js';
import type { DblinkSession } from '../../../src/dblink/session.js';
import { scriptedRemote } from '../../faults/world/scriptedRemote.js';
import { backend } from '../../support/fakePrimary.js';
import { createDatabase, execute, extensionServer } from '../../support/postgres.js';
import { CollectingSink, callContext, newSession, sql } from './dblink-support.js';

describe('notifications of a dblink connection', () => {
  let url: string;
  let session: DblinkSession;
  const { call } = callContext();

  before(async () => {
    url = await createDatabase(await extensionServer(18), 'notifications');
  });
  beforeEach(async () => {
    session?.close();
    session = newSession();
    await session.connect('c', url, false, call);
    await session.exec('c', sql('LISTEN ch'), true, call);
  });
  after(() => session.close());

  const exec = (text: string): Promise<string> => session.exec('c', sql(text), true, call);
  const taken = async (): Promise<readonly string[]> =>
    (await session.notifications('c', call)).map(({ name, payload }) => `${name} ${payload}`);

  it('returns each once, in order, the own ones too', async () => {
    await exec("NOTIFY ch; NOTIFY ch, 'p'; NOTIFY other");
    const sink = new CollectingSink();
    await session.query('c', sql('SELECT pg_backend_pid()'), true, sink, call);
    const pid = Number(sink.rows[0]![0]);
    assert.deepEqual(await session.notifications('c', call), [
      { name: 'ch', pid, payload: '' },
      { name: 'ch', pid, payload: 'p' },
    ]);
    assert.deepEqual(await taken(), []);
  });

  it('returns those of a transaction after its end', async () => {
    await exec('BEGIN');
    await exec('NOTIFY ch');
    assert.deepEqual(await taken(), []);
    await exec('COMMIT');
    assert.deepEqual(await taken(), ['ch ']);
  });

  it('sees what came while nothing was asked, also behind an asynchronous result', async () => {
    await session.sendQuery('c', sql('SELECT 1'), call);
    await session.getResult('c', true, new CollectingSink(), call);
    await execute(url, "NOTIFY ch, 'x'");
    let seen: readonly string[] = [];
    while (seen.length === 0) seen = await taken();
    assert.deepEqual(seen, ['ch x']);
    // Looking for them has looked at the end of the answer, too.
    assert.equal(await session.sendQuery('c', sql('SELECT 1'), call), 1);
  });

  it('has none without an unnamed connection, and raises for a named one', async () => {
    assert.deepEqual(await session.notifications(undefined, call), []);
    await assert.rejects(session.notifications('x', call), { sqlstate: '08003' });
    await session.connect(undefined, url, false, call);
    assert.deepEqual(await session.notifications(undefined, call), []);
  });

  it('takes all that came with one packet, though the event loop had its turns between', async () => {
    const message = backend('A', Buffer.from('\0\0\0\x07ch\0\0', 'latin1'));
    const many = 4000;
    const answer = Buffer.concat([backend('C', 'LISTEN\0'), backend('Z', 'I')]);
    const remote = await scriptedRemote({
      query: (_, socket) => {
        socket.write(Buffer.concat([answer, ...Array.from({ length: many }, () => message)]));
      },
    });
    try {
      await session.connect('talkative', remote.conninfo, false, call);
      await session.exec('talkative', sql('LISTEN ch'), true, call);
      assert.equal((await session.notifications('talkative', call)).length, many);
    } finally {
      await remote.close();
    }
  });

  it('ends a connection on which too many wait', async () => {
    const payload = 'x'.repeat(100_000);
    const message = backend('A', Buffer.concat([Buffer.from([0, 0, 0, 7]), Buffer.from(`ch\0${payload}\0`)]));
    const remote = await scriptedRemote({
      query: (_, socket) => {
        for (let sent = 0; sent <= MAX_QUEUED_BYTES; sent += payload.length) socket.write(message);
      },
    });
    try {
      await session.connect('hostile', remote.conninfo, false, call);
      await assert.rejects(session.exec('hostile', sql('LISTEN ch'), true, call), {
        sqlstate: '08006',
        message: `more than ${MAX_QUEUED_BYTES} bytes of notifications were waiting for dblink_get_notify()\ninvalid socket`,
      });
      assert.ok((await session.notifications('hostile', call)).length > 100);
      assert.deepEqual(await session.notifications('hostile', call), []);
    } finally {
      await remote.close();
    }
  });
});
