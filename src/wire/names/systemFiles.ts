import { readFileSync, statSync } from 'node:fs';
import { numericAddress } from './numeric.js';

/** The local file of names: addresses by names in lower case, in the file's order. */
export type HostsFile = ReadonlyMap<string, readonly string[]>;

/** Reads hosts(5): all lines of a name count. */
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

/** How names are asked of the name servers. */
export interface ResolverConfig {
  /** Domains that are tried behind a name. */
  readonly search: readonly string[];
  /** A name with at least so many dots is tried as it is first. */
  readonly ndots: number;
  readonly timeoutMs: number;
  readonly attempts: number;
}

const MAX_NDOTS = 15;
const MAX_TIMEOUT_S = 30;
const MAX_ATTEMPTS = 5;

/**
 * Reads resolv.conf(5), the servers apart, which the resolver finds itself; LOCALDOMAIN and RES_OPTIONS win over it.
 * @param hostName of this host: its domain is searched where nothing else is said
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

/** How long it is taken for granted that a file has not changed. */
const LOOK_AGAIN_MS = 1000;

/**
 * What a file of the system says, read again when it has changed. A missing file is empty. It is read at once, not in a
 * thread: these two files are small and local, and nobody but the system's administrator says where they are.
 */
export class WatchedFile<T> {
  #value: T | undefined;
  #stamp: string | undefined;
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly path: string,
    private readonly parse: (text: string) => T,
  ) {}

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
