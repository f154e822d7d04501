import { CATALOGUE } from '../dblink/catalogue.js';
import { CLUSTER_QUERY } from '../dblink/connections/ownCluster.js';
import { BRIDGE_COMMENT, bridgeComment, SERVICE_SCHEMA } from './marks.js';
import { EQ, GE, GT, LIKE, LT, MATCHES, MATCHES_NOT, SHIFTED, XOR } from './operators.js';
import type { PrimaryLink } from './primaryLink.js';

/** A function on the primary whose name begins with `dblink`. */
export interface NamedFunction {
  readonly schema: string;
  readonly name: string;
  /** OIDs of the arguments' types. */
  readonly argumentTypes: readonly number[];
  /** Whether the search path finds it (pg_function_is_visible). */
  readonly visible: boolean;
  /** Whether the session's role may execute it. */
  readonly executable: boolean;
}

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

/**
 * Asked before every dblink statement, unless it was asked lately and nothing has been sent since that could change the answer. So it
 * has to be quick to plan. Its last column changes whenever the answer of `named` may have changed, and is NULL when no function's
 * name begins with dblink.
 */
const PROBE = `SELECT pg_catalog.current_setting('is_superuser'), pg_catalog.current_setting('statement_timeout'),
  pg_catalog.current_setting('client_min_messages'), pg_catalog.current_setting('extra_float_digits'),
  pg_catalog.current_setting('datestyle'), pg_catalog.current_setting('intervalstyle'),
  pg_catalog.current_setting('timezone'), pg_catalog.current_setting('idle_session_timeout', true),
  pg_catalog.current_setting('transaction_read_only'),
  (SELECT pg_catalog.concat_ws(' ', pg_catalog.sum(pg_catalog.hashint8extended(oid::pg_catalog.int8 ${XOR} (xmin::pg_catalog.text::pg_catalog.int8 ${SHIFTED} 32), 1)),
      (SELECT pg_catalog.sum(pg_catalog.hashint8extended(oid::pg_catalog.int8 ${XOR} (xmin::pg_catalog.text::pg_catalog.int8 ${SHIFTED} 32), 1)) FROM pg_catalog.pg_namespace),
      current_user, pg_catalog.pg_my_temp_schema(), pg_catalog.current_setting('search_path'))
     FROM pg_catalog.pg_proc WHERE proname ${GE} 'dblink' AND proname ${LT} 'dblinl'
    HAVING pg_catalog.count(*) ${GT} 0)`;

/** Whether CLUSTER_QUERY would fail, and with it the client's transaction. */
const MAY_ASK_CLUSTER = `SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')`;

/** OIDs of the types of dblink's arguments. */
const TYPE_OIDS: Readonly<Record<string, number>> = {
  text: 25,
  boolean: 16,
  integer: 23,
  oid: 26,
  int2vector: 22,
  'text[]': 1009,
};

/** The signatures of dblink's functions as elements of an SQL array, each `"name:oid oid"`. */
const SIGNATURES = CATALOGUE.map(
  ({ name, args }) => `"${name}:${args.map(({ type }) => TYPE_OIDS[type]).join(' ')}"`,
).join();

/** What tells the bridge's functions from others that are marked as the bridge's. */
export interface BridgeFingerprint {
  /** The proxy's own account, if it has one. */
  readonly account: string | undefined;
  /** MD5 of the bodies of this version's public functions. */
  readonly bodies: readonly string[];
}

/** How long the probe's answer is used while the session does nothing that could change it. Others may: GRANT, ALTER ROLE. */
const GOOD_MS = 5000;

/**
 * How long the answer of `named` is used while the probe shows no change. The probe does not show everything: memberships of
 * roles decide about privileges, too.
 */
const NAMED_GOOD_MS = 5000;

/**
 * SQL that lists the functions whose names begin with dblink, with the group of SessionFacts that each belongs to.
 *
 * A function counts as a user's own unless it is implemented by the dblink library or marked as the bridge's. Temporary
 * functions of other sessions are left out. The mark is read from pg_description, because obj_description() looks up its
 * operators in the search_path before PostgreSQL 14.
 *
 * A function that is marked as the bridge's is `bridged` in one of these cases, and else `untrusted`:
 * - It is a temporary function of this session, or its owner is the session's current role.
 * - Its owner has the rights of the database's owner or is the proxy's account, the same holds for the owner of the service
 *   schema (if there is one), and its body is one of this version's. The bodies of other versions are not known: a function of
 *   another version has to be owned by a superuser or the account instead.
 *
 * In a schema where everybody may create functions, somebody else's function with exactly the signature of one of dblink's is
 * `untrusted`, too: it stands where the extension's would be.
 */
const named = ({
  account,
  bodies,
}: BridgeFingerprint): string => `SELECT n.nspname, p.proname, p.proargtypes::pg_catalog.text, pg_catalog.pg_function_is_visible(p.oid),
       pg_catalog.has_function_privilege(p.oid, 'EXECUTE'),
       CASE WHEN p.probin ${LIKE} '%dblink' THEN 'native'
            WHEN d.description ${MATCHES} '${BRIDGE_COMMENT}' THEN
              CASE WHEN n.oid ${EQ} pg_catalog.pg_my_temp_schema() OR o.own OR (o.trusted AND b.trusted AND
                CASE WHEN d.description ${EQ} '${bridgeComment()}'
                  THEN pg_catalog.md5(p.prosrc) ${EQ} ANY ('{${bodies.join()}}')
                  ELSE o.superuser OR o.account END)
                THEN 'bridged' ELSE 'untrusted' END
            WHEN NOT o.trusted AND NOT o.own AND pg_catalog.concat(p.proname, ':', p.proargtypes) ${EQ} ANY ('{${SIGNATURES}}')
              AND pg_catalog.has_schema_privilege('public', n.oid, 'CREATE') THEN 'untrusted'
            ELSE 'shadowing' END
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid ${EQ} p.pronamespace
  LEFT JOIN pg_catalog.pg_description d ON d.objoid ${EQ} p.oid
       AND d.classoid ${EQ} 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objsubid ${EQ} 0
  JOIN pg_catalog.pg_database g ON g.datname ${EQ} pg_catalog.current_database(),
  LATERAL (SELECT r.rolsuper AS superuser, r.rolname ${EQ} current_user AS own, ${isAccount('r', account)} AS account,
      pg_catalog.pg_has_role(r.oid, g.datdba, 'USAGE') OR ${isAccount('r', account)} AS trusted
    FROM pg_catalog.pg_roles r WHERE r.oid ${EQ} p.proowner) AS o,
  LATERAL (SELECT coalesce((SELECT pg_catalog.pg_has_role(r.oid, g.datdba, 'USAGE') OR ${isAccount('r', account)}
      FROM pg_catalog.pg_namespace s JOIN pg_catalog.pg_roles r ON r.oid ${EQ} s.nspowner
     WHERE s.nspname ${EQ} '${SERVICE_SCHEMA}'), true) AS trusted) AS b
 WHERE p.proname ${GE} 'dblink' AND p.proname ${LT} 'dblinl'
   AND (n.nspname ${MATCHES_NOT} '^pg_temp_' OR n.oid ${EQ} pg_catalog.pg_my_temp_schema())`;

/** SQL of a condition: whether a row of pg_roles is the proxy's account. @param account its name, in UTF-8 */
const isAccount = (row: string, account: string | undefined): string =>
  account === undefined
    ? 'false'
    : `${row}.rolname ${EQ} pg_catalog.convert_from(pg_catalog.decode('${Buffer.from(account).toString('hex')}', 'hex'), 'UTF8')::pg_catalog.name`;

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
  /** The last answer of `named`, the probe's fingerprint to which it belongs, and the time in ms until which it is used. */
  #lastNamed:
    | { readonly fingerprint: string; readonly functions: readonly FoundFunction[]; readonly until: number }
    | undefined;

  readonly #namedSql: string;

  constructor(
    private readonly primary: PrimaryLink,
    fingerprint: BridgeFingerprint,
    private readonly unproven = false,
  ) {
    this.#namedSql = named(fingerprint);
  }

  /** The facts, if they are new enough, and nothing has been sent since that may have changed them. */
  get current(): SessionFacts | undefined {
    return this.#asOf === this.primary.changes && Date.now() < this.#until ? this.#facts : undefined;
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
    const until = Date.now() + GOOD_MS;
    const [row = []] = await this.#ask(PROBE, end);
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
    const functions = named === undefined ? NONE : await this.#named(named, end);
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
      unproven: this.unproven,
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

  /** The functions whose names begin with dblink. The question is slow, so it is asked only when something may have changed. */
  async #named(fingerprint: string, end: 'flush' | 'sync'): Promise<readonly FoundFunction[]> {
    const last = this.#lastNamed;
    if (last?.fingerprint === fingerprint && last.until > Date.now()) return last.functions;
    const found = (await this.#ask(this.#namedSql, end)).map(namedFunction);
    const isSame = last !== undefined && JSON.stringify(found) === JSON.stringify(last.functions);
    const functions = isSame ? last.functions : found;
    this.#lastNamed = { fingerprint, functions, until: Date.now() + NAMED_GOOD_MS };
    return functions;
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

  async #ask(sql: string, end: 'flush' | 'sync'): Promise<readonly (readonly (string | undefined)[])[]> {
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

interface FoundFunction extends NamedFunction {
  readonly kind: string;
}

const namedFunction = ([schema, name, types, visible, executable, kind = '']: readonly (
  | string
  | undefined
)[]): FoundFunction => ({
  schema: schema ?? '',
  name: name ?? '',
  argumentTypes: (types ?? '').split(' ').filter(Boolean).map(Number),
  visible: visible === 't',
  executable: executable === 't',
  kind,
});

/** Whether the session made the function for itself. Such a function is called only by names that the proxy has rewritten. */
export const isTemporary = ({ schema }: NamedFunction): boolean => schema.startsWith('pg_temp_');
