import type { ForeignServer } from '../dblink/connections/foreignServer.js';
import { transcode } from '../wire/encoding/transcode.js';
import { EQ } from './operators.js';

/** A server that the configuration declares. It is found by name where the primary has no foreign server of that name. */
export interface DeclaredServer {
  /** In UTF-8, as all text of this interface. */
  readonly name: string;
  /** Options of the connection string with the credentials, `keyword=value`. */
  readonly options: readonly string[];
  /** Roles whose members may use the server; `public` stands for everybody. */
  readonly roles: readonly string[];
  /** Whether the server's password may be sent in clear text without TLS. Default: no. */
  readonly plainPassword?: boolean;
  /** Whether its sessions have to stay read-only. Default: no. */
  readonly readOnly?: boolean;
}

/** A text as a byte string in UTF-8. */
const bytes = (text: string): string => Buffer.from(text).toString('latin1');

/** A text as a byte string in the database's encoding. Undefined when that encoding lacks a character. */
function inEncoding(text: string, encoding: string): string | undefined {
  const changed = transcode(bytes(text), 'UTF8', encoding);
  return typeof changed === 'string' ? changed : undefined;
}

/** The declared server of that name, if there is one. @param name byte string in the database's encoding */
export const findDeclared = (
  servers: readonly DeclaredServer[],
  name: string,
  encoding: string,
): DeclaredServer | undefined => servers.find((server) => inEncoding(server.name, encoding) === name);

/** Whether everybody may use the server. */
export const isPublic = ({ roles }: DeclaredServer): boolean => roles.includes('public');

/**
 * The names of roles in the database's encoding, without those that the encoding cannot hold.
 * @returns the text of a JSON array, a byte string
 */
export const rolesJson = ({ roles }: Pick<DeclaredServer, 'roles'>, encoding: string): string =>
  JSON.stringify(
    roles.map((role) => inEncoding(role, encoding)).filter((role): role is string => role !== undefined),
  );

/** The server as dblink makes a connection string of it. Its values go to the remote as they are in the configuration. */
export const asForeignServer = ({
  name,
  options,
  plainPassword = false,
  readOnly = false,
}: DeclaredServer): ForeignServer => ({
  name: bytes(name),
  serverOptions: options.map(bytes),
  mappingOptions: [],
  declared: true,
  plainPassword,
  readOnly,
});

/**
 * SQL of a query that tells whether a role is a member of one of several roles.
 * @param roles SQL of the names of those, as the text of a JSON array @param role SQL of the OID of the role
 */
export const memberQuery = (roles: string, role: string): string => `
SELECT EXISTS (SELECT FROM pg_catalog.pg_roles AS r
   WHERE r.rolname ${EQ} ANY (ARRAY(SELECT pg_catalog.json_array_elements_text((${roles})::pg_catalog.json)::pg_catalog.name))
     AND pg_catalog.pg_has_role((${role}), r.oid, 'USAGE'))`;
