import { connect } from 'node:net';
import { remote, Session, session, target, type WithConnection, type WithKey } from './pgSession.js';
import { remoteShows, timed } from './support.js';

/**
 * A cancel ends the statement that runs, whatever is being done for it: each is sent when the remote works for the statement.
 * (At any moment before and after: test/faults/cancelMoments.test.ts.)
 */
export const cancelled = (): Promise<void> =>
  cancels([
    `SELECT * FROM dblink('c', 'SELECT pg_sleep(${target.nap})') AS t(a text)`,
    "SELECT count(*) FROM customers, dblink('c', 'SELECT a FROM slow') AS t(a int)",
    `SELECT dblink_exec('${remote}', 'DO $$ BEGIN PERFORM pg_sleep(${target.nap}); END $$')`,
  ]);

export const cancelledInFunctions = (): Promise<void> =>
  cancels([
    'SELECT count(*) FROM far_sleep',
    `SELECT unguarded('SELECT 1 FROM pg_sleep(${target.nap})')`,
    `DO $$ BEGIN PERFORM * FROM dblink('c', 'SELECT pg_sleep(${target.nap})') AS t(a text); END $$`,
  ]);

async function cancels(statements: readonly string[]): Promise<void> {
  for (const statement of statements) {
    for (const options of [{}, { queryMode: 'extended' }] as const) {
      await session('cancels', async (opened) => {
        await opened.run("SELECT dblink_connect('c', $1)", [remote]);
        const { elapsedMs } = await timed(async () => {
          const finished = opened.run(statement, [], options);
          await remoteShows(target);
          await cancel(opened.client as unknown as WithKey);
          await finished;
        });
        opened.note('time of the cancel', { elapsedMs });
      });
    }
  }
}

/** Sends a CancelRequest on a connection of its own and waits until it is closed. */
function cancel({ processID, secretKey }: WithKey): Promise<void> {
  const request = Buffer.alloc(16);
  for (const [index, value] of [16, 80877102, processID, secretKey].entries()) {
    request.writeInt32BE(value, index * 4);
  }
  return new Promise((resolve, reject) => {
    const socket = connect(target.port, target.host);
    socket.on('close', () => resolve()).on('error', reject);
    socket.end(request);
  });
}

/** The extension goes on when its client is gone: it is given less to do. */
const MANY = target.native ? 100 : 100_000;

/** Fifty megabytes, and then a row now and again. */
const ENDLESS = `SELECT repeat(''x'', 1000) || CASE WHEN g > 50000 THEN pg_sleep(0.02)::text ELSE '''' END
  FROM generate_series(1, 50000 + ${MANY}) g`;

/** Clients that go away without a word while the remote works: nothing of it may go on for long. */
export const abandoned = (): Promise<void> =>
  clientsThatGoAway([
    ['asleep', `SELECT * FROM dblink('c', 'SELECT pg_sleep(${target.nap})') AS t(a text)`],
    ['in a join', "SELECT * FROM customers, dblink('c', 'SELECT a FROM slow') AS t(a int)"],
    ['in mid-result', `SELECT * FROM dblink('c', '${ENDLESS}') AS t(a text)`],
    [
      'in a transaction of the remote',
      "SELECT dblink_exec('c', 'BEGIN'), dblink_exec('c', 'DELETE FROM orders')",
      "state = 'idle in transaction' AND query LIKE 'DELETE%'",
    ],
  ]);

export const abandonedInFunctions = (): Promise<void> =>
  clientsThatGoAway([
    ['in a view', 'SELECT * FROM far_sleep'],
    ['in a function', `SELECT unguarded('SELECT 1 FROM pg_sleep(${target.nap})')`],
    ['in mid-result', `DO $$ BEGIN PERFORM * FROM dblink('c', '${ENDLESS}') AS t(a text); END $$`],
    [
      'in a trigger',
      `INSERT INTO watched SELECT g, 'line' FROM generate_series(1, ${MANY}) g`,
      "query LIKE 'INSERT INTO log%'",
    ],
  ]);

/** @param statements with what the remote shows when they have got so far */
async function clientsThatGoAway(
  statements: readonly (readonly [at: string, sql: string, shows?: string])[],
): Promise<void> {
  for (const [at, sql, shows] of statements) {
    const opened = new Session('clients that go away');
    await opened.client.connect();
    opened.client.on('error', () => {});
    await opened.client.query("SELECT dblink_connect('c', $1)", [remote]);
    opened.client.query({ text: sql, rowMode: 'array' }).catch(() => {});
    await remoteShows(target, shows);
    (opened.client as unknown as WithConnection).connection.stream.destroy();
    opened.note(at, {});
  }
}
