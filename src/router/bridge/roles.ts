import { memberQuery } from '../declaredServers.js';
import type { Membership } from './services.js';

/** How long an answer about a role is good for, but for calls that a superuser's rights decide. */
const GOOD_MS = 5000;

/** SQL of the privilege to take a role by SET ROLE: before 16 every member had it. */
const SET = `CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END`;

/** Name and superuser mark of the role $2 if the user $1 could take it by SET ROLE, else of the user. */
const COUNTING = `SELECT c.rolname, c.rolsuper
  FROM pg_roles s
  LEFT JOIN pg_roles r ON r.rolname = $2 AND (s.rolsuper OR pg_has_role(s.oid, r.oid, ${SET}))
  JOIN pg_roles c ON c.oid = coalesce(r.oid, s.oid)
 WHERE s.rolname = $1`;

/**
 * What the session's roles may do. A request names the role that a function runs as, and anybody in the session can raise
 * a request: its role counts only when the session's user could take it by SET ROLE. Else the user's own rights count.
 */
export class Roles {
  readonly #superusers = new Map<string, { readonly value: boolean; readonly until: number }>();

  constructor(
    /** The user that logged in, a byte string. */
    private readonly user: string,
    private readonly attach: () => Promise<Membership>,
  ) {}

  async isSuperuser(role: string): Promise<boolean> {
    const known = this.#superusers.get(role);
    return known !== undefined && known.until > Date.now() ? known.value : this.isSuperuserNow(role);
  }

  async isSuperuserNow(role: string): Promise<boolean> {
    const { superuser } = await this.#counting(role);
    this.#superusers.set(role, { value: superuser, until: Date.now() + GOOD_MS });
    return superuser;
  }

  /** The role that a request names if the session's user could take it, else the user. */
  async effective(role: string): Promise<string> {
    return (await this.#counting(role)).name;
  }

  /** The role whose rights count for a request that names this one. */
  async #counting(role: string): Promise<{ readonly name: string; readonly superuser: boolean }> {
    const { connection } = await this.attach();
    const [row] = await connection.query(COUNTING, [this.user, role]);
    return { name: row?.[0]?.toString('latin1') ?? this.user, superuser: row?.[1]?.toString() === 't' };
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
   * has installed it. What the user has made, or could have made, does not count: everybody may execute functions of
   * their own.
   * @param owner the role that it runs as, by its own account
   */
  async mayConnectUnchecked(owner: string): Promise<boolean> {
    const { connection } = await this.attach();
    const [row] = await connection.query(
      `SELECT s.rolsuper OR EXISTS (
         SELECT 1 FROM pg_proc p
           JOIN pg_description d ON d.objoid = p.oid AND d.classoid = 'pg_proc'::regclass AND d.description LIKE 'dblink-proxy bridge %'
           JOIN pg_roles o ON o.oid = p.proowner AND (o.rolsuper OR o.rolname = current_user AND NOT pg_has_role(s.oid, o.oid, 'MEMBER'))
           JOIN pg_roles r ON r.oid = s.oid OR pg_has_role(s.oid, r.oid, ${SET})
          WHERE p.proname = 'dblink_connect_u' AND o.rolname = $2 AND has_function_privilege(r.oid, p.oid, 'EXECUTE'))
         FROM pg_roles s WHERE s.rolname = $1`,
      [this.user, owner],
    );
    return row?.[0]?.toString() === 't';
  }
}
