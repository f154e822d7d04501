import { chmodSync, chownSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PostgresInstallation } from './installation.js';
import { run } from './run.js';
import { workspace } from './workspace.js';

let counter = 0;

/** A name that no other directory of this process's workspace has. */
export function uniqueName(prefix: string): string {
  counter += 1;
  return `${prefix}${counter}`;
}

const templates = new Map<string, Promise<string>>();

/**
 * Fills `dataDir`, which must not exist yet, with a new cluster of the superuser `postgres`.
 *
 * initdb takes a second or two and a copy of its result a tenth of that, so each combination of installation and
 * arguments is initialised once per process and copied from then on.
 */
export async function createCluster(
  installation: PostgresInstallation,
  initdbArgs: readonly string[],
  password: string | undefined,
  dataDir: string,
): Promise<void> {
  const key = JSON.stringify([installation.major, initdbArgs, password ?? null]);
  let template = templates.get(key);
  if (template === undefined) {
    template = initialise(installation, initdbArgs, password);
    templates.set(key, template);
  }
  await run('cp', ['-R', await template, dataDir], 'copying the new cluster');
}

async function initialise(
  installation: PostgresInstallation,
  initdbArgs: readonly string[],
  password: string | undefined,
): Promise<string> {
  const directory = workspace().makeDirectory(uniqueName('template'), 0o700);
  const data = join(directory, 'data');
  const authentication = ['--auth=trust'];
  if (password !== undefined) {
    const file = join(directory, 'password');
    writePrivateFile(file, `${password}\n`);
    authentication.splice(0, 1, '--auth-local=trust', '--auth-host=scram-sha-256', `--pwfile=${file}`);
  }
  await run(
    join(installation.directory, 'bin', 'initdb'),
    [
      ...[`--pgdata=${data}`, '--username=postgres', '--encoding=UTF8', '--locale=C', '--no-sync'],
      ...authentication,
      ...initdbArgs, // Last, so that they win.
    ],
    `initdb of PostgreSQL ${installation.version}`,
  );
  return data;
}

/** Writes a file that only the servers' account can read. */
export function writePrivateFile(path: string, content: string): void {
  writeFileSync(path, content, { mode: 0o600 });
  chmodSync(path, 0o600);
  const { uid, gid } = workspace().runAs;
  if (uid !== undefined && gid !== undefined) chownSync(path, uid, gid);
}
