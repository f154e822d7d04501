import {
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { EmbeddedError } from './errors.js';
import { findBinaryPackage, nativeDirectory, type PostgresInstallation } from './packages.js';
import { prepared } from './prepared.js';
import { run } from './run.js';
import { workspace } from './workspace.js';

const cache = new Map<string, Promise<PostgresInstallation>>();

/**
 * Makes PostgreSQL `major` ready to run: a copy of an npm package's files in this process's temporary directory.
 *
 * There are three reasons for a copy. The package's symbolic links are made by an install script, which npm may hold back. The
 * package's directory may be unreadable to the account that the servers run under. And a primary without dblink needs files
 * removed. The package itself is never changed. A copy is made once per process and variant, unless one has been made ready for
 * this process (prepared.ts).
 *
 * @param options.dblink false leaves out every file of the dblink extension
 * @param options.packages a directory in whose `node_modules` packages may be too, besides the usual places
 * @throws EmbeddedError if no package of that major is installed or its programs do not run here
 */
export function prepareBinaries(options: {
  readonly major: number;
  readonly dblink: boolean;
  readonly packages?: string;
}): Promise<PostgresInstallation> {
  const key = installationKey(options);
  let installation = cache.get(key);
  if (installation === undefined) {
    const made = prepared().installations[key];
    installation = made === undefined ? prepare(options, key) : Promise.resolve(made);
    cache.set(key, installation);
  }
  return installation;
}

/** The name of an installation within a workspace, and in `Prepared`. */
export const installationKey = ({
  major,
  dblink,
}: {
  readonly major: number;
  readonly dblink: boolean;
}): string => `${major}${dblink ? '' : '-nodblink'}`;

async function prepare(
  { major, dblink, packages }: Parameters<typeof prepareBinaries>[0],
  key: string,
): Promise<PostgresInstallation> {
  const found = findBinaryPackage(major, packages);
  const place = workspace();
  const directory = join(place.directory, key);
  const sibling = join(place.directory, dblink ? `${major}-nodblink` : `${major}`);
  // Within one workspace a hard link serves as well as a second copy.
  const source = nativeDirectory(found);
  copyTree(
    source,
    directory,
    (from, to, path) => {
      const copied = join(sibling, path);
      if (existsSync(copied)) linkSync(copied, to);
      else copyFile(from, to);
    },
    (path) => !isBuildFile(path) && (dblink || !isDblinkFile(path)),
  );
  hydrateLinks(join(source, 'pg-symlinks.json'), directory);

  const { stdout } = await run(
    join(directory, 'bin', 'postgres'),
    ['--version'],
    `${found.name} ${found.version}`,
  );
  const version = /\(PostgreSQL\) (\S+)/.exec(stdout)?.[1];
  if (version === undefined) {
    throw new EmbeddedError(`postgres --version of ${found.name} said ${JSON.stringify(stdout)}`);
  }
  return { major, version, dblink, directory };
}

/** Needed to build against PostgreSQL, not to run it. */
function isBuildFile(path: string): boolean {
  return path.endsWith('.a') || path === join('lib', 'pkgconfig') || path === 'include';
}

function isDblinkFile(path: string): boolean {
  return /(^|[\\/])dblink[^\\/]*\.(so|dylib|dll|sql|control|bc)$/.test(path);
}

function copyFile(from: string, to: string): void {
  copyFileSync(from, to, constants.COPYFILE_FICLONE);
  // The servers' account must be able to read files and to execute programs, whatever umask the package was installed with.
  chmodSync(to, dirname(to).endsWith('bin') || /\.(so|dylib)/.test(to) ? 0o755 : 0o644);
}

function copyTree(
  from: string,
  to: string,
  copy: (from: string, to: string, path: string) => void,
  wanted: (path: string) => boolean,
  path = '',
): void {
  mkdirSync(join(to, path));
  chmodSync(join(to, path), 0o755);
  for (const entry of readdirSync(join(from, path), { withFileTypes: true })) {
    const inner = join(path, entry.name);
    if (!wanted(inner)) continue;
    if (entry.isDirectory()) copyTree(from, to, copy, wanted, inner);
    else if (entry.isSymbolicLink()) symlinkSync(readlinkSync(join(from, inner)), join(to, inner));
    else copy(join(from, inner), join(to, inner), inner);
  }
}

/**
 * Makes the symbolic links listed in `pg-symlinks.json` (pairs of paths that begin with `native/`), as the package's
 * install script would have done.
 */
function hydrateLinks(list: string, directory: string): void {
  if (!existsSync(list)) return;
  const links = JSON.parse(readFileSync(list, 'utf8')) as readonly { source: string; target: string }[];
  for (const { source, target } of links) {
    const link = join(directory, relative('native', target));
    const destination = join(directory, relative('native', source));
    if (existsSync(link) || !existsSync(destination)) continue;
    symlinkSync(relative(dirname(link), destination), link);
  }
}
