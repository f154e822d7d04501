import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

/**
 * The parts of a .cpuprofile file that are read here (DevTools protocol, "Profiler.Profile"). Times are in microseconds;
 * the clock is the one of process.hrtime, in every process of the machine.
 */
interface CpuProfile {
  readonly startTime: number;
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Share of the time in which the process was not idle. */
export interface ProfileShare {
  readonly name: string;
  readonly share: number;
}

export interface ProfileSummary {
  /** Share of the whole time in which the event loop waited. */
  readonly idle: number;
  /** By file of the project, by module of Node, and by what the engine itself does, largest first. */
  readonly places: readonly ProfileShare[];
  /** By function, without what it calls. */
  readonly functions: readonly ProfileShare[];
}

const IDLE = new Set(['(idle)', '(root)']);

/** Adds up where the time of a processor profile went between two times of process.hrtime.bigint(). */
export function summarizeProfile(
  file: string,
  span: { readonly begin: bigint; readonly end: bigint },
): ProfileSummary {
  const [begin, end] = [Number(span.begin / 1000n), Number(span.end / 1000n)];
  const profile = JSON.parse(readFileSync(file, 'utf8')) as CpuProfile;
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]));
  const places = new Map<string, number>();
  const functions = new Map<string, number>();
  let now = profile.startTime;
  let idle = 0;
  let busy = 0;
  const add = (to: Map<string, number>, name: string, time: number): void => {
    to.set(name, (to.get(name) ?? 0) + time);
  };
  for (const [i, id] of profile.samples.entries()) {
    const { functionName, url, lineNumber } = frames.get(id)!;
    const time = profile.timeDeltas[i] ?? 0;
    now += time;
    if (now < begin || now > end) continue;
    if (IDLE.has(functionName)) {
      idle += time;
      continue;
    }
    busy += time;
    const place = placeOf(functionName, url);
    add(places, place, time);
    add(
      functions,
      `${functionName || '(anonymous)'} ${url === '' ? '' : `${basename(url)}:${lineNumber + 1}`}`.trim(),
      time,
    );
  }
  const shares = (of: Map<string, number>): readonly ProfileShare[] =>
    [...of].map(([name, time]) => ({ name, share: time / busy })).sort((a, b) => b.share - a.share);
  return { idle: idle / (idle + busy), places: shares(places), functions: shares(functions) };
}

function placeOf(functionName: string, url: string): string {
  const own = /\/dist\/(src\/.*)\.js$/.exec(url)?.[1];
  if (own !== undefined) return `${own}.ts`;
  const dependency = /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1];
  if (dependency !== undefined) return dependency;
  if (url.startsWith('wasm:')) return 'WebAssembly';
  if (url !== '') return url;
  return functionName.startsWith('(') ? functionName : 'native code of Node';
}

const SHOWN = 20;

/** The summary for people. */
export function renderProfile({ idle, places, functions }: ProfileSummary): string {
  const list = (shares: readonly ProfileShare[]): string =>
    shares
      .slice(0, SHOWN)
      .map(({ name, share }) => `  ${(share * 100).toFixed(1).padStart(5)} %  ${name}`)
      .join('\n');
  const percent = (idle * 100).toFixed(0);
  return `idle ${percent} % of the time; of the rest:\nby place\n${list(places)}\nby function\n${list(functions)}`;
}
