import { normalize } from 'node:path/posix';
import type { Access } from '../dblink/connections/permission.js';
import { AddressSet, type Destination, type Policy, type RefusalCounts } from '../policy/index.js';
import type { Session } from '../session/session.js';
import type { RouterSettings } from '../session/settings.js';
import { asText } from '../wire/encoding/transcode.js';

const LOOPBACK = new AddressSet(['loopback']);

/**
 * What the policy is to know of a client's session.
 * @param session the client's, also for what is nested in it
 * @param settings with the policy as it is at any moment: a reload changes it for open sessions, too
 * @param database its database, a byte string
 */
export function accessOf(
  session: Session,
  settings: Pick<RouterSettings, 'isOwn' | 'primary'> & {
    readonly policy: () => Policy;
    readonly refusals: RefusalCounts;
  },
  database: string,
): Access {
  const { isOwn, primary } = settings;
  const isPrimary = (destination: Destination, port: number): boolean => {
    const { address } = primary;
    if ('path' in address)
      return 'socket' in destination && normalize(destination.socket) === normalize(address.path);
    const { remoteAddress } = session.primary.socket;
    if (remoteAddress === undefined || port !== address.port) return false;
    return (LOOPBACK.has({ address: remoteAddress }) ? LOOPBACK : new AddressSet([remoteAddress])).has(
      destination,
    );
  };
  return {
    get policy() {
      return settings.policy();
    },
    // Known only when the session has logged in.
    get from() {
      return asText(database, session.primary.parameters.get('server_encoding') ?? 'UTF8');
    },
    client: session.address,
    isAt: (place, destination, port) =>
      place === 'self' ? isOwn(destination, port) : isPrimary(destination, port),
    refused: (rule, host, port) => {
      session.log.info({ rule, host, port }, 'a dblink connection was refused by the policy');
      return settings.refusals.count(rule);
    },
  };
}
