import type { ForeignServer } from '../dblink/connections/foreignServer.js';
import { transcode } from '../wire/encoding/transcode.js';
import { EQ } from './operators.js';

/** A server that the configuration declares: found by name where the primary has no foreign server of that name. */
export interface DeclaredServer {
  /** In UTF-8, like everything here. */
  readonly name: string;
  /** Options of the connection string with the credentials, `keyword=value`. */
  readonly options: readonly string[];
  /** Roles whose members may use it; `public` stands for everybody. */
  readonly roles: readonly string[];
  /** Its password may be sent in clear text without TLS. */
  readonly plainPassword?: boolean;
}

const bytes = (text: string): string => Buffer.from(text).toString('latin1');

/** UTF-8 as a byte string in the database's encoding; undefined when that lacks a character. */
function inEncoding(text: string, encoding: string): string | undefined {
  const changed = transcode(bytes(text), 'UTF8', encoding);
  return typeof changed === 'string' ? changed : undefined;
}

/** The declared server of that name. @param name byte string in the database's encoding */
export const findDeclared = (
  servers: readonly DeclaredServer[],
  name: string,
  encoding: string,
): DeclaredServer | undefined => servers.find((server) => inEncoding(server.name, encoding) === name);

/** Whether everybody may use it. */
export const isPublic = ({ roles }: DeclaredServer): boolean => roles.includes('public');

/** The names of its roles as the database has them: the text of a JSON array, a byte string. */
export const rolesJson = ({ roles }: DeclaredServer, encoding: string): string =>
  JSON.stringify(
    roles.map((role) => inEncoding(role, encoding)).filter((role): role is string => role !== undefined),
  );

/** What dblink makes a connection string of. Its values go to the remote as they stand in the configuration. */
export const asForeignServer = ({ name, options, plainPassword = false }: DeclaredServer): ForeignServer => ({
  name: bytes(name),
  serverOptions: options.map(bytes),
  mappingOptions: [],
  declared: true,
  plainPassword,
});

/**
 * SQL that tells whether a role is a member of one of several.
 * @param roles SQL of their names, the text of a JSON array @param role SQL of the role's OID
 */
export const memberQuery = (roles: string, role: string): string => `
SELECT EXISTS (SELECT FROM pg_catalog.pg_roles AS r
   WHERE r.rolname ${EQ} ANY (ARRAY(SELECT pg_catalog.json_array_elements_text((${roles})::pg_catalog.json)::pg_catalog.name))
     AND pg_catalog.pg_has_role((${role}), r.oid, 'USAGE'))`;
