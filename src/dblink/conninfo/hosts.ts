import { isIP } from 'node:net';
import { type ByteString, byteString, textOf } from './bytes.js';
import type { ConninfoDefaults } from './context.js';
import { type ConninfoError, conninfoError } from './error.js';
import { invalidInteger, parseCInteger } from './integer.js';

const DEFAULT_PORT = '5432';
/** Longest path of a Unix socket: sun_path has 108 bytes on Linux, the final NUL included. */
const MAX_SOCKET_PATH_BYTES = 107;

/** No real string names so many hosts. There is a limit because each host is examined before the first one is tried. */
const MAX_HOSTS = 1000;

/**
 * Why a host cannot even be tried. libpq finds such a problem only when it comes to the host. If an earlier host answers,
 * nobody sees it.
 */
export interface HostProblem {
  /** libpq's text in `error.message`, to be reported as this attempt's failure. */
  readonly error: ConninfoError;
  /**
   * Whether the text stands behind `connection to server at "…" … failed: `: libpq finds the problem only when the
   * address is known.
   */
  readonly prefixed: boolean;
  /** The search ends here; otherwise the next host is tried. */
  readonly fatal: boolean;
}

/** One place to connect to. */
export interface ConninfoHost {
  /**
   * The name as given: for TLS (SNI, verify-full), and to be looked up unless there is a `hostaddr`.
   * Empty if only `hostaddr` was given; verify-full then fails with
   * `host name must be specified for a verified SSL connection`.
   */
  readonly host: string;
  /** Numeric address to connect to instead of looking up `host`. */
  readonly hostaddr?: string;
  readonly port: number;
  /** Unix socket directory; `@…` is in the abstract namespace. TLS and keepalives do not apply. */
  readonly socketDirectory?: string;
  /** The socket's path, as messages show it: `<directory>/.s.PGSQL.<port>`. */
  readonly socketPath?: string;
  /** Host and port as messages show them: `connection to server at "displayHost", port displayPort failed`. */
  readonly displayHost: string;
  readonly displayPort: string;
  /** Host and port as the password file is searched for them. */
  readonly passfileHost: ByteString;
  readonly passfilePort: ByteString;
  readonly problem?: HostProblem;
}

/**
 * Splits host, hostaddr and port into places to try (behaviour reference 10, "Hosts"). An entry without host and hostaddr
 * means `defaults.host`. If it has no port of its own either, it means `defaults.port`.
 *
 * @throws ConninfoError if the lists' lengths do not match, or if there are too many hosts.
 */
export function resolveHosts(
  options: ReadonlyMap<string, ByteString>,
  defaults: ConninfoDefaults,
): readonly ConninfoHost[] {
  const addresses = splitList(options.get('hostaddr'));
  const names = splitList(options.get('host'));
  const ports = splitList(options.get('port'));
  const count = addresses?.length ?? names?.length ?? 1;
  if (names !== undefined && names.length !== count) {
    throw conninfoError`could not match ${names.length} host names to ${count} hostaddr values`;
  }
  if (ports !== undefined && ports.length !== 1 && ports.length !== count) {
    throw conninfoError`could not match ${ports.length} port numbers to ${count} hosts`;
  }
  if (count > MAX_HOSTS) throw conninfoError`more than ${MAX_HOSTS} hosts in connection info string`;
  return Array.from({ length: count }, (_, i) =>
    resolveHost(
      names?.[i] ?? '',
      addresses?.[i] ?? '',
      (ports?.length === 1 ? ports[0] : ports?.[i]) ?? '',
      defaults,
    ),
  );
}

function resolveHost(
  name: ByteString,
  address: ByteString,
  givenPort: ByteString,
  defaults: ConninfoDefaults,
): ConninfoHost {
  const defaulted = name === '' && address === '';
  const host = defaulted ? defaults.host : textOf(name);
  const portText = givenPort || (defaulted ? defaults.port : DEFAULT_PORT);
  const port = checkPort(portText);
  const isSocket = address === '' && isSocketDirectory(host);
  const socketPath = isSocket ? `${host}/.s.PGSQL.${port.number}` : undefined;
  const problem = port.problem ?? addressProblem(address) ?? socketProblem(socketPath);
  return {
    host,
    ...(address === '' ? {} : { hostaddr: textOf(address) }),
    port: port.number,
    ...(socketPath === undefined ? {} : { socketDirectory: host, socketPath }),
    displayHost: address === '' ? host : textOf(address),
    displayPort: textOf(portText),
    // In the password file libpq's default socket directory goes by the name localhost. Here that directory is the
    // primary's.
    passfileHost: defaulted && isSocket ? 'localhost' : defaulted ? byteString(host) : name || address,
    passfilePort: portText,
    ...(problem === undefined ? {} : { problem }),
  };
}

/** A comma-separated list; undefined when the option is unset or empty. */
function splitList(value: ByteString | undefined): readonly ByteString[] | undefined {
  return value === undefined || value === '' ? undefined : value.split(',');
}

function isSocketDirectory(host: string): boolean {
  return host.startsWith('/') || host.startsWith('@');
}

interface CheckedPort {
  readonly number: number;
  readonly problem?: HostProblem;
}

function checkPort(text: ByteString): CheckedPort {
  const number = parseCInteger(text);
  if (number === undefined)
    return { number: 0, problem: hostProblem(invalidInteger(text, 'port'), { fatal: true }) };
  if (number < 1 || number > 65535) {
    return { number, problem: hostProblem(conninfoError`invalid port number: "${text}"`) };
  }
  return { number };
}

/** hostaddr is never looked up. It must be a numeric address: IPv6, or IPv4 in one of the forms that inet_aton knows. */
function addressProblem(address: ByteString): HostProblem | undefined {
  if (address === '') return undefined;
  const zone = address.indexOf('%');
  const withoutZone = zone >= 0 && zone < address.length - 1 ? address.slice(0, zone) : address;
  if (isIP(withoutZone) === 6 || isIP(address) === 4 || isClassicIpv4(address)) return undefined;
  return hostProblem(conninfoError`could not parse network address "${address}": Name or service not known`);
}

/**
 * The forms of IPv4 that inet_aton knows: `127.1`, `0x7f000001`, `017700000001`. There are one to four numbers, and the
 * last one fills the bytes that are left.
 */
function isClassicIpv4(address: string): boolean {
  const parts = address.split('.');
  if (parts.length > 4 || !parts.every((p) => /^(?:0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*)$/i.test(p))) return false;
  const numbers = parts.map((p) => (/^0[0-7]/.test(p) ? Number.parseInt(p, 8) : Number(p)));
  const last = numbers.pop() ?? 0;
  return numbers.every((n) => n <= 255) && last < 256 ** (4 - numbers.length);
}

function socketProblem(path: string | undefined): HostProblem | undefined {
  if (path === undefined || Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return undefined;
  return hostProblem(
    conninfoError`Unix-domain socket path "${byteString(path)}" is too long (maximum ${MAX_SOCKET_PATH_BYTES} bytes)`,
  );
}

/** Makes a problem. Unless `kind` says otherwise it is found without an address, and the next host is tried. */
export function hostProblem(
  error: ConninfoError,
  kind: { readonly prefixed?: boolean; readonly fatal?: boolean } = {},
): HostProblem {
  return { error, prefixed: kind.prefixed ?? false, fatal: kind.fatal ?? false };
}
