import { accountOptions, ServiceConnection } from '../bridge/service/serviceConnection.js';
import type { Config } from '../config/index.js';
import { serverConninfo } from '../dblink/connections/foreignServer.js';
import {
  ConninfoError,
  type ConninfoHost,
  parseConninfo,
  resolveConninfo,
  systemContext,
} from '../dblink/conninfo/index.js';
import {
  AddressSet,
  judge,
  type Policy,
  type PolicyFacts,
  type Ruling,
  type Wanted,
} from '../policy/index.js';
import { asForeignServer, findDeclared, memberQuery } from '../primary/declaredServers.js';
import { readServer } from '../primary/foreignServerQuery.js';
import { FIND_FOR } from '../primary/foreignServers.js';
import { NameError } from '../wire/names/nameError.js';
import { systemNames } from '../wire/names/resolver.js';
import { routerSettings } from './sessionSettings.js';

/** Who wants to connect to what. */
export interface PolicyQuestion {
  /** The role whose rights count. */
  readonly role: string;
  /** The client's database. */
  readonly database: string;
  /** The client's address; undefined for one that comes by a Unix socket. */
  readonly client: string | undefined;
  /** Name of a foreign or declared server, or a connection string. */
  readonly target: string;
}

/** What the policy says: a line for each place, with what led to it. */
export interface PolicyAnswer {
  /** Whether there is a place that may be connected to, and none before it that may not. */
  readonly allowed: boolean;
  readonly lines: readonly string[];
}

/** The policy cannot be asked. The message is for the person who tried. */
export class PolicyCheckError extends Error {
  override readonly name = 'PolicyCheckError';
}

/**
 * Says what the policy decides about a connection, and why. Nothing is connected to but the primary, and that only where the answer depends
 * on it: for foreign servers and for roles.
 * @throws PolicyCheckError
 */
export async function checkPolicy(config: Config, question: PolicyQuestion): Promise<PolicyAnswer> {
  const settings = routerSettings(config);
  const primary = new Primary(config, question);
  try {
    const target = await findTarget(config, primary, question.target);
    const options = parsed(target.conninfo);
    const { primary: own } = settings;
    const defaults = { host: own.name, port: String(own.port), user: question.role };
    if (!options.get('host') && !options.get('hostaddr') && !options.get('dbname'))
      options.set('dbname', question.database);
    const resolved = await resolveConninfo(options, systemContext(defaults)).catch(notUsable);
    const primaryAt = await addressesOf(own.address);
    const facts: PolicyFacts = {
      isMember: (roles) => primary.isMember(roles),
      isAt: (place, destination, port) =>
        place === 'self'
          ? settings.isOwn(destination, port)
          : port === own.port && primaryAt.has(destination),
    };
    const lines: string[] = [];
    let allowed: boolean | undefined;
    for (const host of resolved.hosts) {
      const wanted: Wanted = {
        server: target.server,
        hosts: writings(host),
        port: host.port,
        database: resolved.database,
        user: resolved.user,
        from: question.database,
        client: question.client,
      };
      for (const [place, ruling] of await rulings(settings, host, wanted, facts)) {
        lines.push(...told(place, ruling));
        allowed ??= ruling.action === 'allow';
      }
    }
    return { allowed: allowed === true, lines };
  } finally {
    primary.close();
  }
}

const writings = ({ socketDirectory, host, hostaddr }: ConninfoHost): readonly string[] =>
  [socketDirectory ?? host, hostaddr].filter((name): name is string => name !== undefined && name !== '');

/** The ruling on each address of a host, or the one that comes before it is looked up. */
async function rulings(
  { policy }: { readonly policy: Policy },
  host: ConninfoHost,
  wanted: Wanted,
  facts: PolicyFacts,
): Promise<readonly (readonly [place: string, Ruling])[]> {
  const shown = `${writings(host).join(' ') || 'the primary'} port ${host.port}`;
  const early = await judge(policy, wanted, facts);
  if (early.action !== 'later') return [[shown, early]];
  if (host.socketPath !== undefined)
    return [[host.socketPath, await judge(policy, wanted, facts, { socket: host.socketPath })]];
  try {
    const addresses = await systemNames.lookup(host.hostaddr ?? host.host, new AbortController().signal);
    return await Promise.all(
      addresses.map(
        async (address) =>
          [`${shown} at ${address}`, await judge(policy, wanted, facts, { address })] as const,
      ),
    );
  } catch (error) {
    if (!(error instanceof NameError)) throw error;
    throw new PolicyCheckError(`${host.host} cannot be looked up: ${error.message}`);
  }
}

function told(place: string, { action, by, readOnly, passedOver }: Ruling): readonly string[] {
  const passed = passedOver.map(
    (rule) => `  passed over: ${rule.place}, since "${rule.condition}" does not hold`,
  );
  const word = action === 'allow' ? 'allowed' : 'denied';
  return [`${place}: ${word} by ${by}${readOnly ? ', read-only' : ''}`, ...passed];
}

/** Where the primary is. A socket has no address. */
async function addressesOf(
  address: { readonly host: string } | { readonly path: string },
): Promise<AddressSet> {
  if ('path' in address) return new AddressSet([]);
  const found = await systemNames.lookup(address.host, new AbortController().signal).catch(() => []);
  const isNear = found.some((one) => new AddressSet(['loopback']).has({ address: one }));
  return new AddressSet(isNear ? ['loopback', ...found] : found);
}

function parsed(conninfo: string): Map<string, string> {
  try {
    return new Map(parseConninfo(Buffer.from(conninfo, 'utf8')));
  } catch (error) {
    return notUsable(error);
  }
}

function notUsable(error: unknown): never {
  if (!(error instanceof ConninfoError)) throw error;
  throw new PolicyCheckError(error.messageBytes.toString('utf8').trimEnd());
}

/** What a target is: a server of the primary, a declared one, or a connection string. */
async function findTarget(
  config: Config,
  primary: Primary,
  target: string,
): Promise<{ readonly server: string | undefined; readonly conninfo: string }> {
  const isName = !/[=:/]/.test(target);
  const foreign = isName ? await primary.conninfoOf(target) : undefined;
  if (foreign !== undefined) return { server: target, conninfo: foreign };
  const declared = findDeclared(config.dblink.servers, Buffer.from(target).toString('latin1'), 'UTF8');
  if (declared === undefined) return { server: undefined, conninfo: target };
  return { server: target, conninfo: text(serverConninfo(asForeignServer(declared), 18, undefined)) };
}

const text = (bytes: string): string => Buffer.from(bytes, 'latin1').toString('utf8');

/** Asks the primary with the proxy's account, when it has to be asked. */
class Primary {
  #connection: Promise<ServiceConnection> | undefined;

  constructor(
    private readonly config: Config,
    private readonly question: PolicyQuestion,
  ) {}

  #open(): Promise<ServiceConnection> {
    const { service } = routerSettings(this.config);
    if (service === undefined)
      throw new PolicyCheckError('the primary has to be asked, and its URL names no account of the proxy');
    this.#connection ??= ServiceConnection.connect(accountOptions(service, this.question.database)).catch(
      (error: Error) => {
        throw new PolicyCheckError(`the primary cannot be asked: ${error.message}`);
      },
    );
    return this.#connection;
  }

  async isMember(roles: readonly string[]): Promise<boolean> {
    const connection = await this.#open();
    const [row] = await connection.query(
      memberQuery('$1::text', 'SELECT g.oid FROM pg_catalog.pg_roles AS g WHERE g.rolname = $2'),
      [JSON.stringify(roles), this.question.role],
    );
    return row?.[0]?.toString() === 't';
  }

  /** The connection string of a foreign server; undefined when there is none of that name, or nobody to ask. */
  async conninfoOf(name: string): Promise<string | undefined> {
    if (routerSettings(this.config).service === undefined) return undefined;
    const connection = await this.#open();
    const [row] = await connection.query(FIND_FOR, [name, this.question.role]);
    const found = readServer(row?.[0]?.toString('utf8') ?? '');
    return found && serverConninfo({ ...found, declared: false }, 18, undefined);
  }

  close(): void {
    this.#connection?.then(
      (connection) => connection.close(),
      () => undefined,
    );
  }
}
