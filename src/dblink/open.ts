import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { describeServer, type SocketAddress } from '../wire/address.js';
import { ConnectError, WireClient } from '../wire/client.js';
import { Deadline } from '../wire/clientDeadline.js';
import { connectError } from '../wire/clientErrors.js';
import type { PgError } from '../wire/errors.js';
import { abortable } from './abortable.js';
import { connectTextBefore14 } from './connectText.js';
import {
  bytesOf,
  ConninfoError,
  type ConninfoHost,
  findRefusedOption,
  parseConninfo,
  type ResolvedConninfo,
  resolveConninfo,
  systemContext,
} from './conninfo/index.js';
import type { DblinkFacts, DblinkHome } from './context.js';
import {
  couldNotConnect,
  optionRefused,
  passthroughImpossible,
  passwordMissing,
  passwordNotRequested,
  tooManyFiles,
} from './errors.js';
import { type ForeignServer, serverConninfo, wantsPassthrough } from './foreignServer.js';
import { clipName } from './names.js';

export interface OpenOptions {
  readonly home: DblinkHome;
  readonly facts: DblinkFacts;
  /** dblink_connect_u: no password is asked of anybody. */
  readonly unchecked: boolean;
  readonly signal: AbortSignal;
  /** Between the checks of the string and the network: the place of the duplicate-name check. */
  readonly beforeConnect?: () => void;
}

/**
 * Opens a connection to a remote as dblink_connect does: checks in its order (behaviour reference, section 2).
 * @param target name of a foreign server, or else a connection string; a byte string
 * @throws PgError 08001, 2F003, 42501, 42704, 42601, 0A000, or the signal's reason
 */
export async function openRemote(target: string, options: OpenOptions): Promise<WireClient> {
  const { home, facts } = options;
  // What was learnt before this statement may have been taken away meanwhile. Both questions go in one flight.
  const [server, superuser] = await Promise.all([
    facts.findServer(clipName(target, facts.databaseEncoding), options.unchecked, options.signal),
    !options.unchecked && facts.superuser && facts.confirmSuperuser(),
  ]);
  const conninfo = server === undefined ? target : conninfoOf(server, options);
  const checked = !options.unchecked && !superuser && server?.declared !== true;
  let explicit: ReadonlyMap<string, string> | undefined;
  let problem: PgError | undefined;
  try {
    explicit = parseConninfo(Buffer.from(conninfo, 'latin1'));
  } catch (error) {
    problem = asConnectError(error, facts.primaryMajor);
  }
  const passed = explicit !== undefined && passesKeys(explicit, home);
  if (checked && !explicit?.get('password') && !passed) throw passwordMissing(facts.primaryMajor);
  options.beforeConnect?.();
  if (explicit === undefined) throw problem!;
  const refused = findRefusedOption(explicit, facts.primaryMajor);
  if (refused !== undefined) throw optionRefused(refused);

  let client: WireClient;
  try {
    const hostless = !explicit.get('host') && !explicit.get('hostaddr');
    const completed = new Map(explicit);
    // A string without a host means the server itself: the same database, unless it names one.
    if (hostless && !process.env['PGHOST'] && !process.env['PGDATABASE'] && !completed.get('dbname')) {
      completed.set('dbname', home.database);
    }
    const resolved = await resolveConninfo(
      completed,
      systemContext({ host: home.primaryHost, port: String(home.primaryPort), user: home.user }),
    );
    client = await connectFirst(resolved, options.signal);
  } catch (error) {
    options.signal.throwIfAborted();
    throw asConnectError(error, facts.primaryMajor);
  }
  if (checked && !client.passwordRequested && !passed) {
    client.close();
    throw passwordNotRequested(facts.primaryMajor);
  }
  return client;
}

/** @throws PgError 42601; 0A000 for a SCRAM pass-through that the extension could do, and without which there is no password */
function conninfoOf(server: ForeignServer, { home, facts }: OpenOptions): string {
  const scram = home.scram?.();
  if (scram !== 'relayed') return serverConninfo(server, facts.primaryMajor, scram);
  const hasPassword = server.mappingOptions.some((option) => /^password=./.test(option));
  if (!hasPassword && wantsPassthrough(server, facts.primaryMajor)) throw passthroughImpossible(server.name);
  return serverConninfo(server, facts.primaryMajor, undefined);
}

/** SCRAM pass-through counts as credentials of the caller's own while nothing but SCRAM is permitted (section 9). */
const passesKeys = (explicit: ReadonlyMap<string, string>, home: DblinkHome): boolean =>
  typeof home.scram?.() === 'object' &&
  Boolean(explicit.get('scram_client_key') && explicit.get('scram_server_key')) &&
  explicit.get('require_auth') === 'scram-sha-256';

function asConnectError(error: unknown, primaryMajor: number): PgError {
  let text: string;
  if (error instanceof ConnectError) {
    if (error.code === 'EMFILE' || error.code === 'ENFILE') return tooManyFiles();
    text = error.message;
  } else if (error instanceof ConninfoError) text = error.messageBytes.toString('latin1');
  else throw error;
  return couldNotConnect(primaryMajor < 14 ? connectTextBefore14(text) : text);
}

interface Attempt {
  readonly host: ConninfoHost;
  readonly index: number;
  readonly address: SocketAddress;
}

/** Tries the hosts in order, all addresses of each; an answer of the server ends the search (reference, section 10). */
async function connectFirst(target: ResolvedConninfo, signal: AbortSignal): Promise<WireClient> {
  const failures: string[] = [];
  const order = target.hosts.map((host, index) => ({ host, index }));
  if (target.loadBalance === 'random') shuffle(order);
  for (const { host, index } of order) {
    if (host.problem !== undefined) {
      const text = host.problem.error.messageBytes.toString('latin1');
      failures.push(host.problem.prefixed ? `connection to ${shownServer(host)} failed: ${text}` : text);
      if (host.problem.fatal) break;
      continue;
    }
    let addresses: readonly SocketAddress[];
    try {
      addresses = await abortable(addressesOf(host), signal);
    } catch (error) {
      signal.throwIfAborted();
      failures.push(
        `could not translate host name "${Buffer.from(host.host).toString('latin1')}" to address: ${lookupMessage(error)}`,
      );
      continue;
    }
    for (const address of addresses) {
      if (target.requirePeer !== undefined && 'path' in address) {
        failures.push(
          `connection to ${shownServer(host)} failed: requirepeer parameter is not supported on this platform`,
        );
        continue;
      }
      try {
        const client = await connectOne({ host, index, address }, target, signal);
        const describe = describeServer(address, host.displayHost);
        const unfit = await sessionUnfit(client, target, describe, signal);
        if (unfit === undefined) return client;
        client.close();
        failures.push(`connection to ${describe} failed: ${unfit}`);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ConnectError)) throw error;
        failures.push(withPassfile(error, target.passfileFor(index)));
        // libpq goes on to the next host only when the server could not be reached or cannot serve now.
        if (error.stage === 'auth' || (error.fields !== undefined && error.sqlstate !== '57P03')) {
          throw new ConnectError(failures.join('\n'), error);
        }
        if (error.code === 'EMFILE' || error.code === 'ENFILE') throw error;
      }
    }
  }
  throw new ConnectError(failures.join('\n'), { stage: 'network' });
}

async function connectOne(
  attempt: Attempt,
  target: ResolvedConninfo,
  signal: AbortSignal,
): Promise<WireClient> {
  const { host, index, address } = attempt;
  const password = target.passwordFor(index);
  const { scramClientKey: clientKey, scramServerKey: serverKey } = target;
  return WireClient.connect(
    {
      address,
      describe: describeServer(address, host.displayHost),
      tls: {
        ...target.tls,
        ...(target.tls.keyPassword === undefined ? {} : { keyPassword: target.tls.keyPassword }),
        ...('path' in address ? { mode: 'disable' as const } : {}),
        serverName: host.host,
      },
      startup: [['user', target.user], ['database', target.database], ...target.startup],
      password: password === undefined ? undefined : bytesOf(password),
      channelBinding: target.channelBinding,
      ...(target.requireAuth === undefined ? {} : { requireAuth: target.requireAuth }),
      ...(clientKey === undefined || serverKey === undefined ? {} : { scramKeys: { clientKey, serverKey } }),
      timeoutMs: target.connectTimeoutMs,
      keepAlive: target.keepalive,
    },
    signal,
  );
}

const shownServer = (host: ConninfoHost): string =>
  host.socketPath === undefined
    ? `server at "${host.displayHost}", port ${host.displayPort}`
    : `server on socket "${host.socketPath}"`;

async function addressesOf(host: ConninfoHost): Promise<readonly SocketAddress[]> {
  if (host.socketPath !== undefined) return [{ path: host.socketPath }];
  const name = host.hostaddr ?? host.host;
  if (isIP(name) > 0) return [{ host: name, port: host.port }];
  const found = await lookup(name, { all: true, verbatim: true });
  return found.map(({ address }) => ({ host: address, port: host.port }));
}

function lookupMessage(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'EAI_AGAIN' ? 'Temporary failure in name resolution' : 'Name or service not known';
}

function withPassfile(error: ConnectError, file: string | undefined): string {
  return file === undefined || error.sqlstate !== '28P01'
    ? error.message
    : `${error.message}\npassword retrieved from file "${Buffer.from(file).toString('latin1')}"`;
}

/**
 * Why a connection does not have the wanted target_session_attrs, or undefined if it does. A server that does not say is
 * left.
 * @throws ConnectError, the signal's reason
 */
async function sessionUnfit(
  client: WireClient,
  target: ResolvedConninfo,
  describe: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const wanted = target.targetSessionAttrs;
  if (wanted === 'any') return undefined;
  const rows: string[] = [];
  const timeUp = () => connectError(describe, 'timeout expired', { stage: 'network' });
  const deadline = new Deadline(target.connectTimeoutMs, signal, timeUp);
  try {
    const asked = client.query(
      Buffer.from("SELECT current_setting('transaction_read_only'), pg_is_in_recovery()"),
      {
        rowDescription: () => 'rows',
        row: (message) => {
          rows[0] ??= message.toString('latin1');
        },
      },
    );
    await abortable(asked, deadline.signal);
  } catch (error) {
    client.destroy();
    deadline.signal.throwIfAborted();
    throw connectError(describe, (error as Error).message, { stage: 'network' });
  } finally {
    deadline.dispose();
  }
  if (rows.length === 0) return '"SHOW transaction_read_only" failed';
  const readOnly = rows[0]?.includes('on') ?? false;
  const standby = rows[0]?.endsWith('t') ?? false;
  const text = (reason: string) => `session is ${reason}`;
  switch (wanted) {
    case 'read-write':
      return readOnly ? text('read-only') : undefined;
    case 'read-only':
      return readOnly ? undefined : text('not read-only');
    case 'primary':
      return standby ? 'server is in hot standby mode' : undefined;
    case 'standby':
      return standby ? undefined : 'server is not in hot standby mode';
    default:
      return undefined;
  }
}

function shuffle<T>(items: T[]): void {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [items[i], items[j]] = [items[j]!, items[i]!];
  }
}
