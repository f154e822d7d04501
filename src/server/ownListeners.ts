import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { ListenAddress } from '../config/index.js';
import { AddressSet, type Destination } from '../policy/index.js';

/** How long the addresses of this host are taken to be the same, in ms. */
const GOOD_MS = 5000;

const WILDCARDS: readonly string[] = ['0.0.0.0', '::', '*'];
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
    if (known === undefined || known.until < Date.now()) {
      const addresses = Object.values(networkInterfaces()).flatMap(
        (list) => list?.map(({ address }) => address) ?? [],
      );
      known = { set: new AddressSet(['loopback', ...addresses]), until: Date.now() + GOOD_MS };
    }
    return known.set;
  };
  return (destination, port) =>
    listeners.some((listener) => {
      if (listener.kind === 'unix' || 'socket' in destination)
        return listener.kind === 'unix' && 'socket' in destination && listener.path === destination.socket;
      if (listener.port !== port) return false;
      // A name is one of this host's: it could not be listened on otherwise.
      if (WILDCARDS.includes(listener.host) || isIP(listener.host) === 0)
        return ofThisHost().has(destination);
      return new AddressSet([listener.host]).has(destination) || isUnspecified(destination, listener.host);
    });
}

/** Whether a connection to the unspecified address, which ends at the own host's loopback address, meets this listener. */
const isUnspecified = ({ address }: { readonly address: string }, host: string): boolean =>
  WILDCARDS.includes(address) && LOOPBACK.has({ address: host });
