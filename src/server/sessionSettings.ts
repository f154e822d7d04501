import { readFileSync } from 'node:fs';
import { type Config, type PrimaryAddress, type PrimaryHost, primaryFor } from '../config/index.js';
import { AddressSet, readAccess, readPolicy } from '../policy/index.js';
import type { RouterSettings } from '../session/settings.js';
import { ownListeners } from './ownListeners.js';

/** Tells addresses from which connections begin with a PROXY header. */
function balancersOf(written: readonly string[]): RouterSettings['isBalancer'] {
  if (written.length === 0) return () => false;
  const balancers = new AddressSet(written);
  return (address) => address !== undefined && balancers.has({ address }, 'exactly');
}

/**
 * What the router has to know of the configuration, with the contents of the certificate files, for sessions on the first server.
 * @throws the file system's error if a certificate or key cannot be read
 */
export const routerSettings = (config: Config): RouterSettings => serverSettings(config)[0]!;

/** The same for each server that sessions may be on, in the order in which they are tried. @throws as routerSettings */
export function serverSettings(config: Config): readonly RouterSettings[] {
  const primary = primaryFor(config, '*');
  if (primary === undefined) throw new Error('no primary is configured');
  const common = {
    auth: config.auth,
    access: readAccess(config.access),
    applicationNameAddHost: config.applicationNameAddHost,
    isBalancer: balancersOf(config.proxyProtocol),
    clientTls: config.tls && { cert: readFileSync(config.tls.cert), key: readFileSync(config.tls.key) },
    timeouts: config.timeouts,
    limits: config.limits,
    dblink: config.dblink,
    policy: readPolicy(config.policy),
    isOwn: ownListeners(config.listen),
  };
  return [primary, ...(primary.others ?? [])].map((server) => ({
    ...common,
    ...endsOf(primary, server, config.tcp.keepalive),
  }));
}

/** One server, and the account there. @param keepalive idle time in ms before the first probe; 0 for none */
function endsOf(
  primary: PrimaryAddress,
  { host, port, socketPath }: PrimaryHost,
  keepalive: number,
): Pick<RouterSettings, 'primary' | 'service'> {
  const address = socketPath === undefined ? { host, port } : { path: socketPath };
  const tls = {
    mode: primary.sslmode,
    // With a Unix socket this is its directory, and TLS is not used.
    serverName: host,
    rootCertFile: primary.sslrootcert,
    certFile: primary.sslcert,
    keyFile: primary.sslkey,
  };
  const plainPassword = primary.allowCleartext === true;
  const keepAlive = { enabled: keepalive > 0, idleMs: keepalive };
  return {
    primary: { address, name: host, port, tls, plainPassword, keepAlive },
    service:
      primary.user === undefined
        ? undefined
        : {
            address,
            tls,
            plainPassword,
            keepAlive,
            user: primary.user,
            password: primary.password,
            database: primary.database ?? primary.user,
          },
  };
}
