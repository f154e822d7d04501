import type { PrimaryLink } from './primary.js';

/** A function on the primary that has the name of one of dblink's and is not the extension's. */
export interface ShadowingFunction {
  readonly schema: string;
  readonly name: string;
  /** OIDs. */
  readonly argumentTypes: readonly number[];
  readonly visible: boolean;
}

/** What a primary does not report by itself about a session. */
export interface SessionFacts {
  readonly superuser: boolean;
  readonly statementTimeoutMs: number;
  readonly clientMinMessages: string;
  readonly extraFloatDigits: number;
  readonly shadowing: readonly ShadowingFunction[];
}

/**
 * Asked in one query. A function counts as a user's own unless it is implemented by the dblink library.
 */
const PROBE = `SELECT r.rolsuper,
  pg_catalog.current_setting('statement_timeout'),
  pg_catalog.current_setting('client_min_messages'),
  pg_catalog.current_setting('extra_float_digits'),
  (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(n.nspname, p.proname, p.proargtypes::pg_catalog.oid[], pg_catalog.pg_function_is_visible(p.oid)))
     FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE p.proname >= 'dblink' AND p.proname < 'dblinl' AND coalesce(p.probin, '') NOT LIKE '%dblink')
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user`;

/** Units in which PostgreSQL shows times, in ms. */
const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** A time setting as PostgreSQL shows it: `0`, `500ms`, `1min`. */
function milliseconds(shown: string): number {
  const match = /^(\d+)(ms|s|min|h|d)?$/.exec(shown);
  return match === null ? 0 : Number(match[1]) * (UNIT_MS[match[2] ?? 'ms'] ?? 1);
}

/**
 * Facts about the session, found by one probe and kept until anything of the client's was forwarded to the primary,
 * which may have changed them.
 */
export class FactsProbe {
  #facts: SessionFacts | undefined;
  #asOf = -1;
  /** Number of the statement that runs now, and of the one that the facts were asked in. */
  statement = 0;
  #askedIn = -1;

  constructor(private readonly primary: PrimaryLink) {}

  /** Whether the facts were asked in this statement or later. */
  askedSince(statement: number): boolean {
    return this.current !== undefined && this.#askedIn >= statement;
  }

  forget(): void {
    this.#facts = undefined;
  }

  /** The facts if they are known to be true now. */
  get current(): SessionFacts | undefined {
    return this.#asOf === this.primary.forwarded ? this.#facts : undefined;
  }

  /**
   * @param end see PrimaryLink.run
   * @throws PgError what the probe raised: 25P02 in a failed transaction, 08006
   */
  async get(end: 'flush' | 'sync'): Promise<SessionFacts> {
    const known = this.current;
    if (known !== undefined) return known;
    const asOf = this.primary.forwarded;
    const result = await this.primary.run({ sql: PROBE }, end);
    if (result.error !== undefined) throw result.error;
    const [superuser, timeout, minMessages, floatDigits, shadowing] = (result.rows[0] ?? []).map((value) =>
      value?.toString('latin1'),
    );
    this.#asOf = asOf;
    this.#askedIn = this.statement;
    this.#facts = {
      superuser: superuser === 't',
      statementTimeoutMs: milliseconds(timeout ?? '0'),
      clientMinMessages: minMessages ?? 'notice',
      extraFloatDigits: Number(floatDigits ?? 1),
      shadowing: (JSON.parse(shadowing ?? '[]') as [string, string, (number | string)[], boolean][]).map(
        ([schema, name, types, visible]) => ({ schema, name, argumentTypes: types.map(Number), visible }),
      ),
    };
    return this.#facts;
  }
}
