import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../faults/world/random.js';
import type { Weather } from './chaosPath.js';
import type { ChaosWorld, Where } from './world.js';

/** Something that goes wrong, at a moment of which others decide. */
export interface Fault {
  readonly name: string;
  /** How often, relative to the others. */
  readonly weight: number;
  /** Which connection it concerns, and what it may do to the statement. */
  readonly where: Where | 'none';
  readonly effect: Effect;
  act(world: ChaosWorld, random: Random, tag: string): unknown;
}

/**
 * `none`: all goes on, and is right. `error`: an error, or the session is lost, unless it is a remote's. `waits`: the statement waits
 * until it is cancelled; who waits for the primary gives up. `anything`: what comes cannot be told from what should come.
 */
export type Effect = 'none' | 'error' | 'waits' | 'anything';

const WHERE: readonly Where[] = ['client', 'primary', 'remote'];
/** How long bad weather lasts that passes. */
const PASSES_MS = 1_500;

/** Longest and shortest of what latency there is; the case takes several of them. */
const LATENCIES_MS = [100, 300, 1_000] as const;

/** Bad weather that passes does no harm. */
const passing = (where: Where, name: string, weather: (random: Random) => Weather): Fault => ({
  name: `${where}: ${name}`,
  weight: 1,
  where,
  effect: 'none',
  act: async ({ paths }, random) => {
    paths[where].weather = weather(random);
    await delay(PASSES_MS * random.number(), undefined, { ref: false });
    paths[where].weather = {};
  },
});

const onPath = (where: Where): readonly Fault[] => [
  {
    name: `${where}: latency`,
    weight: 1,
    where,
    effect: 'none',
    act: ({ paths }, random) => {
      paths[where].weather = { latencyMs: random.pick(LATENCIES_MS) };
    },
  },
  passing(where, 'a kilobyte a second', () => ({ bytesPerSecond: 1000 })),
  passing(where, 'a standstill', () => ({ still: true })),
  {
    name: `${where}: a black hole`,
    weight: 1.5,
    where,
    effect: 'waits',
    act: ({ paths }) => {
      paths[where].weather = { still: true };
    },
  },
  {
    name: `${where}: half-open`,
    weight: 1.5,
    where,
    effect: 'waits',
    act: ({ paths }) => paths[where].orphan(),
  },
  {
    name: `${where}: a reset`,
    weight: 2,
    where,
    effect: 'error',
    act: ({ paths }) => paths[where].cut('reset'),
  },
  {
    name: `${where}: an end`,
    weight: 2,
    where,
    effect: 'error',
    act: ({ paths }) => paths[where].cut('end'),
  },
  {
    name: `${where}: a reset, and no new connections`,
    weight: 1,
    where,
    effect: 'error',
    act: ({ paths }) => {
      paths[where].refuse();
      paths[where].cut('reset');
    },
  },
  ...(['toServer', 'fromServer'] as const).map(
    (direction): Fault => ({
      name: `${where}: garbage ${direction}`,
      weight: 1,
      where,
      effect: 'anything',
      act: ({ paths }, random) => {
        const bytes = Buffer.from(Array.from({ length: 1 + random.integer(200) }, () => random.integer(256)));
        paths[where].inject(direction, bytes);
        // What has come of it may be a message that is never complete.
        paths[where].cut('end');
      },
    }),
  ),
];

/** Ends backends, and waits until they have ended. */
const terminate = (condition: string): string =>
  `SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE ${condition}`;

const OF_SERVERS: readonly Fault[] = [
  {
    name: "primary: the session's backend is ended",
    weight: 1,
    where: 'primary',
    effect: 'error',
    act: (world, _, tag) => world.onPrimary(terminate(`application_name = '${tag}'`)),
  },
  {
    name: 'primary: the service connections are ended',
    weight: 1.5,
    where: 'primary',
    effect: 'error',
    act: (world) => world.onPrimary(terminate("application_name = 'dblink-proxy'")),
  },
  {
    name: 'remote: its backends are ended',
    weight: 1.5,
    where: 'remote',
    effect: 'error',
    act: (world) => world.onRemote(terminate("backend_type = 'client backend' AND pid <> pg_backend_pid()")),
  },
  ...(['fast', 'immediate'] as const).flatMap((mode): Fault[] => [
    {
      name: `primary: restart, ${mode}`,
      weight: 0.6,
      where: 'primary',
      effect: 'error',
      act: (world) => world.primary.restart(mode),
    },
    {
      name: `remote: restart, ${mode}`,
      weight: 0.6,
      where: 'remote',
      effect: 'error',
      act: (world) => world.remote.restart(mode),
    },
  ]),
  ...(['SIGKILL', 'SIGTERM'] as const).map(
    (signal): Fault => ({
      name: `proxy: restart, ${signal}`,
      weight: 0.6,
      where: 'client',
      effect: 'error',
      act: (world) => world.restartProxy(signal),
    }),
  ),
  ...[-10, 10].map(
    (years): Fault => ({
      name: `clock: ${years} years`,
      weight: 1,
      where: 'none',
      effect: 'none',
      act: (world) => world.proxy.tell({ jumpMs: years * 365 * 86_400_000 }),
    }),
  ),
  {
    name: 'primary: the disk is full',
    weight: 3,
    where: 'primary',
    effect: 'error',
    act: (world) => fill(world),
  },
];

const FILLER = 'filler';

/** Leaves no byte on the disk. */
function fill({ disk }: ChaosWorld): void {
  try {
    for (let i = 0; ; i++) writeFileSync(join(disk!, `${FILLER}${i}`), Buffer.alloc(64 * 1024));
  } catch {
    // ENOSPC: it is full. The last file may hold the rest.
  }
}

/** What the faults have made is undone, but for what is lost. */
export function heal({ paths, disk }: ChaosWorld): void {
  for (const where of WHERE) paths[where].heal();
  if (disk !== undefined) for (let i = 0; i < 256; i++) rmSync(join(disk, `${FILLER}${i}`), { force: true });
}

export const faultsOf = ({ disk }: ChaosWorld): readonly Fault[] =>
  [...WHERE.flatMap(onPath), ...OF_SERVERS].filter(
    ({ name }) => disk !== undefined || !name.includes('the disk'),
  );
