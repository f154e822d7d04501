import { loadConfig } from '../../src/config/index.js';
import { createLogger, type Logger } from '../../src/server/log.js';
import { type RunningProxy, startProxy } from '../../src/server/server.js';

/** A proxy in this process, in front of one primary. */
export interface TestProxy {
  readonly host: string;
  readonly port: number;
  readonly running: RunningProxy;
  /** Ends all sessions and closes the listener. */
  stop(): Promise<void>;
}

/** A server that the proxy can stand in front of. */
export interface Primary {
  readonly host: string;
  readonly port: number;
}

export interface TestProxyOptions {
  /** Settings by flag name (without dashes), beside `listen` and `primary`. */
  readonly flags?: Readonly<Record<string, unknown>>;
  /** Settings by environment variable, for those that have no flag. */
  readonly env?: Readonly<Record<string, string>>;
  readonly log?: Logger;
}

/** Starts a proxy on a free port of 127.0.0.1. It logs errors only, unless it is given a logger. */
export async function startTestProxy(primary: Primary, options: TestProxyOptions = {}): Promise<TestProxy> {
  const config = loadConfig({
    flags: {
      listen: ['127.0.0.1:0'],
      primary: `postgres://${primary.host}:${primary.port}?sslmode=disable`,
      'log-level': 'error',
      ...options.flags,
    },
    env: options.env ?? {},
  });
  const running = await startProxy(config, options.log ?? createLogger(config.log));
  const { host = '127.0.0.1', port = 0 } = running.addresses[0] ?? {};
  return { host, port, running, stop: () => running.close() };
}
