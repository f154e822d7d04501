import { readFileSync, statSync } from 'node:fs';
import { numericAddress } from './numeric.js';

/** The contents of the hosts file: for each name in lower case its addresses, in the file's order. */
export type HostsFile = ReadonlyMap<string, readonly string[]>;

/** Reads a hosts file, hosts(5). A name that is in several lines has the addresses of all of them. */
export function parseHosts(text: string): HostsFile {
  const hosts = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const comment = line.indexOf('#');
    const [written = '', ...names] = (comment < 0 ? line : line.slice(0, comment))
      .split(/[ \t\r]+/)
      .filter(Boolean);
    const address = numericAddress(written);
    if (address === undefined) continue;
    for (const name of names) {
      const key = name.toLowerCase();
      const addresses = hosts.get(key);
      if (addresses === undefined) hosts.set(key, [address]);
      else if (!addresses.includes(address)) addresses.push(address);
    }
  }
  return hosts;
}

/** How the name servers are asked for names. */
export interface ResolverConfig {
  /** Domains that are tried behind a name. */
  readonly search: readonly string[];
  /** A name with at least this many dots is first tried as it is. */
  readonly ndots: number;
  /** How long one attempt waits for an answer. */
  readonly timeoutMs: number;
  /** How often each name server is asked. */
  readonly attempts: number;
}

const MAX_NDOTS = 15;
const MAX_TIMEOUT_S = 30;
const MAX_ATTEMPTS = 5;

/**
 * Reads resolv.conf(5) except for the name servers, which the resolver finds itself. The environment variables LOCALDOMAIN and
 * RES_OPTIONS win over the file.
 * @param text of the file
 * @param hostName of this host; its domain is searched if neither file nor environment names one
 */
export function parseResolverConfig(
  text: string,
  env: Readonly<Record<string, string | undefined>>,
  hostName: string,
): ResolverConfig {
  const dot = hostName.indexOf('.');
  let search: readonly string[] = dot < 0 ? [] : [hostName.slice(dot + 1)];
  const options: string[] = [];
  for (const line of text.split('\n')) {
    if (/^[#;]/.test(line)) continue;
    const [keyword, ...values] = line.split(/[ \t\r]+/).filter(Boolean);
    if (keyword === 'domain') search = values.slice(0, 1);
    else if (keyword === 'search') search = values;
    else if (keyword === 'options') options.push(...values);
  }
  if (env['LOCALDOMAIN'] !== undefined) search = env['LOCALDOMAIN'].split(' ').filter(Boolean);
  options.push(...(env['RES_OPTIONS'] ?? '').split(' '));
  const option = (name: string, otherwise: number, least: number, most: number): number => {
    const given = options.filter((text) => text.startsWith(`${name}:`)).at(-1);
    const value = Number.parseInt(given?.slice(name.length + 1) ?? '', 10);
    return Number.isNaN(value) ? otherwise : Math.min(Math.max(value, least), most);
  };
  return {
    search: search.map((domain) => domain.replace(/\.$/, '')).filter(Boolean),
    ndots: option('ndots', 1, 0, MAX_NDOTS),
    timeoutMs: option('timeout', 5, 1, MAX_TIMEOUT_S) * 1000,
    attempts: option('attempts', 2, 1, MAX_ATTEMPTS),
  };
}

/** How long a file is assumed to be unchanged before it is looked at again. */
const LOOK_AGAIN_MS = 1000;

/**
 * The contents of a system file, read again when the file has changed. A file that cannot be read counts as empty. It is read
 * synchronously, not in a thread: the two files in question are small and local, and only the system's administrator says
 * where they are.
 */
export class WatchedFile<T> {
  #value: T | undefined;
  #stamp: string | undefined;
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly path: string,
    private readonly parse: (text: string) => T,
  ) {}

  /** The parsed contents, as they were at most LOOK_AGAIN_MS ago. */
  get value(): T {
    const now = performance.now();
    if (this.#value === undefined || now - this.#lookedAt > LOOK_AGAIN_MS) {
      this.#lookedAt = now;
      const stamp = stampOf(this.path);
      if (this.#value === undefined || stamp !== this.#stamp) {
        this.#stamp = stamp;
        this.#value = this.parse(textOf(this.path));
      }
    }
    return this.#value;
  }
}

function stampOf(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? '' : `${found.ino} ${found.size} ${found.mtimeMs}`;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
