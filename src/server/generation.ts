import { isDeepStrictEqual } from 'node:util';
import type { Audit } from '../audit/index.js';
import { Services } from '../bridge/service/services.js';
import { makeRouter, type Shared } from '../router/router.js';
import type { Route } from '../session/route.js';
import type { RouterSettings } from '../session/settings.js';
import { clientContext } from '../wire/tls/clientContext.js';
import type { Logger } from './log.js';

/** What a session begins with, and has to its end. A reload makes another one for the sessions that come. */
export interface Generation {
  readonly settings: RouterSettings;
  /** Undefined refuses TLS. */
  readonly secureContext: ReturnType<typeof clientContext> | undefined;
  readonly services: Services;
  readonly route: Route;
  /** How many connections of clients have it. */
  connections: number;
}

/** What all generations have in common. */
export type Common = Omit<Shared, 'services'> & {
  readonly log: Logger;
  /** Undefined where nothing is audited. */
  readonly audit: Audit | undefined;
  /** Has the service connections of other processes leave databases. */
  readonly vacateOthers: ((databases: readonly string[]) => Promise<void>) | undefined;
};

/**
 * Makes what sessions begin with.
 * @param last the one before, whose service connections go on being used where they lead to the same server
 * @throws Error a certificate or key that cannot be used
 */
export async function makeGeneration(
  settings: RouterSettings,
  { log, vacateOthers, ...shared }: Common,
  last?: Generation,
): Promise<Generation> {
  const secureContext = usable(settings);
  const services =
    last !== undefined && isDeepStrictEqual(primaryOf(last.settings), primaryOf(settings))
      ? last.services
      : new Services(
          { ...settings.primary, maxScramIterations: settings.dblink.maxScramIterations },
          log,
          vacateOthers,
        );
  const route = await makeRouter(settings, { ...shared, services });
  return { settings, secureContext, services, route, connections: 0 };
}

/** The context for TLS to clients. @throws Error a certificate or key that cannot be used */
export const usable = ({ clientTls }: RouterSettings): Generation['secureContext'] =>
  clientTls && clientContext(clientTls);

/** All that service connections are made of. */
const primaryOf = ({ primary, service, dblink }: RouterSettings): unknown => [
  primary,
  service,
  dblink.maxScramIterations,
];
