import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { FIND_FOR } from '../../primary/foreignServers.js';
import {
  BRIDGE_VERSION,
  bridgeComment,
  bridgeVersion,
  SERVICE_SESSION,
  SESSION_SETTING,
} from '../../primary/marks.js';
import type { RouterLog } from '../../session/settings.js';
import type { SocketAddress } from '../../wire/address.js';
import type { PgError } from '../../wire/errors.js';
import type { KeepAlive } from '../../wire/outbound/socket.js';
import type { TlsOptions } from '../../wire/tls/tls.js';
import { WITH_TRIGGERS_PATH } from '../installed/eventTriggers.js';
import { isGenuine, SERVICE_BODIES_QUERY } from '../installed/genuine.js';
import { SECRET_SQL, SERVICE_SCHEMA_SQL } from '../installed/serviceSchema.js';
import { BulkConnectionsByDepth } from './bulkConnections.js';
import { dropObjects, removeObjects } from './housekeeping.js';
import { type SessionPlace, type SharedConnection, SharedConnections } from './places.js';
import { Presence, type Tenant } from './presence.js';
import { ServiceConnection } from './serviceConnection.js';
import {
  cannotPrepare,
  foreignSchema,
  isGone,
  LOCK_TIMEOUT,
  noServiceConnection,
  notForEverybody,
  Replacing,
  wasEnded,
} from './serviceErrors.js';

/** How often replacing the schema is tried. Each time it waits a second for the locks that it needs (serviceConnection.ts). */
const REPLACEMENTS = 10;
/** How long a function's request is under way to the proxy at most. */
const UNDER_WAY_MS = 100;

/** Who the proxy is on service connections. */
export interface ServiceIdentity {
  readonly user: string;
  readonly password: Buffer | undefined;
  /** It is the session's own user, because the proxy has no account of its own. */
  readonly own: boolean;
}

/** The primary, as service connections reach it. */
export interface ServiceServer {
  readonly address: SocketAddress;
  readonly tls: TlsOptions;
  readonly maxScramIterations?: number | undefined;
  readonly plainPassword: boolean;
  readonly keepAlive?: KeepAlive | undefined;
}

/** How often connecting is tried, where somebody ends the connection before it is of use. */
const CONNECTS = 5;
/** How long connections stay open that no session uses. */
const IDLE_MS = 30_000;
/** The same when the database has no sessions. A client that connects for every statement finds them again. */
const LINGER_MS = 500;
/** How long side tables are collected before they are dropped together. */
const REAP_MS = 500;
/** When the proxy looks for what sessions that are over have left: after a connection was opened, and then regularly. */
const SOON_MS = 500;
const SWEEP_MS = 60_000;

/** A session's place on a shared connection, as the session has it. */
export interface Membership extends SessionPlace {
  readonly connection: ServiceConnection;
  readonly services: DatabaseServices;
  leave(): void;
}

/** What the service connections of all databases have in common. */
interface House {
  readonly log: RouterLog;
  readonly presence: Presence;
}

/** The service connections of one account to one database. */
export class DatabaseServices implements Tenant {
  readonly #shared = new SharedConnections();
  /** A shared connection is being opened: only one at a time. */
  #opening: Promise<unknown> | undefined;
  readonly #bulk = new BulkConnectionsByDepth(() => this.#connect());
  /** A connection on which side tables are to be dropped is being opened. */
  #keeperOpens = false;
  #idle: NodeJS.Timeout | undefined;
  /** When a session used them last, by performance.now(). */
  #usedAt = 0;
  #vacating: Promise<void> | undefined;
  #reaper: NodeJS.Timeout | undefined;
  #reaping: Promise<void> | undefined;
  #sweeper: NodeJS.Timeout | undefined;
  #standby = false;
  /** Under way while the schema is being replaced. */
  #replacing: Promise<void> | undefined;
  /** By performance.now(). */
  #replacedAt = Number.NEGATIVE_INFINITY;
  /** Why the schema could not be replaced. The next one who needs it is told. */
  #obstacle: PgError | undefined;
  /** Names of side tables, and of functions that prove roles, that are to be dropped. */
  readonly #garbage = new Set<string>();

  constructor(
    private readonly server: ServiceServer,
    private readonly database: string,
    private readonly identity: ServiceIdentity,
    private readonly house: House,
  ) {}

  private get log(): RouterLog {
    return this.house.log;
  }

  /** @throws PgError 08001 */
  async #connect(): Promise<ServiceConnection> {
    for (let attempt = 1; ; attempt++) {
      try {
        const connection = await ServiceConnection.connect({
          address: this.server.address,
          tls: this.server.tls,
          plainPassword: this.server.plainPassword,
          keepAlive: this.server.keepAlive,
          startup: [
            ['user', this.identity.user],
            ['database', this.database],
            ['application_name', 'dblink-proxy'],
            [SESSION_SETTING, SERVICE_SESSION],
          ],
          password: this.identity.password,
          owner: this,
          limits: { maxScramIterations: this.server.maxScramIterations },
        });
        this.house.presence.opened(this.database, this);
        return connection;
      } catch (error) {
        if (attempt === CONNECTS || !wasEnded(error)) {
          throw noServiceConnection(this.identity.user, this.database, error);
        }
      }
    }
  }

  /**
   * Joins the shared connection with the fewest sessions, and takes turns with these.
   * @param who the session (FairQueue)
   * @throws PgError 08001 when there is no connection to be had; see `prepare`
   */
  async join(who: readonly unknown[]): Promise<Membership> {
    while (this.#opening !== undefined) await this.#opening.catch(() => undefined);
    let shared = this.#shared.withRoom();
    if (shared === undefined) {
      const opening = this.#openShared();
      this.#opening = opening.catch(() => undefined);
      try {
        shared = await opening;
      } catch (error) {
        this.#opening = undefined;
        this.closeWhenIdle();
        throw error;
      }
      this.#opening = undefined;
    }
    const { connection, sessions } = shared;
    const membership: Membership = {
      connection: connection.of(who),
      services: this,
      onLost: undefined,
      leave: () => {
        if (sessions.delete(membership)) this.#left();
      },
    };
    sessions.add(membership);
    return membership;
  }

  async #openShared(): Promise<SharedConnection> {
    const connection = await this.#connect();
    const shared: SharedConnection = { connection, sessions: new Set() };
    connection.onLost = () => {
      this.#shared.remove(shared);
      this.log.warn({ database: this.database }, 'service connection of the bridge lost');
      for (const { onLost } of [...shared.sessions]) onLost?.();
    };
    try {
      await this.prepare(connection);
    } catch (error) {
      connection.onLost = undefined;
      connection.close();
      throw error;
    }
    this.#shared.add(shared);
    this.#sweepLater(SOON_MS);
    return shared;
  }

  /**
   * Makes the service schema if it is missing.
   * @throws Replacing when it is not of this version; PgError 0A000 when it belongs, or would belong, to an account that it must
   * not belong to, and whatever else keeps it from being made
   */
  async prepare(connection: ServiceConnection): Promise<void> {
    const [row] = await connection.query(
      `SELECT pg_catalog.obj_description(n.oid, 'pg_namespace'), pg_is_in_recovery(), r.rolname,
           pg_has_role(r.oid, d.datdba, 'USAGE') OR r.rolname = current_user,
           EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'secret'), pg_has_role(d.datdba, 'USAGE')
         FROM pg_database d LEFT JOIN pg_namespace n ON n.nspname = 'dblink_proxy' LEFT JOIN pg_roles r ON r.oid = n.nspowner
        WHERE d.datname = current_database()`,
    );
    // Whoever owns the schema decides what its functions do, and they have the rights of the account that calls them.
    if (row?.[3]?.toString() === 'f') throw foreignSchema(row[2]!.toString('latin1'), this.database);
    const version = bridgeVersion(row?.[0]?.toString('latin1') ?? '');
    this.#standby = row?.[1]?.toString() === 't';
    if (this.#standby) return;
    // Everybody's calls would run what this user has made.
    if (row?.[2] === null && this.identity.own && row[5]?.toString() !== 't') {
      throw notForEverybody(this.identity.user, this.database);
    }
    const current =
      version > BRIDGE_VERSION ||
      (version === BRIDGE_VERSION && isGenuine(await connection.query(SERVICE_BODIES_QUERY)));
    if (version > 0 && !current) throw this.#replace();
    if (!current || row?.[4]?.toString() === 'f')
      await this.#run(connection, current ? SECRET_SQL : `${SERVICE_SCHEMA_SQL};\n${SECRET_SQL}`);
  }

  /** Runs SQL that ends with SECRET_SQL, and gives it a new secret. @throws PgError */
  async #run(connection: ServiceConnection, sql: string): Promise<void> {
    try {
      await connection.copy(
        `SELECT ${WITH_TRIGGERS_PATH};\n${sql}`,
        Buffer.from(`\\\\x${randomBytes(32).toString('hex')}\n`, 'latin1'),
      );
    } catch (error) {
      throw cannotPrepare(this.identity.user, this.database, error);
    }
    this.log.info({ database: this.database, version: bridgeComment() }, 'bridge installed');
  }

  /**
   * Begins to replace a schema that is not of this version, if that has not begun. A function that asks meanwhile is one of the
   * old schema. It could not read its answer, and its transaction may keep the tables from being replaced. So it gets an error.
   * @returns that error
   */
  #replace(): PgError {
    const obstacle = this.#obstacle;
    this.#obstacle = undefined;
    this.#replacing ??= this.#replaceSchema().finally(() => {
      this.#replacing = undefined;
    });
    this.#replacing.catch((error: PgError) => {
      this.#obstacle = error;
    });
    return obstacle ?? new Replacing(this.database, this.#replacing);
  }

  /**
   * Refuses a function that began before the schema was replaced: it would wait for ever for an answer that it can read.
   * @param askedAt when its request came, by performance.now() @throws Replacing
   */
  refuseOlder(askedAt: number): void {
    if (askedAt < this.#replacedAt + UNDER_WAY_MS) throw new Replacing(this.database, Promise.resolve());
  }

  #replaceSchema(): Promise<void> {
    return this.bulk(async (connection) => {
      for (let attempt = 1; ; attempt++) {
        try {
          await this.#run(connection, `${SERVICE_SCHEMA_SQL};\n${SECRET_SQL}`);
          this.#replacedAt = performance.now();
          await delay(UNDER_WAY_MS);
          return;
        } catch (error) {
          if ((error as PgError).sqlstate !== LOCK_TIMEOUT || attempt === REPLACEMENTS) throw error;
        }
      }
    });
  }

  /** Sweeps regularly while there is a shared connection: a session's process can outlive its proxy for a while. */
  #sweepLater(afterMs: number): void {
    clearTimeout(this.#sweeper);
    this.#sweeper = setTimeout(() => {
      const connection = this.#shared.first;
      if (connection === undefined || this.#standby) return;
      this.#sweep(connection)
        .catch((error: Error) => this.log.debug({ err: error.message }, 'the bridge could not be swept'))
        .finally(() => this.#sweepLater(SWEEP_MS));
    }, afterMs).unref();
  }

  /** Removes what is left of sessions that are over, after a proxy was killed or a connection was lost. */
  async #sweep(connection: ServiceConnection): Promise<void> {
    await connection.query(
      'DELETE FROM dblink_proxy.answer x WHERE NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = x.pid)',
    );
    await connection.query(removeObjects('NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = o.pid)'));
    const left = await connection.query(
      `SELECT c.name FROM (SELECT relname AS name FROM pg_class WHERE relnamespace = 'dblink_proxy'::regnamespace AND relkind = 'r'
          UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'dblink_proxy'::regnamespace) c
        WHERE c.name ~ '^(answer|rows|proof)_[0-9]+_' AND NOT EXISTS (SELECT FROM pg_stat_activity a
            WHERE a.pid::text = split_part(c.name, '_', 2))`,
    );
    this.discard(left.map(([name]) => name!.toString('latin1')));
  }

  /**
   * Runs something on a connection of its own.
   * @param whose turn it is: the user, and how deeply the session is nested, where it is a result; `signal` ends the waiting
   * @throws what `act` throws; PgError 08001; the signal's reason
   */
  async bulk<T>(
    act: (connection: ServiceConnection) => Promise<T>,
    whose: { readonly user?: unknown; readonly depth?: number; readonly signal?: AbortSignal } = {},
  ): Promise<T> {
    try {
      return await this.#bulk.at(whose.depth).run(act, whose.user, whose.signal);
    } finally {
      this.#left();
    }
  }

  /** See ReadMapping (foreignServers.ts). */
  readMapping(
    server: string,
    role: string,
    signal: AbortSignal,
  ): Promise<readonly [account: string, found: string]> {
    return this.bulk(
      async (connection) => {
        const [me] = await connection.query('SELECT current_user');
        const [row] = await connection.query(FIND_FOR, [server, role]);
        return [me?.[0]?.toString('latin1') ?? '', row?.[0]?.toString('latin1') ?? ''] as const;
      },
      { signal },
    );
  }

  /**
   * Has side tables, and functions that prove roles, dropped. Nobody reads them any more. They are dropped soon, several
   * together. Those that are still locked are tried again.
   */
  discard(tables: readonly string[]): void {
    if (tables.length === 0) return;
    for (const table of tables) this.#garbage.add(table);
    this.#reaper ??= setTimeout(() => void this.#reap(true), REAP_MS);
  }

  /**
   * Drops what is to be dropped, as far as it can be dropped now. Never rejects.
   * @param connect whether to log in for it; else a connection that is open has to do. What is under way already goes on as it is
   */
  #reap(connect: boolean): Promise<void> {
    this.#reaping ??= this.#dropGarbage(connect)
      .catch((error: unknown) => {
        // What was in the database has gone with it.
        if (isGone(error)) this.#garbage.clear();
        this.log.debug({ err: (error as Error).message }, 'side tables could not be dropped yet');
      })
      .finally(() => {
        this.#reaping = undefined;
        clearTimeout(this.#reaper);
        this.#reaper = undefined;
        if (this.#garbage.size > 0) this.#reaper = setTimeout(() => void this.#reap(true), REAP_MS).unref();
        // The connections may have stayed open for these tables alone.
        else this.closeWhenIdle();
      });
    return this.#reaping;
  }

  /** @throws PgError why something could not be dropped */
  async #dropGarbage(connect: boolean): Promise<void> {
    let own = this.#bulk.at(0).takeIdle();
    // Where sessions use the others, on a connection of its own: large results on their way must not delay it.
    const shared =
      own === undefined && !(connect && this.#used) ? this.#shared.least()?.connection : undefined;
    if (connect && shared === undefined) own ??= await this.#openKeeper();
    const connection = own ?? shared;
    if (connection === undefined) return;
    const tables = [...this.#garbage];
    try {
      await connection.script(dropObjects(tables));
      for (const table of tables) this.#garbage.delete(table);
    } catch (error) {
      // One after the other they would wait for a lock each. Who is about to leave has no time for that.
      if (connection.closed || tables.length === 1 || !connect) throw error;
      for (const table of tables) {
        const dropped = await connection.script(dropObjects([table])).then(
          () => true,
          () => false,
        );
        if (dropped) this.#garbage.delete(table);
      }
    } finally {
      // It serves the next large result.
      if (own?.closed === false) this.#bulk.at(0).giveBack(own);
    }
  }

  async #openKeeper(): Promise<ServiceConnection> {
    this.#keeperOpens = true;
    try {
      return await this.#connect();
    } finally {
      this.#keeperOpens = false;
    }
  }

  get #used(): boolean {
    return this.#opening !== undefined || this.#shared.used;
  }

  /** Somebody has used them, and does so no more. */
  #left(): void {
    this.#usedAt = performance.now();
    this.house.presence.opened(this.database, this);
    this.closeWhenIdle();
  }

  /** Closes the connections when no session has used them for some time. How long that is depends on who is in the database. */
  closeWhenIdle(): void {
    clearTimeout(this.#idle);
    if (this.#used) return;
    const idleMs = this.house.presence.has(this.database) ? IDLE_MS : LINGER_MS;
    const leftMs = this.#usedAt + idleMs - performance.now();
    if (leftMs <= 0) void this.vacate();
    else this.#idle = setTimeout(() => this.closeWhenIdle(), Math.ceil(leftMs)).unref();
  }

  /**
   * Closes the connections now, unless a call needs them. What is to be dropped is dropped first, if that can be done at once.
   * However many ask for it, it is done once at a time. Never rejects.
   */
  vacate(): Promise<void> {
    this.#vacating ??= this.#vacate().finally(() => {
      this.#vacating = undefined;
    });
    return this.#vacating;
  }

  async #vacate(): Promise<void> {
    // Whoever still finds one of their locks held has asked before this time is over, and so has joined again.
    if (await this.#shared.haveSessionsLeave()) await delay(UNDER_WAY_MS);
    if (this.#used) return;
    // While a command waits for others to leave the database, nobody can log in. So a login must not keep the others there.
    if (this.#garbage.size > 0 && !this.#keeperOpens) await this.#reap(false);
    if (!this.#used) this.#closeAll();
  }

  #closeAll(): void {
    clearTimeout(this.#idle);
    clearTimeout(this.#sweeper);
    this.#shared.close();
    this.#bulk.close();
    this.house.presence.closed(this.database, this);
  }

  /** Drops what is still to be dropped, and closes the connections. */
  async close(): Promise<void> {
    if (this.#garbage.size > 0) await this.#reap(true);
    clearTimeout(this.#reaper);
    this.#closeAll();
  }
}

/** All service connections of the bridge, by database and account. */
export class Services implements House {
  readonly presence: Presence;
  readonly #databases = new Map<string, DatabaseServices>();

  constructor(
    private readonly server: ServiceServer,
    readonly log: RouterLog,
    /** Has the connections of the proxy's other processes leave databases; must not reject. */
    elsewhere?: (databases: readonly string[]) => Promise<void>,
  ) {
    this.presence = new Presence(elsewhere);
  }

  /** Those of one database and account, made when they are asked for the first time. */
  of(database: string, identity: ServiceIdentity): DatabaseServices {
    const key = `${database}\0${identity.user}`;
    let services = this.#databases.get(key);
    if (services === undefined) {
      services = new DatabaseServices(this.server, database, identity, this);
      this.#databases.set(key, services);
    }
    return services;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#databases.values()].map((services) => services.close()));
  }
}
