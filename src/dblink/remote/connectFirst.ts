import { describeServer, type SocketAddress } from '../../wire/address.js';
import { connectError } from '../../wire/connectErrors.js';
import { namedFiles } from '../../wire/host/hostFiles.js';
import { NameError } from '../../wire/names/nameError.js';
import { systemNames } from '../../wire/names/resolver.js';
import { Deadline } from '../../wire/outbound/deadline.js';
import { ConnectError, type KeepAlive, WireClient } from '../../wire/outbound/index.js';
import { abortable } from '../../wire/pace/abortable.js';
import { EMPTY } from '../../wire/protocol.js';
import type { Attempts } from '../auditing/attempts.js';
import { bytesOf, type ConninfoHost, type ResolvedConninfo } from '../conninfo/index.js';
import type { RemoteTimes } from '../context.js';
import { READ_ONLY_OPTION } from './guard/readOnlySession.js';

/** Longer answers to the question for the session's kind are not looked at. */
const MOST_ROW_BYTES = 100;
const TRUE = 't'.charCodeAt(0);

interface Attempt {
  readonly host: ConninfoHost;
  readonly index: number;
  readonly address: SocketAddress;
  /** How long it may take; 0 for no limit. */
  readonly timeoutMs: number;
}

/** Settings of a connection that its connection string does not hold. */
export interface ClientSettings {
  /** The session that connects: sessions take turns where password hashes are computed. */
  readonly owner?: object | undefined;
  /** The largest number of SCRAM iterations that a server may ask for. */
  readonly maxScramIterations?: number | undefined;
  /** Whether the password itself may be sent to a server without TLS. By default it may, as in libpq. */
  readonly plainPassword?: boolean | undefined;
  /** See RemoteTimes. They hold beside the connection string's own. */
  readonly times?: Pick<RemoteTimes, 'remoteConnect' | 'lookup'> | undefined;
  /** Waits for room for one more connection to a server. @returns what gives the room back @throws PgError 53300 */
  readonly room?: ((address: SocketAddress) => Promise<() => void>) | undefined;
  /** Says whether a place may be connected to. Without it, any may. */
  readonly permission?: PlacePermission | undefined;
  /** Is told of each attempt. */
  readonly attempts?: Attempts | undefined;
}

/** Says whether a place may be connected to. */
export interface PlacePermission {
  /** What has permitted the place that was asked about last. */
  readonly by: string | undefined;
  /** Whether the session there has to be read-only. */
  readonly readOnly: boolean;
  /** @param address undefined before the host is looked up @throws PgError 42501 */
  check(host: ConninfoHost, address?: SocketAddress): Promise<void>;
}

/**
 * Tries the hosts in order, and all addresses of each. The search ends when a server has answered (behaviour reference,
 * section 10), unless it cannot serve now (57P03) or does not have the wanted target_session_attrs.
 * @throws ConnectError with libpq's messages, one per attempt; the signal's reason
 */
export async function connectFirst(
  target: ResolvedConninfo,
  signal: AbortSignal,
  settings: ClientSettings = {},
): Promise<WireClient> {
  const { times } = settings;
  const timeoutMs = earlier(target.connectTimeoutMs, times?.remoteConnect);
  const failures: string[] = [];
  const { permission, attempts } = settings;
  const order = target.hosts.map((host, index) => ({ host, index }));
  if (target.loadBalance === 'random') shuffle(order);
  for (const { host, index } of order) {
    attempts?.at(host);
    if (host.problem !== undefined) {
      const text = host.problem.error.messageBytes.toString('latin1');
      failures.push(host.problem.prefixed ? `connection to ${shownServer(host)} failed: ${text}` : text);
      attempts?.unusable('before');
      if (host.problem.fatal) break;
      continue;
    }
    await permission?.check(host);
    let addresses: readonly SocketAddress[];
    try {
      addresses = await addressesOf(host, earlier(timeoutMs, times?.lookup), signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof NameError)) throw error;
      attempts?.unusable('name');
      failures.push(
        `could not translate host name "${Buffer.from(host.host).toString('latin1')}" to address: ${error.message}`,
      );
      continue;
    }
    for (const address of addresses) {
      attempts?.at(host, address);
      if (target.requirePeer !== undefined && 'path' in address) {
        attempts?.unusable('before');
        failures.push(
          `connection to ${shownServer(host)} failed: requirepeer parameter is not supported on this platform\n` +
            '\tdblink-proxy cannot find out which user the server of a socket runs as. Leave requirepeer out, and let the ' +
            "permissions of the socket's directory see to it that nobody else can make the socket.",
        );
        continue;
      }
      await permission?.check(host, address);
      try {
        const client = await connectWithRoom({ host, index, address, timeoutMs }, target, signal, settings);
        const describe = describeServer(address, host.displayHost);
        const unfit = await sessionUnfit(
          client,
          { wanted: target.targetSessionAttrs, timeoutMs },
          describe,
          signal,
        );
        if (unfit === undefined) return client;
        client.close();
        failures.push(`connection to ${describe} failed: ${unfit}`);
      } catch (error) {
        attempts?.failed(signal.aborted ? signal.reason : error, permission?.by);
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

async function connectWithRoom(
  attempt: Attempt,
  target: ResolvedConninfo,
  signal: AbortSignal,
  settings: ClientSettings,
): Promise<WireClient> {
  const leave = await settings.room?.(attempt.address);
  try {
    const client = await connectOne(attempt, target, signal, settings);
    if (leave !== undefined) client.onceReleased(leave);
    return client;
  } catch (error) {
    leave?.();
    throw error;
  }
}

async function connectOne(
  attempt: Attempt,
  target: ResolvedConninfo,
  signal: AbortSignal,
  { owner, maxScramIterations, plainPassword, permission, attempts }: ClientSettings,
): Promise<WireClient> {
  const { host, index, address } = attempt;
  const password = target.passwordFor(index);
  const { scramClientKey: clientKey, scramServerKey: serverKey } = target;
  const watch = attempts?.watch();
  const client = await WireClient.connect(
    {
      address,
      onEnd: watch?.onEnd,
      describe: describeServer(address, host.displayHost),
      tls: {
        ...target.tls,
        ...(target.tls.certMode === 'disable' ? { certFile: undefined, keyFile: undefined } : {}),
        crlDirectory: target.tls.crlDir,
        files: namedFiles,
        ...(target.tls.keyPassword === undefined ? {} : { keyPassword: target.tls.keyPassword }),
        ...('path' in address ? { mode: 'disable' as const } : {}),
        serverName: host.host,
      },
      startup: [['user', target.user], ['database', target.database], ...startupOf(target, permission)],
      password: password === undefined ? undefined : bytesOf(password),
      plainPassword,
      protocolVersion: target.protocol.max,
      minProtocolVersion: target.protocol.min,
      channelBinding: target.channelBinding,
      ...(target.requireAuth === undefined ? {} : { requireAuth: target.requireAuth }),
      ...(clientKey === undefined || serverKey === undefined ? {} : { scramKeys: { clientKey, serverKey } }),
      timeoutMs: attempt.timeoutMs,
      keepAlive: keepAliveOf(target.keepalive),
      owner,
      limits: { maxScramIterations },
    },
    signal,
  );
  watch?.opened(client, { rule: permission?.by, readOnly: permission?.readOnly === true });
  return client;
}

/** The parameters of the startup packet. A session that has to be read-only begins so, whatever else it begins with. */
function startupOf(
  { startup }: ResolvedConninfo,
  permission: PlacePermission | undefined,
): ResolvedConninfo['startup'] {
  if (permission?.readOnly !== true) return startup;
  const given = startup.find(([name]) => name === 'options')?.[1];
  const options = given === undefined ? READ_ONLY_OPTION : `${given} ${READ_ONLY_OPTION}`;
  return [...startup.filter(([name]) => name !== 'options'), ['options', options]];
}

/** The shorter of two time limits, either of which is none if it is 0. */
const earlier = (a: number, b = 0): number => (a === 0 || b === 0 ? a + b : Math.min(a, b));

const shownServer = (host: ConninfoHost): string =>
  host.socketPath === undefined
    ? `server at "${host.displayHost}", port ${host.displayPort}`
    : `server on socket "${host.socketPath}"`;

/** Looks up a host's addresses. @param timeoutMs 0 for no limit @throws NameError, the signal's reason */
async function addressesOf(
  host: ConninfoHost,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<readonly SocketAddress[]> {
  if (host.socketPath !== undefined) return [{ path: host.socketPath }];
  const deadline = new Deadline(timeoutMs, signal, () => new NameError('EAI_AGAIN'));
  try {
    const found = await systemNames.lookup(host.hostaddr ?? host.host, deadline.signal);
    return found.map((address) => ({ host: address, port: host.port }));
  } finally {
    deadline.dispose();
  }
}

function withPassfile(error: ConnectError, file: string | undefined): string {
  return file === undefined || error.sqlstate !== '28P01'
    ? error.message
    : `${error.message}\npassword retrieved from file "${Buffer.from(file).toString('latin1')}"`;
}

/**
 * Why a connection does not have the wanted target_session_attrs, or undefined if it does. A server that does not answer
 * the question does not have them.
 * @throws ConnectError, the signal's reason
 */
async function sessionUnfit(
  client: WireClient,
  {
    wanted,
    timeoutMs,
  }: { readonly wanted: ResolvedConninfo['targetSessionAttrs']; readonly timeoutMs: number },
  describe: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (wanted === 'any') return undefined;
  let row: Buffer = EMPTY;
  const timeUp = () => connectError(describe, 'timeout expired', { stage: 'network' });
  const deadline = new Deadline(timeoutMs, signal, timeUp);
  try {
    const asked = client.query(
      Buffer.from("SELECT current_setting('transaction_read_only'), pg_is_in_recovery()"),
      {
        rowDescription: () => 'raw',
        rawRows: (bytes) => {
          if (row.length + bytes.length > MOST_ROW_BYTES) throw new Error('an answer that is too long');
          row = Buffer.concat([row, bytes]);
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
  if (row.length === 0) return '"SHOW transaction_read_only" failed';
  const readOnly = row.includes('on');
  const standby = row.at(-1) === TRUE;
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

/** The longest that Linux takes, in seconds. */
const MAX_IDLE_SECONDS = 32_767;

const keepAliveOf = ({ enabled, idleSeconds }: ResolvedConninfo['keepalive']): KeepAlive => ({
  enabled,
  ...(idleSeconds === undefined ? {} : { idleMs: Math.min(idleSeconds, MAX_IDLE_SECONDS) * 1000 }),
});
