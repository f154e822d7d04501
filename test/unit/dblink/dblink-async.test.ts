import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { MemoryBudget } from '../../../src/dblink/memory.js';
import type { QueryOutcome } from '../../../src/dblink/remote/outcome.js';
import { createDatabase, execute, extensionServer } from '../../support/postgres.js';
import { CollectingSink, callContext, newSession, sql } from './dblink-support.js';

describe('asynchronous use of a dblink connection', () => {
  let url: string;
  let session = newSession();
  const { call, notices } = callContext();
  const NOTHING: QueryOutcome = { kind: 'nothing' };

  before(async () => {
    url = await createDatabase(await extensionServer(18), 'asynchronous');
  });
  beforeEach(async () => {
    session.close();
    session = newSession();
    notices.length = 0;
    await session.connect('c', url, false, call);
  });
  after(() => session.close());

  const send = (text: string): Promise<0 | 1> => session.sendQuery('c', sql(text), call);
  const result = (sink = new CollectingSink(), failOnError = false): Promise<QueryOutcome> =>
    session.getResult('c', failOnError, sink, call);
  async function firstColumn(): Promise<readonly (string | null)[]> {
    const sink = new CollectingSink();
    assert.deepEqual(await result(sink), { kind: 'rows' });
    return sink.rows.map(([value]) => value!);
  }
  async function busy(): Promise<number> {
    return session.isBusy('c', call);
  }
  /** Polls as a client does. */
  async function notBusy(): Promise<void> {
    while ((await busy()) === 1) await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const errorMessage = (): string => session.errorMessage('c', call);

  it('hands out one result after another, and nothing at the end', async () => {
    assert.equal(await send("SELECT 1; SET a.b = 'x'; SELECT 2 WHERE false; VALUES (3), (4)"), 1);
    assert.deepEqual(await firstColumn(), ['1']);
    assert.deepEqual(await result(), { kind: 'status', tag: 'SET' });
    assert.deepEqual(await firstColumn(), []);
    assert.deepEqual(await firstColumn(), ['3', '4']);
    assert.equal(await send('SELECT 5'), 0);
    assert.deepEqual(await result(new CollectingSink(7)), NOTHING);
    assert.equal(await send('SELECT 5'), 1);
    assert.deepEqual(await firstColumn(), ['5']);
  });

  it('gives the same results to who has asked whether it is busy', async () => {
    await send('SELECT pg_sleep(0.2); SELECT 2; SELECT 1/0');
    assert.equal(await busy(), 1);
    await notBusy();
    assert.deepEqual(await firstColumn(), ['']);
    await notBusy();
    assert.deepEqual(await firstColumn(), ['2']);
    await notBusy();
    assert.equal(errorMessage(), 'ERROR:  division by zero');
    assert.deepEqual(await result(), NOTHING);
    assert.deepEqual(notices, ['22012 division by zero']);
    await notBusy();
    // As libpq: who has looked far enough need not take the end.
    assert.equal(await send('SELECT 1'), 1);
  });

  it('has nothing to give where nothing was sent', async () => {
    assert.deepEqual(await result(), NOTHING);
    assert.equal(await busy(), 0);
    await assert.rejects(session.getResult('x', false, new CollectingSink(), call), { sqlstate: '08003' });
    await assert.rejects(session.sendQuery('x', sql(''), call), { sqlstate: '08003' });
    await assert.rejects(session.isBusy('x', call), { sqlstate: '08003' });
    await assert.rejects(session.cancelQuery('x', call), { sqlstate: '08003' });
  });

  it('what waits to be taken is counted; where there is no more room the remote has to wait', async () => {
    const MEBIBYTE = 1 << 20;
    const budget = new MemoryBudget(2 * MEBIBYTE);
    const crowded = newSession({ memory: budget.session() });
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    const large = "SELECT repeat('x', 100000) FROM generate_series(1, 30)";
    for (const name of names) {
      await crowded.connect(name, url, false, call);
      await crowded.sendQuery(name, sql(large), call);
      // What it stores before it says so is some hundred kilobytes for those behind the first ones.
      while ((await crowded.isBusy(name, call)) === 1) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    assert.ok(budget.used > MEBIBYTE && budget.used <= 2 * MEBIBYTE, `${budget.used} bytes`);
    for (const name of names.slice(0, 5)) {
      const sink = new CollectingSink();
      assert.deepEqual(await crowded.getResult(name, false, sink, call), { kind: 'rows' });
      assert.equal(sink.rows.length, 30);
    }
    assert.ok(budget.used < 2 * MEBIBYTE);
    // A complete one, which nobody takes.
    await crowded.connect('g', url, false, call);
    await crowded.sendQuery('g', sql('SELECT 1'), call);
    while ((await crowded.isBusy('g', call)) === 1) await new Promise((resolve) => setTimeout(resolve, 1));
    crowded.close();
    assert.equal(budget.used, 0);
  });

  it('takes a result that does not fit, too', async () => {
    await send('SELECT 1, 2; SELECT 3; SELECT 4');
    await assert.rejects(result(), { sqlstate: '42804' });
    const failing = new CollectingSink();
    failing.onRow = () => {
      throw new RangeError('no');
    };
    await assert.rejects(result(failing), RangeError);
    assert.deepEqual(await firstColumn(), ['4']);
    assert.deepEqual(await result(), NOTHING);
  });

  it('refuses other commands and keeps the results; dblink() drops them', async () => {
    await send('SELECT 1; SELECT 2');
    assert.equal(await session.exec('c', sql('SET a.b = 1'), false, call), 'ERROR');
    assert.equal(await session.openCursor('c', 'k', sql('SELECT 1'), false, call), 'ERROR');
    const busyText = 'another command is already in progress';
    assert.deepEqual(notices, [`08006 ${busyText}`, `08006 ${busyText}\n${busyText}`]);
    assert.deepEqual(await firstColumn(), ['1']);
    await assert.rejects(session.query('c', sql('SELECT 1'), false, new CollectingSink(), call), {
      sqlstate: 'XX000',
      message: `could not send query: ${busyText}\n${busyText}\n${busyText}`,
    });
    assert.deepEqual(await result(), NOTHING);
    assert.equal(await session.exec('c', sql('SET a.b = 1'), false, call), 'SET');
    assert.equal(errorMessage(), 'OK');
  });

  it('answers an empty string and a COPY without a message, and goes on', async () => {
    for (const text of [
      '',
      ' -- nothing',
      'COPY (SELECT 1) TO STDOUT; SELECT 1',
      'COPY pg_class FROM STDIN',
    ]) {
      notices.length = 0;
      assert.equal(await send(text), 1);
      assert.deepEqual(await result(), NOTHING);
      assert.deepEqual(notices, ['08006 could not obtain message string for remote error']);
      assert.deepEqual(await result(), NOTHING);
      assert.equal(notices.length, 1);
    }
    assert.equal(await session.exec('c', sql('SET a.b = 1'), true, call), 'SET');
  });

  it('cancels', async () => {
    assert.equal(await session.cancelQuery('c', call), 'OK');
    await send('SELECT pg_sleep(60)');
    assert.equal(await busy(), 1);
    while ((await busy()) === 1) assert.equal(await session.cancelQuery('c', call), 'OK');
    assert.deepEqual(await result(), NOTHING);
    assert.deepEqual(notices, ['57014 canceling statement due to user request']);
    assert.deepEqual(await result(), NOTHING);
  });

  it('is idle again after a call that was aborted', async () => {
    const reason = new Error('stopped');
    for (const take of [
      (signal: AbortSignal) => session.getResult('c', true, new CollectingSink(), { ...call, signal }),
      (signal: AbortSignal) =>
        session.query('c', sql('SELECT 1'), true, new CollectingSink(), { ...call, signal }),
    ]) {
      await send('SELECT 1; SELECT pg_sleep(60); SELECT 2');
      const stop = new AbortController();
      const taking = take(stop.signal);
      setTimeout(() => stop.abort(reason), 50);
      await assert.rejects(taking, reason);
      assert.deepEqual(await result(), NOTHING);
      assert.equal(await session.exec('c', sql('SET a.b = 1'), true, call), 'SET');
    }
  });

  it('refuses a call while another one uses the connection, but not after that was aborted', async () => {
    await session.connect(undefined, url, false, call);
    const stop = new AbortController();
    const signal = stop.signal;
    const running = session.query('c', sql('SELECT pg_sleep(60)'), true, new CollectingSink(), {
      ...call,
      signal,
    });
    const unnamed = session.query(undefined, sql('SELECT pg_sleep(60)'), true, new CollectingSink(), {
      ...call,
      signal,
    });
    const inUse = { sqlstate: '55006', message: 'connection "c" is already in use' };
    await assert.rejects(session.exec('c', sql('SELECT 1'), false, call), inUse);
    await assert.rejects(session.isBusy('c', call), inUse);
    assert.throws(() => session.disconnect('c', call), inUse);
    assert.throws(() => session.errorMessage('c', call), inUse);
    await assert.rejects(session.connect('c', url, false, call), { sqlstate: '42710' });
    await assert.rejects(session.connect(undefined, url, false, call), {
      sqlstate: '55006',
      message: 'connection is already in use',
    });
    assert.deepEqual(session.connections(), ['c']);
    stop.abort(new Error('stopped'));
    // With the abort, not some time after it: the session's next call may come at once.
    const next = session.exec('c', sql('SET a.b = 1'), true, call);
    await assert.rejects(running, /stopped/);
    await assert.rejects(unnamed, /stopped/);
    assert.equal(await next, 'SET');
  });

  it('lets the remote wait rather than keep a large result, which then counts as ready', async () => {
    const megabytes = 64;
    await send(`SELECT repeat('x', 1024 * 1024) FROM generate_series(1, ${megabytes})`);
    global.gc?.();
    const before = process.memoryUsage();
    await notBusy();
    for (let i = 0; i < 20; i++) assert.equal(await busy(), 0);
    const now = process.memoryUsage();
    const grown = now.arrayBuffers + now.external - before.arrayBuffers - before.external;
    assert.ok(grown < 32 * 1024 * 1024, `${grown} bytes more`);
    let length = 0;
    const sink = new CollectingSink();
    Object.defineProperty(sink, 'maxRowBytes', { value: 8 * 1024 * 1024 });
    sink.onRow = (client) => {
      length += sink.rows.pop()![0]!.length;
      // The sink may be slow.
      client.pause();
      setTimeout(() => client.resume(), 1);
    };
    assert.deepEqual(await result(sink), { kind: 'rows' });
    assert.equal(length, megabytes * 1024 * 1024);
    assert.deepEqual(await result(), NOTHING);
  });

  it('tells of the loss of the connection as libpq does, step by step', async () => {
    const closed =
      'server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally\n' +
      '\tbefore or while processing the request.';
    const fatal = 'terminating connection due to administrator command';
    await send('SELECT pg_terminate_backend(pg_backend_pid())');
    assert.deepEqual(await result(), NOTHING);
    assert.equal(errorMessage(), `FATAL:  ${fatal}`);
    assert.deepEqual(await result(), NOTHING);
    assert.deepEqual(notices, [`57P01 ${fatal}`, `08006 FATAL:  ${fatal}\n${closed}\ninvalid socket`]);
    assert.deepEqual(await result(), NOTHING);
    assert.equal(notices.length, 2);
    assert.equal(await send('SELECT 1'), 0);
    assert.equal(notices[2], '00000 could not send query: no connection to the server');
    assert.equal(await session.cancelQuery('c', call), 'connection not open');
    assert.equal(await session.openCursor('c', 'k', sql('SELECT 1'), false, call), 'ERROR');
    assert.equal(notices[3], '08006 no connection to the server');
  });

  it('ends what runs when it is disconnected', async () => {
    await send("SELECT 'left behind', pg_sleep(60)");
    assert.equal(session.disconnect('c', call), 'OK');
    const running = `SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT ''left behind%'`;
    while (Number((await execute(url, running))[0]![0]) > 0) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });
});
