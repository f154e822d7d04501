import { type Destination, judge, type NamedPlace, type Policy, type Wanted } from '../../policy/index.js';
import type { SocketAddress } from '../../wire/address.js';
import type { ConninfoHost } from '../conninfo/index.js';
import { RefusedByPolicy } from '../errors.js';

/** Who may reach what, and what a session has to do with it. */
export interface Access {
  readonly policy: Policy;
  /** The client's database. */
  readonly from: string;
  /** The client's address; undefined for one that has come by a socket. */
  readonly client: string | undefined;
  /** Whether an address and port are the proxy's own, or the primary's. */
  readonly isAt: (place: NamedPlace, destination: Destination, port: number) => boolean;
  /** Told of each refusal. @returns how many there have been by that rule */
  readonly refused: (by: string, host: string, port: number) => number;
}

/** For whom a connection is wanted. */
interface Applicant {
  /** Whether the role whose rights count is a member of one of these. Undefined when no role is proven. */
  readonly isMember: (roles: readonly string[]) => Promise<boolean | undefined>;
  readonly confirmSuperuser: () => Promise<boolean>;
}

/** A place that may be connected to, and by what. */
export interface Permitted {
  readonly host: ConninfoHost;
  /** Undefined before the host has been looked up. */
  readonly address: SocketAddress | undefined;
  readonly by: string;
  readonly readOnly: boolean;
}

/** Asks the policy about each place to which a connection could lead: before the host is looked up, and for each address. */
export class Permission {
  #given: Permitted | undefined;
  readonly #memberships = new Map<readonly string[], Promise<boolean | undefined>>();

  constructor(
    private readonly access: Access,
    private readonly wanted: Pick<Wanted, 'server' | 'database' | 'user'>,
    private readonly applicant: Applicant,
  ) {}

  /** What was permitted last. */
  get given(): Permitted | undefined {
    return this.#given;
  }

  /** What has permitted it. */
  get by(): string | undefined {
    return this.#given?.by;
  }

  /** Whether sessions there have to stay read-only. */
  get readOnly(): boolean {
    return this.#given?.readOnly === true;
  }

  /** @param address undefined before the host is looked up @throws PgError 42501 */
  async check(host: ConninfoHost, address?: SocketAddress): Promise<void> {
    const { policy, from, client, isAt, refused } = this.access;
    const hosts = [host.socketDirectory ?? host.host, host.hostaddr].filter(
      (name) => name !== undefined && name !== '',
    ) as string[];
    const [name = ''] = hosts;
    const wanted: Wanted = { ...this.wanted, hosts, port: host.port, from, client };
    const destination = address && ('path' in address ? { socket: address.path } : { address: address.host });
    const isMember = (roles: readonly string[]): Promise<boolean | undefined> => this.#isMember(roles);
    const ruling = await judge(policy, wanted, { isMember, isAt }, destination);
    if (ruling.action === 'deny') {
      const { by } = ruling;
      const count = refused(by, name, host.port);
      const shown = host.socketDirectory ?? `${name}:${host.port}`;
      const told = await this.applicant.confirmSuperuser();
      throw new RefusedByPolicy(Buffer.from(shown).toString('latin1'), { by, count, told });
    }
    this.#given = { host, address, by: ruling.by, readOnly: ruling.readOnly };
  }

  /** The primary is asked once for each rule. */
  #isMember(roles: readonly string[]): Promise<boolean | undefined> {
    const known = this.#memberships.get(roles) ?? this.applicant.isMember(roles);
    this.#memberships.set(roles, known);
    return known;
  }
}
