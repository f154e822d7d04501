import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { PostgresServer } from '../../src/embedded/index.js';
import type { Contender } from '../measure/benchmark.js';
import { ProcessMeter } from '../measure/processMeter.js';
import { type Child, startChild, waitFor } from './children.js';

const MAIN = fileURLToPath(new URL('../../bin/main.js', import.meta.url));

/** The proxy in a process of its own, as an operator would run it. */
export interface ProxyProcess {
  readonly contender: Contender & { readonly meter: ProcessMeter };
  stop(): Promise<void>;
}

/** @param profile where to leave a processor profile when the proxy ends, if one is wanted */
export async function startProxyProcess(
  primary: PostgresServer,
  profile?: { readonly directory: string; readonly name: string },
): Promise<ProxyProcess> {
  if (profile !== undefined) mkdirSync(profile.directory, { recursive: true });
  const node =
    profile === undefined
      ? []
      : [
          '--cpu-prof',
          '--cpu-prof-interval=250',
          `--cpu-prof-dir=${profile.directory}`,
          `--cpu-prof-name=${profile.name}`,
        ];
  const child = await startChild(process.execPath, [
    ...node,
    MAIN,
    'start',
    '--listen',
    '127.0.0.1:0',
    '--primary',
    `postgres://${primary.host}:${primary.port}?sslmode=disable`,
  ]);
  const port = await waitFor(child, 'the proxy', async () => listeningPort(child));
  return {
    contender: { name: 'proxy', host: '127.0.0.1', port, meter: new ProcessMeter(child.pid) },
    stop: () => child.stop('SIGTERM'),
  };
}

/** The port that the proxy says in its log that it listens on. */
function listeningPort(child: Child): number {
  const port = /"addresses":\[\{[^\]]*"port":(\d+)/.exec(child.log())?.[1];
  if (port === undefined) throw new Error('the proxy does not listen yet');
  return Number(port);
}
