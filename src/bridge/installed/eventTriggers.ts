import { CATALOGUE, type Overload } from '../../dblink/catalogue.js';
import { SERVICE_SCHEMA, SERVICE_SESSION, SESSION_SETTING } from '../../primary/marks.js';
import { EQ, NE } from '../../primary/operators.js';

/**
 * Event triggers are there for what users do. With the extension a dblink call is no command, so that none fires. The bridge's
 * own commands set off as few as can be, and those that they do set off are no obstacle (docs/decisions/017-event-triggers.md).
 */

/**
 * In PL/pgSQL: switches event triggers off where the role may do that. Before PostgreSQL 17, and where only that was granted, those
 * stay that are ENABLE ALWAYS.
 * @param isLocal only until the transaction ends
 */
export const eventTriggersOff = (isLocal: boolean): string => `
  BEGIN
    PERFORM pg_catalog.set_config('event_triggers', 'off', ${isLocal});
  EXCEPTION WHEN insufficient_privilege OR undefined_object THEN
    BEGIN
      PERFORM pg_catalog.set_config('session_replication_role', 'replica', ${isLocal});
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END;
  END;`;

/** SQL that does so for the session. */
export const WITHOUT_EVENT_TRIGGERS = `DO $$ BEGIN${eventTriggersOff(false)}
END $$`;

const present = (setting: string): string => `pg_catalog.current_setting('${setting}', true)`;

/** In PL/pgSQL, under whatever search_path: a block in which event triggers are off. Afterwards they are as they were. */
export const withoutEventTriggers = (statements: string): string => {
  // The first one is unknown before PostgreSQL 17, and NULL then.
  const settings = ['event_triggers', 'session_replication_role'];
  return `
  DECLARE
    before CONSTANT pg_catalog.text[] := ARRAY[${settings.map(present).join(', ')}];
  BEGIN${eventTriggersOff(true)}${statements}${settings
    .map(
      (setting, i) => `
  IF ${present(setting)} ${NE} before[${i + 1}] THEN
    PERFORM pg_catalog.set_config('${setting}', before[${i + 1}], true);
  END IF;`,
    )
    .join('')}
  END;`;
};

/** The role pg_database_owner, whose only member is the database's owner. */
const DATABASE_OWNER = 6171;

/**
 * SQL of the search_path for commands that may fire event triggers on a service connection: the functions of these call dblink by
 * its bare name. They run with the account's rights. So a schema is in it only if nobody can make anything there but who may make
 * what everybody's calls run (docs/decisions/012-owners.md).
 */
const TRIGGERS_PATH = `pg_catalog.concat_ws(', ', 'pg_catalog', (
  SELECT pg_catalog.string_agg(DISTINCT pg_catalog.quote_ident(n.nspname), ', ')
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid ${EQ} p.pronamespace
    JOIN pg_catalog.pg_database d ON d.datname ${EQ} pg_catalog.current_database()
   WHERE p.proname ${EQ} 'dblink_exec' AND n.nspname ${NE} '${SERVICE_SCHEMA}'
     AND EXISTS (SELECT FROM pg_catalog.pg_event_trigger)
     AND NOT EXISTS (
       SELECT FROM (SELECT n.nspowner UNION ALL SELECT a.grantee FROM pg_catalog.aclexplode(n.nspacl) a WHERE a.privilege_type ${EQ} 'CREATE') AS maker(role)
        WHERE CASE WHEN maker.role ${EQ} 0 THEN true
          ELSE maker.role ${NE} ${DATABASE_OWNER} AND pg_catalog.pg_get_userbyid(maker.role) ${NE} current_user
            AND NOT pg_catalog.pg_has_role(maker.role, d.datdba, 'USAGE') END)), 'pg_temp')`;

/** SQL that sets it for the rest of the transaction, or of the function that has a search_path of its own. */
export const WITH_TRIGGERS_PATH = `pg_catalog.set_config('search_path', ${TRIGGERS_PATH}, true)`;

/** The same in PL/pgSQL. Most databases have no event triggers, and then it costs next to nothing. */
export const TAKE_TRIGGERS_PATH = `
  IF EXISTS (SELECT FROM pg_catalog.pg_event_trigger) THEN PERFORM ${WITH_TRIGGERS_PATH}; END IF;`;

/**
 * Whether this session is a service connection of the account that owns ask(), which calls this: the setting had the mark from the
 * beginning. Whatever runs in a session can change the setting, but not what it is reset to.
 */
export const IS_SERVICE = `
CREATE OR REPLACE FUNCTION dblink_proxy.is_service() RETURNS boolean LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $bridge$
DECLARE
  present CONSTANT text := current_setting('${SESSION_SETTING}', true);
  original text;
BEGIN
  IF session_user <> current_user THEN RETURN false; END IF;
  original := set_config('${SESSION_SETTING}', NULL, true);
  PERFORM set_config('${SESSION_SETTING}', present, true);
  RETURN original = '${SERVICE_SESSION}';
END $bridge$;`;

const named = (overloads: readonly Overload[]): string =>
  [...new Set(overloads.map(({ name }) => `'${name}'`))].join(', ');

/**
 * SQL of the answer, in ask(), to a call of a trigger on a service connection. Nothing is done, since with the extension there would
 * have been no command and no trigger. The trigger gets what it would if all had gone well, and no rows.
 */
export const NOTHING_DONE = `CASE WHEN split_part(function, '(', 1) IN (${named(CATALOGUE.filter(({ returns }) => returns.startsWith('setof')))})
      THEN ARRAY['nothing'] ELSE ARRAY['value', '', CASE split_part(function, '(', 1) WHEN 'dblink_send_query' THEN '1'
        WHEN 'dblink_is_busy' THEN '0' WHEN 'dblink_get_connections' THEN NULL ELSE 'OK' END] END`;
