import type { Server } from 'node:http';
import { AggregatorRegistry, type Registry } from 'prom-client';
import type { Config } from '../../config/index.js';
import { openHttp } from '../../http/server.js';
import type { Logger } from '../log.js';
import type { MetricsJson } from './metricsJson.js';
import type { Readiness } from './readiness.js';

/**
 * Answers by HTTP, if the configuration says where.
 * @param metrics of all processes that serve
 * @throws the listener's error (EADDRINUSE, EACCES, …)
 */
export async function observe(
  { http }: Config,
  log: Logger,
  {
    readiness,
    metrics,
    inherited,
  }: {
    readonly readiness: Readiness;
    readonly metrics: () => Promise<readonly MetricsJson[]>;
    /** The descriptor of a socket that is listened on already. */
    readonly inherited?: number | undefined;
  },
): Promise<Server | undefined> {
  if (http.listen === undefined) return undefined;
  const { host, port } = http.listen;
  const server = await openHttp(
    { host, port, token: http.token, inherited },
    {
      ready: () => readiness.obstacle(),
      metrics: async () => {
        const all = await metrics();
        return (AggregatorRegistry.aggregate([...all]) as Registry).metrics();
      },
    },
  );
  const { address, port: bound } = server.address() as { address: string; port: number };
  log.info({ address, port: bound }, 'metrics and health are told by HTTP');
  return server;
}
