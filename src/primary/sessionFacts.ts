import { CLUSTER_QUERY } from '../dblink/connections/ownCluster.js';
import { PgError } from '../wire/errors.js';
import type { FoundFunction, FoundFunctions, Grounds, NamedFunction } from './functions/foundFunctions.js';
import { type BridgeFingerprint, probeQuery, probeWithRightsQuery } from './functions/functionQueries.js';
import { type Beginning, NamedFunctions } from './functions/namedFunctions.js';
import { EQ } from './operators.js';
import type { PrimaryLink } from './primaryLink.js';

/** What a primary does not report by itself about a session. */
export interface SessionFacts {
  /** As the setting is_superuser says; see `superuserNow`. */
  readonly superuser: boolean;
  /** Nobody is certain to be asking the primary, so that what it says of roles needs a proof (router/nested/). */
  readonly unproven?: boolean;
  /** 0 for no limit. */
  readonly statementTimeoutMs: number;
  /** Whether the primary ends the session when nothing is asked of it for some time (idle_session_timeout). */
  readonly endsIdle: boolean;
  /** Whether the transaction is read-only, or one that would begin now. */
  readonly readOnly: boolean;
  readonly clientMinMessages: string;
  readonly extraFloatDigits: number;
  /**
   * How the session writes dates and times. The primary reports these settings, too, but it reports a change only at the end of
   * the batch of requests in which the change was made.
   */
  readonly style: { readonly dateStyle: string; readonly intervalStyle: string; readonly timeZone: string };
  /** The users' own functions. */
  readonly shadowing: readonly NamedFunction[];
  /** The bridge's functions, which stand for the extension's. */
  readonly bridged: readonly NamedFunction[];
  /** The extension's own functions. */
  readonly native: readonly NamedFunction[];
  /**
   * Functions that are marked as the bridge's, or stand where the extension's would be, but were made by somebody whose code not
   * everybody should run.
   */
  readonly untrusted: readonly NamedFunction[];
}

/** Asked before every dblink statement, unless it was asked lately and nothing has been sent since that could change the answer. */
const SETTINGS = `pg_catalog.current_setting('is_superuser'), pg_catalog.current_setting('statement_timeout'),
  pg_catalog.current_setting('client_min_messages'), pg_catalog.current_setting('extra_float_digits'),
  pg_catalog.current_setting('datestyle'), pg_catalog.current_setting('intervalstyle'),
  pg_catalog.current_setting('timezone'), pg_catalog.current_setting('idle_session_timeout', true),
  pg_catalog.current_setting('transaction_read_only')`;

const PROBE = probeQuery(SETTINGS);
/** How many columns it has, the fingerprint of the functions included. */
const PROBE_COLUMNS = 10;

/** Whether CLUSTER_QUERY would fail, and with it the client's transaction. */
const MAY_ASK_CLUSTER = `SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')`;

/** How long the probe's answer is used while the session does nothing that could change it. Others may: GRANT, ALTER ROLE. */
const GOOD_MS = 5000;

/** The setting is_superuser is only as new as the session's last SET ROLE. The catalog also shows an ALTER ROLE elsewhere. */
const SUPERUSER = `SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname ${EQ} current_user`;

const EXTENSION_ROW = `SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_extension x WHERE x.extname ${EQ} 'dblink')`;

/** Units in which PostgreSQL shows times, in ms. */
const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Reads a time setting as PostgreSQL shows it: `0`, `500ms`, `1min`. @returns ms; 0 for what is not understood */
function milliseconds(shown: string): number {
  const match = /^(\d+)(ms|s|min|h|d)?$/.exec(shown);
  return match === null ? 0 : Number(match[1]) * (UNIT_MS[match[2] ?? 'ms'] ?? 1);
}

/**
 * Facts about the session. One probe finds them. They are kept for a short time, until something is sent to the primary that may change
 * them. Facts that have not changed are the same object as before.
 */
export class FactsProbe {
  #facts: SessionFacts | undefined;
  /** What they were made of. */
  #answer = '';
  #functions: readonly FoundFunction[] = NONE;
  /** The time in ms until which they are used. */
  #until = 0;
  /** The value of PrimaryLink.changes when the facts were asked for. */
  #asOf = -1;
  readonly #named: NamedFunctions;
  readonly #unproven: boolean;

  constructor(
    private readonly primary: PrimaryLink,
    fingerprint: BridgeFingerprint,
    /** What other sessions have found. Undefined where nobody is certain to be asking the primary. */
    found: FoundFunctions | undefined,
  ) {
    this.#named = new NamedFunctions(fingerprint, found);
    this.#unproven = found === undefined;
  }

  /** The facts, if they are new enough, and nothing has been sent since that may have changed them. */
  get current(): SessionFacts | undefined {
    return this.#asOf === this.primary.changes && performance.now() < this.#until ? this.#facts : undefined;
  }

  /** The facts as they were found last. They may be out of date. */
  get lastKnown(): SessionFacts | undefined {
    return this.#facts;
  }

  /**
   * The facts as they are now. Asks the primary, unless they are known.
   * @param end see PrimaryLink.run
   * @throws PgError what the probe raised: 25P02 in a failed transaction, 08006
   */
  async get(end: 'flush' | 'sync'): Promise<SessionFacts> {
    const known = this.current;
    if (known !== undefined) return known;
    const { primary } = this;
    const asOf = primary.changes;
    const until = performance.now() + GOOD_MS;
    const ask = (sql: string) => this.#ask(sql, end);
    // In a transaction an error of the longer question would be one of the client's.
    const { row, beginning } =
      end === 'sync' && this.#named.begins ? await this.#begin(ask) : { row: (await ask(PROBE))[0] ?? [] };
    const [
      superuser,
      timeout,
      minMessages,
      floatDigits,
      dateStyle,
      intervalStyle,
      timeZone,
      idle,
      readOnly,
      named,
    ] = row;
    const functions = named === undefined ? NONE : await this.#named.get(named, beginning, ask);
    const answer = row.join('\0');
    const isNew = answer !== this.#answer || functions !== this.#functions;
    const byOthers = isNew && this.#facts !== undefined && this.#asOf === asOf;
    this.#until = until;
    this.#asOf = asOf;
    if (this.#facts !== undefined && !isNew) return this.#facts;
    this.#answer = answer;
    this.#functions = functions;
    if (byOthers) {
      if (primary.changes === asOf) this.#asOf++;
      primary.changedByOthers();
    }
    this.#facts = {
      superuser: superuser === 'on',
      unproven: this.#unproven,
      statementTimeoutMs: milliseconds(timeout ?? '0'),
      endsIdle: milliseconds(idle ?? '0') > 0,
      readOnly: readOnly === 'on',
      clientMinMessages: minMessages ?? 'notice',
      extraFloatDigits: Number(floatDigits ?? 1),
      style: { dateStyle: dateStyle ?? '', intervalStyle: intervalStyle ?? '', timeZone: timeZone ?? '' },
      shadowing: functions.filter(({ kind }) => kind === 'shadowing'),
      bridged: functions.filter(({ kind }) => kind === 'bridged'),
      native: functions.filter(({ kind }) => kind === 'native'),
      untrusted: functions.filter(({ kind }) => kind === 'untrusted'),
    };
    return this.#facts;
  }

  /** Asks in one question all that is needed to know again what another session has found. @throws PgError what the primary raised */
  async #begin(ask: Ask): Promise<{ readonly row: Row; readonly beginning?: Beginning }> {
    const { majorVersion: major, parameters } = this.primary;
    const sql = probeWithRightsQuery(SETTINGS, major);
    const groundsOf = (row: Row): Grounds => [
      parameters.get('client_encoding'),
      ...row.slice(PROBE_COLUMNS - 1),
    ];
    try {
      const [all = []] = await ask(sql);
      const again = async (): Promise<Grounds> => groundsOf((await ask(sql))[0] ?? []);
      const rights = all[PROBE_COLUMNS]?.split('\n') ?? [];
      const beginning = { major, rights, grounds: groundsOf(all), again };
      return { row: all.slice(0, PROBE_COLUMNS), beginning };
    } catch (error) {
      // There are primaries where not everybody may call all functions that are called there.
      if (!(error instanceof PgError) || error.sqlstate !== '42501') throw error;
      return { row: (await ask(PROBE))[0] ?? [] };
    }
  }

  /** Whether the current role is a superuser at this moment. @throws PgError what the primary raised */
  async superuserNow(end: 'flush' | 'sync'): Promise<boolean> {
    const [row] = await this.#ask(SUPERUSER, end);
    return row?.[0] === 't';
  }

  /**
   * What identifies the primary's cluster (CLUSTER_QUERY). Undefined where the role may not ask.
   * @throws PgError what the primary raised
   */
  async cluster(end: 'flush' | 'sync'): Promise<string | undefined> {
    const [may] = await this.#ask(MAY_ASK_CLUSTER, end);
    if (may?.[0] !== 't') return undefined;
    const [row] = await this.#ask(CLUSTER_QUERY, end);
    return row?.[0];
  }

  /** Whether pg_extension has a row for dblink at this moment. @throws PgError what the primary raised */
  async hasExtensionRow(end: 'flush' | 'sync'): Promise<boolean> {
    const [row] = await this.#ask(EXTENSION_ROW, end);
    return row?.[0] === 't';
  }

  async #ask(sql: string, end: 'flush' | 'sync'): Promise<readonly Row[]> {
    let { error, rows, skipped } = await this.primary.run({ sql }, end);
    if (skipped && error === undefined && end === 'sync') {
      // Another request of the same batch failed, so this one was skipped. When that batch is over it can be asked again.
      if (this.primary.batchOpen) await this.primary.sync();
      ({ error, rows, skipped } = await this.primary.run({ sql }, end));
    }
    if (error !== undefined) throw error;
    return rows.map((row) => row.map((value) => value?.toString('latin1')));
  }
}

const NONE: readonly FoundFunction[] = [];

type Row = readonly (string | undefined)[];
type Ask = (sql: string) => Promise<readonly Row[]>;
