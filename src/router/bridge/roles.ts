import { memberQuery } from '../declaredServers.js';
import { LOCKERS } from './roleProof.js';
import type { ServiceConnection } from './serviceConnection.js';

/** How long an answer about a role is good for, but for calls that a superuser's rights decide. */
const GOOD_MS = 5000;

/** How many roles such answers are kept for. */
const MAX_CLAIMS = 100;

/** SQL of the privilege to take a role by SET ROLE: before 16 every member had it. */
const SET = `CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END`;

/** SQL: what the proxy's account makes to be locked is not for the user s to lock as well. */
const LOCKS_NOTHING = `NOT EXISTS (SELECT FROM pg_roles g WHERE g.rolname IN (current_user, ${LOCKERS.map((name) => `'${name}'`).join(', ')})
  AND pg_has_role(s.oid, g.oid, 'MEMBER'))`;

/**
 * Of the role $2: whether the user $1 could take it by SET ROLE, whether it is a superuser, whether it could be proved. Then
 * whether the user is a superuser.
 */
const STANDING = `SELECT coalesce(s.rolsuper OR pg_has_role(s.oid, r.oid, ${SET}), false), coalesce(r.rolsuper, false),
    r.oid IS NOT NULL AND ${LOCKS_NOTHING}, s.rolsuper
  FROM pg_roles s LEFT JOIN pg_roles r ON r.rolname = $2 WHERE s.rolname = $1`;

/** A role by whose rights a call is judged; its name is a byte string. */
export interface CountingRole {
  readonly name: string;
  readonly superuser: boolean;
}

/** The role that a function runs as, by the account of its request. */
export interface ClaimedRole {
  /** A byte string. */
  readonly name: string;
  /** Has the function prove that it runs as this role (roleProof.ts). */
  readonly prove: () => Promise<boolean>;
}

/**
 * What the session's roles may do. A request names the role that a function runs as, and anybody in the session can raise
 * a request: its role counts only when the session's user could take it by SET ROLE, or when the function proves that it
 * runs as this role, as SECURITY DEFINER functions do. Else the user's own rights count.
 */
export class Roles {
  readonly #claims = new Map<string, { readonly value: boolean; readonly until: number }>();

  constructor(
    /** The user that logged in, a byte string. */
    private readonly user: string,
    private readonly attach: () => Promise<{ readonly connection: Pick<ServiceConnection, 'query'> }>,
  ) {}

  async #standing(role: string): Promise<{
    readonly takeable: boolean;
    readonly superuser: boolean;
    readonly provable: boolean;
    readonly userIsSuperuser: boolean;
  }> {
    const { connection } = await this.attach();
    const [row] = await connection.query(STANDING, [this.user, role]);
    const [takeable = false, superuser = false, provable = false, userIsSuperuser = false] = (row ?? []).map(
      (value) => value?.toString() === 't',
    );
    return { takeable, superuser, provable, userIsSuperuser };
  }

  /** Whether a superuser's rights may count for who claims this role. It need not be true any more, nor ever have been. */
  async mayBeSuperuser(role: string): Promise<boolean> {
    const known = this.#claims.get(role);
    if (known !== undefined && known.until > Date.now()) return known.value;
    const { takeable, superuser, provable, userIsSuperuser } = await this.#standing(role);
    const value = userIsSuperuser || (superuser && (takeable || provable));
    // Anybody can claim to be anybody.
    if (this.#claims.size >= MAX_CLAIMS) this.#claims.clear();
    this.#claims.set(role, { value, until: Date.now() + GOOD_MS });
    return value;
  }

  /** The role whose rights count for a request that names this one. */
  async counting({ name, prove }: ClaimedRole): Promise<CountingRole> {
    const { takeable, superuser, provable, userIsSuperuser } = await this.#standing(name);
    return takeable || (provable && (await prove()))
      ? { name, superuser }
      : { name: this.user, superuser: userIsSuperuser };
  }

  /** Whether a role is a member of one of several. @param roles their names, the text of a JSON array */
  async isMember(role: string, roles: string): Promise<boolean> {
    const { connection } = await this.attach();
    const [row] = await connection.query(
      memberQuery('$1::text', 'SELECT g.oid FROM pg_roles AS g WHERE g.rolname = $2'),
      [roles, role],
    );
    return row?.[0]?.toString() === 't';
  }

  /**
   * dblink_connect_u: whether the user, or a role of the user's, may execute it where a superuser or the service account
   * has installed it; or whether it proves to run as one of these two, whoever has called it. What the user has made, or
   * could have made, does not count: everybody may execute functions of their own.
   * @param owner the role that it runs as
   */
  async mayConnectUnchecked({ name, prove }: ClaimedRole): Promise<boolean> {
    const { connection } = await this.attach();
    const [row] = await connection.query(
      `SELECT s.rolsuper OR EXISTS (
         SELECT 1 FROM pg_proc p
           JOIN pg_description d ON d.objoid = p.oid AND d.classoid = 'pg_proc'::regclass AND d.description LIKE 'dblink-proxy bridge %'
           JOIN pg_roles r ON r.oid = s.oid OR pg_has_role(s.oid, r.oid, ${SET})
          WHERE p.proname = 'dblink_connect_u' AND p.proowner = o.oid AND has_function_privilege(r.oid, p.oid, 'EXECUTE')) AND t.trusted,
         t.trusted AND ${LOCKS_NOTHING}
         FROM pg_roles s LEFT JOIN pg_roles o ON o.rolname = $2,
           LATERAL (SELECT coalesce(s.rolsuper OR o.rolsuper OR o.rolname = current_user AND NOT pg_has_role(s.oid, o.oid, 'MEMBER'), false)) AS t(trusted)
        WHERE s.rolname = $1`,
      [this.user, name],
    );
    const [granted = false, provable = false] = (row ?? []).map((value) => value?.toString() === 't');
    return granted || (provable && (await prove()));
  }
}
