import type { DatabaseServices, Services } from '../bridge/service/services.js';
import type { Login } from '../session/route.js';
import type { ServiceAccount } from '../session/settings.js';

/**
 * As whom a client's session has its databases' service connections: the proxy's own account, or without one the client itself.
 * @param user the client's, a byte string
 * @returns what finds the service connections of a database
 */
export function servicesFor(
  services: Services,
  service: ServiceAccount | undefined,
  { user, password }: { readonly user: string; readonly password: Login['password'] },
): (database: string) => DatabaseServices {
  if (service === undefined)
    return (database) => services.of(database, { user, password: password(), own: true });
  return (database) => {
    const own = service.password === undefined ? undefined : Buffer.from(service.password);
    return services.of(database, { user: service.user, password: own, own: false });
  };
}
