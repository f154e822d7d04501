import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { workspace } from '../../src/embedded/workspace.js';
import { parse } from '../../src/wire/messages.js';
import type { Contender, MeasureContext, Sample } from '../measure/benchmark.js';
import { bindAndExecute, type Connection, extendedQuery } from '../measure/connection.js';
import { repeat } from '../measure/repeat.js';
import { ACCOUNTS } from '../measure/tables.js';
import { cleanEnvironment } from '../rig/children.js';

export type QueryMode = 'simple' | 'extended' | 'prepared';

/** What sends the small queries of the relay benchmarks: pgbench, or where it is not installed, this program. */
export interface Driver {
  readonly name: string;
  /** Queries per second of some clients at once; each waits for its answer before it sends the next query. */
  run(mode: QueryMode, clients: number, contender: Contender, context: MeasureContext): Promise<Sample>;
}

const execute = promisify(execFile);

/** @param builtIn do without pgbench even where it is installed */
export async function findDriver(builtIn: boolean): Promise<Driver> {
  if (builtIn) return builtInDriver;
  try {
    const { stdout } = await execute('pgbench', ['--version'], { env: cleanEnvironment() });
    return pgbench(`pgbench ${/\(PostgreSQL\) (\S+)/.exec(stdout)?.[1] ?? ''}`.trim());
  } catch {
    return builtInDriver;
  }
}

function pgbench(name: string): Driver {
  // pgbench's own select-only script, for a table that it need not have made.
  const script = join(workspace().directory, 'select.pgbench');
  writeFileSync(
    script,
    `\\set aid random(1, ${ACCOUNTS})\nSELECT abalance FROM accounts WHERE aid = :aid;\n`,
  );
  return {
    name,
    async run(mode, clients, { host, port }, { seconds, signal }) {
      const options = ['-n', '-f', script, '-M', mode, '-c', String(clients), '-j', '1'];
      const duration = String(Math.max(1, Math.round(seconds)));
      const { stdout } = await execute(
        'pgbench',
        [...options, '-T', duration, '-h', host, '-p', String(port), '-U', 'postgres', 'postgres'],
        { env: cleanEnvironment({ PGSSLMODE: 'disable', PGGSSENCMODE: 'disable' }), signal },
      );
      // The line without the time for connecting; 13 and older word it differently.
      const rate = /^tps = ([\d.]+) \((?:without initial|excluding)/m.exec(stdout)?.[1];
      const count = /^number of transactions actually processed: (\d+)/m.exec(stdout)?.[1];
      const failed = /^number of failed transactions: (\d+)/m.exec(stdout)?.[1] ?? '0';
      if (rate === undefined || count === undefined || failed !== '0') {
        throw new Error(`pgbench reported no rate or failed transactions: ${stdout}`);
      }
      return { values: [Number(rate)], units: Number(count) };
    },
  };
}

const builtInDriver: Driver = {
  name: 'built-in',
  async run(mode, clients, contender, context) {
    const connections = await Promise.all(Array.from({ length: clients }, () => context.connect(contender)));
    const results = await Promise.all(
      connections.map(async (connection) => {
        const send = await sender(mode, connection);
        return repeat(context, async () => {
          const { rows } = await send(1 + Math.floor(Math.random() * ACCOUNTS));
          if (rows !== 1) throw new Error(`expected 1 row, got ${rows}`);
        });
      }),
    );
    return {
      values: [results.reduce((sum, { perSecond }) => sum + perSecond, 0)],
      units: results.reduce((sum, { count }) => sum + count, 0),
    };
  },
};

async function sender(mode: QueryMode, connection: Connection) {
  const sql = 'SELECT abalance FROM accounts WHERE aid = ';
  switch (mode) {
    case 'simple':
      return (aid: number) => connection.query(sql + aid);
    case 'extended':
      return (aid: number) => connection.request(extendedQuery(sql + aid));
    case 'prepared':
      await connection.request(Buffer.concat([parse('s', `${sql}$1`, []), bindAndExecute('s', ['1'])]));
      return (aid: number) => connection.request(bindAndExecute('s', [String(aid)]));
  }
}
