import { isDeepStrictEqual } from 'node:util';
import type { Audit } from '../audit/index.js';
import { Services } from '../bridge/service/services.js';
import { type Config, type PrimaryAddress, primaryFor } from '../config/index.js';
import { makeRouter, type Shared } from '../router/router.js';
import type { ServerChoice, ServerList } from '../session/openPrimary.js';
import type { RouterSettings } from '../session/settings.js';
import { clientContext } from '../wire/tls/clientContext.js';
import { Fitness } from './fitness.js';
import type { Logger } from './log.js';
import { serverSettings } from './sessionSettings.js';

/** What a session begins with, and has to its end. A reload makes another one for the sessions that come. */
export interface Generation {
  readonly settings: RouterSettings;
  /** Undefined refuses TLS. */
  readonly secureContext: ReturnType<typeof clientContext> | undefined;
  /** For sessions on each of the servers. */
  readonly servers: readonly Server[];
  readonly list: ServerList;
  /** How many connections of clients have it. */
  connections: number;
}

/** One server that sessions may be on. */
interface Server extends ServerChoice {
  readonly services: Services;
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
export async function makeGeneration(config: Config, common: Common, last?: Generation): Promise<Generation> {
  const all = serverSettings(config);
  const settings = all[0]!;
  const secureContext = usable(settings);
  const { targetSessionAttrs: wanted, shuffled = false } = primaryFor(config, '*')!;
  const servers: Server[] = [];
  for (const each of all) servers.push(await makeServer(each, wanted, common, last));
  const list: ServerList = {
    order: () => (shuffled ? inAnyOrder(servers) : servers),
    elseAny: wanted === 'prefer-standby',
  };
  return { settings, secureContext, servers, list, connections: 0 };
}

async function makeServer(
  settings: RouterSettings,
  wanted: PrimaryAddress['targetSessionAttrs'],
  { log, vacateOthers, ...shared }: Common,
  last: Generation | undefined,
): Promise<Server> {
  const before = last?.servers.find((server) =>
    isDeepStrictEqual(primaryOf(server.settings), primaryOf(settings)),
  );
  const services =
    before?.services ??
    new Services(
      { ...settings.primary, maxScramIterations: settings.dblink.maxScramIterations },
      log,
      vacateOthers,
    );
  const route = await makeRouter(settings, { ...shared, services });
  const { service } = settings;
  const fitness = wanted === undefined || service === undefined ? undefined : new Fitness(service, wanted);
  return { settings, services, route, unfit: async () => fitness?.unfit() };
}

function inAnyOrder<T>(items: readonly T[]): readonly T[] {
  return items
    .map((item) => ({ item, place: Math.random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item);
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
