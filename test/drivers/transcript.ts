import { isDeepStrictEqual } from 'node:util';
import type { Side } from './environment.js';

/** One line that a driver's program printed. */
export interface Line {
  /** The session. */
  readonly flow: string;
  /** What was done, mostly the statement. */
  readonly at: string;
  /** What came of it: any JSON value. */
  readonly outcome: Readonly<Record<string, unknown>>;
}

/** A line that both sides have, with different outcomes, or that only one of them has. */
export interface Difference {
  readonly flow: string;
  readonly at: string;
  /** Where in the outcome, for example `error.detail`. */
  readonly path: string;
  readonly extension: unknown;
  readonly proxy: unknown;
  /** Further differences in the same session, which may be consequences of this one. */
  readonly more: number;
}

/**
 * Reads a transcript; ports become the names of what listens there, since no two servers share them, and so does the time that the
 * remote sleeps (environment.ts).
 */
export function parseTranscript(text: string, ports: Side['ports'], nap: number): readonly Line[] {
  let normal = text.replaceAll(`pg_sleep(${nap})`, 'pg_sleep(<nap>)');
  for (const [label, port] of ports) {
    // Not in a long number in hexadecimal, where any five digits can be.
    normal = normal.replace(new RegExp(`(?<![\\da-f])${port}(?![\\da-f])`, 'g'), `<${label} port>`);
  }
  return normal
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const { flow, at, ...outcome } = JSON.parse(line) as { flow: string; at: string };
      return { flow, at, outcome };
    });
}

/** The first difference of each session that has any. */
export function compareTranscripts(
  extension: readonly Line[],
  proxy: readonly Line[],
): readonly Difference[] {
  const [left, right] = [bySession(extension), bySession(proxy)];
  const differences: Difference[] = [];
  for (const flow of new Set([...left.keys(), ...right.keys()])) {
    const found = compareSession(flow, left.get(flow) ?? [], right.get(flow) ?? []);
    const first = found[0];
    if (first !== undefined) differences.push({ ...first, more: found.length - 1 });
  }
  return differences;
}

function bySession(lines: readonly Line[]): ReadonlyMap<string, readonly Line[]> {
  const sessions = new Map<string, Line[]>();
  for (const line of lines) {
    const session = sessions.get(line.flow);
    if (session === undefined) sessions.set(line.flow, [line]);
    else session.push(line);
  }
  return sessions;
}

function compareSession(flow: string, left: readonly Line[], right: readonly Line[]): readonly Difference[] {
  const differences: Difference[] = [];
  for (let index = 0; index < Math.max(left.length, right.length); index += 1) {
    const [one, other] = [left[index], right[index]];
    const at = one?.at ?? other?.at ?? '';
    if (one === undefined || other === undefined || one.at !== other.at) {
      differences.push({ flow, at, path: 'the line', extension: one, proxy: other, more: 0 });
      break;
    }
    const difference = firstDifference(one.outcome, other.outcome, '');
    if (difference !== undefined) differences.push({ flow, at, ...difference, more: 0 });
  }
  return differences;
}

type Place = Pick<Difference, 'path' | 'extension' | 'proxy'>;

/** The innermost place where two values differ, first in order. */
function firstDifference(extension: unknown, proxy: unknown, path: string): Place | undefined {
  if (isDeepStrictEqual(extension, proxy)) return undefined;
  if (isContainer(extension) && isContainer(proxy) && Array.isArray(extension) === Array.isArray(proxy)) {
    const keys = new Set([...Object.keys(extension), ...Object.keys(proxy)]);
    // What was raised says more than the rows that are missing because of it.
    const kept = [...keys].every((key) => key in extension && key in proxy);
    if (kept) {
      for (const key of keys) {
        const inner = firstDifference(extension[key], proxy[key], path === '' ? key : `${path}.${key}`);
        if (inner !== undefined) return inner;
      }
    }
  }
  return { path: path === '' ? 'the outcome' : path, extension, proxy };
}

function isContainer(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

const SHOWN = 900;

/** Differences for people: those that look alike together, with the sessions they were seen in. */
export function formatDifferences(differences: readonly Difference[]): string {
  const groups = new Map<string, Difference[]>();
  for (const difference of differences) {
    const key = JSON.stringify([difference.at, difference.path, difference.extension, difference.proxy]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [difference]);
    else group.push(difference);
  }
  return [...groups.values()]
    .map((group) => {
      const { at, path, extension, proxy } = group[0] as Difference;
      const sessions = group.map(({ flow, more }) => `  in ${flow}${more > 0 ? ` (and ${more} more)` : ''}`);
      return [
        `${at}\n  ${path}`,
        `    extension: ${cut(extension)}`,
        `    proxy:     ${cut(proxy)}`,
        ...sessions.slice(0, 6),
        ...(sessions.length > 6 ? [`  and in ${sessions.length - 6} more sessions`] : []),
      ].join('\n');
    })
    .join('\n\n');
}

function cut(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}… (${text.length} characters)` : text;
}
