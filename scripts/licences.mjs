#!/usr/bin/env node
// Writes docs/licences.md: what the program is made of, with the licences. A licence that nobody has looked at yet ends it with an error.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** They ask for no more than that their text goes with the program, which npm's packages see to. */
const KNOWN = new Set([
  'MIT',
  'ISC',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'Apache-2.0',
  '0BSD',
  'PostgreSQL',
  'BlueOak-1.0.0',
]);

/** The packages that are installed with the program, from the lock file. */
export function packagesOf(lock) {
  return Object.entries(lock.packages)
    .filter(([path, { dev, devOptional }]) => path !== '' && dev !== true && devOptional !== true)
    .map(([path, { version, license, optional, name }]) => ({
      name: name ?? path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length),
      version,
      license: license ?? licenceIn(path),
      optional: optional === true,
    }))
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.version < b.version ? -1 : 1));
}

function licenceIn(path) {
  try {
    const { license } = JSON.parse(readFileSync(join(root, path, 'package.json'), 'utf8'));
    return typeof license === 'string' ? license : undefined;
  } catch {
    return undefined;
  }
}

/** @throws Error for a licence that is not known */
export function licencesPage(lock) {
  const packages = packagesOf(lock);
  const unknown = packages.filter(({ license }) => !KNOWN.has(license));
  if (unknown.length > 0)
    throw new Error(
      `licences to look at: ${unknown.map(({ name, license }) => `${name} (${license ?? 'none'})`).join(', ')}`,
    );
  const rows = packages.map(
    ({ name, version, license, optional }) =>
      `| ${name} | ${version} | ${license} | ${optional ? 'optional' : ''} |`,
  );
  return `# Licences

<!-- Generated from package-lock.json by scripts/licences.mjs; do not edit. -->

dblink-proxy has the licence of [LICENSE](../LICENSE). These packages are installed with it; the optional ones are PostgreSQL servers to try things
out with, and are not in the container's image.

| package | version | licence | |
|---|---|---|---|
${[...new Set(rows)].join('\n')}
`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  writeFileSync(join(root, 'docs', 'licences.md'), licencesPage(lock));
}
