/** The service connections of one account to one database, as far as somebody can have them leave it. */
export interface Tenant {
  /** Looks again when the connections that nobody uses are to be closed. */
  closeWhenIdle(): void;
  /** Closes them now, unless a session uses them. */
  vacate(): Promise<void>;
}

/** Who is connected to which database by way of the proxy: the sessions, and the proxy itself. */
export class Presence {
  readonly #sessions = new Map<string, number>();
  /** Only those with connections: what it costs to have them leave is paid once for each connection. */
  readonly #tenants = new Map<string, Set<Tenant>>();

  /** @param elsewhere has the connections of the proxy's other processes leave databases; must not reject */
  constructor(private readonly elsewhere?: (databases: readonly string[]) => Promise<void>) {}

  /** Whether a database has sessions, be it that they use the bridge or not. */
  has(database: string): boolean {
    return this.#sessions.has(database);
  }

  /** A session has logged in to a database. @returns what is to be called, once, when it is over */
  enter(database: string): () => void {
    this.#sessions.set(database, (this.#sessions.get(database) ?? 0) + 1);
    return () => this.#leave(database);
  }

  #leave(database: string): void {
    const left = this.#sessions.get(database)! - 1;
    if (left > 0) {
      this.#sessions.set(database, left);
      return;
    }
    this.#sessions.delete(database);
    for (const tenant of this.#tenantsOf(database)) tenant.closeWhenIdle();
  }

  /** A copy: who leaves is taken from the set. */
  #tenantsOf(database: string): readonly Tenant[] {
    return [...(this.#tenants.get(database) ?? [])];
  }

  /** Notes that an account has connections to a database. */
  opened(database: string, tenant: Tenant): void {
    const tenants = this.#tenants.get(database);
    if (tenants === undefined) this.#tenants.set(database, new Set([tenant]));
    else tenants.add(tenant);
  }

  /** Notes that it has none any more. */
  closed(database: string, tenant: Tenant): void {
    const tenants = this.#tenants.get(database);
    if (tenants?.delete(tenant) === true && tenants.size === 0) this.#tenants.delete(database);
  }

  /**
   * Has connections that no session uses leave these databases, those of the proxy's other processes as well. Never rejects.
   */
  async vacate(databases: readonly string[]): Promise<void> {
    await Promise.all([this.vacateHere(databases), this.elsewhere?.(databases)]);
  }

  /** The same, for this process alone. */
  async vacateHere(databases: readonly string[]): Promise<void> {
    const tenants = databases.flatMap((database) => this.#tenantsOf(database));
    await Promise.allSettled(tenants.map((tenant) => tenant.vacate()));
  }
}
