import { setTimeout as delay } from 'node:timers/promises';
import { Choices } from './choices.js';
import { clientCase } from './clientCase.js';
import { primaryCase, remoteCase } from './serverCases.js';
import { sqlCase } from './sqlCase.js';
import { type Pause, startTarget, type Target, type TargetState } from './target.js';
import { Late, startWorld, type World } from './world.js';

export const DIRECTIONS = ['client', 'primary', 'remote', 'sql'] as const;
export type Direction = (typeof DIRECTIONS)[number];

const RUN: Readonly<Record<Direction, (world: World, choices: Choices) => Promise<string | undefined>>> = {
  client: clientCase,
  primary: primaryCase,
  remote: remoteCase,
  sql: sqlCase,
};
/** How many play at once. Those who meddle have the meddler for themselves. */
const LANES: Readonly<Record<Direction, number>> = { client: 4, primary: 1, remote: 4, sql: 3 };

/** The longest that one input may keep the event loop, where `work` takes as long as it says here. */
const LOOP_LIMIT_MS = 50;
const WORK_MS = 4;
/** How often something about time is played again: on a busy machine it may take longer than it needs. */
const REPLAYS = 5;
/** Cases of each direction by which the pools have filled and code has been compiled. */
const WARM_CASES = 20;
/** What the pools of the service account hold when they are full. */
const POOLED = 8;
const HELD_GROWTH_BYTES = 24 * 2 ** 20;
const RSS_GROWTH_BYTES = 160 * 2 ** 20;
/** Sockets that are told to go are destroyed after two seconds. */
const SETTLE_MS = 20_000;
const MOST_REPLAYS = 60;
/** Whoever has to mend this many need not wait for more. */
const ENOUGH = 5;

export interface Finding {
  /** As for --case. */
  readonly case: string;
  readonly text: string;
}

export interface Figures {
  readonly cases: Readonly<Record<Direction, number>>;
  readonly findings: readonly Finding[];
  /** What came late, but did not when it was played again alone. */
  readonly unrepeated: readonly Finding[];
  /** Times in which a loop was held up, and what is left of them when the inputs are played again, alone. */
  readonly pauses: { readonly seen: number; readonly longestMs: number; readonly replayed: number };
  readonly slowestControlMs: number;
  readonly heldBytes: readonly [before: number, after: number][];
  readonly rssBytes: readonly [before: number, after: number][];
}

export interface CampaignOptions {
  readonly seed: number;
  readonly seconds: number;
  readonly directions?: readonly Direction[];
  readonly say?: (line: string) => void;
}

interface Played {
  readonly id: string;
  readonly direction: Direction;
  readonly from: number;
  to: number;
}

const targetOf = (world: World, direction: Direction): Target =>
  direction === 'primary' ? world.meddled : world.proxy;

/** How many times as long as where the limit was set this machine takes to compute something now. */
function slowness(): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 15; i++) {
    const since = performance.now();
    work();
    least = Math.min(least, performance.now() - since);
  }
  return Math.max(1, least / WORK_MS);
}

function work(): number {
  let value = 0;
  for (let i = 0; i < 3_000_000; i++) value = Math.imul(value ^ (i & 0xff), 0x01000193);
  return value;
}

class Campaign {
  readonly findings: Finding[] = [];
  readonly late: (Finding & { readonly direction: Direction })[] = [];
  readonly played: Played[] = [];
  readonly counts: Record<Direction, number> = { client: 0, primary: 0, remote: 0, sql: 0 };
  readonly #running = new Set<Played>();

  constructor(
    readonly world: World,
    readonly options: CampaignOptions,
    /** Sees the pauses of a machine that is busy: nothing comes in there. */
    readonly idle: Target,
  ) {}

  get dead(): boolean {
    return [this.world.proxy, this.world.meddled].some((target) => target.death() !== undefined);
  }

  find(id: string, text: string): void {
    this.findings.push({ case: id, text });
    this.options.say?.(`FOUND ${id}: ${text}`);
  }

  async play(direction: Direction, number: number): Promise<void> {
    const { world, options } = this;
    const id = `${direction}:${number}`;
    const entry: Played = { id, direction, from: Date.now(), to: Number.POSITIVE_INFINITY };
    this.#running.add(entry);
    this.played.push(entry);
    const target = targetOf(world, direction);
    const complained = target.complaints.length;
    try {
      const found = await RUN[direction](world, new Choices(`${options.seed}/${id}`));
      if (found !== undefined) this.find(id, found);
      else if (target.complaints.length > complained) {
        this.find(id, `log, with ${this.#others()} at the same time: ${target.complaints.at(-1)}`);
      }
    } catch (error) {
      if (error instanceof Late) {
        this.late.push({ case: id, direction, text: error.message });
        options.say?.(`late ${id}: ${error.message}`);
      } else this.find(id, `the fuzzer failed: ${(error as Error).stack}`);
    }
    entry.to = Date.now();
    this.#running.delete(entry);
    this.counts[direction]++;
    const death = target.death();
    if (death !== undefined) this.find(id, `with ${this.#others()} at the same time: ${death}`);
  }

  #others(): string {
    return [...this.#running].map(({ id }) => id).join(' ');
  }

  /** Plays in all directions for this long, and until there have been so many cases. */
  async phase(seconds: number, from: Record<Direction, number>, least = 0): Promise<void> {
    const until = Date.now() + seconds * 1000;
    const lanes = (this.options.directions ?? DIRECTIONS).flatMap((direction) =>
      Array.from({ length: LANES[direction] }, async () => {
        while ((Date.now() < until || from[direction] < least) && !this.dead)
          await this.play(direction, from[direction]++);
      }),
    );
    await Promise.all(lanes);
  }

  /** The state of both proxies when nobody is there. */
  async rest(baseline?: readonly TargetState[]): Promise<readonly TargetState[]> {
    const targets = [this.world.proxy, this.world.meddled];
    let deadline = Date.now() + SETTLE_MS;
    let open = Number.POSITIVE_INFINITY;
    for (;;) {
      const states = await Promise.all(targets.map((target) => target.state(true)));
      const left = states.flatMap(({ resources }, index) =>
        ['TCPSocketWrap', 'Timeout'].filter(
          (kind) => (resources[kind] ?? 0) > (baseline?.[index]?.resources[kind] ?? 0) + POOLED,
        ),
      );
      const count = states.reduce((sum, { resources }) => sum + (resources['TCPSocketWrap'] ?? 0), 0);
      // Where everything takes longer, this does as well.
      if (baseline !== undefined && count < open) deadline = Date.now() + SETTLE_MS;
      open = Math.min(open, count);
      if (
        (baseline === undefined && Date.now() > deadline - SETTLE_MS + 4000) ||
        (baseline !== undefined && left.length === 0)
      )
        return states;
      if (baseline !== undefined && Date.now() > deadline) {
        this.find(
          '-',
          `left behind: ${JSON.stringify(states.map(({ resources }) => resources))}, before ${JSON.stringify(baseline.map(({ resources }) => resources))}`,
        );
        return states;
      }
      await delay(200);
    }
  }

  /** What of a pause was not the machine's. */
  #owned(pause: Pause): number {
    const machine = this.idle.pauses.filter(({ from, to }) => from < pause.to && to > pause.from);
    return pause.ms - Math.max(0, ...machine.map(({ ms }) => ms));
  }

  #tooLong(target: Target, from: number, to: number): Pause[] {
    return target.pauses.filter(
      (pause) => pause.to >= from && pause.from <= to && this.#owned(pause) > LOOP_LIMIT_MS,
    );
  }

  /** Plays again, alone, what was late. @returns what is not again */
  async explainLate(): Promise<readonly Finding[]> {
    const unrepeated: Finding[] = [];
    for (const { case: id, direction, text } of this.late.splice(0).slice(0, MOST_REPLAYS)) {
      const number = Number(id.split(':')[1]);
      for (let i = 0; i < REPLAYS && this.late.length === 0 && !this.dead; i++)
        await this.play(direction, number);
      if (this.late.length > 0) this.find(id, text);
      else unrepeated.push({ case: id, text });
      this.late.length = 0;
    }
    return unrepeated;
  }

  /** Plays again, alone, what was going on while a loop was held up: what an input causes, it causes again. */
  async explainPauses(): Promise<Figures['pauses']> {
    const suspects = new Map<string, Played>();
    const begin = this.played[0]?.from ?? 0;
    let seen = 0;
    let longestMs = 0;
    for (const target of [this.world.proxy, this.world.meddled]) {
      for (const pause of this.#tooLong(target, begin, Number.POSITIVE_INFINITY)) {
        seen++;
        longestMs = Math.max(longestMs, pause.ms);
        for (const entry of this.played) {
          if (targetOf(this.world, entry.direction) !== target) continue;
          if (entry.from <= pause.to && entry.to >= pause.from) suspects.set(entry.id, entry);
        }
      }
    }
    let replayed = 0;
    let held = 0;
    for (const { id, direction } of [...suspects.values()].slice(0, MOST_REPLAYS)) {
      if (this.dead || held >= ENOUGH) break;
      replayed++;
      const times: number[] = [];
      let again = true;
      for (let i = 0; i < REPLAYS && again; i++) {
        const target = targetOf(this.world, direction);
        const from = Date.now();
        await RUN[direction](this.world, new Choices(`${this.options.seed}/${id}`)).catch(() => undefined);
        await delay(60);
        const longest = Math.max(0, ...this.#tooLong(target, from, Date.now()).map(({ ms }) => ms));
        times.push(longest);
        again = longest > 0 && longest > LOOP_LIMIT_MS * slowness();
      }
      if (!again) continue;
      held++;
      this.find(id, `holds up the event loop for ${Math.round(Math.min(...times))} ms`);
    }
    return { seen, longestMs, replayed };
  }
}

/** Fuzzes for some seconds. Deterministic by its seed but for the order in which things happen. */
export async function runCampaign(options: CampaignOptions): Promise<Figures> {
  const world = await startWorld();
  const idle = await startTarget(`postgres://127.0.0.1:${world.extension.port}/?sslmode=disable`);
  try {
    const campaign = new Campaign(world, options, idle);
    const numbers: Record<Direction, number> = { client: 0, primary: 0, remote: 0, sql: 0 };
    // Code that has not run yet is compiled, and the pools fill.
    await campaign.phase(options.seconds / 3, numbers, WARM_CASES);
    const before = await campaign.rest();
    await campaign.phase((options.seconds * 2) / 3, numbers);
    const after = campaign.dead ? before : await campaign.rest(before);
    for (const [index, { held, rss }] of after.entries()) {
      const first = before[index]!;
      const grown = `held ${first.held} to ${held}, resident ${first.rss} to ${rss}`;
      if (held - first.held > HELD_GROWTH_BYTES || rss - first.rss > RSS_GROWTH_BYTES)
        campaign.find('-', `memory grew: ${grown}`);
    }
    const unrepeated = await campaign.explainLate();
    const pauses = campaign.dead ? { seen: 0, longestMs: 0, replayed: 0 } : await campaign.explainPauses();
    const failure = await world.controlFailure();
    if (failure !== undefined) campaign.find('-', failure);
    return {
      cases: campaign.counts,
      findings: campaign.findings,
      unrepeated,
      pauses,
      slowestControlMs: world.slowestMs(),
      heldBytes: before.map(({ held }, index) => [held, after[index]!.held]),
      rssBytes: before.map(({ rss }, index) => [rss, after[index]!.rss]),
    };
  } finally {
    await idle.stop();
    await world.stop();
  }
}

/** Plays one case again, so many times, alone. */
export async function replay(
  seed: number,
  id: string,
  times: number,
  say: (line: string) => void,
): Promise<readonly Finding[]> {
  const [direction = '', number = ''] = id.split(':');
  if (!(direction in RUN) || !/^\d+$/.test(number))
    throw new Error(`no case is called ${id}; one is client:17`);
  const world = await startWorld();
  const idle = await startTarget(`postgres://127.0.0.1:${world.extension.port}/?sslmode=disable`);
  try {
    const campaign = new Campaign(world, { seed, seconds: 0, say }, idle);
    for (let i = 0; i < times && !campaign.dead; i++)
      await campaign.play(direction as Direction, Number(number));
    for (const { case: late, text } of campaign.late) campaign.find(late, text);
    if (!campaign.dead) await campaign.explainPauses();
    return campaign.findings;
  } finally {
    await idle.stop();
    await world.stop();
  }
}
