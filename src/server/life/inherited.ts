import { closeSync } from 'node:fs';
import type { Config, ListenAddress } from '../../config/index.js';

/** The first descriptor that systemd hands over (sd_listen_fds(3)). */
const FIRST_OF_SYSTEMD = 3;
/** The first that a predecessor hands over: the channel to it comes before. */
export const FIRST_HANDED_OVER = 4;
/** What a predecessor says in the environment, as JSON: the addresses in the order of their descriptors, and `keepPaths`. */
export const HANDED_OVER = 'HANDED_OVER_LISTENERS';

/** The value of HANDED_OVER. */
export interface HandedOverNames {
  readonly names: readonly string[];
  readonly keepPaths: boolean;
}

type Environment = Record<string, string | undefined>;

/** Listening sockets came with the process, and are not those that are configured. */
export class InheritedError extends Error {
  override readonly name = 'InheritedError';
}

/** Descriptors of listening sockets that came with the process. Undefined is what has to be opened. */
export interface Inherited {
  /** For each address of `listen`. */
  readonly listen: readonly (number | undefined)[];
  readonly http: number | undefined;
  /** Unix sockets are not this process's to remove: systemd listens on them, too. */
  readonly keepPaths: boolean;
}

/** An address as processes of the proxy call it among themselves. */
export const nameOf = (address: ListenAddress): string =>
  address.kind === 'unix' ? address.path : `${address.host} ${address.port}`;

export const nameOfHttp = ({ host, port }: { readonly host: string; readonly port: number }): string =>
  `http ${host} ${port}`;

/**
 * Finds the listening sockets that came with the process: those of systemd, in the order of `listen`, or those of the process that this
 * one replaces. The environment forgets them, so that no further process takes them for its own.
 * @throws InheritedError
 */
export function inheritedListeners(
  { listen, http }: Pick<Config, 'listen' | 'http'>,
  env: Environment = process.env,
): Inherited {
  const { LISTEN_PID: pid, LISTEN_FDS: count, [HANDED_OVER]: handedOver } = env;
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', HANDED_OVER]) delete env[name];
  if (handedOver !== undefined) {
    const wanted = [...(http.listen === undefined ? [] : [nameOfHttp(http.listen)]), ...listen.map(nameOf)];
    const { names, keepPaths } = JSON.parse(handedOver) as HandedOverNames;
    const found = ofPredecessor(wanted, names);
    return { http: http.listen && found[0], listen: found.slice(-listen.length), keepPaths };
  }
  // They are for a process that started this one.
  if (count === undefined || Number(pid) !== process.pid)
    return { listen: listen.map(() => undefined), http: undefined, keepPaths: false };
  if (Number(count) !== listen.length)
    throw new InheritedError(
      `${count} listening sockets came with the process, but "listen" has ${listen.length} addresses`,
    );
  return { listen: listen.map((_, i) => FIRST_OF_SYSTEMD + i), http: undefined, keepPaths: true };
}

/** The configuration may have changed: sockets that it does not name any more are closed. */
function ofPredecessor(wanted: readonly string[], given: readonly string[]): readonly (number | undefined)[] {
  const left = new Map(given.map((name, i) => [i, name]));
  const found = wanted.map((name) => {
    const [index] = [...left].find(([, other]) => name === other) ?? [];
    if (index === undefined) return undefined;
    left.delete(index);
    return FIRST_HANDED_OVER + index;
  });
  for (const index of left.keys()) closeSync(FIRST_HANDED_OVER + index);
  return found;
}
