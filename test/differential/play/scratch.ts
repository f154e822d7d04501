import { soon } from '../../support/eventually.js';
import type { Frame } from '../../support/wire.js';
import type { Exchange } from '../compare/compare.js';
import { type DatabaseName, fillIn, type Side } from './environment.js';
import { type Case, LOCAL_DATABASES, type Variant } from './types.js';
import { SESSIONS } from './variants.js';

/** The schema that cases may write to, and what a session leaves behind. */

/** Databases of a side whose schema scratch may hold something: all of them at first. */
const dirty = new WeakMap<Side, readonly DatabaseName[]>();

/** Makes the schema anew where it holds something, and runs the case's own preparations. */
export async function prepareScratch(side: Side, testCase: Case, variant: Variant): Promise<void> {
  const { database } = SESSIONS[variant.session];
  const stale = dirty.get(side) ?? ['remote', ...LOCAL_DATABASES];
  dirty.set(side, ['remote', database]);
  await Promise.all(stale.map((name) => resetScratch(side, name)));
  const setUp = async (name: DatabaseName, setup: string | undefined): Promise<void> => {
    if (setup !== undefined) await side.direct[name].rows(fillIn(setup, side));
  };
  await Promise.all([setUp('remote', testCase.remote), setUp(database, testCase.local)]);
}

async function resetScratch(side: Side, name: DatabaseName): Promise<void> {
  const reset =
    'DROP SCHEMA IF EXISTS scratch CASCADE; CREATE SCHEMA scratch; GRANT ALL ON SCHEMA scratch TO PUBLIC';
  const connection = side.direct[name];
  await connection.rows(reset).catch(async () => {
    // A prepared transaction, or a session that has not ended yet, holds on to what is in there.
    for (const [gid] of await connection.rows(
      'SELECT gid FROM pg_prepared_xacts WHERE database = current_database()',
    )) {
      await connection.rows(`ROLLBACK PREPARED '${gid}'`);
    }
    await connection.rows(`SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'`);
    await connection.rows(reset);
  });
}

/** Waits until the session's remote connections are gone; what does not go soon is left over. */
export async function remoteSessions(side: Side): Promise<Exchange> {
  const others =
    "FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> 'harness'";
  let count: string | null | undefined;
  await soon('the remote sessions end', async () => {
    count = (await side.direct.remote.rows(`SELECT count(*) ${others}`))[0]?.[0];
    return count === '0';
  }).catch(() => undefined);
  if (count !== '0') await side.direct.remote.rows(`SELECT pg_terminate_backend(pid, 1000) ${others}`);
  return rowsAsExchange('remote sessions left over', [[count ?? null]]);
}

/** What the schema holds on both servers when the session has ended. */
export async function effects(side: Side, { session, context }: Variant): Promise<Exchange> {
  const report = 'SELECT scratch_report()';
  const probes = {
    autocommit: '',
    block: '',
    'repeatable-read': 'snapshot_probe',
    savepoint: 'savepoint_probe',
  };
  const cleanUp = probes[context] === '' ? '' : `DELETE FROM ${probes[context]};`;
  const { database } = SESSIONS[session];
  const [remote, local] = await Promise.all([
    side.direct.remote.rows(report),
    side.direct[database].rows(`${cleanUp} ${report}`),
  ]);
  const used: readonly DatabaseName[] = ['remote', database];
  dirty.set(
    side,
    used.filter((_, i) => [remote, local][i]!.length > 0),
  );
  return rowsAsExchange('schema scratch afterwards', [...remote, ['(local)'], ...local]);
}

/** Puts what the harness itself found out beside what the client received, so that one comparer does. */
export function rowsAsExchange(label: string, rows: readonly (readonly (string | null)[])[]): Exchange {
  const frames = rows.map((row): Frame => {
    const header = Buffer.alloc(2);
    header.writeInt16BE(row.length);
    const values = row.map((value) => {
      const length = Buffer.alloc(4);
      length.writeInt32BE(value === null ? -1 : Buffer.byteLength(value));
      return Buffer.concat([length, Buffer.from(value ?? '')]);
    });
    return { type: 'D', body: Buffer.concat([header, ...values]) };
  });
  return { label, frames };
}
