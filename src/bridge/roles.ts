import { memberQuery } from '../primary/declaredServers.js';
import type { ServiceConnection } from './service/serviceConnection.js';

/** How long an answer about a role is kept. Where a superuser's rights decide a call, the primary is always asked anew. */
const GOOD_MS = 5000;

/** For how many roles such answers are kept. */
const MAX_CLAIMS = 100;

/** SQL: the privilege that SET ROLE needs. Before PostgreSQL 16 every member of a role could take it. */
const SET = `CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END`;

/**
 * SQL that gives a Standing, member by member, of the role $2 that a request names in a session of the user $1. It runs on a
 * service connection, where current_user is the proxy's account.
 *
 * The account and its members can make evidence for any role. Where the session's user is one of these, evidence proves
 * nothing, except for a role that the user could take by SET ROLE anyway.
 */
const STANDING = `SELECT r.rolsuper, r.rolname = current_user,
    s.rolsuper OR pg_has_role(s.oid, r.oid, ${SET}) OR NOT pg_has_role(s.oid, current_user, 'MEMBER'),
    s.rolname <> current_user AND (s.rolsuper OR NOT pg_has_role(s.oid, current_user, 'MEMBER'))
  FROM pg_roles s, pg_roles r WHERE s.rolname = $1 AND r.rolname = $2`;

/** The role by whose rights a call is judged. */
export interface CountingRole {
  /** A byte string. Undefined for nobody in particular, who has the rights that everybody has. */
  readonly name: string | undefined;
  readonly superuser: boolean;
}

const NOBODY: CountingRole = { name: undefined, superuser: false };

/**
 * Where the evidence comes from. `granted`: from a function that only superusers and the account may execute. `made`: from a
 * function that is made for the role.
 */
export type EvidenceSource = 'granted' | 'made';

/** The role that a function runs as, as its request says. */
export interface ClaimedRole {
  /** A byte string. */
  readonly name: string;
  /**
   * Has the function prove that it runs as this role (roleProof.ts). It is asked once for a call: evidence shows the role, whichever
   * source it is from.
   */
  readonly prove: (source: EvidenceSource) => Promise<boolean>;
}

/** What is to be known of a role that a request names. */
interface Standing {
  readonly superuser: boolean;
  /** It is the proxy's account, the role of the service connections. */
  readonly account: boolean;
  /** Evidence for it can be believed in this session. */
  readonly provable: boolean;
  /** The session's user is not the account and, unless a superuser, no member of it. */
  readonly apart: boolean;
}

/**
 * What the roles of one session may do (docs/decisions/010-evidence.md).
 *
 * A request names the role that a function runs as. Whatever runs in the session can raise a request, and some of that code was
 * written by other roles. A superuser's session runs as the owner of a materialized view that it refreshes, of a table that it
 * analyzes, or of a SECURITY DEFINER function that it calls. So a role does not count because the session's user has it or could
 * take it. It counts when the function proves that it runs as this role. Otherwise the call has the rights that everybody has.
 * The proof is asked for only where these rights would not be enough.
 *
 * Every method throws a PgError when the primary cannot be asked.
 */
export class Roles {
  readonly #claims = new Map<string, { readonly value: boolean; readonly until: number }>();

  constructor(
    /** The user that logged in, a byte string. */
    private readonly user: string,
    /** Gives what the primary is asked on, as the proxy's account. */
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

  /**
   * Whether a superuser's rights may count for a function that claims this role. The answer may be some seconds old, and the
   * claim is not proven.
   */
  async mayBeSuperuser(role: string): Promise<boolean> {
    const known = this.#claims.get(role);
    if (known !== undefined && known.until > performance.now()) return known.value;
    const { superuser, provable } = await this.#standing(role);
    const value = superuser && provable;
    // Anybody can claim any role, so there is a limit.
    if (this.#claims.size >= MAX_CLAIMS) this.#claims.clear();
    this.#claims.set(role, { value, until: performance.now() + GOOD_MS });
    return value;
  }

  /** The role whose rights count for a request that names this one: this one if it is proven, else nobody in particular. */
  async counting(role: ClaimedRole): Promise<CountingRole> {
    const standing = await this.#standing(role.name);
    return (await isProven(role, standing)) ? { name: role.name, superuser: standing.superuser } : NOBODY;
  }

  /** Whether a role is a member of one of several roles. @param roles their names, the text of a JSON array */
  async isMember(role: string, roles: string): Promise<boolean> {
    const { connection } = await this.attach();
    const [row] = await connection.query(
      memberQuery('$1::text', 'SELECT g.oid FROM pg_roles AS g WHERE g.rolname = $2'),
      [roles, role],
    );
    return row?.[0]?.toString() === 't';
  }

  /**
   * Whether a call of dblink_connect_u comes from a function that a superuser or the service account has installed. The
   * function runs as its owner, and has to prove that this is one of these. Who may execute it, PostgreSQL has decided. A
   * function that the user has made, or could have made, does not count: everybody may execute functions of their own.
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
