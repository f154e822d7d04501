import { chmodSync, chownSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PostgresInstallation } from './packages.js';
import { prepared } from './prepared.js';
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
 * initdb takes a second or two, and a copy of its result a tenth of that. So each combination of major, arguments and password
 * is initialised once per process and copied from then on. It may also have been made ready for this process (prepared.ts).
 *
 * @throws EmbeddedError
 */
export async function createCluster(
  installation: PostgresInstallation,
  initdbArgs: readonly string[],
  password: string | undefined,
  dataDir: string,
): Promise<void> {
  const template = await clusterTemplate(installation, initdbArgs, password);
  await run('cp', ['-R', template, dataDir], 'copying the new cluster');
}

/** The data directory that new clusters of this kind are copies of. @throws EmbeddedError */
export function clusterTemplate(
  installation: PostgresInstallation,
  initdbArgs: readonly string[] = [],
  password?: string,
): Promise<string> {
  const key = clusterKey(installation.major, initdbArgs, password);
  let template = templates.get(key);
  if (template === undefined) {
    const made = prepared().clusters[key];
    template = made === undefined ? initialise(installation, initdbArgs, password) : Promise.resolve(made);
    templates.set(key, template);
  }
  return template;
}

/** The name of a kind of cluster, as in `Prepared`. */
export const clusterKey = (major: number, initdbArgs: readonly string[] = [], password?: string): string =>
  JSON.stringify([major, initdbArgs, password ?? null]);

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
