import { setTimeout as delay } from 'node:timers/promises';
import { brokenPromises, withoutKnownDifferences } from './differences.js';
import type { Driver, Program } from './drivers.js';
import type { Environment, Side } from './environment.js';
import { PROGRAMMES, type Programme } from './flows/index.js';
import { play } from './play.js';
import { compareTranscripts, formatDifferences } from './transcript.js';

/** What came of a driver's program. */
export interface Comparison {
  readonly outcomes: number;
  readonly sessions: number;
  /** What is wrong, in words; empty if both sides are alike. */
  readonly problems: readonly string[];
}

/** Runs a driver's program on both sides at once and compares what it printed. */
export async function compareSides(
  driver: Driver,
  program: Program,
  environment: Environment,
): Promise<Comparison> {
  const comparisons: Comparison[] = [];
  for (const programme of PROGRAMMES) {
    comparisons.push(await compareProgramme(driver, program, environment, programme));
  }
  const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);
  return {
    outcomes: sum(comparisons.map(({ outcomes }) => outcomes)),
    sessions: sum(comparisons.map(({ sessions }) => sessions)),
    problems: comparisons.flatMap(({ problems }) => problems),
  };
}

async function compareProgramme(
  driver: Driver,
  program: Program,
  { extension, proxy }: Environment,
  programme: Programme,
): Promise<Comparison> {
  const database = `${driver.name.toLowerCase().replaceAll(/\W+/g, '_')}_${programme.name}`;
  const [left, right] = await Promise.all([
    play(program, extension, database, programme),
    play(program, proxy, database, programme),
  ]);
  const remaining = proxy.name === 'proxy' ? await restOnRemote(proxy, database) : [];
  const broken = proxy.name === 'proxy' ? brokenPromises(right.lines, proxy.nap) : [];
  const differences = compareTranscripts(
    withoutKnownDifferences(left.lines),
    withoutKnownDifferences(right.lines),
  );
  const problems = [
    ...(left.failure === undefined ? [] : [`the program, with the extension, ${left.failure}`]),
    ...(right.failure === undefined ? [] : [`the program, with the proxy, ${right.failure}`]),
    ...(differences.length === 0 ? [] : [formatDifferences(differences)]),
    ...broken,
    ...remaining.map((query) => `still running on the remote when all sessions had ended: ${query}`),
    ...(left.lines.length === 0 ? ['the program printed nothing'] : []),
  ];
  const sessions = new Set(left.lines.map(({ flow }) => flow)).size;
  return { outcomes: left.lines.length, sessions, problems };
}

/** What still runs on the remote although all sessions of a program have ended: until it would have ended by itself. */
async function restOnRemote(side: Side, database: string): Promise<readonly string[]> {
  const deadline = performance.now() + (side.nap * 1000) / 2;
  for (;;) {
    const activity = await side.remoteActivity(database);
    if (activity.length === 0 || performance.now() > deadline) return activity;
    await delay(50);
  }
}
