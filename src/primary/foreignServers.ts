import type { ForeignServer } from '../dblink/connections/foreignServer.js';
import { mappingNotFound, serverNotPermitted } from '../dblink/errors.js';
import { PgError } from '../wire/errors.js';
import { abortable } from '../wire/pace/abortable.js';
import {
  asForeignServer,
  type DeclaredServer,
  findDeclared,
  isPublic,
  memberQuery,
  rolesJson,
} from './declaredServers.js';
import {
  CURRENT_ROLE,
  type FoundServer,
  readServer,
  serverExists,
  serverQuery,
} from './foreignServerQuery.js';
import { BRIDGE_COMMENT } from './marks.js';
import { EQ, LIKE, MATCHES } from './operators.js';
import type { PrimaryLink } from './primaryLink.js';
import type { ProvenRole } from './provenRole.js';

/** The text of $1, which is bytes in the database's encoding. Text on the session's connection would be in the client's. */
const GIVEN = 'pg_catalog.convert_from($1, pg_catalog.getdatabaseencoding())';
const NAME = `${GIVEN}::pg_catalog.name`;
/** A query for the same text as hexadecimal digits of its bytes, in the database's encoding and not in the client's. */
const asHex = (query: string): string =>
  `SELECT pg_catalog.encode(pg_catalog.convert_to(q.text, pg_catalog.getdatabaseencoding()), 'hex') FROM (${query}) AS q(text)`;

/** SQL of the OID of dblink_connect_u's owner (the extension's, or the bridge's). Without such a function: the current role. */
const OWNER = `coalesce((SELECT p.proowner FROM pg_catalog.pg_proc AS p WHERE p.proname ${EQ} 'dblink_connect_u'
      AND (EXISTS (SELECT FROM pg_catalog.pg_description AS d WHERE d.objoid ${EQ} p.oid
          AND d.classoid ${EQ} 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objsubid ${EQ} 0
          AND d.description ${MATCHES} '${BRIDGE_COMMENT}')
        OR p.probin ${LIKE} '%dblink')
    ORDER BY pg_catalog.pg_function_is_visible(p.oid) DESC LIMIT 1), (${CURRENT_ROLE}))`;

const EXISTS = `SELECT ${serverExists(NAME)}`;
const FIND = asHex(serverQuery(NAME, CURRENT_ROLE));
const FIND_AS_OWNER = asHex(serverQuery(NAME, OWNER));
const MEMBER = memberQuery(GIVEN, CURRENT_ROLE);

/** For a connection that speaks the database's encoding: finds the server $1 for the role $2. */
export const FIND_FOR = serverQuery(
  '$1',
  `SELECT g.oid FROM pg_catalog.pg_roles AS g WHERE g.rolname ${EQ} $2`,
);

/** For whom a user mapping is read that the session itself cannot read. */
export interface MappingReader {
  /** The role whose rights count, a byte string. Undefined when no role is proven; no mapping is read then. */
  readonly role: () => Promise<string | undefined>;
  /** Ends the reading. */
  readonly signal: AbortSignal;
}

/**
 * Reads a foreign server and the user mapping of a role, with the rights of the proxy's account.
 * @param server byte string in the database's encoding @param role likewise
 * @returns the account's name and what FIND_FOR returns, both byte strings
 * @throws PgError; the signal's reason
 */
export type ReadMapping = (
  server: string,
  role: string,
  signal: AbortSignal,
) => Promise<readonly [account: string, found: string]>;

/** Finds foreign servers for the calls of one session: first those of the primary, then those that the configuration declares. */
export class ForeignServers {
  constructor(
    private readonly primary: PrimaryLink,
    private readonly declaredServers: readonly DeclaredServer[],
    private readonly readMapping: ReadMapping,
  ) {}

  get #encoding(): string {
    return this.primary.parameters.get('server_encoding') ?? 'UTF8';
  }

  /**
   * Finds a server. The primary is asked on the session's own connection, as the current role and in the session's transaction.
   * @param name byte string in the database's encoding
   * @param how `asOwner`: finds it for the owner of dblink_connect_u; `end`: see PrimaryLink.run; `signal`: see MappingReader;
   * `provenRole`: the role whose rights count, where what the primary says of it is no evidence
   * @returns undefined when there is no such server
   * @throws PgError see `usable` and `declared`; what the primary raised; 25P02 when it skipped the question
   */
  async find(
    name: string,
    how: {
      readonly asOwner: boolean;
      readonly end: 'flush' | 'sync';
      readonly signal: AbortSignal;
      readonly provenRole?: ProvenRole | undefined;
    },
  ): Promise<ForeignServer | undefined> {
    const { asOwner, end, signal, provenRole } = how;
    if ((await this.#ask(EXISTS, name, end)) === 't') {
      const found = await this.#ask(asOwner ? FIND_AS_OWNER : FIND, name, end);
      const server = readServer(Buffer.from(found ?? '', 'hex').toString('latin1'));
      const role = async () => (provenRole === undefined ? server?.role : provenRole.name(end));
      if (server !== undefined) return this.usable(server, { role, signal });
    }
    return this.declared(name, async (declared) => {
      if (provenRole !== undefined) return provenRole.isMember(rolesJson(declared, this.#encoding), end);
      return (await this.#ask(MEMBER, rolesJson(declared, this.#encoding), end)) === 't';
    });
  }

  /** Whether the current role is a member of one of several roles, whose names are text. @param end see PrimaryLink.run */
  async isMember(roles: readonly string[], end: 'flush' | 'sync'): Promise<boolean> {
    return (await this.#ask(MEMBER, rolesJson({ roles }, this.#encoding), end)) === 't';
  }

  /** The one value that a query with one parameter returns. */
  async #ask(sql: string, value: string, end: 'flush' | 'sync'): Promise<string | undefined> {
    const own = { sql, types: [BYTEA_OID], formats: [1], values: [Buffer.from(value, 'latin1')] };
    const { error, rows, skipped } = await this.primary.run(own, end);
    if (error !== undefined) throw error;
    if (skipped) throw transactionAborted();
    return rows[0]?.[0]?.toString('latin1');
  }

  /**
   * A server of the primary, with the options of the user mapping, if the role may use it.
   * @param found on the session's connection, or what a function of the bridge says that it has found
   * @param reader for whom the mapping is read when the session cannot read it
   * @throws PgError 42704 without a user mapping; 55000 for a mapping that is not committed yet; 08001; the signal's reason
   * @throws PgError 42501 without USAGE; when the proxy's account cannot read the mapping either; when the role is not proven;
   * when the mapping is that of another role
   */
  async usable(found: FoundServer, reader: MappingReader): Promise<ForeignServer> {
    this.#check(found);
    if (found.readable) return { ...found, declared: false };
    // Nobody vouches for what was found, so the rights of the role are looked up again.
    const role = await reader.role();
    if (role === undefined) throw unproven(found);
    const { signal } = reader;
    const [account, text] = await abortable(this.readMapping(found.name, role, signal), signal);
    const read = readServer(text);
    if (read === undefined) throw notCommitted(found.name);
    this.#check(read);
    if (!read.readable) throw unreadable(read, account);
    // A role can read its own mapping without the proxy's account. So an own mapping here is not that of the role that calls.
    if (read.mapping !== 'public') throw notAssumable(found, role);
    return { ...read, declared: false };
  }

  #check(server: FoundServer): void {
    const { name, role, mapping, permitted } = server;
    if (mapping === undefined) throw mappingNotFound(role, name, this.primary.majorVersion);
    if (!permitted) throw serverNotPermitted(name);
  }

  /**
   * A server that the configuration declares.
   * @param name byte string in the database's encoding
   * @param isMember whether the call's role is a member of one of the server's roles
   * @returns undefined when none of that name is declared
   * @throws PgError 42501 when the role is no member
   */
  async declared(
    name: string,
    isMember: (server: DeclaredServer) => Promise<boolean>,
  ): Promise<ForeignServer | undefined> {
    const server = findDeclared(this.declaredServers, name, this.#encoding);
    if (server === undefined) return undefined;
    if (!isPublic(server) && !(await isMember(server))) throw serverNotPermitted(name);
    return asForeignServer(server);
  }
}

const BYTEA_OID = 17;

/** For a question that the primary skipped, because another one of the same batch has failed. */
const transactionAborted = (): PgError =>
  new PgError('25P02', 'current transaction is aborted, commands ignored until end of transaction block');

const unreadable = ({ name, role }: FoundServer, account: string): PgError =>
  new PgError(
    '42501',
    `permission denied to read the user mapping of "${role}" for foreign server "${name}"`,
    {
      detail: `It has to be read by the proxy's own account, and "${account}" is neither superuser nor a member of the server's owner.`,
      hint: `Grant the role that owns the server to the proxy's account (docs/bridge.md), or create a user mapping for "${role}".`,
    },
  );

const notAssumable = ({ name, role }: FoundServer, user: string): PgError =>
  new PgError(
    '42501',
    `permission denied to read the user mapping of "${role}" for foreign server "${name}"`,
    {
      detail: `The session's user "${user}" cannot take that role, and has a user mapping of its own.`,
      hint: `Create a user mapping for "${role}", or grant that role to "${user}".`,
    },
  );

const unproven = ({ name, role }: FoundServer): PgError =>
  new PgError(
    '42501',
    `permission denied to read the user mapping of "${role}" for foreign server "${name}"`,
    {
      detail:
        "It has to be read by the proxy's own account, which the call did not show to run as that role.",
      hint: 'Give the proxy an account that none of the roles which call is a member of (docs/bridge.md).',
    },
  );

const notCommitted = (name: string): PgError =>
  new PgError(
    '55000',
    `the user mapping for foreign server "${name}" cannot be read before it is committed`,
    {
      detail:
        "It has to be read by the proxy's own account, which does not see what this transaction has made.",
      hint: 'Commit first, or create a user mapping for the role that calls.',
    },
  );
