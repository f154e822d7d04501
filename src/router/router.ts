import { Bridge } from '../bridge/bridge.js';
import { makeSessionKeys, type SessionKeys, sessionSetting } from '../bridge/exchange/sessionLocks.js';
import { isDumpSession } from '../bridge/extension/dumpQueries.js';
import { PUBLIC_BODIES } from '../bridge/installed/publicFunctions.js';
import type { DatabaseServices, Services } from '../bridge/service/services.js';
import type { RemoteAdmission } from '../dblink/connections/admission.js';
import { Family } from '../dblink/connections/family.js';
import { endsKeeping, type KeptConnections } from '../dblink/connections/keptConnections.js';
import { OwnCluster } from '../dblink/connections/ownCluster.js';
import type { DblinkHome, Nesting } from '../dblink/context.js';
import { wantedDatabases } from '../dblink/databaseCommand.js';
import type { MemoryBudget } from '../dblink/memory.js';
import { DblinkSession } from '../dblink/session.js';
import type { Metrics } from '../metrics/metrics.js';
import type { Policy, RefusalCounts } from '../policy/index.js';
import { ForeignServers } from '../primary/foreignServers.js';
import { FoundFunctions } from '../primary/functions/foundFunctions.js';
import { SESSION_SETTING } from '../primary/marks.js';
import { FORWARD } from '../primary/responseQueue.js';
import { FactsProbe } from '../primary/sessionFacts.js';
import { SessionContext } from '../session/context.js';
import type { Login, Route } from '../session/route.js';
import type { Interceptor, Session } from '../session/session.js';
import type { RouterSettings } from '../session/settings.js';
import {
  analyzeAsync,
  loadParser,
  mayConcernDblink,
  type EscapeStrings as ReadableText,
  readRemoteTextAsync,
  readRemoteTextNow,
  type Statement,
} from '../sql/index.js';
import { query, readParse } from '../wire/messages.js';
import type { Turns } from '../wire/pace/turns.js';
import { Frontend } from '../wire/protocol.js';
import { withParameter } from '../wire/startup.js';
import { accessOf } from './access.js';
import { servicesFor } from './accounts.js';
import { clientText, dumpQuery, withCalls } from './clientText.js';
import { ExtendedQuery } from './extended/extendedQuery.js';
import { ExtendedCommands, type PreparedCommand } from './extended/extensionStatements.js';
import type { ExtensionNotice } from './extensionNotice.js';
import { WayMaker } from './makeWay.js';
import { LinkRole } from './nested/linkRole.js';
import { entrySql, NestedEntry } from './nested/nestedEntry.js';
import { NestedInterceptor } from './nested/nestedInterceptor.js';
import { type ClientPlace, type NestedPlace, nestedPlace } from './nested/nestedPlace.js';
import { nestSession } from './nested/nestedSession.js';
import { SessionProof } from './nested/sessionProof.js';
import { readable } from './readable.js';
import { SimpleQueries } from './simple/simpleQuery.js';
import { UnnamedStatement } from './unnamedStatement.js';

const HEADER_BYTES = 5;

/** What all sessions have in common. */
export interface Shared {
  readonly services: Services;
  readonly admission: RemoteAdmission;
  readonly memory: MemoryBudget;
  /** For logins at remotes. */
  readonly logins: Turns;
  readonly kept: KeptConnections;
  /** Undefined where nobody asks for them. */
  readonly metrics?: Metrics | undefined;
  /** The policy as it is now. */
  readonly policy: () => Policy;
  /** Counts what the policy refuses. */
  readonly refusals: RefusalCounts;
  /** Is told where the primary has the extension. */
  readonly extensions: ExtensionNotice;
}

/** How a session is known and where it is. */
interface Place {
  /** By which the primary's functions know the proxy in this session; undefined when the session has no bridge. */
  readonly keys: SessionKeys | undefined;
  /** Undefined for a client's own session. */
  readonly nested?: NestedPlace & { readonly proof: SessionProof | undefined; readonly outer: WayMaker };
}

interface Common extends Shared {
  readonly settings: RouterSettings;
  readonly ownCluster: OwnCluster;
  readonly found: FoundFunctions;
}

/** Loads the parser. @returns what looks at the clients' startup packets and makes the sessions' interceptors */
export async function makeRouter(settings: RouterSettings, shared: Shared): Promise<Route> {
  await loadParser();
  const common = { ...shared, settings, ownCluster: new OwnCluster(), found: new FoundFunctions() };
  return ({ raw, parameters }) => {
    // A replication connection runs no functions, so it needs no bridge.
    const keys =
      settings.dblink.bridge !== 'off' && !parameters.has('replication') ? makeSessionKeys() : undefined;
    return {
      packet: keys === undefined ? raw : withParameter(raw, SESSION_SETTING, sessionSetting(keys)),
      interceptor: (session, login) => new DblinkInterceptor(session, login, { keys }, common),
    };
  };
}

/** Serves the sessions that dblink connections to the primary's own cluster are, as sessions nested in the client's. */
function nestingIn(client: ClientPlace, depth: number, common: Common, outer: WayMaker): Nesting {
  const { settings, ownCluster } = common;
  return {
    ownCluster,
    serve(connection) {
      const place = nestedPlace(client, depth + 1, connection.end, settings.primary.address);
      const { user, database } = place.end;
      const login: Login = {
        startup: new Map([
          ['user', user],
          ['database', database],
        ]),
        password: () => undefined,
        scram: () => (connection.usedScram ? 'relayed' : undefined),
      };
      nestSession(connection, {
        ...settings.limits,
        log: client.session.log,
        interceptor: (session) => {
          const keys = makeSessionKeys();
          const proof = place.direct
            ? undefined
            : new SessionProof(client, session.primary, () => session.primaryKey);
          const entry = new NestedEntry(
            session.primary,
            entrySql(sessionSetting(keys)),
            async () => proof === undefined || proof.give(),
          );
          const nested = { ...place, proof, outer };
          return new NestedInterceptor(
            session,
            entry,
            () => new DblinkInterceptor(session, login, { keys, nested }, common),
          );
        },
      });
    },
  };
}

/** Finds the requests that contain dblink calls and has them carried out. */
class DblinkInterceptor implements Interceptor {
  readonly #context: SessionContext;
  /** Serves the functions of the primary that call dblink; undefined when the session has none. */
  readonly #bridge: Bridge | undefined;
  readonly #queries: SimpleQueries;
  readonly #extended: ExtendedQuery;
  readonly #unnamed: UnnamedStatement;
  readonly #commands: ExtendedCommands;
  readonly #home: DblinkHome & { readonly kept: KeptConnections };
  /** Whether the client makes a dump (pg_dump). */
  readonly #dumps: boolean;
  readonly #way: WayMaker;
  readonly #enter: () => () => void;
  /** Says that the session has left its database. Undefined until it has logged in. */
  #leave: (() => void) | undefined;
  #closed = false;

  constructor(session: Session, login: Login, place: Place, common: Common) {
    const { settings, services, admission, logins } = common;
    const { keys, nested } = place;
    const { startup } = login;
    const user = startup.get('user') ?? '';
    const database = startup.get('database') || user;
    const { service } = settings;
    const client: ClientPlace = nested?.client ?? {
      session,
      user,
      asker: [user, session],
      memory: common.memory.session(),
      family: new Family(),
      services: servicesFor(services, service, { user, password: login.password }),
      database,
    };
    const audit = nested === undefined ? session.audit : client.session.audit?.nested(nested.depth);
    const databaseServices = async (): Promise<DatabaseServices> =>
      client.services((await nested?.proof?.database()) ?? database);
    // What a nested session says of its database may not be so.
    this.#enter = () => (nested?.direct === false ? () => undefined : services.presence.enter(database));
    this.#way = new WayMaker(services.presence, database, () => this.#bridge, nested?.outer);
    this.#home = {
      primaryHost: settings.primary.name,
      primaryPort: settings.primary.port,
      user,
      database,
      scram: login.scram,
      access: accessOf(
        client.session,
        { ...settings, policy: common.policy, refusals: common.refusals },
        client.database,
      ),
      audit,
      hostRules: settings.dblink,
      times: settings.timeouts,
      logins,
      owner: client.session,
      countedFor: client.user,
      maxScramIterations: settings.dblink.maxScramIterations,
      admission,
      memory: client.memory,
      family: client.family,
      makeWay: (databases, awaited) => this.#way.make(databases, awaited),
      kept: common.kept,
      effectOf: readRemoteTextNow,
      readEffect: (sql) => readRemoteTextAsync(sql, this.#context.asker),
      ...(keys === undefined ? {} : { nesting: nestingIn(client, nested?.depth ?? 0, common, this.#way) }),
    };
    const dblink = new DblinkSession(this.#home, common.metrics);
    const { primary } = session;
    const foreignServers = new ForeignServers(primary, settings.dblink.servers, async (...server) =>
      (await databaseServices()).readMapping(...server),
    );
    const fingerprint = { account: service?.user, bodies: PUBLIC_BODIES };
    const probe = new FactsProbe(primary, fingerprint, nested === undefined ? common.found : undefined);
    this.#context = new SessionContext(session, {
      settings,
      dblink,
      foreignServers,
      memory: client.memory,
      probe,
      asker: client.asker,
      metrics: common.metrics,
      audit,
      extensionFound: () => common.extensions.found(client.database, session.log),
      depth: nested?.depth ?? 0,
      provenRole:
        nested &&
        new LinkRole(
          primary,
          () => this.#bridge!,
          () => session.primaryKey?.processId ?? 0,
        ),
    });
    if (keys !== undefined)
      this.#bridge = new Bridge(this.#context, {
        keys,
        services: databaseServices,
        user: client.user,
        confidential: nested?.direct !== false,
        proof: nested?.proof,
        cancelPrimary: () => session.cancelPrimary(),
      });
    this.#unnamed = new UnnamedStatement(primary);
    // What a nested session has sent before it had to do with dblink is not known.
    this.#unnamed.present = nested !== undefined;
    this.#queries = new SimpleQueries(this.#context, this.#bridge, this.#unnamed);
    this.#extended = new ExtendedQuery(this.#context, this.#bridge, this.#unnamed, (message) =>
      this.#leaveKept(message),
    );
    this.#commands = new ExtendedCommands(this.#context, this.#bridge, this.#way, this.#extended.limits);
    this.#dumps = isDumpSession(startup);
  }

  get tracking(): boolean {
    return this.#extended.tracking || this.#commands.tracking;
  }

  intercept(type: number, message: Buffer): Promise<void> | undefined {
    const action = readable(() => this.#intercept(type, message));
    if (action !== undefined) this.#context.statement.taken();
    return action;
  }

  unseen(type: number, head: Buffer): void {
    if (type === Frontend.query || type === Frontend.parse) {
      this.#replaces(type, head);
      this.#forwards(type, head);
      return;
    }
    this.#extended.unseen(type, head);
    this.#commands.unseen(type, head);
  }

  /** A Query, or a Parse that names no statement, replaces the unnamed one, unless the primary skips it. */
  #replaces(type: number, message: Buffer): void {
    if (this.#context.primary.queue.skipping) return;
    const named = type === Frontend.parse && message[HEADER_BYTES] !== 0;
    if (!named) {
      this.#extended.forgetUnnamed();
      this.#commands.forgetUnnamed();
    }
    if (type === Frontend.parse && this.#extended.tracking)
      this.#extended.forget(message.subarray(HEADER_BYTES, message.indexOf(0, HEADER_BYTES)));
  }

  /** What the client has sent may be a command for which kept connections have to leave. */
  #leaveKept(message: Buffer): void {
    const { kept } = this.#home;
    if (kept.has(this.#home) && endsKeeping(message, HEADER_BYTES)) kept.leave(this.#home);
  }

  #intercept(type: number, message: Buffer): Promise<void> | undefined {
    this.#leaveKept(message);
    switch (type) {
      case Frontend.query:
      case Frontend.parse:
        return this.#maySkip(type, message)
          ? this.#whenSettled(type, Buffer.from(message))
          : this.#lookAt(type, message);
      default:
        return this.#commands.message(type, message) ?? this.#extended.message(type, message);
    }
  }

  /**
   * Whether it depends on outstanding answers if a Query or Parse replaces an unnamed statement that concerns the proxy: behind an
   * error it is skipped.
   */
  #maySkip(type: number, message: Buffer): boolean {
    const { queue } = this.#context.primary;
    if (!queue.unsynced || queue.copyIn || (type === Frontend.parse && message[HEADER_BYTES] !== 0))
      return false;
    const present = type === Frontend.query && this.#unnamed.present;
    return present || this.#extended.hasUnnamed || this.#commands.hasUnnamed;
  }

  async #whenSettled(type: number, message: Buffer): Promise<void> {
    await this.#context.primary.settled();
    const taken = readable(() => this.#lookAt(type, message));
    if (taken !== undefined) return taken;
    this.#forward(type === Frontend.query ? 'query' : 'parse', message);
  }

  #lookAt(type: number, message: Buffer): Promise<void> | undefined {
    this.#replaces(type, message);
    const taken =
      type === Frontend.query
        ? (this.#queryAlone(message) ?? this.#lookAtQuery(message))
        : this.#lookAtParse(message);
    if (taken === undefined) this.#forwards(type, message);
    return taken;
  }

  #lookAtParse(message: Buffer): Promise<void> | undefined {
    const start = message.indexOf(0, HEADER_BYTES) + 1;
    return (
      this.#parseAlone(message, start) ??
      this.#inspect(message, start, 'parse', (whole, text, statements) =>
        this.#parse(whole, text, statements),
      )
    );
  }

  #lookAtQuery(message: Buffer): Promise<void> | undefined {
    return (
      (this.#dumps ? this.#dumpQuery(message) : undefined) ??
      this.#inspect(message, HEADER_BYTES, 'query', (whole, text, statements) =>
        this.#query(whole, text, statements),
      )
    );
  }

  /** The databases that a text of the client's wants for itself. Whoever has not logged in can want none. */
  #wanted(message: Buffer, start: number, several: boolean): readonly string[] | undefined {
    const databases = wantedDatabases(message, start, several);
    if (databases === undefined || this.#context.primary.queue.copyIn) return undefined;
    return this.#context.session.authenticated ? databases : undefined;
  }

  /**
   * A Query with a command that wants databases for itself waits until the primary has nothing else to do: only then it is certain
   * who still uses the proxy's own connections.
   */
  #queryAlone(message: Buffer): Promise<void> | undefined {
    const databases = this.#wanted(message, HEADER_BYTES, true);
    // The message is valid only now, and is handled later.
    return databases && this.#whenAlone(Buffer.from(message), databases);
  }

  async #whenAlone(message: Buffer, databases: readonly string[]): Promise<void> {
    const { primary } = this.#context;
    await primary.settled();
    if (!primary.queue.skipping) await this.#way.make(databases);
    const taken = readable(() => this.#lookAtQuery(message));
    if (taken !== undefined) return taken;
    this.#forward('query', message);
  }

  /** The Parse of such a command. It is the Execute that waits. */
  #parseAlone(message: Buffer, start: number): Promise<void> | undefined {
    const databases = this.#wanted(message, start, false);
    if (databases === undefined || readable(() => readParse(message)) === undefined) return undefined;
    return this.#parseCommand(Buffer.from(message), { databases });
  }

  #parseCommand(message: Buffer, command: PreparedCommand): Promise<void> {
    this.#forwards(Frontend.parse, message);
    return this.#commands.parse(message, command);
  }

  /** Forwards a Query of pg_dump's in a form that does not see the bridge. @returns undefined when nothing has to be changed */
  #dumpQuery(message: Buffer): Promise<void> | undefined {
    const { primary } = this.#context;
    const changed = dumpQuery(this.#context, message.subarray(HEADER_BYTES, -1));
    if (changed === undefined) return undefined;
    this.#forwards(Frontend.query, message);
    primary.expect(FORWARD.query);
    primary.write(query(changed));
    return Promise.resolve();
  }

  /** Notes what a Query or Parse that is forwarded does to the primary's unnamed statement, unless the primary skips it. */
  #forwards(type: number, message: Buffer): void {
    const { queue } = this.#context.primary;
    if (type === Frontend.parse) this.#unnamed.present ||= message[HEADER_BYTES] === 0;
    else if (!queue.skipping && !queue.unsynced) this.#unnamed.present = false;
  }

  /**
   * Looks for calls of dblink in the SQL text that begins at `start` and ends at the next NUL.
   * @param act carries out what has calls
   * @returns undefined when the message is to be forwarded at once
   */
  #inspect(
    message: Buffer,
    start: number,
    kind: 'query' | 'parse',
    act: (message: Buffer, text: ReadableText, statements: readonly Statement[]) => Promise<void>,
  ): Promise<void> | undefined {
    if (!mayConcernDblink(message, start) || this.#context.primary.queue.copyIn) return undefined;
    const end = message.indexOf(0, start);
    if (end < 0 || (kind === 'query' && end !== message.length - 1)) return undefined;
    // The message is valid only now, and may be handled later.
    const whole = Buffer.from(message);
    const text = whole.subarray(start, end);
    const readable = clientText(this.#context, text);
    if (readable === undefined) return undefined;
    const { settings, asker } = this.#context;
    const analysis = analyzeAsync(readable.text, { schemas: settings.dblink.schemas }, asker);
    if (!(analysis instanceof Promise)) {
      const statements = withCalls(analysis);
      return statements && act(whole, readable, statements);
    }
    return analysis.then((found) => {
      const statements = withCalls(found);
      if (statements !== undefined) return act(whole, readable, statements);
      this.#forward(kind, whole);
    });
  }

  /** Forwards a message that was looked at first. A cancel request that came meanwhile is now passed on to the primary. */
  #forward(kind: 'query' | 'parse', message: Buffer): void {
    const { primary, session, statement } = this.#context;
    this.#forwards(Frontend[kind], message);
    primary.expect(FORWARD[kind]);
    primary.write(message);
    if (statement.cancelled) session.cancelPrimary();
  }

  async #query(message: Buffer, text: ReadableText, statements: readonly Statement[]): Promise<void> {
    const { primary } = this.#context;
    await primary.settled();
    if (primary.queue.skipping) {
      this.#forward('query', message);
      return;
    }
    await this.#queries.run(text, statements);
  }

  async #parse(message: Buffer, { text }: ReadableText, statements: readonly Statement[]): Promise<void> {
    const [statement, ...more] = statements;
    const fields = readable(() => readParse(message));
    if (statement === undefined || more.length > 0 || fields === undefined) {
      this.#forward('parse', message);
      return;
    }
    if (statement.shape.kind === 'extension')
      await this.#parseCommand(message, { extension: statement.shape.command });
    else await this.#extended.parse(message, { ...fields, sql: text }, statement);
  }

  ready(): void {
    // The first time, the session has logged in.
    if (this.#leave === undefined && !this.#closed) this.#leave = this.#enter();
    this.#context.statement.ready();
    this.#extended.ready();
    this.#commands.ready();
  }

  notice(message: Buffer, muted: boolean, cut: boolean): boolean {
    return this.#bridge?.notice(message, muted, cut) ?? !muted;
  }

  error(message: Buffer): Buffer {
    return this.#bridge?.error(message) ?? message;
  }

  settled(): void {
    this.#bridge?.ready();
  }

  get serving(): boolean {
    return this.#bridge?.serving === true || this.#context.statement.calls;
  }

  cancel(): boolean {
    this.#bridge?.cancel();
    return this.#context.statement.cancel();
  }

  close(): void {
    this.#closed = true;
    try {
      this.#context.statement.close();
      this.#bridge?.close();
      this.#context.dblink.close();
    } finally {
      this.#leave?.();
      this.#leave = undefined;
    }
  }
}
