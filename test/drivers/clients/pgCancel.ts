import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { remote, Session, session, target, type WithConnection, type WithKey } from './pgSession.js';
import { emit } from './support.js';

/** A cancel belongs to the statement that runs when it arrives, whatever is being done for it at that moment. */
export const cancelled = (): Promise<void> =>
  cancelsAtAnyMoment([
    "SELECT * FROM dblink('c', 'SELECT pg_sleep(0.3)') AS t(a text)",
    "SELECT count(*) FROM customers, dblink('c', 'SELECT a FROM brief') AS t(a int)",
    `SELECT dblink_exec('${remote}', 'DO $$ BEGIN PERFORM pg_sleep(0.3); END $$')`,
  ]);

export const cancelledInFunctions = (): Promise<void> =>
  cancelsAtAnyMoment([
    'SELECT count(*) FROM far_sleep',
    "SELECT unguarded('SELECT 1 FROM pg_sleep(0.3)')",
    "DO $$ BEGIN PERFORM * FROM dblink('c', 'SELECT pg_sleep(0.3)') AS t(a text); END $$",
  ]);

async function cancelsAtAnyMoment(statements: readonly string[]): Promise<void> {
  const flow = 'cancels at any moment';
  let lost = 0;
  for (const statement of statements) {
    for (const options of [{}, { queryMode: 'extended' }]) {
      await session(flow, async ({ client }) => {
        await client.query("SELECT dblink_connect('c', $1)", [remote]);
        for (const afterMs of [2, 5, 12]) {
          const finished = client.query({ ...options, text: statement }).then(
            () => true,
            ({ code }: { code?: string }) => code !== '57014',
          );
          await delay(afterMs);
          await cancel(client as unknown as WithKey);
          if (await finished) lost += 1;
        }
      });
    }
  }
  // PostgreSQL, too, loses a cancel that overtakes its statement on a busy machine.
  emit(flow, 'lost', { lost, mayBeLost: 2 });
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

/** Fifty megabytes, and then a row now and again: the extension goes on reading when its client is gone. */
const ENDLESS = `SELECT repeat(''x'', 1000) || CASE WHEN g > 50000 THEN pg_sleep(0.002)::text ELSE '''' END
  FROM generate_series(1, 60000) g`;

/** Clients that go away without a word while the remote works: nothing of it may go on for long. */
export const abandoned = (): Promise<void> =>
  clientsThatGoAway([
    ['asleep', "SELECT * FROM dblink('c', 'SELECT pg_sleep(20)') AS t(a text)"],
    ['in a join', "SELECT * FROM customers, dblink('c', 'SELECT a FROM slow') AS t(a int)"],
    ['in mid-result', `SELECT * FROM dblink('c', '${ENDLESS}') AS t(a text)`],
    [
      'in a transaction of the remote',
      "SELECT dblink_exec('c', 'BEGIN'), dblink_exec('c', 'DELETE FROM orders')",
    ],
  ]);

export const abandonedInFunctions = (): Promise<void> =>
  clientsThatGoAway([
    ['in a view', 'SELECT * FROM far_sleep'],
    ['in a function', "SELECT unguarded('SELECT 1 FROM pg_sleep(20)')"],
    ['in mid-result', `DO $$ BEGIN PERFORM * FROM dblink('c', '${ENDLESS}') AS t(a text); END $$`],
    ['in a trigger', "INSERT INTO watched SELECT g, 'line' FROM generate_series(1, 100000) g"],
  ]);

async function clientsThatGoAway(statements: readonly (readonly [at: string, sql: string])[]): Promise<void> {
  for (const [at, sql] of statements) {
    const opened = new Session('clients that go away');
    await opened.client.connect();
    opened.client.on('error', () => {});
    await opened.client.query("SELECT dblink_connect('c', $1)", [remote]);
    opened.client.query({ text: sql, rowMode: 'array' }).catch(() => {});
    await delay(300);
    (opened.client as unknown as WithConnection).connection.stream.destroy();
    opened.note(at, {});
  }
}
