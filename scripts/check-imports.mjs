#!/usr/bin/env node
// Enforces the direction of imports: bin → server (src/*.ts, config, embedded) → router → dblink → wire.
// A folder may import from itself and from those below it, never from those above.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const LAYERS = ['wire', 'dblink', 'router', 'server', 'bin'];

/** The layer of a file of the project, or undefined outside of the layers (tests). */
function layerOf(file) {
  const [top, folder] = relative(root, file).split(sep);
  if (top === 'bin') return 'bin';
  if (top !== 'src') return undefined;
  return LAYERS.includes(folder) ? folder : 'server';
}

function* sources(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* sources(path);
    else if (path.endsWith('.ts')) yield path;
  }
}

const problems = [];
for (const file of [...sources(join(root, 'src')), ...sources(join(root, 'bin'))]) {
  const layer = layerOf(file);
  const text = readFileSync(file, 'utf8');
  for (const [, from] of text.matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)) {
    const target = layerOf(resolve(dirname(file), from));
    if (target === undefined || LAYERS.indexOf(target) > LAYERS.indexOf(layer)) {
      problems.push(`${relative(root, file)} (${layer}) imports ${from} (${target ?? 'outside'})`);
    }
  }
}
if (problems.length > 0) {
  console.error(`Imports against the direction ${[...LAYERS].reverse().join(' → ')}:`);
  for (const problem of problems) console.error(`  ${problem}`);
  process.exit(1);
}
console.log('imports: direction kept');
