import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { normalize } from 'node:path/posix';
import type { ListenAddress } from '../config/index.js';
import { AddressSet, type Destination } from '../policy/index.js';

/** How long the addresses of this host are taken to be the same, in ms. */
const GOOD_MS = 5000;

const UNSPECIFIED = new AddressSet(['0.0.0.0/32', '::/128']);
const LOOPBACK = new AddressSet(['loopback']);

/**
 * Tells whether an address and port lead to one of the proxy's own listeners. A port that the system chooses is not known.
 * Addresses that others translate to those of this host are not known either.
 */
export function ownListeners(
  listeners: readonly ListenAddress[],
): (destination: Destination, port: number) => boolean {
  let known: { readonly set: AddressSet; readonly until: number } | undefined;
  const ofThisHost = (): AddressSet => {
    if (known === undefined || known.until < performance.now()) {
      const addresses = Object.values(networkInterfaces()).flatMap(
        (list) => list?.map(({ address }) => address) ?? [],
      );
      known = { set: new AddressSet(['loopback', ...addresses]), until: performance.now() + GOOD_MS };
    }
    return known.set;
  };
  type Own =
    | { readonly path: string }
    | { readonly port: number; readonly has: (at: Destination) => boolean };
  const places = listeners.map(
    (listener): Own =>
      listener.kind === 'unix'
        ? { path: listener.path }
        : { port: listener.port, has: hostOf(listener.host, ofThisHost) },
  );
  return (destination, port) =>
    places.some((place) =>
      'path' in place
        ? 'socket' in destination && normalize(destination.socket) === normalize(place.path)
        : place.port === port && place.has(destination),
    );
}

/** Which destinations meet a listener. A connection to the unspecified address ends at the own host's loopback address. */
function hostOf(host: string, ofThisHost: () => AddressSet): (destination: Destination) => boolean {
  // A name is one of this host's: it could not be listened on otherwise.
  if (isIP(host) === 0 || UNSPECIFIED.has({ address: host }))
    return (destination) => ofThisHost().has(destination);
  const own = new AddressSet([host]);
  const isLoopback = LOOPBACK.has({ address: host });
  return (destination) => own.has(destination) || (isLoopback && UNSPECIFIED.has(destination));
}
