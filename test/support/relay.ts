import assert from 'node:assert/strict';
import { loadConfig } from '../../src/config/index.js';
import { createLogger, type Logger } from '../../src/server/log.js';
import { startProxy } from '../../src/server/server.js';
import type { Clock } from '../../src/server/sessionClock.js';
import { type Message, RawClient } from './rawClient.js';
import { frontend } from './wire.js';

/** A proxy in this process, and what a test of forwarding needs to know of it. */
export interface RelayProxy {
  readonly host: '127.0.0.1';
  readonly port: number;
  url(database?: string, user?: string): string;
  /** Stops it, with the time that running transactions get. */
  stop(graceMs?: number): Promise<void>;
}

export interface RelayOptions {
  /** Parameters of the primary's address, `sslmode=disable` unless stated. */
  readonly query?: string;
  readonly host?: string;
  /** Further settings by flag name. */
  readonly flags?: Readonly<Record<string, unknown>>;
  /** Further settings by environment variable, for those that have no flag. */
  readonly env?: Readonly<Record<string, string>>;
  readonly log?: Logger;
  /** By which sessions have been idle, or in a transaction, for so long. */
  readonly clock?: Clock;
}

/** Starts a proxy on a free port in front of a server on this machine. It logs nothing unless a log is given. */
export async function startRelay(
  primary: { readonly port: number },
  options: RelayOptions = {},
): Promise<RelayProxy> {
  const { query = 'sslmode=disable', host = '127.0.0.1', flags = {}, env = {} } = options;
  const config = loadConfig({
    flags: {
      listen: ['127.0.0.1:0'],
      primary: `postgres://${host}:${primary.port}/?${query}`,
      'log-level': 'silent',
      ...flags,
    },
    env,
  });
  const running = await startProxy(config, options.log ?? createLogger(config.log), {
    ...(options.clock === undefined ? {} : { clock: options.clock }),
  });
  const port = running.addresses[0]?.port ?? 0;
  return {
    host: '127.0.0.1',
    port,
    url: (database = 'postgres', user = 'postgres') => `postgres://${user}@127.0.0.1:${port}/${database}`,
    stop: (graceMs) => running.close(graceMs),
  };
}

/** A client that has sent a startup packet (protocol 3.0, user postgres unless stated) and got this far. */
export async function logIn(
  port: number,
  parameters: Readonly<Record<string, string>> = {},
): Promise<{ readonly client: RawClient; readonly startup: readonly Message[] }> {
  const client = await RawClient.connect(port);
  client.write(frontend.startup({ user: 'postgres', ...parameters }));
  return { client, startup: await client.until('Z') };
}

/** Runs a simple query and returns its messages. */
export async function query(client: RawClient, sql: string): Promise<Message[]> {
  client.write(frontend.query(sql));
  return client.until('Z');
}

/** Types of messages in their order, as one string. */
export const types = (messages: readonly Message[]): string => messages.map(({ type }) => type).join('');

/** The first value of the first DataRow, as text. */
export function firstValue(messages: readonly Message[]): string | undefined {
  const row = messages.find(({ type }) => type === 'D');
  if (row === undefined) return undefined;
  const length = row.body.readInt32BE(2);
  return length < 0 ? undefined : row.body.toString('utf8', 6, 6 + length);
}

/** Fields of the error with which a connection ends; fails if something else comes, or it does not end. */
export async function refusal(client: RawClient): Promise<Readonly<Record<string, string>>> {
  const messages = await client.messagesToEnd();
  assert.equal(types(messages), 'E', messages.map(({ whole }) => whole.toString('latin1')).join());
  return messages[0]!.fields;
}
