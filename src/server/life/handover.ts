import { type ChildProcess, spawn } from 'node:child_process';
import { HANDED_OVER, type HandedOverNames } from './inherited.js';
import { Neighbour, type NeighbourMessage, type Neighbours, type Obliging } from './neighbours.js';

/** How long a successor may take until it serves. */
const START_LIMIT_MS = 60_000;

/** A listening socket, and what the successor knows it by. */
export interface HandedOver {
  readonly name: string;
  readonly descriptor: number;
}

/**
 * Has this process know the one that it is to replace, and tells that one that it serves whoever comes.
 * @param here what this process does for others
 */
export function followPredecessor(neighbours: Neighbours, here: Obliging): void {
  neighbours.predecessor = new Neighbour(process, {
    // Its cancel requests are for its own sessions.
    cancel: () => undefined,
    vacate: async (databases) => {
      await Promise.all([here.vacate(databases), neighbours.successor?.vacate(databases)]);
    },
  });
  neighbours.predecessor.say({ kind: 'ready' });
}

/**
 * Starts this program again, with the same command line, and hands the listening sockets over to it. Both processes accept
 * connections until this one stops. Resolves when the other one serves.
 * @param here what this process does for others
 * @throws Error when it does not come to serve; it is gone then
 */
export async function startSuccessor(
  { listeners, keepPaths }: { readonly listeners: readonly HandedOver[]; readonly keepPaths: boolean },
  neighbours: Neighbours,
  here: Obliging,
): Promise<ChildProcess> {
  const handedOver: HandedOverNames = { names: listeners.map(({ name }) => name), keepPaths };
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc', ...listeners.map(({ descriptor }) => descriptor)],
    serialization: 'advanced',
    env: { ...process.env, [HANDED_OVER]: JSON.stringify(handedOver) },
  });
  const obliging: Obliging = {
    cancel: (request) => here.cancel(request),
    vacate: async (databases) => {
      await Promise.all([here.vacate(databases), neighbours.predecessor?.vacate(databases)]);
    },
  };
  try {
    neighbours.successor = await ready(child, obliging);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  // This process ends when its own sessions have.
  child.unref();
  return child;
}

function ready(child: ChildProcess, obliging: Obliging): Promise<Neighbour> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(
      () => fail(new Error(`it does not serve after ${START_LIMIT_MS / 1000} s`)),
      START_LIMIT_MS,
    );
    const fail = (error: Error): void => {
      clearTimeout(late);
      reject(error);
    };
    const neighbour = new Neighbour(child, obliging, (message: NeighbourMessage) => {
      if (message.kind !== 'ready') return;
      clearTimeout(late);
      resolve(neighbour);
    });
    child.on('error', fail);
    child.once('exit', (code, signal) => fail(new Error(`it ended with ${signal ?? `exit code ${code}`}`)));
  });
}
