import type { Config } from '../../config/index.js';

/**
 * The configuration for one of several workers. Limits that hold for all sessions together are divided among the workers: their
 * parts add up to the limit, but for limits below the number of workers, of which each has one. Connections go to the worker that
 * has the fewest, so the parts are used evenly.
 */
export function shareOf(config: Config, index: number, count: number): Config {
  const part = (limit: number): number =>
    limit === 0 ? 0 : Math.max(1, Math.floor(limit / count) + (index < limit % count ? 1 : 0));
  const { limits } = config;
  return {
    ...config,
    // Of the bytes that may wait in all.
    audit: { ...config.audit, buffer: part(config.audit.buffer) },
    limits: {
      ...limits,
      clients: part(limits.clients),
      clientsPerUser: part(limits.clientsPerUser),
      clientsPerDatabase: part(limits.clientsPerDatabase),
      clientsPerAddress: part(limits.clientsPerAddress),
      reservedClients: limits.reservedClients === 0 ? 0 : part(limits.reservedClients),
      waitingClients: part(limits.waitingClients),
      memory: part(limits.memory),
      memoryHigh: part(limits.memoryHigh),
      remoteConnections: part(limits.remoteConnections),
      remoteConnectionsPerUser: part(limits.remoteConnectionsPerUser),
      remoteConnectionsPerServer: part(limits.remoteConnectionsPerServer),
      remoteLogins: part(limits.remoteLogins),
    },
  };
}
