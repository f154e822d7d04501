import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { assertNothingLeft } from '../faults/world/bridgeWorld.js';
import { brief, FaultClient, fieldsOf } from '../faults/world/client.js';
import { type Random, seededRandom } from '../faults/world/random.js';
import { eventually } from '../support/eventually.js';
import { CLOSED, type Frame, TIMEOUT } from '../support/wire.js';
import type { Direction } from './chaosPath.js';
import { type Fault, faultsOf, heal } from './faults.js';
import { type ChaosStatement, chaosStatement } from './statements.js';
import { type ChaosWorld, startChaosWorld, type Where } from './world.js';

export interface ChaosOptions {
  readonly seed: number;
  readonly seconds: number;
  /** Cases to play, instead of as many as there is time for. */
  readonly cases?: readonly number[];
  readonly say?: (line: string) => void;
}

/** What became of a statement. */
type Fate = 'right' | 'error' | 'lost' | 'gave up' | 'anything' | 'missed';

export interface ChaosFigures {
  readonly cases: number;
  /** For each fault what became of statements, and how often. */
  readonly fates: Readonly<Record<string, Partial<Record<Fate, number>>>>;
  /** Plans that were played. */
  readonly plans: readonly string[];
  readonly findings: readonly { readonly number: number; readonly text: string }[];
  /** How long it took at most until all was as before. */
  readonly longestSettlingMs: number;
}

const TRACE = process.env['CHAOS_TRACE'] !== undefined;
/** How many worlds there are: most of a case is waiting. */
const LANES = 3;
/** Nothing takes longer than this where nothing hinders it. */
const HANGS_MS = 30_000;
/**
 * The same where a fault only delays: a second in each direction, for every round trip between the primary and the proxy. In read-only transactions
 * of the higher levels four bridged calls take some forty seconds of that.
 */
const DELAYED_MS = 120_000;
/** When a client loses patience, and when it gives up who does not hear its cancel request. */
const PATIENCE_MS = 1_200;
const GIVES_UP_MS = 2_500;
/** What the pools of the service account hold when they are full. */
const POOLED = 8;

/** What failures of servers and networks are called: classes 08, 53, 57, and what the extension says where a connection is gone. */
const TOLD = new RegExp(
  [
    '^(08...|53...|57...) ',
    '^(XX000|00000) could not send query: ',
    '^XX000 (begin|commit) error: ',
    // An error that the remote has had for the same reason.
    '^25P02 ',
  ].join('|'),
);

/** Plays cases, each of which is decided by the seed and its number. */
export async function runChaos(options: ChaosOptions): Promise<ChaosFigures> {
  const fates: Record<string, Partial<Record<Fate, number>>> = {};
  const plans = new Set<string>();
  const findings: { number: number; text: string }[] = [];
  const until = performance.now() + options.seconds * 1000;
  const given = options.cases === undefined ? undefined : [...options.cases];
  let next = 0;
  let cases = 0;
  let longestSettlingMs = 0;

  const lane = async (): Promise<void> => {
    let world = await startChaosWorld();
    try {
      for (;;) {
        const number = given === undefined ? next++ : given.shift();
        if (number === undefined || (given === undefined && performance.now() > until)) return;
        const one = new Case(world, options.seed, number);
        cases++;
        if (TRACE) options.say?.(`${number}: ${one.account}`);
        try {
          const fate = await one.play();
          const tally = (fates[one.fault.name] ??= {});
          tally[fate] = (tally[fate] ?? 0) + 1;
          plans.add(one.statement.name.replace(/,.*/, ''));
          if (TRACE) options.say?.(`${number}: ${fate}, settled in ${one.settledMs.toFixed(0)} ms`);
          longestSettlingMs = Math.max(longestSettlingMs, one.settledMs);
        } catch (error) {
          const text = `${one.account}: ${(error as Error).message}`;
          findings.push({ number, text });
          options.say?.(`FOUND ${number}: ${text}`);
          // Whatever is left in this one is found once.
          await world.stop();
          world = await startChaosWorld();
        }
      }
    } finally {
      await world.stop();
    }
  };
  await Promise.all(Array.from({ length: given?.length === 1 ? 1 : LANES }, lane));
  return { cases, fates, plans: [...plans], findings, longestSettlingMs };
}

/** A session of its own in which one statement runs, and one fault comes. */
class Case {
  readonly fault: Fault;
  readonly statement: ChaosStatement;
  readonly #random: Random;
  readonly #tag: string;
  readonly #phase: 'login' | 'idle' | 'statement';
  readonly #trigger: { readonly path: Where; readonly direction: Direction; readonly after: number };
  #acted: Promise<unknown> | undefined;
  settledMs = 0;

  constructor(
    readonly world: ChaosWorld,
    seed: number,
    number: number,
  ) {
    const random = seededRandom(seed * 1_000_003 + number);
    this.#random = random;
    this.#tag = `k${number}`;
    this.fault = pick(random, faultsOf(world));
    this.statement = chaosStatement(random, world.conninfo(this.#tag));
    // What is in the midst of something when a disk is full is not what the fault comes to: the next that needs more is.
    const phase = this.fault.name.endsWith('the disk is full') ? 0.2 : random.number();
    this.#phase = phase < 0.12 ? 'login' : phase < 0.24 ? 'idle' : 'statement';
    const { where } = this.fault;
    const direction = random.pick(['toServer', 'fromServer'] as const);
    this.#trigger = {
      path: where === 'none' ? random.pick(['client', 'primary', 'remote'] as const) : where,
      direction,
      // Most of what passes is short; where results are large, some faults come in the midst of them.
      after: Math.floor(
        random.number() ** 3 * (direction === 'toServer' ? 500 : random.pick([500, 2_000, 50_000])),
      ),
    };
  }

  get account(): string {
    const { path, direction, after } = this.#trigger;
    return `${this.fault.name} [${this.#phase}, ${path} ${direction} ${after}] during ${this.statement.name}`;
  }

  async play(): Promise<Fate> {
    const complaints = this.world.proxy.complaints.length;
    const fate = await this.#session();
    await this.#acted;
    const since = performance.now();
    if (this.fault.effect === 'waits') await this.#letGo('before anything is better');
    heal(this.world);
    await this.#nextSession();
    await assertNothingLeft(this.world, [], eventually);
    await this.#letGo('at the end');
    this.settledMs = performance.now() - since;
    const death = this.world.proxy.death();
    assert.equal(death, undefined);
    assert.deepEqual(this.world.proxy.complaints.slice(complaints), [], 'the log');
    return fate;
  }

  #act = (): void => {
    // It may be called in the midst of a socket's event, and must not fail there.
    this.#acted = (async () => this.fault.act(this.world, this.#random, this.#tag))();
    this.#acted.catch(() => {});
  };

  #arm(): void {
    const { path, direction, after } = this.#trigger;
    this.world.paths[path].arm(direction, after, this.#act);
  }

  async #session(): Promise<Fate> {
    const { world, fault } = this;
    if (this.#phase === 'login') this.#arm();
    let client: FaultClient;
    try {
      const patience = fault.effect === 'waits' ? PATIENCE_MS + GIVES_UP_MS : HANGS_MS;
      client = await FaultClient.open(world.paths.client.port, { application_name: this.#tag }, patience);
    } catch (error) {
      assert.ok(this.#acted !== undefined && fault.effect !== 'none', (error as Error).message);
      return 'lost';
    }
    try {
      const connect = `SELECT dblink_connect('c', '${world.conninfo(this.#tag)}')`;
      const connected = await this.#answer(client, connect, 'simple', () => {});
      if (connected !== 'right') return connected;
      if (this.#phase === 'idle') {
        this.#act();
        if (fault.effect !== 'none') await Promise.race([this.#acted, delay(50)]);
      } else if (this.#phase === 'statement') this.#arm();
      const { sql, protocol, check } = this.statement;
      const fate = await this.#answer(client, sql, protocol, check);
      return this.#acted === undefined ? 'missed' : fate;
    } finally {
      if (this.#random.number() < 0.5) client.wire.destroy();
      else await client.end();
    }
  }

  /** Sends a statement, and judges its answer. */
  async #answer(
    client: FaultClient,
    sql: string,
    protocol: ChaosStatement['protocol'],
    check: ChaosStatement['check'],
  ): Promise<Fate> {
    client.start(sql, protocol);
    const waits = this.fault.effect === 'waits';
    const answer = client.wire.collect(1, this.fault.effect === 'none' ? DELAYED_MS : HANGS_MS);
    let over = false;
    void answer.then(() => {
      over = true;
    });
    if (waits) {
      await Promise.race([answer, delay(PATIENCE_MS)]);
      if (!over) client.cancel().catch(() => {});
      // The remote's answer may never come, but the proxy's does.
      if (!over && this.fault.where !== 'remote') {
        await Promise.race([answer, delay(GIVES_UP_MS)]);
        if (!over) client.wire.destroy();
      }
    }
    return this.#judge(await answer, check);
  }

  #judge(frames: readonly Frame[], check: ChaosStatement['check']): Fate {
    const { effect, where } = this.fault;
    const hit = this.#acted !== undefined;
    const account = brief(frames);
    assert.ok(!frames.some(({ type }) => type === TIMEOUT), `hangs: ${account}`);
    if (effect === 'anything' && hit && where === 'client') return 'anything';
    const mayFail = hit && effect !== 'none';
    for (const frame of frames.filter(({ type }) => type === 'E')) {
      const { C: sqlstate = '', M: message = '', D: detail = '' } = fieldsOf(frame);
      const told = `${account}: ${sqlstate} ${message} ${detail}`;
      assert.ok(mayFail, told);
      if (effect !== 'anything') assert.match(`${sqlstate} ${message}`, TOLD, told);
    }
    if (frames.some(({ type }) => type === CLOSED)) {
      assert.ok(mayFail && where !== 'remote', `closed: ${account}`);
      return effect === 'waits' ? 'gave up' : 'lost';
    }
    if (frames.some(({ type }) => type === 'E')) return 'error';
    // A notice says that nothing was sent.
    if (
      mayFail &&
      frames.some((frame) => frame.type === 'N' && /^could not send/.test(fieldsOf(frame)['M'] ?? ''))
    )
      return 'error';
    if (effect === 'anything' && hit) return 'anything';
    check(frames);
    return 'right';
  }

  /** Somebody who comes behind it finds everything in order. */
  async #nextSession(): Promise<void> {
    const client = await FaultClient.open(
      this.world.paths.client.port,
      { application_name: 'next' },
      HANGS_MS,
    );
    const rows = (sql: string) => client.wire.rows(sql, HANGS_MS);
    try {
      assert.deepEqual(await rows('SELECT 1'), [['1']]);
      await rows(`SELECT dblink_connect('c', '${this.world.conninfo('next')}')`);
      assert.deepEqual(await rows("SELECT a FROM dblink('c', 'SELECT 2') AS t(a int)"), [['2']]);
      assert.deepEqual(await rows('SELECT triple(3)'), [['9']]);
    } catch (error) {
      throw new Error(`the next session: ${(error as Error).message}`, { cause: error });
    } finally {
      await client.end();
    }
  }

  /** Waits until the proxy has no more sockets and timers than one that has nothing to do. */
  #letGo(when: string): Promise<void> {
    return eventually(`the proxy lets go of what it has, ${when}`, async () => {
      const { resources, descriptors } = await this.world.proxy.state();
      const { idle } = this.world;
      for (const kind of ['TCPSocketWrap', 'Timeout'])
        assert.ok(
          (resources[kind] ?? 0) <= (idle.resources[kind] ?? 0) + POOLED,
          `${kind}: ${JSON.stringify(resources)}`,
        );
      assert.ok(descriptors <= idle.descriptors + POOLED, `${descriptors} descriptors`);
    });
  }
}

function pick(random: Random, faults: readonly Fault[]): Fault {
  let left = random.number() * faults.reduce((sum, { weight }) => sum + weight, 0);
  return faults.find(({ weight }) => (left -= weight) < 0) ?? faults[0]!;
}
