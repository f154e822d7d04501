import assert from 'node:assert/strict';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { constants } from 'node:os';
import { describe, it, type TestContext } from 'node:test';
import type { DblinkSession } from '../../../src/dblink/session.js';
import { remote, scriptedRemote, WELCOME } from '../../faults/world/scriptedRemote.js';
import { CollectingSink, callContext, newSession, sql } from './dblink-support.js';

const INT4 = 23;
const COLUMNS = remote.columns([INT4]);

/** A session whose connection `h` leads to a remote that answers every query like this. */
async function connectedTo(
  t: TestContext,
  query: (sql: string, socket: Socket) => void,
): Promise<{ readonly session: DblinkSession } & ReturnType<typeof callContext>> {
  const server = await scriptedRemote({ query });
  const session = newSession();
  t.after(async () => {
    session.close();
    await server.close();
  });
  const context = callContext();
  await session.connect('h', server.conninfo, false, context.call);
  return { session, ...context };
}

describe('asynchronous results of a remote that does as it likes', () => {
  it('lets one that never stops sending wait', async (t) => {
    let sent = 0;
    const rows = Buffer.concat(Array.from({ length: 1000 }, () => remote.row(['1'])));
    const { session, call } = await connectedTo(t, (_, socket) => {
      socket.write(COLUMNS);
      const more = (): void => {
        for (;;) {
          sent += rows.length;
          if (!socket.write(rows)) break;
        }
        socket.once('drain', more);
      };
      more();
    });
    await session.sendQuery('h', sql('SELECT 1'), call);
    while ((await session.isBusy('h', call)) === 1) await new Promise(setImmediate);
    // It is ready, and stays so without taking in more: the remote stands.
    let before = -1;
    while (sent !== before) {
      before = sent;
      for (let i = 0; i < 50; i++) assert.equal(await session.isBusy('h', call), 0);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.ok(sent < 64 * 1024 * 1024, `${sent} bytes`);
    assert.equal(session.disconnect('h', call), 'OK');
  });

  it('takes what comes byte by byte', async (t) => {
    const { session, call } = await connectedTo(t, (_, socket) => {
      socket.setNoDelay(true);
      const answer = Buffer.concat([
        COLUMNS,
        remote.row(['1']),
        remote.row(['2']),
        remote.tag('SELECT 2'),
        remote.ready(),
      ]);
      let at = 0;
      const next = (): void => {
        if (at < answer.length) socket.write(answer.subarray(at, ++at), () => setImmediate(next));
      };
      next();
    });
    await session.sendQuery('h', sql('SELECT 1'), call);
    while ((await session.isBusy('h', call)) === 1) await new Promise(setImmediate);
    const sink = new CollectingSink();
    assert.deepEqual(await session.getResult('h', true, sink, call), { kind: 'rows' });
    assert.deepEqual(sink.rows, [['1'], ['2']]);
    assert.deepEqual(await session.getResult('h', true, sink, call), { kind: 'nothing' });
  });

  it('takes an end in the middle of a result for the loss that it is', async (t) => {
    const { session, call, notices } = await connectedTo(t, (_, socket) => {
      socket.end(Buffer.concat([COLUMNS, remote.row(['1']), remote.row(['2']).subarray(0, 7)]));
    });
    await session.sendQuery('h', sql('SELECT 1'), call);
    const sink = new CollectingSink();
    assert.deepEqual(await session.getResult('h', false, sink, call), { kind: 'nothing' });
    assert.match(notices[0]!, /^08006 server closed the connection unexpectedly\n/);
    assert.deepEqual(await session.getResult('h', false, sink, call), { kind: 'nothing' });
    assert.equal(notices.length, 1);
  });

  it('keeps results that came before the end of the connection', async (t) => {
    const { session, call, notices } = await connectedTo(t, (_, socket) => {
      socket.end(
        Buffer.concat([
          COLUMNS,
          remote.row(['1']),
          remote.tag('SELECT 1'),
          remote.error('57P01', 'bye', 'FATAL'),
        ]),
      );
    });
    await session.sendQuery('h', sql('SELECT 1'), call);
    const sink = new CollectingSink();
    assert.deepEqual(await session.getResult('h', false, sink, call), { kind: 'rows' });
    assert.deepEqual(sink.rows, [['1']]);
    assert.deepEqual(await session.getResult('h', false, sink, call), { kind: 'nothing' });
    assert.deepEqual(notices, ['57P01 bye']);
    assert.deepEqual(await session.getResult('h', false, sink, call), { kind: 'nothing' });
    assert.match(notices[1]!, /^08006 FATAL: {2}bye\nserver closed the connection/);
    assert.deepEqual(await session.getResult('h', false, sink, call), { kind: 'nothing' });
    assert.equal(notices.length, 2);
  });

  it('gives a broken row as an error of its result only', async (t) => {
    const { session, call, notices } = await connectedTo(t, (_, socket) => {
      socket.write(
        Buffer.concat([
          COLUMNS,
          remote.row(['1', '2']),
          remote.tag('SELECT 1'),
          COLUMNS,
          remote.row(['3']),
          remote.tag('SELECT 1'),
          remote.ready(),
        ]),
      );
    });
    await session.sendQuery('h', sql('SELECT 1'), call);
    const sink = new CollectingSink();
    assert.deepEqual(await session.getResult('h', false, sink, call), { kind: 'nothing' });
    assert.deepEqual(notices, ['08006 unexpected field count in "D" message']);
    assert.deepEqual(await session.getResult('h', false, sink, call), { kind: 'rows' });
    assert.deepEqual(sink.rows, [['3']]);
  });

  for (const { major, refused, dead } of [
    {
      major: 16,
      refused: () => `PQcancel() -- connect() failed: error ${constants.errno.ECONNREFUSED}\n`,
      dead: 'PQcancel() -- no cancel object supplied',
    },
    {
      major: 17,
      refused: (port: number) =>
        `connection to server at "127.0.0.1", port ${port} failed: Connection refused\n` +
        '\tIs the server running on that host and accepting TCP/IP connections?',
      dead: 'connection not open',
    },
  ]) {
    it(`says why it could not be asked to cancel, as PostgreSQL ${major}`, async (t) => {
      let socket: Socket | undefined;
      const server = createServer((accepted) => {
        socket = accepted;
        accepted.once('data', () => {
          accepted.write(WELCOME);
          server.close();
        });
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const { port } = server.address() as AddressInfo;
      const session = newSession();
      t.after(() => session.close());
      const { call } = callContext({ major });
      await session.connect('h', `host=127.0.0.1 port=${port} user=u sslmode=disable`, false, call);
      assert.equal(await session.cancelQuery('h', call), refused(port));
      socket!.destroy();
      while (session.errorMessage('h', call) === 'OK') await session.isBusy('h', call);
      assert.equal(await session.cancelQuery('h', call), dead);
    });
  }
});
