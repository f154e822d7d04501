import { MARK, ROLL_BACK } from './identifiers.js';

/**
 * How a function of the bridge proves the role that it runs as, where that is none that the session's user could take by SET
 * ROLE: inside a SECURITY DEFINER function (docs/decisions/008-role-proofs.md). It locks a table that only this role,
 * superusers and members of LOCKERS may lock, while it waits for the proxy's next answer, and pg_locks shows that.
 *
 * No command but LOCK takes a lock of this mode on a table, so that a function which does something else with a table that
 * its caller names cannot be made to prove anything.
 */

/** The mode, as pg_locks has it. */
const HELD_MODE = 'ExclusiveLock';

/** SQL of the function that does so. Its subtransaction is rolled back: no lock outlives the call. */
export const PROVE = `
CREATE OR REPLACE FUNCTION dblink_proxy.prove(relation pg_catalog.text) RETURNS pg_catalog.text[] LANGUAGE plpgsql AS $bridge$
DECLARE
  answer pg_catalog.text[];
BEGIN
  EXECUTE pg_catalog.format('/*${MARK}*/ LOCK TABLE dblink_proxy.%I IN EXCLUSIVE MODE /*${MARK}*/', relation);
  answer := dblink_proxy.ask('proved', current_user::pg_catalog.text, '{}');
  RAISE EXCEPTION USING ERRCODE = '${ROLL_BACK}';
EXCEPTION WHEN SQLSTATE '${ROLL_BACK}' THEN
  RETURN answer;
END $bridge$;`;

/**
 * SQL of the function that makes such a table, for the service account. A superuser needs no privilege, and none is granted
 * to one: members of a role inherit its privileges, but not that attribute.
 */
export const MAKE_PROOF = `
CREATE OR REPLACE FUNCTION dblink_proxy.make_proof(relation text, role text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $bridge$
BEGIN
  EXECUTE format('CREATE TABLE dblink_proxy.%I ()', relation);
  PERFORM dblink_proxy.seal(relation);
  IF NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = role) THEN
    EXECUTE format('GRANT UPDATE ON dblink_proxy.%I TO %I', relation, role);
  END IF;
END $bridge$;
REVOKE ALL ON FUNCTION dblink_proxy.make_proof(text, text) FROM PUBLIC;`;

/** Roles whose members may lock any table: where the session's user is one, nothing is proved. */
export const LOCKERS = ['pg_write_all_data', 'pg_maintain'] as const;

/** $1: the table, $2: the role that is to be able to lock it. */
export const MAKE_PROOF_QUERY = 'SELECT dblink_proxy.make_proof($1, $2)';

/** Whether the process $2 holds the lock on the table $1. */
export const HOLDS_QUERY = `SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
  WHERE l.locktype = 'relation' AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    AND c.relnamespace = 'dblink_proxy'::regnamespace AND c.relname = $1 AND l.pid = $2 AND l.granted AND l.mode = '${HELD_MODE}')`;
