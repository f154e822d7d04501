import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, type PostgresServer } from '../../src/embedded/index.js';
import { run } from '../../src/embedded/run.js';
import { workspace } from '../../src/embedded/workspace.js';
import type { Contender } from '../measure/benchmark.js';
import { Connection } from '../measure/connection.js';
import { ProcessMeter } from '../measure/processMeter.js';
import { startChild, waitFor } from './children.js';

/** PgBouncer in front of a server, in session mode and, but for how many sessions it takes, with its defaults. */
export interface PgBouncer {
  readonly version: string;
  readonly contender: Contender;
  stop(): Promise<void>;
}

/** Debian installs it where an ordinary user's PATH does not lead. */
const PROGRAMS = ['pgbouncer', '/usr/sbin/pgbouncer', '/usr/local/sbin/pgbouncer'];

/** @param sessions the most that there are at a time @returns undefined when it is not installed */
export async function startPgBouncer(
  primary: PostgresServer,
  sessions: number,
): Promise<PgBouncer | undefined> {
  const found = await findProgram();
  if (found === undefined) return undefined;
  const directory = workspace().makeDirectory('pgbouncer', 0o755);
  const port = await freePort();
  writeFileSync(join(directory, 'users.txt'), '"postgres" ""\n');
  writeFileSync(
    join(directory, 'pgbouncer.ini'),
    `[databases]
* = host=${primary.host} port=${primary.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${join(directory, 'users.txt')}
pool_mode = session
default_pool_size = ${sessions}
max_client_conn = ${sessions}
log_connections = 0
log_disconnections = 0
ignore_startup_parameters = extra_float_digits
`,
  );
  // It refuses to run as root, as PostgreSQL does.
  const child = await startChild(found.program, ['-q', join(directory, 'pgbouncer.ini')], {
    ...workspace().runAs,
    cwd: '/',
  });
  const contender: Contender = {
    name: 'pgbouncer',
    host: '127.0.0.1',
    port,
    meter: new ProcessMeter(child.pid),
  };
  await waitFor(child, 'PgBouncer', async () => (await Connection.open(contender.host, port)).end());
  return { version: found.version, contender, stop: () => child.stop('SIGINT') };
}

async function findProgram(): Promise<{ program: string; version: string } | undefined> {
  for (const program of PROGRAMS) {
    try {
      const { stdout } = await run(program, ['--version'], program);
      return { program, version: /PgBouncer (\S+)/i.exec(stdout)?.[1] ?? 'unknown' };
    } catch {
      // Not there, or it does not run: the next one.
    }
  }
  return undefined;
}
