import assert from 'node:assert/strict';
import { brief, errorOf, type FaultClient, isOver, type Protocol } from '../../faults/world/client.js';
import type { Random } from '../../faults/world/random.js';
import type { Frame } from '../../support/wire.js';
import type { SoakWorld } from '../world.js';

/** One client's session, as its jobs see it. The connection `c` leads to its remote. */
export interface Visit {
  readonly world: SoakWorld;
  readonly client: FaultClient;
  readonly random: Random;
  /** Which of the remotes `c` leads to, and what the remote knows that connection by. */
  readonly remote: number;
  readonly tag: string;
  /** Process id of the session at the primary. */
  readonly pid: number;
}

/** Something that a client does and whose answer it checks. It leaves the session idle, in no transaction, and with `c`. */
export interface Job {
  readonly name: string;
  /** How often, relative to the others. */
  readonly weight: number;
  /** @throws Error that says what was wrong */
  run(visit: Visit): Promise<void>;
}

export function pickWeighted<T extends { readonly weight: number }>(random: Random, items: readonly T[]): T {
  let left = random.number() * items.reduce((sum, { weight }) => sum + weight, 0);
  return items.find(({ weight }) => (left -= weight) < 0) ?? items[0]!;
}

/** Sends a statement and gives its answer, which has to come to its end and may have errors. */
export async function ask(
  { client }: Visit,
  sql: string,
  protocol: Protocol = 'simple',
): Promise<readonly Frame[]> {
  client.start(sql, protocol);
  return ended(await client.answer(), sql);
}

/** An answer, which has to have come to its end. */
export function ended(frames: readonly Frame[], what: string): readonly Frame[] {
  assert.ok(!isOver(frames), `${what.slice(0, 200)}: ${brief(frames)}`);
  return frames;
}

/** An answer without errors. */
export async function succeed(
  visit: Visit,
  sql: string,
  protocol: Protocol = 'simple',
): Promise<readonly Frame[]> {
  return noError(await ask(visit, sql, protocol), sql);
}

export function noError(frames: readonly Frame[], what: string): readonly Frame[] {
  const told = frames.some(({ type }) => type === 'E') ? Object.values(errorOf(frames)).join(' ') : '';
  assert.equal(told, '', what.slice(0, 200));
  return frames;
}

/** Checks that an answer is this error, and that the session is in no transaction behind it. */
export function isError(frames: readonly Frame[], sqlstate: RegExp): void {
  assert.match(errorOf(frames)['C'] ?? '', sqlstate, `${brief(frames)} ${errorOf(frames)['M']}`);
  assert.match(brief(frames), / Z:I$/);
}

/** What a statement that a loss hits may give: the server's own word, or that the connection is gone. */
export const LOST = /^(57P0[123]|08006|08003|08001|08000|XX000)$/;
