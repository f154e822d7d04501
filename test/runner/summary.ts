import { clock } from './progress.js';
import type { TestLine } from './reporter.js';
import type { JobResult } from './runJob.js';

/** What a file printed is shown to this length, from its end. */
const SHOWN_OUTPUT = 8_000;

/**
 * The end of a run, for people: what failed and how to run it again, what was skipped and why, and the counts, alone on
 * the last line.
 *
 * @param command how this run was started, for running a part of it again
 */
export function printSummary(results: readonly JobResult[], seconds: number, command: string): void {
  const say = (text = ''): void => console.log(text);
  const failures = results.flatMap((result) => result.failed.map((line) => ({ result, line })));
  for (const { result, line } of failures) {
    say(`\n✖ ${result.job.file}: ${nameOf(line)}`);
    say(indented(line.reason));
  }
  for (const { job, output } of results.filter(({ failed }) => failed.length > 0)) {
    if (output.trim() !== '') say(`\n--- printed by ${job.file}:\n${output.trim().slice(-SHOWN_OUTPUT)}`);
  }
  if (failures.length > 0) {
    say('\nTo run what failed again:');
    for (const text of new Set(failures.map(({ result, line }) => again(command, result, line))))
      say(`  ${text}`);
  }
  const skips = results.flatMap(({ job, skipped }) => skipped.map((line) => ({ job, line })));
  if (skips.length > 0) {
    say('\nSkipped:');
    for (const { job, line } of skips) say(`  ${job.file}: ${nameOf(line)}: ${line.reason}`);
  }
  const passed = results.reduce((sum, result) => sum + result.passed, 0);
  say(`\n${results.length} files in ${clock(seconds)}`);
  say(`${passed} passed, ${failures.length} failed, ${skips.length} skipped`);
}

const nameOf = ({ path }: TestLine): string => path.join(' › ');

const indented = (text: string): string =>
  text
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n');

function again(command: string, { job }: JobResult, line: TestLine): string {
  const name = line.suite ? undefined : line.path.at(-1);
  const pattern = name === undefined ? '' : ` --name ${quoted(`^${escaped(name)}$`)}`;
  return `${command} -- ${job.file.replace(/\.test\.ts$/, '')}${pattern}`;
}

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\/]/g, '\\$&');
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
