import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { type Suite, suiteOf } from './suites.js';

/** The project's directory; this file runs in dist/test/runner. */
export const ROOT = resolve(import.meta.dirname, '../../..');
const COMPILED = join(ROOT, 'dist', 'test');
const SOURCES = join(ROOT, 'test');

/** One test file, which runs in a process of its own. */
export interface Job {
  /** Path of the source below test/, for example `unit/framer.test.ts`. */
  readonly file: string;
  readonly compiled: string;
  /** How long it took when `times.json` was written; a guess for a file that is not in there. */
  readonly expectedSeconds: number;
}

const UNKNOWN_SECONDS = 5;

/** How long files took, by their path; written with `--record`. */
export const TIMES_FILE = join(SOURCES, 'runner', 'times.json');

export function knownTimes(): Record<string, number> {
  return existsSync(TIMES_FILE)
    ? (JSON.parse(readFileSync(TIMES_FILE, 'utf8')) as Record<string, number>)
    : {};
}

/**
 * The files of a suite, longest first, so that none is left over at the end.
 *
 * @param words with any, files of all suites whose path contains one of them
 */
export function jobsOf(suite: Suite, words: readonly string[]): readonly Job[] {
  const times = knownTimes();
  const wanted = (file: string): boolean =>
    words.length > 0 ? words.some((word) => file.includes(word)) : suiteOf(file) === suite;
  return (
    [...testFiles(COMPILED)]
      .map((compiled) => ({ compiled, file: relative(COMPILED, compiled).replace(/\.js$/, '.ts') }))
      // A test whose source is gone would go on running from an earlier build.
      .filter(({ file }) => existsSync(join(SOURCES, file)) && wanted(file))
      .map((job) => ({ ...job, expectedSeconds: times[job.file] ?? UNKNOWN_SECONDS }))
      .sort((a, b) => b.expectedSeconds - a.expectedSeconds || (a.file < b.file ? -1 : 1))
  );
}

function* testFiles(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* testFiles(path);
    else if (path.endsWith('.test.js')) yield path;
  }
}
