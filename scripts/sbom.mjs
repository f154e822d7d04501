#!/usr/bin/env node
// Prints what the program is made of, in CycloneDX. npm makes the list of everything that is installed, and this takes out what only
// development needs: with --omit=dev npm leaves out packages, too, that development needs as well.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packagesOf } from './licences.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
const { status, stdout, stderr } = spawnSync('npm', ['sbom', '--sbom-format', 'cyclonedx'], {
  cwd: root,
  encoding: 'utf8',
  maxBuffer: 64 << 20,
});
if (status !== 0) {
  console.error(stderr);
  process.exit(1);
}
const bom = JSON.parse(stdout);
const wanted = new Set(packagesOf(lock).map(({ name, version }) => `${name}@${version}`));
const components = bom.components.filter(({ name, version }) => wanted.has(`${name}@${version}`));
const kept = new Set([
  bom.metadata.component['bom-ref'],
  ...components.map((component) => component['bom-ref']),
]);
const dependencies = bom.dependencies
  .filter(({ ref }) => kept.has(ref))
  .map(({ ref, dependsOn = [] }) => ({ ref, dependsOn: dependsOn.filter((one) => kept.has(one)) }));
console.log(JSON.stringify({ ...bom, components, dependencies }, null, 2));
