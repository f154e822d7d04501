import type { Config } from '../config/index.js';
import { RemoteAdmission, type RemoteLimits } from '../dblink/connections/admission.js';
import { KeptConnections } from '../dblink/connections/keptConnections.js';
import { MemoryBudget } from '../dblink/memory.js';
import { ClientAdmission, type ClientLimits } from '../session/clientAdmission.js';
import { byteString } from '../wire/byteString.js';
import { Descriptors } from '../wire/host/descriptors.js';
import { MemoryCeiling } from '../wire/host/memoryCeiling.js';
import { type TurnLimits, Turns } from '../wire/pace/turns.js';
import { descriptorLimit, openDescriptors } from './descriptorLimit.js';
import type { Logger } from './log.js';
import { logSeldom } from './seldom.js';

/** What all sessions of a process share, each within the limits of the configuration. */
export interface Limited {
  readonly descriptors: Descriptors;
  readonly ceiling: MemoryCeiling;
  readonly clients: ClientAdmission;
  readonly admission: RemoteAdmission;
  readonly logins: Turns;
  readonly memory: MemoryBudget;
  readonly kept: KeptConnections;
}

/** Makes what is limited. */
export function limitedBy(config: Config, log: Logger): Limited {
  const nearlyUsedUp = logSeldom<undefined>((missed) => {
    log.warn({ missed }, 'file descriptors are nearly used up (ulimit -n)');
  });
  const descriptors = new Descriptors(
    descriptorLimit(),
    openDescriptors() + config.listen.length,
    config.limits.reservedDescriptors,
    () => nearlyUsedUp(undefined),
  );
  const admission = new RemoteAdmission(
    remoteLimits(config),
    descriptors,
    logSeldom((missed, error) =>
      log.error({ err: error.message, missed }, 'a dblink connection cannot be opened'),
    ),
  );
  const ceiling = new MemoryCeiling(config.limits.memoryHigh, (exceeded, residentBytes) => {
    if (exceeded)
      log.warn(
        { residentBytes },
        'more memory than limits.memory_high: new sessions and large results are refused',
      );
    else log.warn({ residentBytes }, 'memory is below limits.memory_high again');
  });
  return {
    descriptors,
    ceiling,
    clients: new ClientAdmission(clientLimits(config), descriptors, ceiling),
    admission,
    logins: new Turns(loginLimits(config)),
    memory: new MemoryBudget(config.limits.memory, config.limits.sessionMemory, ceiling),
    kept: new KeptConnections(config.dblink.keep, admission),
  };
}

/** Sets other limits. What is above them stays until it ends by itself. */
export function limit(limited: Limited, config: Config): void {
  limited.descriptors.reserve(config.limits.reservedDescriptors);
  limited.clients.limit(clientLimits(config));
  limited.admission.limit(remoteLimits(config));
  limited.logins.limit(loginLimits(config));
  limited.ceiling.limit(config.limits.memoryHigh);
  limited.memory.limit = config.limits.memory;
  limited.memory.perSession = config.limits.sessionMemory;
  limited.kept.keepMs = config.dblink.keep;
}

const clientLimits = ({ limits }: Config): ClientLimits => ({
  ...limits,
  reservedUsers: limits.reservedUsers.map((name) => byteString(name)),
});

const remoteLimits = ({ limits, timeouts }: Config): RemoteLimits => ({
  perSession: limits.remoteConnectionsPerSession,
  inAll: limits.remoteConnections,
  perUser: limits.remoteConnectionsPerUser,
  perServer: limits.remoteConnectionsPerServer,
  waitMs: timeouts.remoteWait,
});

const loginLimits = ({ limits }: Config): TurnLimits => ({
  perOwner: limits.remoteLoginsPerSession,
  total: limits.remoteLogins,
  firstIsFree: true,
});
