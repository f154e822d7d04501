import { setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { ProcessMeter } from '../../bench/measure/processMeter.js';
import type { TargetState } from '../fuzz/target.js';
import { LIVENESS_MS } from '../support/pace.js';
import { customer, type Shift } from './customer.js';
import { FIGURES, type Figure, type FigureReport, reportOf, type Sample } from './figures.js';
import { type SoakWorld, startSoakWorld } from './world.js';

export interface SoakOptions {
  readonly seconds: number;
  readonly clients: number;
  readonly seed: number;
  /** Jobs in a second of all clients together; 0 for as many as there can be. */
  readonly rate: number;
  /** What the clients do before anything counts, in seconds: pools fill, and code is compiled. */
  readonly warmUpSeconds?: number;
  readonly sampleMs?: number;
  /** Called so often, in ms, and with how it stands. */
  readonly every?: { readonly ms: number; say(standing: Standing): void };
}

/** How it stands in the midst of a run. */
export interface Standing {
  readonly seconds: number;
  readonly figures: Readonly<Record<Figure, FigureReport>>;
  readonly jobs: number;
  readonly wrong: readonly string[];
  /** What went wrong while the proxy hardly got a processor: nothing is said by what came late then. */
  readonly starved: readonly string[];
  readonly unhandled: readonly string[];
}

export interface SoakResult extends Standing {
  readonly options: Omit<SoakOptions, 'every'>;
  /** How often each job was done, and each way to leave. */
  readonly done: Readonly<Record<string, number>>;
  /** The proxy with no client, before and behind the run; memory when garbage has been collected. */
  readonly rest: { readonly before: TargetState; readonly after: TargetState };
  /** Share of one processor that the proxy took. */
  readonly processorShare: number | undefined;
  /** Of the event loop's delay in ms: the middle one of each sample's, and the longest of all. */
  readonly loopDelayMs: { readonly p50: number; readonly p99: number; readonly max: number };
  /** What is over its bound, or wrong otherwise; the run has failed if there is anything. */
  readonly failures: readonly string[];
  readonly samples: readonly Sample[];
}

/** What the pools of the service account hold when they are full. */
const POOLED = 8;
/** How long everything that clients have left may take to go. */
const SETTLE_MS = 60_000;
/** A collection for so many samples: it takes time that is not the proxy's own. */
const COLLECTED = 3;
const MOST_WRONG = 50;
/** Who waits for a processor for so large a share of the time is starved; answers of that time may be late, or are given up. */
const STARVED = 0.3;
/** An answer that is given up as late was asked for so long before. */
const STARVED_BEFORE_MS = LIVENESS_MS + 20_000;
/** What answers may say that are late, or end as those that no answer has come for in time. */
const LATE = /<timeout>|not within \d+ questions|gave no answer/;
/** The share of the time in which the clients come. */
const COMING = 0.1;

/** Has clients work for some time, and looks at the proxy meanwhile. */
export async function runSoak(options: SoakOptions): Promise<SoakResult> {
  const world = await startSoakWorld(options.clients);
  try {
    return await new Soak(world, options).run();
  } finally {
    await world.stop();
  }
}

class Soak {
  readonly #done: Record<string, number> = {};
  readonly #wrong: string[] = [];
  readonly #starved: string[] = [];
  /** When it was starved last, by performance.now(). */
  #starvedAt = Number.NEGATIVE_INFINITY;
  readonly #samples: Sample[] = [];
  #begin = 0;
  #next = 0;

  constructor(
    readonly world: SoakWorld,
    readonly options: SoakOptions,
  ) {}

  async run(): Promise<SoakResult> {
    const { seconds, warmUpSeconds = Math.min(seconds / 4, 300) } = this.options;
    await this.#work(warmUpSeconds);
    const before = await this.#rest();
    const meter = new ProcessMeter(this.world.proxy.pid);
    const used = meter.processorSeconds();
    this.#begin = performance.now();
    await this.#work(seconds, true);
    const worked = (performance.now() - this.#begin) / 1000;
    const usedAfter = meter.processorSeconds();
    const after = await this.#rest();
    const standing = this.#standing();
    const { every: _, ...kept } = this.options;
    return {
      ...standing,
      options: { ...kept, warmUpSeconds },
      done: this.#done,
      rest: { before, after },
      processorShare: used === undefined || usedAfter === undefined ? undefined : (usedAfter - used) / worked,
      loopDelayMs: {
        p50: middle(this.#samples.map(({ loopDelayMs }) => loopDelayMs.p50)),
        p99: middle(this.#samples.map(({ loopDelayMs }) => loopDelayMs.p99)),
        max: Math.max(0, ...this.#samples.map(({ loopDelayMs }) => loopDelayMs.max)),
      },
      failures: [...this.#failures(standing), ...leftBehind(before, after)],
      samples: this.#samples,
    };
  }

  /** All clients come, work, and leave. */
  async #work(seconds: number, measured = false): Promise<void> {
    const over = new AbortController();
    // Every client waits for it.
    setMaxListeners(0, over.signal);
    const shift: Shift = {
      world: this.world,
      seed: this.options.seed + (measured ? 0 : 7919),
      over: () => over.signal.aborted,
      turn: () => this.#turn(over.signal),
      did: (name) => {
        if (measured) this.#done[name] = (this.#done[name] ?? 0) + 1;
      },
      wrong: (account) => {
        const starved = performance.now() - this.#starvedAt < STARVED_BEFORE_MS && LATE.test(account);
        (starved ? this.#starved : this.#wrong).push(account);
        if (this.#wrong.length >= MOST_WRONG) over.abort();
      },
    };
    const clients = Array.from({ length: this.options.clients }, (_, number) => customer(shift, number));
    const watch = measured ? this.#watch(over.signal) : undefined;
    await pause(seconds * 1000, over.signal);
    over.abort();
    await Promise.all([...clients, watch]);
  }

  async #turn(over: AbortSignal): Promise<void> {
    const { rate } = this.options;
    const now = performance.now();
    this.#next = Math.max(now, this.#next + (rate === 0 ? 0 : 1000 / rate));
    if (rate === 0) await pause(0, over);
    else await pause(this.#next - now, over);
  }

  /** Looks at the process again and again. */
  async #watch(over: AbortSignal): Promise<void> {
    const { sampleMs = 10_000, every } = this.options;
    let told = performance.now();
    let last = { at: told, waitedMs: (await this.world.proxy.state()).waitedMs };
    for (let count = 1; ; count++) {
      await pause(sampleMs, over);
      if (over.aborted || this.world.proxy.death() !== undefined) return;
      const hours = (performance.now() - this.#begin) / 3_600_000;
      const state = await this.world.proxy.state();
      const now = performance.now();
      const starved = (state.waitedMs - last.waitedMs) / (now - last.at);
      if (starved > STARVED) this.#starvedAt = now;
      last = { at: now, waitedMs: state.waitedMs };
      const collected = count % COLLECTED === 0 ? await this.world.proxy.state(true) : undefined;
      this.#samples.push({
        hours,
        rss: state.rss,
        heap: collected?.heap,
        external: collected?.external,
        sockets: (state.resources['TCPSocketWrap'] ?? 0) + (state.resources['PipeWrap'] ?? 0),
        timers: state.resources['Timeout'] ?? 0,
        descriptors: state.descriptors,
        starved,
        loopDelayMs: state.loopDelayMs,
      });
      if (every === undefined || performance.now() - told < every.ms) continue;
      told = performance.now();
      every.say(this.#standing());
    }
  }

  /** The proxy when nobody is there. */
  async #rest(): Promise<TargetState> {
    const until = performance.now() + SETTLE_MS;
    for (;;) {
      const left = await this.world.connections();
      if (left.length === 0) break;
      if (performance.now() > until) {
        this.#wrong.push(`left behind: ${left.join('; ')}`);
        break;
      }
      await delay(100);
    }
    // Sockets that are told to go are destroyed after two seconds.
    await delay(2_500);
    return this.world.proxy.state(true);
  }

  #standing(): Standing {
    const unhandled = this.world.proxy.complaints;
    return {
      seconds: (performance.now() - this.#begin) / 1000,
      figures: Object.fromEntries(
        FIGURES.map((figure) => [figure, reportOf(figure, this.#counting())]),
      ) as unknown as Standing['figures'],
      jobs: Object.values(this.#done).reduce((sum, count) => sum + count, 0),
      wrong: this.#wrong,
      starved: this.#starved,
      unhandled,
    };
  }

  /** Samples without those of the first tenth, in which the clients come. */
  #counting(): readonly Sample[] {
    const from = (this.options.seconds * COMING) / 3600;
    const counting = this.#samples.filter(({ hours }) => hours >= from);
    return counting.length === 0 ? this.#samples : counting;
  }

  #failures({ figures, jobs }: Standing): string[] {
    const failures = [...this.#wrong, ...this.world.proxy.complaints.map((line) => `log: ${line}`)];
    const death = this.world.proxy.death();
    if (death !== undefined) failures.push(death);
    if (jobs === 0) failures.push('nothing was done');
    for (const [figure, { grows, perHour }] of Object.entries(figures))
      if (grows) failures.push(`${figure} grows: ${perHour.toFixed(1)} per hour`);
    return failures;
  }
}

/** What the proxy has more of, with no client, than before. */
function leftBehind(before: TargetState, after: TargetState): string[] {
  const kinds = ['TCPSocketWrap', 'PipeWrap', 'Timeout'];
  const left = kinds.filter((kind) => (after.resources[kind] ?? 0) > (before.resources[kind] ?? 0) + POOLED);
  if (after.descriptors > before.descriptors + POOLED) left.push('descriptors');
  return left.length === 0
    ? []
    : [`left behind (${left.join(', ')}): ${JSON.stringify(before)} before, ${JSON.stringify(after)} after`];
}

const pause = (ms: number, over: AbortSignal): Promise<void> =>
  delay(ms, undefined, { signal: over }).catch(() => undefined);

const middle = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
