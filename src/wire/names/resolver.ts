import { Resolver } from 'node:dns';
import { hostname } from 'node:os';
import { inOrder } from './addressOrder.js';
import { NameError, type NameFailure } from './nameError.js';
import { numericAddress } from './numeric.js';
import { parseHosts, parseResolverConfig, type ResolverConfig, WatchedFile } from './systemFiles.js';

/** Where names are looked up. */
export interface NameSources {
  readonly hostsFile: string;
  /** The search list and the options. */
  readonly resolverFile: string;
  /** Name servers, each as `address` or `address:port`. Default: the system's. */
  readonly servers?: readonly string[];
  /** The environment, for LOCALDOMAIN and RES_OPTIONS. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

const SYSTEM_SOURCES: NameSources = {
  hostsFile: '/etc/hosts',
  resolverFile: '/etc/resolv.conf',
  env: process.env,
};

/** How many addresses of a name are looked at. The owner of a name decides how many it has, so there must be a limit. */
const MAX_ADDRESSES = 64;

/** The longest possible name (RFC 1035, section 2.3.4), including the dot at its end. */
const MAX_NAME_LENGTH = 254;

/** What getaddrinfo() knows without any file. */
const LOCALHOST = ['127.0.0.1', '::1'];

/**
 * The answer to one question to the name servers: addresses, or why there are none. `none`: there is no such name. `no data`:
 * the name has no addresses. `failed`: the servers could not answer. `silent`: they did not answer.
 */
type Answer = readonly string[] | 'none' | 'no data' | 'failed' | 'silent';

/**
 * Finds the addresses of names as getaddrinfo() does with `hosts: files dns`. It looks into the hosts file, then asks the name
 * servers with the search list of resolv.conf. It takes addresses of both families and orders them by RFC 6724. Unlike the
 * runtime's own look-up it occupies none of the runtime's few threads while it waits. So a silent name server only delays
 * those who asked it.
 */
export class NameResolver {
  #servers: readonly string[] | undefined;
  #hosts!: WatchedFile<ReadonlyMap<string, readonly string[]>>;
  #config!: WatchedFile<ResolverConfig>;

  constructor(sources: NameSources = SYSTEM_SOURCES) {
    this.use(sources);
  }

  /** Changes the sources from now on, for tests. @param sources those that are not given become the system's */
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
    // Each look-up has a channel of its own, so that its questions can be cancelled when nobody waits for them any more.
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

/**
 * Asks for a name as it is and with the domains of the search list behind it, in the order of res_search(), until there is an
 * answer. @throws NameError
 */
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
    // Name servers that do not answer this question will not answer the next one either.
    if (answer === 'silent') break;
  }
  throw new NameError(failureOf(failures));
}

function failureOf(failures: ReadonlySet<Answer>): NameFailure {
  if (failures.has('silent')) return 'EAI_AGAIN';
  if (failures.has('no data')) return 'EAI_NODATA';
  return failures.has('failed') ? 'EAI_AGAIN' : 'ENOTFOUND';
}

/** Asks for the addresses of one name, of both families. */
async function question(resolver: Resolver, name: string): Promise<Answer> {
  const ask = (method: 'resolve4' | 'resolve6'): Promise<Answer> =>
    new Promise((resolve) => {
      try {
        resolver[method](name, (error, addresses) => resolve(error ? failed(error) : addresses));
      } catch {
        resolve('none'); // The text cannot be a name at all.
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

/** The resolver that everything in this process uses. */
export const systemNames = new NameResolver();
