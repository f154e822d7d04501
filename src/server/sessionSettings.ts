import { readFileSync } from 'node:fs';
import { type Config, primaryFor } from '../config/index.js';
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
 * What the router has to know of the configuration, with the contents of the certificate files.
 * @throws the file system's error if a certificate or key cannot be read
 */
export function routerSettings(config: Config): RouterSettings {
  const primary = primaryFor(config, '*');
  if (primary === undefined) throw new Error('no primary is configured');
  const address =
    primary.socketPath === undefined
      ? { host: primary.host, port: primary.port }
      : { path: primary.socketPath };
  const tls = {
    mode: primary.sslmode,
    // With a Unix socket this is its directory, and TLS is not used.
    serverName: primary.host,
    rootCertFile: primary.sslrootcert,
    certFile: primary.sslcert,
    keyFile: primary.sslkey,
  };
  const plainPassword = primary.allowCleartext === true;
  return {
    auth: config.auth,
    access: readAccess(config.access),
    applicationNameAddHost: config.applicationNameAddHost,
    isBalancer: balancersOf(config.proxyProtocol),
    primary: { address, name: primary.host, port: primary.port, tls, plainPassword },
    service:
      primary.user === undefined
        ? undefined
        : {
            address,
            tls,
            plainPassword,
            user: primary.user,
            password: primary.password,
            database: primary.database ?? primary.user,
          },
    clientTls: config.tls && { cert: readFileSync(config.tls.cert), key: readFileSync(config.tls.key) },
    timeouts: config.timeouts,
    limits: config.limits,
    dblink: config.dblink,
    policy: readPolicy(config.policy),
    isOwn: ownListeners(config.listen),
  };
}
