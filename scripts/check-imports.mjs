#!/usr/bin/env node
// Holds the plan of the house (docs/architecture.md): which folder may import which, that no files import each other in a
// circle, types included, that no folder has more files than one can look at, that nothing lies loose in src/, and that no two
// files of src/ export different things by one name.
// Usage: check-imports.mjs [ROOT]
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '..'));

/** From the ground up: a folder may import from itself and from those on lower floors. */
const FLOORS = [
  ['wire', 'policy', 'audit', 'metrics'],
  ['http'],
  ['dblink'],
  ['sql', 'primary'],
  ['session'],
  ['bridge'],
  ['router'],
  ['config', 'embedded'],
  ['server'],
  ['bin'],
];
/** What a folder must not know although its floor would allow it: [folder, what it must not import, why]. */
const NEVER = [
  ['config', 'router', 'a setting knows nothing of who uses it'],
  ['config', 'bridge', 'a setting knows nothing of who uses it'],
  ['config', 'session', 'a setting knows nothing of who uses it'],
  ['embedded', 'dblink', 'it starts servers, and speaks no protocol'],
  ['embedded', 'wire', 'it starts servers, and speaks no protocol'],
];
/** The floors inside of a folder. Files that lie in the folder itself are above and below all of them. */
const INSIDE = {
  wire: [['encoding', 'pace', 'channel'], ['host'], ['names'], ['tls'], ['auth'], ['outbound']],
  dblink: [['conninfo'], ['auditing'], ['remote'], ['connections']],
  sql: [['parse'], ['analysis'], ['rewrite']],
  bridge: [['installed'], ['service'], ['exchange'], ['rows'], ['extension']],
  router: [['decide', 'nested'], ['calls'], ['plans'], ['simple', 'extended']],
};
const MOST_FILES = 16;
/** Closed sets with a file for each member: libpq's rules, and kinds of statements that both sides are asked. */
const MAY_BE_LARGE = ['src/dblink/conninfo', 'test/differential/cases'];

const problems = [];
const pathOf = (file) => relative(root, file).split(sep).join('/');
const parts = (file) => pathOf(file).split('/');
const floorOf = (floors, name) => floors.findIndex((floor) => floor.includes(name));
/** The folder of the house that a file is in: `bin`, or a folder of src. */
const roomOf = (file) => (parts(file)[0] === 'src' ? parts(file)[1] : parts(file)[0]);

function* sources(folder) {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* sources(path);
    else if (path.endsWith('.ts')) yield path;
  }
}

function importsOf(file) {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/(?:from|import|import\()\s*'(\.[^']+)'/g)].map(([, from]) => ({
    from,
    target: resolve(dirname(file), from.replace(/\.js$/, '.ts')),
  }));
}

function checkFolders(files) {
  const folders = new Map();
  for (const file of files) folders.set(dirname(file), [...(folders.get(dirname(file)) ?? []), file]);
  for (const [folder, inside] of folders) {
    if (inside.length > MOST_FILES && !MAY_BE_LARGE.includes(pathOf(folder)))
      problems.push(`${pathOf(folder)} has ${inside.length} files, and at most ${MOST_FILES} are allowed`);
    if (pathOf(folder) === 'src')
      problems.push(`loose in src: ${inside.map((file) => parts(file)[1]).join(', ')}`);
  }
}

function checkDirection(file, { from, target }) {
  const [top] = parts(file);
  if (top !== 'src' && top !== 'bin') return;
  const [own, other] = [roomOf(file), roomOf(target)];
  if (own !== other) {
    const [ownFloor, otherFloor] = [floorOf(FLOORS, own), floorOf(FLOORS, other)];
    if (otherFloor < 0 || otherFloor >= ownFloor) problems.push(`${pathOf(file)} imports upwards: ${from}`);
    const never = NEVER.find(([folder, what]) => folder === own && what === other);
    if (never !== undefined)
      problems.push(`${pathOf(file)} must not know ${other}, since ${never[2]}: ${from}`);
    return;
  }
  const floors = INSIDE[own];
  if (floors === undefined) return;
  const [ownFloor, otherFloor] = [floorOf(floors, parts(file)[2]), floorOf(floors, parts(target)[2])];
  if (ownFloor >= 0 && otherFloor > ownFloor)
    problems.push(`${pathOf(file)} imports upwards inside of ${own}: ${from}`);
  const sameFloor = ownFloor >= 0 && otherFloor === ownFloor && parts(file)[2] !== parts(target)[2];
  if (sameFloor) problems.push(`${pathOf(file)} imports from a folder of its own floor in ${own}: ${from}`);
}

/** A name means one thing. What is only passed on from another file is the same thing. */
function checkNames(files) {
  const homes = new Map();
  for (const file of files) {
    if (parts(file)[0] !== 'src') continue;
    const declared = /^export (?:async )?(?:const|function\*?|class|interface|type|enum) (\w+)/gm;
    for (const [, name] of readFileSync(file, 'utf8').matchAll(declared))
      homes.set(name, [...(homes.get(name) ?? []), pathOf(file)]);
  }
  for (const [name, where] of homes)
    if (where.length > 1) problems.push(`${name} is the name of several things: ${where.join(', ')}`);
}

/** Types count as well: a type that is needed below belongs below. */
function checkCircles(graph) {
  const state = new Map();
  const walk = (file, path) => {
    if (state.get(file) === 'done') return;
    if (state.get(file) === 'open') {
      problems.push(`circle: ${[...path.slice(path.indexOf(file)), file].map(pathOf).join(' → ')}`);
      return;
    }
    state.set(file, 'open');
    for (const next of graph.get(file) ?? []) walk(next, [...path, file]);
    state.set(file, 'done');
  };
  for (const file of graph.keys()) walk(file, []);
}

const files = ['src', 'bin', 'bench', 'test'].flatMap((name) => [...sources(join(root, name))]);
checkFolders(files);
checkNames(files);
const graph = new Map();
for (const file of files) {
  const imports = importsOf(file);
  for (const one of imports) checkDirection(file, one);
  graph.set(
    file,
    imports.map(({ target }) => target),
  );
}
checkCircles(graph);
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log(`imports: ${files.length} files, each on its floor`);
