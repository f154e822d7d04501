import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { FaultClient } from '../faults/world/client.js';
import { type Random, seededRandom } from '../faults/world/random.js';
import { frontend } from '../support/wire.js';
import { FORWARDED } from './jobs/forwarded.js';
import { type Job, pickWeighted, succeed, type Visit } from './jobs/job.js';
import { LONG, REMOTE } from './jobs/remote.js';
import type { SoakWorld } from './world.js';

/** What all clients are told, and tell. */
export interface Shift {
  readonly world: SoakWorld;
  readonly seed: number;
  /** Resolves when the next job may begin: all clients share a rate. */
  turn(): Promise<void>;
  /** Whether clients are to leave. */
  readonly over: () => boolean;
  did(name: string): void;
  wrong(account: string): void;
}

const JOBS: readonly Job[] = [...FORWARDED, ...REMOTE];
/** How many jobs a session has at most. */
const JOBS_OF_A_LIFE = 40;

/** How a session ends. */
interface Ending {
  readonly name: string;
  readonly weight: number;
  act(visit: Visit): Promise<void> | void;
}

const ENDINGS: readonly Ending[] = [
  { name: 'leaves', weight: 5, act: ({ client }) => client.end() },
  { name: 'is gone while idle', weight: 2, act: ({ client }) => client.wire.destroy() },
  {
    name: 'is gone in the midst of a statement',
    weight: 5,
    async act({ client, random }) {
      client.start(random.pick(LONG), 'simple');
      await delay(random.number() ** 2 * 200);
      client.wire.destroy();
    },
  },
  {
    name: 'resets the connection in the midst of a statement',
    weight: 3,
    async act({ client, random }) {
      client.start(random.pick(LONG), 'simple');
      await delay(random.number() ** 2 * 200);
      client.wire.reset();
    },
  },
  {
    name: 'says goodbye in the midst of a statement',
    weight: 2,
    act({ client, random }) {
      client.start(random.pick(LONG), 'simple');
      return client.end();
    },
  },
  {
    name: 'is gone while a connection is being opened',
    weight: 2,
    async act({ client, random, world, remote, tag }) {
      client.start(`SELECT dblink_connect('d', '${world.conninfo(remote, tag)}')`, 'simple');
      await delay(random.number() * 10);
      client.wire.destroy();
    },
  },
  {
    name: 'is ended by the primary',
    weight: 2,
    async act({ client, world, pid }) {
      await world.terminateSession(pid);
      await client.wire.until(() => false);
      client.wire.destroy();
    },
  },
];

/** Somebody comes, and goes while the login is under way, or before it. */
async function passBy(port: number, random: Random): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  const startup = frontend.startup({ user: 'postgres', database: 'postgres' });
  socket.resume().write(startup.subarray(0, random.pick([3, 8, startup.length, startup.length])));
  await delay(random.number() * 15);
  if (random.number() < 0.5) socket.resetAndDestroy();
  else socket.destroy();
}

/** One client after another, until the shift is over. Never rejects. */
export async function customer(shift: Shift, number: number): Promise<void> {
  const random = seededRandom(shift.seed * 100_003 + number);
  for (let life = 0; !shift.over(); life++) {
    const tag = `s${number}_${life}`;
    let doing = 'logs in';
    let visit: Visit | undefined;
    try {
      await shift.turn();
      if (random.number() < 0.1) await passBy(shift.world.proxy.port, random);
      visit = await arrive(shift.world, random, { tag, user: number % 2 === 0 ? 'postgres' : 'plain' });
      shift.did('a login');
      for (let jobs = random.integer(JOBS_OF_A_LIFE); jobs > 0 && !shift.over(); jobs--) {
        await shift.turn();
        if (shift.over()) break;
        const job = pickWeighted(random, JOBS);
        doing = job.name;
        await job.run(visit);
        shift.did(job.name);
      }
      const ending = shift.over() ? ENDINGS[0]! : pickWeighted(random, ENDINGS);
      doing = ending.name;
      await ending.act(visit);
      shift.did(ending.name);
    } catch (error) {
      visit?.client.wire.destroy();
      if (shift.world.proxy.death() !== undefined) return;
      shift.wrong(`client ${number}, session ${life}, ${doing}: ${(error as Error).message}`);
    }
  }
}

async function arrive(
  world: SoakWorld,
  random: Random,
  { tag, user }: { readonly tag: string; readonly user: string },
): Promise<Visit> {
  const client = await FaultClient.open(world.proxy.port, { user, application_name: tag });
  const remote = random.integer(2);
  const [[pid] = []] = await client.rows('SELECT pg_backend_pid()');
  const visit: Visit = { world, client, random, remote, tag, pid: Number(pid) };
  await succeed(visit, `SELECT dblink_connect('c', '${world.conninfo(remote, tag)}')`);
  return visit;
}
