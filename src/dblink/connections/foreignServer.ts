import type { ScramKeys } from '../../wire/auth/scram.js';
import { CONNINFO_KEYWORDS, type ConninfoKeyword } from '../conninfo/index.js';
import { notBoolean } from '../errors.js';
import { READ_ONLY_OPTION } from '../remote/guard/readOnlySession.js';

/** A foreign server that the role of a call may use (behaviour reference, section 8). All text is byte strings. */
export interface ForeignServer {
  readonly name: string;
  /** The server's options as the catalogs keep them: `keyword=value`. Any foreign-data wrapper may have accepted them. */
  readonly serverOptions: readonly string[];
  /** The options of the user mapping that applies to the role, in the same form. */
  readonly mappingOptions: readonly string[];
  /**
   * The administrator of the proxy has declared the server. Then its options, credentials included, are in serverOptions,
   * and no rule about the credentials of non-superusers applies.
   */
  readonly declared: boolean;
  /** For a declared server: its password may be sent in clear text without TLS. The password is the administrator's. */
  readonly plainPassword?: boolean;
  /** For a declared server: its sessions have to stay read-only. */
  readonly readOnly?: boolean;
}

const PASSTHROUGH = 'use_scram_passthrough';

type Option = readonly [keyword: string, value: string];

function optionOf(stored: string): Option {
  const at = stored.indexOf('=');
  return [stored.slice(0, at), stored.slice(at + 1)];
}

/** Whether dblink reads an option from a user mapping rather than from the server. */
const isOfMapping = ({ name, secret }: ConninfoKeyword): boolean => name === 'user' || secret === true;

/**
 * The options that the extension's libpq would know, and that dblink takes from a server or from a user mapping. Others
 * are passed over: servers of other wrappers may have them.
 * @param major of the primary
 */
function readable(stored: readonly string[], kind: 'server' | 'mapping', major: number): readonly Option[] {
  const known = new Set(
    CONNINFO_KEYWORDS.filter(
      (keyword) =>
        keyword.since <= Math.max(major, 13) &&
        keyword.debug !== true &&
        keyword.name !== 'client_encoding' &&
        !keyword.name.startsWith('oauth_') &&
        isOfMapping(keyword) === (kind === 'mapping'),
    ).map(({ name }) => name),
  );
  return stored.map(optionOf).filter(([keyword]) => known.has(keyword));
}

const pair = ([keyword, value]: Option): string => `${keyword}='${value.replace(/['\\]/g, '\\$&')}' `;

/** The options of a declared server. If it is read-only, its sessions begin so, whatever else they begin with. */
function withMode({ serverOptions, readOnly = false }: ForeignServer): readonly Option[] {
  const options = serverOptions.map(optionOf);
  if (!readOnly) return options;
  const given = options.find(([keyword]) => keyword === 'options')?.[1];
  const all = given === undefined ? READ_ONLY_OPTION : `${given} ${READ_ONLY_OPTION}`;
  return [...options.filter(([keyword]) => keyword !== 'options'), ['options', all]];
}

/**
 * The connection string that dblink makes of a server: its options, then those of the user mapping.
 * @param major of the primary
 * @param scram the client's keys, put in front if the server or the mapping asks for pass-through. The options behind
 * them can still override require_auth.
 * @throws PgError 42601 for a value of use_scram_passthrough that is no boolean
 */
export function serverConninfo(server: ForeignServer, major: number, scram: ScramKeys | undefined): string {
  if (server.declared) return withMode(server).map(pair).join('');
  const options = [
    ...readable(server.serverOptions, 'server', major),
    ...readable(server.mappingOptions, 'mapping', major),
  ];
  const keys: readonly Option[] =
    scram === undefined || !wantsPassthrough(server, major)
      ? []
      : [
          ['scram_client_key', scram.clientKey.toString('base64')],
          ['scram_server_key', scram.serverKey.toString('base64')],
          ['require_auth', 'scram-sha-256'],
        ];
  return [...keys, ...options].map(pair).join('');
}

/**
 * Whether use_scram_passthrough is on (PostgreSQL 18 and later). What the user mapping says counts more than what the
 * server says.
 * @param major of the primary
 * @throws PgError 42601 for a value that is no boolean
 */
export function wantsPassthrough(server: ForeignServer, major: number): boolean {
  if (major < 18 || server.declared) return false;
  const given = [...server.mappingOptions, ...server.serverOptions]
    .map(optionOf)
    .find(([keyword]) => keyword === PASSTHROUGH);
  if (given === undefined) return false;
  const value = given[1].toLowerCase();
  // 1 and 0 are refused: options are kept as text, and defGetBoolean() does not take these texts for booleans.
  if (['true', 'on'].includes(value)) return true;
  if (['false', 'off'].includes(value)) return false;
  throw notBoolean(PASSTHROUGH);
}
