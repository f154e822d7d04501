#!/usr/bin/env node
// Runs the compiled tests with node's own runner. Arguments restrict them to files whose path contains one of the words;
// tests that need a container engine run only when asked for by name.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statfsSync } from 'node:fs';
import { availableParallelism, freemem } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const compiled = join(root, 'dist', 'test');
const words = process.argv.slice(2);

function* testFiles(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* testFiles(path);
    else if (path.endsWith('.test.js')) yield relative(root, path);
  }
}

// A test whose source is gone would go on running from an earlier build.
const hasSource = (file) => existsSync(join(root, file.replace(/^dist./, '').replace(/\.js$/, '.ts')));
const wanted = (file) =>
  words.length > 0
    ? words.some((word) => file.includes(word))
    : !file.includes(`${join('test', 'container')}`);

const files = [...testFiles(compiled)].filter(hasSource).filter(wanted).sort();
if (files.length === 0) {
  console.error('no test file matches');
  process.exit(1);
}
// A test that hangs must fail, not stop everything. Files wait for servers more than they compute: two at a time even
// where there are only two processors.
const concurrency = Math.max(2, availableParallelism() - 1);

// What the servers write is thrown away, and in memory they start several times as fast.
const MEMORY = '/dev/shm';
const ROOM_BYTES = 8 * 1024 ** 3;
function hasRoom(folder) {
  try {
    const { bavail, bsize } = statfsSync(folder);
    // A container may have less than the machine; 0 where nothing is known of that.
    const limit = process.constrainedMemory?.() || Infinity;
    return Math.min(bavail * bsize, freemem(), limit) >= ROOM_BYTES;
  } catch {
    return false;
  }
}
const env = { ...process.env };
if (env.TMPDIR === undefined && hasRoom(MEMORY)) env.TMPDIR = MEMORY;

const { status } = spawnSync(
  process.execPath,
  ['--test', '--test-reporter=spec', '--test-timeout=1200000', `--test-concurrency=${concurrency}`, ...files],
  {
    cwd: root,
    env,
    stdio: 'inherit',
  },
);
process.exit(status ?? 1);
