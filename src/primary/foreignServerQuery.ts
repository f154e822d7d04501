import { EQ } from './operators.js';
/**
 * SQL that finds a foreign server as a role may use it. Nothing in it depends on the search_path. Otherwise somebody could put
 * an operator of their own in front of PostgreSQL's, and so make up what the SQL finds.
 */

/** SQL of a condition: whether there is a foreign server of that name. Quick to plan. @param name SQL of a value of type name */
export const serverExists = (name: string): string =>
  `EXISTS (SELECT FROM pg_catalog.pg_foreign_server WHERE srvname ${EQ} ${name})`;

/**
 * SQL of a query for all that there is to know of a foreign server. It returns the text of a JSON array that `readServer` reads,
 * or no row when there is no such server.
 *
 * The user mapping is the role's own, or else the one for PUBLIC. Its options are NULL in two cases: there are none, or the role
 * that runs the query may not read them (documentation of pg_user_mappings). `readable` tells these cases apart.
 * @param name SQL of the server's name, a value of type name
 * @param role SQL of the OID of the role that is to use the server
 */
export const serverQuery = (name: string, role: string): string => `
SELECT pg_catalog.json_build_array(s.srvname, r.rolname, pg_catalog.has_server_privilege(r.oid, s.oid, 'USAGE'),
    coalesce(s.srvoptions, '{}'),
    CASE WHEN m.for_all THEN 'public' WHEN NOT m.for_all THEN 'own' END, coalesce(m.umoptions, '{}'),
    CASE WHEN m.for_all THEN pg_catalog.pg_has_role(s.srvowner, 'USAGE')
      ELSE r.rolname ${EQ} current_user OR me.rolsuper END)::pg_catalog.text
  FROM pg_catalog.pg_foreign_server AS s
  JOIN pg_catalog.pg_roles AS r ON r.oid ${EQ} (${role})
  JOIN pg_catalog.pg_roles AS me ON me.rolname ${EQ} current_user
  LEFT JOIN LATERAL (SELECT u.umuser ${EQ} 0::pg_catalog.oid AS for_all, u.umoptions FROM pg_catalog.pg_user_mappings AS u
      WHERE u.srvid ${EQ} s.oid
        AND (u.umuser ${EQ} r.oid OR u.umuser ${EQ} 0::pg_catalog.oid)
      ORDER BY u.umuser DESC LIMIT 1) AS m ON true
 WHERE s.srvname ${EQ} ${name}`;

/** SQL of a query for the current role's OID. */
export const CURRENT_ROLE = `SELECT c.oid FROM pg_catalog.pg_roles AS c WHERE c.rolname ${EQ} current_user`;

/** A foreign server as a role finds it. All text is byte strings in the database's encoding. */
export interface FoundServer {
  readonly name: string;
  /** The name of the role that is to use the server. */
  readonly role: string;
  /** Whether the role has USAGE on the server. */
  readonly permitted: boolean;
  /** As the catalogs keep them: `keyword=value`. */
  readonly serverOptions: readonly string[];
  /** Whose user mapping applies: the role's own, or the one for PUBLIC. Undefined when there is none. */
  readonly mapping: 'own' | 'public' | undefined;
  /** Empty when there are none, and when they could not be read. */
  readonly mappingOptions: readonly string[];
  /** Whether the role that ran the query may read the mapping's options. */
  readonly readable: boolean;
}

/** Reads what `serverQuery` returns. @returns undefined for any other text, since the text may come from a session's own SQL */
export function readServer(text: string): FoundServer | undefined {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(found)) return undefined;
  const [name, role, permitted, serverOptions, mapping, mappingOptions, readable] = found as unknown[];
  if (typeof name !== 'string' || typeof role !== 'string') return undefined;
  if (!isOptions(serverOptions) || !isOptions(mappingOptions)) return undefined;
  return {
    name,
    role,
    permitted: permitted === true,
    serverOptions,
    mapping: mapping === 'own' || mapping === 'public' ? mapping : undefined,
    mappingOptions,
    readable: readable === true,
  };
}

const isOptions = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string' && item.includes('='));
