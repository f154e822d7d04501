import { EQ } from './operators.js';
/**
 * SQL that finds a foreign server as a role may use it. Nothing in it depends on the search_path: whoever could put an
 * operator of their own in front could make up what it finds.
 */

/** Whether there is one, quick to plan. @param name SQL of the type name */
export const serverExists = (name: string): string =>
  `EXISTS (SELECT FROM pg_catalog.pg_foreign_server WHERE srvname ${EQ} ${name})`;

/**
 * What there is to know of it, as the text of a JSON array that `readServer` reads; no row where there is none.
 *
 * The mapping is the role's own, else the one for PUBLIC. Its options are NULL where the role that runs the query may not
 * read them (documentation of pg_user_mappings), and where there are none; `readable` tells these apart.
 * @param role SQL of the OID of the role that is to use it
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

/** SQL of the current role's OID. */
export const CURRENT_ROLE = `SELECT c.oid FROM pg_catalog.pg_roles AS c WHERE c.rolname ${EQ} current_user`;

/** A foreign server as a role finds it. Text is byte strings in the database's encoding. */
export interface FoundServer {
  readonly name: string;
  readonly role: string;
  /** The role has USAGE. */
  readonly permitted: boolean;
  readonly serverOptions: readonly string[];
  /** Whose user mapping applies, if there is one: the role's own or that for PUBLIC. */
  readonly mapping: 'own' | 'public' | undefined;
  readonly mappingOptions: readonly string[];
  /** Who asked may read the mapping's options. */
  readonly readable: boolean;
}

/** Reads what `serverQuery` gives. @returns undefined for what is nothing of the kind: it may come from a session's SQL */
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
