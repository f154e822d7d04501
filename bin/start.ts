import {
  type Config,
  type ListenAddress,
  parsePrimaryUrl,
  primaryFor,
  withPrimary,
} from '../src/config/index.js';
import { DEFAULT_URL } from '../src/embedded/example.js';
import {
  type Demo,
  EmbeddedError,
  PRIMARY_DATABASE,
  sampleStatements,
  startDemo,
} from '../src/embedded/index.js';
import { followPredecessor } from '../src/server/life/handover.js';
import {
  HANDED_OVER,
  type Inherited,
  InheritedError,
  inheritedListeners,
} from '../src/server/life/inherited.js';
import { Neighbours } from '../src/server/life/neighbours.js';
import { createLogger, type Logger } from '../src/server/log.js';
import { Reloader } from '../src/server/reload.js';
import { type ProxySurroundings, type RunningProxy, startProxy } from '../src/server/server.js';
import { startSupervisor } from '../src/server/workers/supervisor.js';
import { watchProcess } from './signals.js';
import { StartError } from './startError.js';

/** What the processes run that serve sessions, if there are several. */
const WORKER = new URL('worker.js', import.meta.url);

type Address = RunningProxy['addresses'][number];

/**
 * Starts the proxy, which then runs until SIGTERM or SIGINT. Returns when it is up.
 *
 * @param load reads the configuration; called again for SIGHUP
 * @throws StartError; ConfigError
 */
export async function start(load: () => Config): Promise<void> {
  const given = load();
  const log = createLogger(given.log);
  for (const warning of given.warnings) log.warn(warning);
  const demo = given.embedded ? await startEmbedded() : undefined;
  try {
    const complete = (config: Config): Config =>
      demo === undefined ? config : withPrimary(config, parsePrimaryUrl(demo.primary.url()));
    const config = complete(given);
    const neighbours = new Neighbours();
    const isSuccessor = process.env[HANDED_OVER] !== undefined;
    const proxy = await listen(config, log, { neighbours, inherited: inherited(config) });
    if (isSuccessor) follow(neighbours, proxy);
    const primary = primaryFor(config, '*');
    log.info(
      {
        primary: primary?.socketPath ?? `${primary?.host}:${primary?.port}`,
        auth: config.auth,
      },
      'ready for connections',
    );
    const reloader = new Reloader(proxy, () => complete(load()), config, log);
    watchProcess(reloader, log, proxy, demo);
    if (demo !== undefined) console.log(introduce(demo, proxy));
  } catch (error) {
    await demo?.stop();
    throw error;
  }
}

async function startEmbedded(): Promise<Demo> {
  try {
    return await startDemo();
  } catch (error) {
    if (error instanceof EmbeddedError) throw new StartError(`the embedded servers: ${error.message}`);
    throw error;
  }
}

/** Which addresses are listened on already. @throws StartError */
function inherited(config: Config): Inherited {
  try {
    return inheritedListeners(config);
  } catch (error) {
    throw error instanceof InheritedError ? new StartError(error.message) : error;
  }
}

/** Takes over from the process that has started this one. @throws StartError when that one is gone: it was to stop, not to be replaced */
function follow(neighbours: Neighbours, proxy: RunningProxy): void {
  if (!process.connected) throw new StartError('the process that this one was to replace has ended');
  followPredecessor(neighbours, proxy);
}

async function listen(config: Config, log: Logger, circumstances: ProxySurroundings): Promise<RunningProxy> {
  try {
    if (config.workers === 1) return await startProxy(config, log, circumstances);
    return await startSupervisor(config, log, { ...circumstances, count: config.workers, program: WORKER });
  } catch (error) {
    const { code, address, port, message } = error as NodeJS.ErrnoException & {
      address?: string;
      port?: number;
    };
    const place =
      address === undefined
        ? config.listen.map(formatListen).join(', ')
        : formatAddress({ host: address, port });
    const causes: Readonly<Record<string, string>> = {
      EADDRINUSE: 'another program is listening there; stop it or choose another address with --listen',
      EADDRNOTAVAIL: 'this machine has no such address; choose another one with --listen',
      // Node reports a directory that does not exist in the same way.
      EACCES:
        'permission denied; choose a port above 1023, or a directory that exists and that this user may write to',
      ENOTFOUND: 'the name cannot be resolved',
    };
    const cause = code === undefined ? undefined : causes[code];
    if (cause === undefined) throw error;
    throw new StartError(`cannot listen on ${place}: ${cause} (${message})`);
  }
}

function formatAddress({ host, port, path }: Address): string {
  if (path !== undefined) return path;
  if (port === undefined || port === -1) return String(host);
  return `${host?.includes(':') === true ? `[${host}]` : host}:${port}`;
}

function formatListen(address: ListenAddress): string {
  return address.kind === 'unix' ? address.path : formatAddress(address);
}

/** What `--embedded` prints: how to connect, and statements to paste. */
function introduce(demo: Demo, { addresses, http }: RunningProxy): string {
  const url = connectionUrl(addresses);
  const example = url === DEFAULT_URL ? 'npm run example' : `npm run example -- "${url}"`;
  const statements = sampleStatements(demo.conninfo).map(({ title, sql }) => `-- ${title}\n${sql}\n`);
  return `
A primary without dblink and a remote with sample data are running behind the proxy.

  Connection string   ${url}
  psql                psql "${url}"
  All of the below    ${example}   (in a second terminal)${http === undefined ? '' : `\n  Metrics             ${http}metrics`}

Statements to paste into psql:

${statements.join('\n')}
Ctrl-C stops everything and removes the data.
`;
}

/** How a client on this machine reaches the first address that the proxy listens on. */
function connectionUrl([address]: readonly Address[]): string {
  if (address?.path !== undefined) {
    const [, directory, port] = /^(.*)\/\.s\.PGSQL\.(\d+)$/.exec(address.path) ?? [];
    return `postgres://postgres@/${PRIMARY_DATABASE}?host=${directory}&port=${port}`;
  }
  const everywhere = address?.host === '0.0.0.0' || address?.host === '::';
  const place = formatAddress({ ...address, ...(everywhere ? { host: '127.0.0.1' } : {}) });
  return `postgres://postgres@${place}/${PRIMARY_DATABASE}`;
}
