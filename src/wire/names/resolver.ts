import { Resolver } from 'node:dns';
import { hostname } from 'node:os';
import { inOrder } from './addressOrder.js';
import { NameError, type NameFailure } from './nameError.js';
import { numericAddress } from './numeric.js';
import { parseHosts, parseResolverConfig, type ResolverConfig, WatchedFile } from './systemFiles.js';

/** Where names are looked up. */
export interface NameSources {
  readonly hostsFile: string;
  /** The search list and the options; the name servers as well, unless others are given. */
  readonly resolverFile: string;
  /** `address` or `address:port`. */
  readonly servers?: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

const SYSTEM_SOURCES: NameSources = {
  hostsFile: '/etc/hosts',
  resolverFile: '/etc/resolv.conf',
  env: process.env,
};

/** The most addresses of a name that are looked at: whose name it is decides how many it has. */
const MAX_ADDRESSES = 64;

/** The longest name that there can be (RFC 1035, section 2.3.4), with the dot at its end. */
const MAX_NAME_LENGTH = 254;

/** What getaddrinfo() knows without any file. */
const LOCALHOST = ['127.0.0.1', '::1'];

/** What one question to the name servers came to. */
type Answer = readonly string[] | 'none' | 'no data' | 'failed' | 'silent';

/**
 * Finds the addresses of names as getaddrinfo() does with `hosts: files dns`: the hosts file, then the name servers with
 * the search list of resolv.conf, both families, ordered by RFC 6724. It occupies none of the few threads in which the
 * runtime's own look-up waits, so that a name server that is silent delays nobody but who asked it.
 */
export class NameResolver {
  #servers: readonly string[] | undefined;
  #hosts!: WatchedFile<ReadonlyMap<string, readonly string[]>>;
  #config!: WatchedFile<ResolverConfig>;

  constructor(sources: NameSources = SYSTEM_SOURCES) {
    this.use(sources);
  }

  /** Changes the sources from now on: for tests. @param sources the system's where not given */
  use(sources: Partial<NameSources> = {}): void {
    const { hostsFile, resolverFile, servers, env } = { ...SYSTEM_SOURCES, ...sources };
    this.#servers = servers;
    this.#hosts = new WatchedFile(hostsFile, parseHosts);
    this.#config = new WatchedFile(resolverFile, (text) => parseResolverConfig(text, env, hostname()));
  }

  /**
   * The addresses of a name, at least one, in the order in which to try them.
   * @param signal ends the look-up
   * @throws NameError; the signal's reason
   */
  async lookup(name: string, signal?: AbortSignal): Promise<readonly string[]> {
    signal?.throwIfAborted();
    if (name.length > MAX_NAME_LENGTH) throw new NameError('ENOTFOUND');
    const address = numericAddress(name);
    if (address !== undefined) return [address];
    const key = name.toLowerCase();
    const local = this.#hosts.value.get(key) ?? (key === 'localhost' ? LOCALHOST : undefined);
    const found = local ?? (await this.#ask(name, signal));
    const addresses = await inOrder([...new Set(found)].slice(0, MAX_ADDRESSES));
    signal?.throwIfAborted();
    return addresses;
  }

  async #ask(name: string, signal: AbortSignal | undefined): Promise<readonly string[]> {
    const config = this.#config.value;
    // A channel of its own: its questions end when nobody waits for them any more.
    const resolver = new Resolver({ timeout: config.timeoutMs, tries: config.attempts });
    if (this.#servers !== undefined) resolver.setServers([...this.#servers]);
    const cancel = (): void => resolver.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      return await search(name, config, async (candidate) => {
        signal?.throwIfAborted();
        const answer = await question(resolver, candidate);
        signal?.throwIfAborted();
        return answer;
      });
    } finally {
      signal?.removeEventListener('abort', cancel);
    }
  }
}

/** Tries a name as it is and with the domains of the search list, in the order of res_search(). @throws NameError */
async function search(
  name: string,
  { search: domains, ndots }: ResolverConfig,
  ask: (name: string) => Promise<Answer>,
): Promise<readonly string[]> {
  const absolute = name.endsWith('.');
  const bare = absolute ? name.slice(0, -1) : name;
  const withDomains = absolute ? [] : domains.map((domain) => `${name}.${domain}`);
  const asIsFirst = absolute || name.split('.').length - 1 >= ndots;
  const failures = new Set<Answer>();
  for (const candidate of asIsFirst ? [bare, ...withDomains] : [...withDomains, bare]) {
    const answer = await ask(candidate);
    if (typeof answer === 'object') return answer;
    failures.add(answer);
    // Who does not answer this question does not answer the next one either.
    if (answer === 'silent') break;
  }
  throw new NameError(failureOf(failures));
}

function failureOf(failures: ReadonlySet<Answer>): NameFailure {
  if (failures.has('silent')) return 'EAI_AGAIN';
  if (failures.has('no data')) return 'EAI_NODATA';
  return failures.has('failed') ? 'EAI_AGAIN' : 'ENOTFOUND';
}

/** Both families of one name. */
async function question(resolver: Resolver, name: string): Promise<Answer> {
  const ask = (method: 'resolve4' | 'resolve6'): Promise<Answer> =>
    new Promise((resolve) => {
      try {
        resolver[method](name, (error, addresses) => resolve(error ? failed(error) : addresses));
      } catch {
        resolve('none'); // What is no name at all.
      }
    });
  const answers = await Promise.all([ask('resolve6'), ask('resolve4')]);
  const addresses = answers.flatMap((answer) => (typeof answer === 'object' ? answer : []));
  if (addresses.length > 0) return addresses;
  const worst = (['silent', 'failed', 'no data'] as const).find((answer) => answers.includes(answer));
  return worst ?? (answers.includes('none') ? 'none' : 'no data');
}

function failed({ code }: NodeJS.ErrnoException): Exclude<Answer, readonly string[]> {
  switch (code) {
    case 'ENODATA':
      return 'no data';
    case 'ESERVFAIL':
    case 'EREFUSED':
    case 'ENOTIMP':
      return 'failed';
    case 'ETIMEOUT':
    case 'ECONNREFUSED':
    case 'ECANCELLED':
      return 'silent';
    default:
      return 'none';
  }
}

/** The one that everything in this process uses. */
export const systemNames = new NameResolver();
