import { BRIDGE_COMMENT, BRIDGE_VERSION, SERVICE_SCHEMA } from '../../primary/marks.js';
import { CLEARTEXT_HINT, type ServiceAccount } from '../../session/settings.js';
import { PLAIN_PASSWORD_REFUSED } from '../../wire/auth/authenticator.js';
import { PgError } from '../../wire/errors.js';
import { WITH_TRIGGERS_PATH, WITHOUT_EVENT_TRIGGERS } from '../installed/eventTriggers.js';
import { isGenuine, SERVICE_BODIES_QUERY } from '../installed/genuine.js';
import {
  FUNCTIONS_QUERY,
  isTrusted,
  MARKED_FUNCTIONS_QUERY,
  WRAPPER_QUERY,
} from '../installed/objectQueries.js';
import { REGISTERED_QUERY } from '../installed/registerSql.js';
import { SERVICE_SCHEMA_SQL } from '../installed/serviceSchema.js';
import { removeObjects } from '../service/housekeeping.js';
import { dropSql, installSql, registerSql, upgradeSql } from './extensionSql.js';
import { InstallConnection, quoteIdentifier } from './installConnection.js';

/** The bridge could not be installed or removed. The message is for the person who tried. */
export class InstallError extends Error {
  override readonly name = 'InstallError';
}

/** What may be chosen for `installBridge`. */
export interface InstallOptions {
  /** The schema for the functions with dblink's own names. By default the one that they are in already, else public. */
  readonly schema?: string | undefined;
}

/**
 * Installs the bridge in a database, or brings it up to this version. That is the service account's schema and the functions
 * with dblink's own names, in one transaction. What is of this version already is left as it is.
 * @returns what was done, in words
 * @throws InstallError
 */
export function installBridge(
  account: ServiceAccount,
  database: string,
  options: InstallOptions = {},
): Promise<string> {
  return inTransaction(account, database, async (client) => {
    const found = await stateOf(client);
    if (found.extension) {
      throw new InstallError(
        'the extension dblink itself is installed; drop it first (DROP EXTENSION dblink)',
      );
    }
    if (found.service !== undefined && !found.service.owned) {
      throw new InstallError(
        `the schema ${SERVICE_SCHEMA} belongs to ${found.service.owner}; install the bridge with that account`,
      );
    }
    const newest = Math.max(found.service?.version ?? 0, found.functions?.version ?? 0);
    if (newest > BRIDGE_VERSION) {
      throw new InstallError(
        `version ${newest} of the bridge is newer than this program's, ${BRIDGE_VERSION}`,
      );
    }
    if (found.service !== undefined && found.service.strangers !== '') {
      throw new InstallError(
        `the schema ${SERVICE_SCHEMA} has objects of ${found.service.strangers}, which everybody's calls would run or use; drop it first (DROP SCHEMA ${SERVICE_SCHEMA} CASCADE)`,
      );
    }
    // What has the right owner may still have been changed by somebody: it is made anew.
    if (found.service?.version !== BRIDGE_VERSION || !isGenuine(await client.query(SERVICE_BODIES_QUERY)))
      await client.query(`SELECT ${WITH_TRIGGERS_PATH}; ${SERVICE_SCHEMA_SQL}; ${QUALIFIED}`);
    const where = await makeFunctions(client, found, options.schema);
    const version = `version ${BRIDGE_VERSION} of the bridge`;
    const place = `functions in schema ${quoteIdentifier(where)}`;
    const { wrapper } = await stateOf(client);
    const lacking = wrapper
      ? ''
      : ', without the foreign-data wrapper dblink_fdw, which only a superuser can make';
    if (found.functions === undefined) return `installed ${version}, ${place}${lacking}`;
    const before = Math.min(found.functions.version, found.service?.version ?? 0);
    if (before === BRIDGE_VERSION) return `${version} is there already, ${place}${lacking}`;
    return `upgraded to ${version}, ${place}${lacking}`;
  });
}

/** Makes or upgrades the functions. @returns the schema that they are in @throws InstallError */
async function makeFunctions(
  client: InstallConnection,
  found: State,
  wanted: string | undefined,
): Promise<string> {
  if (found.functions === undefined) {
    const schema = wanted ?? 'public';
    // Raises 3F000 where there is no such schema.
    await client.query('SELECT pg_catalog.quote_ident($1)::pg_catalog.regnamespace', [schema]);
    await client.query(installSql(schema));
    return schema;
  }
  const { schema, version } = found.functions;
  if (wanted !== undefined && wanted !== schema) {
    throw new InstallError(
      `the functions are in schema ${quoteIdentifier(schema)} already; to move them, run ` +
        '"ALTER EXTENSION dblink SET SCHEMA ..." through the proxy',
    );
  }
  if (version < BRIDGE_VERSION) await client.query(upgradeSql(schema));
  else if (!found.registered) await client.query(registerSql());
  return schema;
}

/** What may be chosen for `uninstallBridge`. */
export interface UninstallOptions {
  /** Drop what depends on the functions as well. */
  readonly cascade?: boolean;
}

/**
 * Removes everything of the bridge from a database, in one transaction.
 * @returns what was done, in words
 * @throws InstallError, also when something depends on the bridge and `cascade` is not given
 */
export function uninstallBridge(
  account: ServiceAccount,
  database: string,
  options: UninstallOptions = {},
): Promise<string> {
  const { cascade = false } = options;
  return inTransaction(account, database, async (client) => {
    const found = await stateOf(client);
    const service = found.service?.version !== undefined;
    if (found.functions === undefined && !service) return 'there was nothing of the bridge';
    if (found.registered) await client.query(`DROP EXTENSION dblink${cascade ? ' CASCADE' : ''}`);
    else if (found.functions !== undefined) await client.query(dropSql(cascade));
    if (service) {
      const dependents = await client.query(DEPENDENTS);
      if (dependents.length > 0 && !cascade) {
        throw new InstallError(inUse(dependents.map(([dependent]) => dependent).join('; ')));
      }
      if ((found.service?.version ?? 0) >= FIRST_WITH_OBJECTS) await client.query(removeObjects('true'));
      await client.query(`DROP SCHEMA ${SERVICE_SCHEMA} CASCADE`);
    }
    const [left] = await client.query(
      `SELECT pg_catalog.string_agg(m.oid::pg_catalog.regprocedure::pg_catalog.text, ', ' ORDER BY m.oid) FROM (${MARKED_FUNCTIONS_QUERY}) m`,
    );
    const others = left?.[0];
    return others === null || others === undefined
      ? 'removed the bridge'
      : `removed the bridge, but not functions with its mark whose owner may not make what everybody runs: ${others}`;
  });
}

/** The first version of the bridge that has large objects. */
const FIRST_WITH_OBJECTS = 3;

const inUse = (what: string): string =>
  `other objects depend on the bridge: ${what}; remove them first, or use --cascade to remove them as well`;

/** Describes everything outside of the service account's schema that depends on something in it. */
const DEPENDENTS = `WITH own(classid, objid) AS (
    SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, oid FROM pg_catalog.pg_proc WHERE pronamespace = '${SERVICE_SCHEMA}'::pg_catalog.regnamespace
    UNION ALL SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, oid FROM pg_catalog.pg_class WHERE relnamespace = '${SERVICE_SCHEMA}'::pg_catalog.regnamespace
    UNION ALL SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, oid FROM pg_catalog.pg_type WHERE typnamespace = '${SERVICE_SCHEMA}'::pg_catalog.regnamespace)
  SELECT DISTINCT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) AS dependent
    FROM pg_catalog.pg_depend d JOIN own r ON d.refclassid = r.classid AND d.refobjid = r.objid
   WHERE d.deptype = 'n' AND NOT EXISTS (SELECT 1 FROM own o WHERE o.classid = d.classid AND o.objid = d.objid)`;

/** What there is in the database. */
interface State {
  /** The real extension is installed. */
  readonly extension: boolean;
  /** The bridge's functions are members of an extension dblink. */
  readonly registered: boolean;
  /**
   * The service account's schema. One without a version is not the bridge's. `owned`: the account has its owner's rights, and the owner
   * is the account or may make what everybody runs (docs/decisions/012-owners.md).
   */
  readonly service:
    | {
        readonly version: number | undefined;
        readonly owner: string;
        readonly owned: boolean;
        /** Owners of objects in it who may not make what everybody runs. */
        readonly strangers: string;
      }
    | undefined;
  /** The functions with dblink's own names. */
  readonly functions: { readonly schema: string; readonly version: number } | undefined;
  readonly wrapper: boolean;
}

/** Condition that a role is the account, or may make what everybody's calls run. */
const mayMake = (owner: string): string =>
  `(pg_catalog.pg_get_userbyid(${owner}) = current_user OR ${isTrusted(owner)})`;

async function stateOf(client: InstallConnection): Promise<State> {
  const [extensions] = await client.query(
    `SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_extension WHERE extname = 'dblink'), EXISTS (${REGISTERED_QUERY})`,
  );
  const registered = extensions?.[1] === 't';
  const [service] = await client.query(
    `SELECT pg_catalog.substring(pg_catalog.obj_description(oid, 'pg_namespace'), '${BRIDGE_COMMENT}'),
       nspowner::pg_catalog.regrole::pg_catalog.text, pg_catalog.pg_has_role(nspowner, 'USAGE') AND ${mayMake('nspowner')},
       (SELECT pg_catalog.string_agg(DISTINCT o.owner::pg_catalog.regrole::pg_catalog.text, ', ') FROM (
          SELECT p.proowner AS owner FROM pg_catalog.pg_proc p WHERE p.pronamespace = n.oid
          UNION SELECT c.relowner FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid
          UNION SELECT t.typowner FROM pg_catalog.pg_type t WHERE t.typnamespace = n.oid
          UNION SELECT r.oprowner FROM pg_catalog.pg_operator r WHERE r.oprnamespace = n.oid) o WHERE NOT ${mayMake('o.owner')})
       FROM pg_catalog.pg_namespace n WHERE nspname = $1`,
    [SERVICE_SCHEMA],
  );
  const [functions] = await client.query(
    `SELECT pg_catalog.min(schema::pg_catalog.text COLLATE "C"), pg_catalog.min(version)
       FROM (${FUNCTIONS_QUERY}) AS f HAVING pg_catalog.count(*) > 0`,
  );
  const wrappers = await client.query(WRAPPER_QUERY);
  const number = (value: string | null | undefined): number | undefined =>
    value === null || value === undefined ? undefined : Number(value);
  return {
    extension: extensions?.[0] === 't' && !registered,
    registered,
    service: service && {
      version: number(service[0]),
      owner: service[1] ?? '',
      owned: service[2] === 't',
      strangers: service[3] ?? '',
    },
    functions: functions && { schema: functions[0] ?? '', version: number(functions[1]) ?? 0 },
    wrapper: wrappers.length > 0,
  };
}

/** Messages name everything with its schema. */
const QUALIFIED = "SET LOCAL search_path = ''";

/** Connects and does something in one transaction. @throws InstallError, for errors of the server and the driver as well */
async function inTransaction<T>(
  account: ServiceAccount,
  database: string,
  act: (client: InstallConnection) => Promise<T>,
): Promise<T> {
  let client: InstallConnection | undefined;
  try {
    client = await InstallConnection.open(account, database);
    await client.query(`BEGIN; ${WITHOUT_EVENT_TRIGGERS}`);
    await client.query(`${QUALIFIED}; SET LOCAL standard_conforming_strings = on`);
    const result = await act(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    throw error instanceof InstallError ? error : new InstallError(explain(error));
  } finally {
    // Ends the transaction as well, if it is still open.
    client?.close();
  }
}

function explain(error: unknown): string {
  if (!(error instanceof PgError)) {
    const { message } = error as Error;
    const hint = message.endsWith(PLAIN_PASSWORD_REFUSED) ? `. ${CLEARTEXT_HINT}` : '';
    return `${asText(message) || String(error)}${hint}`;
  }
  const { detail, hint } = error.fields;
  if (error.sqlstate === '2BP01')
    return inUse(
      asText(detail ?? '')
        .split('\n')
        .join('; '),
    );
  return [error.message, detail, hint]
    .filter((part) => part !== undefined && part !== '')
    .map((part) => asText(part ?? ''))
    .join('; ');
}

/** A text of the server as JavaScript has it. Texts of a server are byte strings. */
const asText = (bytes: string): string => Buffer.from(bytes, 'latin1').toString('utf8');
