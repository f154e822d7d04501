import { memberQuery } from '../primary/declaredServers.js';
import type { ServiceConnection } from './service/serviceConnection.js';

/** How long an answer about a role is good for, but for calls that a superuser's rights decide. */
const GOOD_MS = 5000;

/** How many roles such answers are kept for. */
const MAX_CLAIMS = 100;

/** SQL of the privilege to take a role by SET ROLE: before 16 every member had it. */
const SET = `CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END`;

/**
 * Of the role $2, which a request of the user $1's session names: whether it is a superuser, whether it is the proxy's account,
 * whether it can be proven. The account, and who is a member of it, can make evidence for any role: that is none where
 * the session's user is one, but for a role that the user could take by SET ROLE.
 */
const STANDING = `SELECT r.rolsuper, r.rolname = current_user,
    s.rolsuper OR pg_has_role(s.oid, r.oid, ${SET}) OR NOT pg_has_role(s.oid, current_user, 'MEMBER'),
    s.rolname <> current_user AND (s.rolsuper OR NOT pg_has_role(s.oid, current_user, 'MEMBER'))
  FROM pg_roles s, pg_roles r WHERE s.rolname = $1 AND r.rolname = $2`;

/** By whose rights a call is judged. */
export interface CountingRole {
  /** A byte string; undefined: nobody in particular, who has what everybody has. */
  readonly name: string | undefined;
  readonly superuser: boolean;
}

const NOBODY: CountingRole = { name: undefined, superuser: false };

/** Where the evidence comes from: what superusers and the account may execute, or a function that is made for the role. */
export type Proving = 'granted' | 'made';

/** The role that a function runs as, by the account of its request. */
export interface ClaimedRole {
  /** A byte string. */
  readonly name: string;
  /** Has the function prove that it runs as this role (roleProof.ts). */
  readonly prove: (by: Proving) => Promise<boolean>;
}

interface Standing {
  readonly superuser: boolean;
  /** It is the role of the service connections. */
  readonly account: boolean;
  readonly provable: boolean;
  /** The account is not the session's own. */
  readonly apart: boolean;
}

/**
 * What the roles of one session may do. A request names the role that a function runs as, and whatever runs in the session can
 * raise a request, also what other roles have written: a superuser's session runs as the owner of a materialized view that it
 * refreshes, of a table that it analyzes, of a SECURITY DEFINER function that it calls. So no role counts because the session's
 * user has it or could take it: it counts when the function proves that it runs as this role. Else the call has the rights that
 * everybody has. It is asked only where that would be less.
 */
export class Roles {
  readonly #claims = new Map<string, { readonly value: boolean; readonly until: number }>();

  constructor(
    /** The user that logged in, a byte string. */
    private readonly user: string,
    private readonly attach: () => Promise<{ readonly connection: Pick<ServiceConnection, 'query'> }>,
  ) {}

  async #standing(role: string): Promise<Standing> {
    const { connection } = await this.attach();
    const [row] = await connection.query(STANDING, [this.user, role]);
    const [superuser = false, account = false, provable = false, apart = false] = (row ?? []).map(
      (value) => value?.toString() === 't',
    );
    return { superuser, account, provable, apart };
  }

  /** Whether a superuser's rights may count for who claims this role. It need not be true any more, nor ever have been. */
  async mayBeSuperuser(role: string): Promise<boolean> {
    const known = this.#claims.get(role);
    if (known !== undefined && known.until > Date.now()) return known.value;
    const { superuser, provable } = await this.#standing(role);
    const value = superuser && provable;
    // Anybody can claim to be anybody.
    if (this.#claims.size >= MAX_CLAIMS) this.#claims.clear();
    this.#claims.set(role, { value, until: Date.now() + GOOD_MS });
    return value;
  }

  /** The role whose rights count for a request that names this one. */
  async counting(role: ClaimedRole): Promise<CountingRole> {
    const standing = await this.#standing(role.name);
    return (await isProven(role, standing)) ? { name: role.name, superuser: standing.superuser } : NOBODY;
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
   * Whether a call of dblink_connect_u comes from a function that a superuser or the service account has installed: it
   * proves to run as one of these, which is its owner; who may execute it, PostgreSQL has decided. What the user has made, or
   * could have made, does not count: everybody may execute functions of their own.
   */
  async mayConnectUnchecked(role: ClaimedRole): Promise<boolean> {
    const standing = await this.#standing(role.name);
    const { superuser, account, apart } = standing;
    return (superuser || (account && apart)) && isProven(role, standing);
  }
}

const isProven = async (
  { prove }: ClaimedRole,
  { superuser, account, provable }: Standing,
): Promise<boolean> => provable && prove(superuser || account ? 'granted' : 'made');
