import type { RemoteAdmission } from '../dblink/admission.js';
import type { DblinkHome } from '../dblink/context.js';
import type { MemoryBudget } from '../dblink/memory.js';
import { DblinkSession } from '../dblink/session.js';
import { isAscii, isAsciiSafe } from '../wire/encoding.js';
import { PgError } from '../wire/errors.js';
import { query, readParse } from '../wire/messages.js';
import { Frontend } from '../wire/protocol.js';
import { Turns } from '../wire/turns.js';
import {
  type Analysis,
  analyzeAsync,
  asEscapeStrings,
  containsDblink,
  loadParser,
  type EscapeStrings as ReadableText,
  type Statement,
} from './analysis/index.js';
import { Bridge } from './bridge/bridge.js';
import { asWithExtension, isDumpSession } from './bridge/dumpQueries.js';
import type { DatabaseServices, Services } from './bridge/services.js';
import type { SessionKeys } from './bridge/sessionLocks.js';
import { Engine } from './engine.js';
import { ExtendedQuery } from './extended.js';
import { ExtendedCommands } from './extendedCommands.js';
import { ForeignServers } from './foreignServers.js';
import { FORWARD } from './responses.js';
import type { Interceptor, Session } from './session.js';
import type { RouterSettings } from './settings.js';
import { SimpleQuery } from './simpleQuery.js';

const HEADER_BYTES = 5;
const BACKSLASH = 0x5c;

/** What all sessions have in common. */
export interface Shared {
  readonly services: Services;
  readonly admission: RemoteAdmission;
  readonly memory: MemoryBudget;
}

/** Prepares the parser and returns what makes a session's interceptor. */
export async function makeInterceptor(
  settings: RouterSettings,
  shared: Shared,
): Promise<(session: Session, login: Login) => Interceptor> {
  await loadParser();
  const { perSession, total } = settings.remoteLogins;
  const logins = new Turns({ perOwner: perSession, total, firstIsFree: true });
  return (session, login) => new DblinkInterceptor(session, login, settings, shared, logins);
}

/** Who logged in, and how the functions of the session's primary know the proxy. */
export interface Login {
  /** The parameters of the startup packet, byte strings. */
  readonly startup: ReadonlyMap<string, string>;
  /** undefined: the session has no bridge. */
  readonly bridge: SessionKeys | undefined;
  /** The client's password, where the proxy has asked for it. */
  readonly password: () => Buffer | undefined;
  readonly scram: NonNullable<DblinkHome['scram']>;
}

/** Finds the requests that contain dblink calls and has them carried out. */
class DblinkInterceptor implements Interceptor {
  readonly #engine: Engine;
  readonly #extended: ExtendedQuery;
  readonly #commands: ExtendedCommands;
  /** The client makes a dump. */
  readonly #dumps: boolean;

  constructor(session: Session, login: Login, settings: RouterSettings, shared: Shared, logins: Turns) {
    const { services, admission } = shared;
    const memory = shared.memory.session();
    const { startup } = login;
    const user = startup.get('user') ?? '';
    const database = startup.get('database') || user;
    const dblink = new DblinkSession({
      primaryHost: settings.primary.name,
      primaryPort: settings.primary.port,
      user,
      database,
      scram: login.scram,
      hostRules: settings.hostRules,
      logins,
      maxScramIterations: settings.maxScramIterations,
      admission,
      memory,
    });
    const databaseServices = (): DatabaseServices => {
      const { service } = settings;
      if (service === undefined)
        return services.of(database, { user, password: login.password(), own: true });
      const password = service.password === undefined ? undefined : Buffer.from(service.password);
      return services.of(database, { user: service.user, password, own: false });
    };
    const foreignServers = new ForeignServers(session.primary, settings.servers, databaseServices);
    this.#engine = new Engine(session, settings, dblink, foreignServers, memory, (engine) => {
      if (login.bridge === undefined) return undefined;
      return new Bridge(engine, login.bridge, databaseServices, user, () => session.cancelPrimary());
    });
    this.#engine.asker = [user, session];
    this.#extended = new ExtendedQuery(this.#engine);
    this.#commands = new ExtendedCommands(this.#engine);
    this.#dumps = isDumpSession(startup);
  }

  get tracking(): boolean {
    return this.#extended.tracking || this.#commands.tracking;
  }

  intercept(type: number, message: Buffer): Promise<void> | undefined {
    const action = readable(() => this.#intercept(type, message));
    if (action !== undefined) this.#engine.taken();
    return action;
  }

  #intercept(type: number, message: Buffer): Promise<void> | undefined {
    switch (type) {
      case Frontend.query:
        this.#extended.forgetUnnamed();
        this.#commands.forgetUnnamed();
        return (
          (this.#dumps ? this.#dumpQuery(message) : undefined) ??
          this.#inspect(message, HEADER_BYTES, 'query', (whole, text, statements) =>
            this.#query(whole, text, statements),
          ) ??
          this.#forwardsQuery()
        );
      case Frontend.parse: {
        if (message[HEADER_BYTES] === 0) {
          this.#extended.forgetUnnamed();
          this.#commands.forgetUnnamed();
          this.#engine.unnamedStatement = true;
        }
        const start = message.indexOf(0, HEADER_BYTES) + 1;
        return this.#inspect(message, start, 'parse', (whole, text, statements) =>
          this.#parse(whole, text, statements),
        );
      }
      default:
        return this.#commands.message(type, message) ?? this.#extended.message(type, message);
    }
  }

  /** Forwards a Query of pg_dump's that would see the bridge, changed. @returns undefined if it would not */
  #dumpQuery(message: Buffer): Promise<void> | undefined {
    const { primary, clientEncoding } = this.#engine;
    const text = message.subarray(HEADER_BYTES, -1);
    if (primary.queue.copyIn || text.includes(0) || (!isAsciiSafe(clientEncoding) && !isAscii(text)))
      return undefined;
    const changed = asWithExtension(text);
    if (changed === undefined) return undefined;
    this.#forwardsQuery();
    primary.expect(FORWARD.query);
    primary.write(query(changed));
    return Promise.resolve();
  }

  /** A Query that is forwarded: the primary drops the unnamed statement itself. */
  #forwardsQuery(): undefined {
    this.#engine.unnamedStatement = false;
    return undefined;
  }

  /** Looks for calls in the SQL text that begins at `start` and ends at the next NUL. */
  #inspect(
    message: Buffer,
    start: number,
    kind: 'query' | 'parse',
    act: (message: Buffer, text: ReadableText, statements: readonly Statement[]) => Promise<void>,
  ): Promise<void> | undefined {
    if (!containsDblink(message, start) || this.#engine.primary.queue.copyIn) return undefined;
    const end = message.indexOf(0, start);
    if (end < 0 || (kind === 'query' && end !== message.length - 1)) return undefined;
    // What is handled later must not change meanwhile.
    const whole = Buffer.from(message);
    const text = whole.subarray(start, end);
    if (!isAsciiSafe(this.#engine.clientEncoding) && !isAscii(text)) return undefined;
    const readable = this.#readable(text);
    if (readable === undefined) return undefined;
    const { settings, asker } = this.#engine;
    const analysis = analyzeAsync(readable.text, { schemas: settings.dblinkSchemas }, asker);
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

  /** Forwards what was looked at first. A cancel that came meanwhile, when the primary had nothing to cancel, is for it. */
  #forward(kind: 'query' | 'parse', message: Buffer): void {
    const { primary, session, cancelled } = this.#engine;
    primary.expect(FORWARD[kind]);
    primary.write(message);
    if (cancelled) session.cancelPrimary();
  }

  /** SQL text as the parser reads it. */
  #readable(text: Buffer): ReadableText | undefined {
    const { primary, countCharacters } = this.#engine;
    if (primary.parameters.get('standard_conforming_strings') !== 'off' || !text.includes(BACKSLASH))
      return { text, mapPosition: (position) => position };
    return asEscapeStrings(text, countCharacters);
  }

  async #query(message: Buffer, text: ReadableText, statements: readonly Statement[]): Promise<void> {
    const { primary } = this.#engine;
    await primary.settled();
    if (primary.queue.skipping) {
      this.#forward('query', message);
      return;
    }
    await new SimpleQuery(this.#engine, text, statements).run();
  }

  async #parse(message: Buffer, { text }: ReadableText, statements: readonly Statement[]): Promise<void> {
    const [statement, ...more] = statements;
    const fields = readable(() => readParse(message));
    if (statement === undefined || more.length > 0 || fields === undefined) {
      this.#forward('parse', message);
      return;
    }
    if (statement.shape.kind === 'extension') await this.#commands.parse(message, statement.shape.command);
    else await this.#extended.parse(message, { ...fields, sql: text }, statement);
  }

  ready(): void {
    this.#engine.ready();
    this.#extended.ready();
    this.#commands.ready();
  }

  notice(message: Buffer, muted: boolean, cut: boolean): boolean {
    return this.#engine.bridge?.notice(message, muted, cut) ?? !muted;
  }

  error(message: Buffer): Buffer {
    return this.#engine.bridge?.error(message) ?? message;
  }

  settled(): void {
    this.#engine.bridge?.ready();
  }

  cancel(): boolean {
    return this.#engine.cancel();
  }

  close(): void {
    this.#engine.close();
  }
}

/** @returns undefined for a message that cannot be read: the primary refuses it, in its own words and only for its batch */
function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof PgError && error.sqlstate === '08P01') return undefined;
    throw error;
  }
}

const withCalls = (analysis: Analysis): readonly Statement[] | undefined =>
  analysis?.statements.some(({ calls, shape }) => calls.length > 0 || shape.kind !== 'none')
    ? analysis.statements
    : undefined;
