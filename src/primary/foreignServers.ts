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

/** $1 is bytes in the database's encoding: what the session's connection carries is in the client's. */
const GIVEN = 'pg_catalog.convert_from($1, pg_catalog.getdatabaseencoding())';
const NAME = `${GIVEN}::pg_catalog.name`;
const asHex = (query: string): string =>
  `SELECT pg_catalog.encode(pg_catalog.convert_to(q.text, pg_catalog.getdatabaseencoding()), 'hex') FROM (${query}) AS q(text)`;

/** The owner of the extension's dblink_connect_u, or of the one that stands for it, where there is one. */
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

/** For a connection that speaks the database's encoding: of the server $1, what the role $2 is to find. */
export const FIND_FOR = serverQuery(
  '$1',
  `SELECT g.oid FROM pg_catalog.pg_roles AS g WHERE g.rolname ${EQ} $2`,
);

/** For whom a mapping is read that the session itself cannot read. */
export interface MappingReader {
  /** The role whose rights count, a byte string; undefined for nobody in particular, who reads no mapping. */
  readonly role: () => Promise<string | undefined>;
  readonly signal: AbortSignal;
}

/**
 * Reads a server and the mapping of a role with the rights of the proxy's account.
 * @returns the account's name, and what FIND_FOR gives, byte strings
 * @throws PgError; the signal's reason
 */
export type ReadMapping = (
  server: string,
  role: string,
  signal: AbortSignal,
) => Promise<readonly [account: string, found: string]>;

/** Finds foreign servers for the calls of one session: those of the primary, then those that are declared. */
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
   * Asks the primary on the session's own connection: for the current role, in its transaction.
   * @param name byte string
   * @param how `asOwner`: for the owner of dblink_connect_u; `end`: see PrimaryLink.run
   * @throws PgError see `usable`, and what the primary raised
   */
  async find(
    name: string,
    how: { readonly asOwner: boolean; readonly end: 'flush' | 'sync'; readonly signal: AbortSignal },
  ): Promise<ForeignServer | undefined> {
    const { asOwner, end, signal } = how;
    if ((await this.#ask(EXISTS, name, end)) === 't') {
      const found = await this.#ask(asOwner ? FIND_AS_OWNER : FIND, name, end);
      const server = readServer(Buffer.from(found ?? '', 'hex').toString('latin1'));
      if (server !== undefined) return this.usable(server, { role: async () => server.role, signal });
    }
    return this.declared(name, async (declared) => {
      return (await this.#ask(MEMBER, rolesJson(declared, this.#encoding), end)) === 't';
    });
  }

  /** The one value that a query with one parameter gives. */
  async #ask(sql: string, value: string, end: 'flush' | 'sync'): Promise<string | undefined> {
    const own = { sql, types: [BYTEA_OID], formats: [1], values: [Buffer.from(value, 'latin1')] };
    const { error, rows, skipped } = await this.primary.run(own, end);
    if (error !== undefined) throw error;
    if (skipped) throw transactionAborted();
    return rows[0]?.[0]?.toString('latin1');
  }

  /**
   * A server of the primary, if the role may use it.
   * @param found on the session's connection, or what a function of the bridge says that it has found
   * @throws PgError 42704 no user mapping, 42501 no USAGE, a mapping that the proxy's account cannot read either, or a role
   * that is not proven, 55000,
   * 08001; the signal's reason
   */
  async usable(found: FoundServer, reader: MappingReader): Promise<ForeignServer> {
    this.#check(found);
    if (found.readable) return { ...found, declared: false };
    // The rights of the role are looked at again: nobody vouches for what was found.
    const role = await reader.role();
    if (role === undefined) throw unproven(found);
    const { signal } = reader;
    const [account, text] = await abortable(this.readMapping(found.name, role, signal), signal);
    const read = readServer(text);
    if (read === undefined) throw notCommitted(found.name);
    this.#check(read);
    if (!read.readable) throw unreadable(read, account);
    // A role's own mapping the session has read itself: this one is of another role than the one that calls.
    if (read.mapping !== 'public') throw notAssumable(found, role);
    return { ...read, declared: false };
  }

  #check(server: FoundServer): void {
    const { name, role, mapping, permitted } = server;
    if (mapping === undefined) throw mappingNotFound(role, name, this.primary.majorVersion);
    if (!permitted) throw serverNotPermitted(name);
  }

  /**
   * A server of the configuration.
   * @param isMember whether the call's role is a member of one of its roles
   * @throws PgError 42501 when it is not
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

/** Another question of the same batch has failed, and the primary skips to its end. */
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
