import {
  MARK,
  NOT_THROUGH_PROXY,
  POLL,
  REQUEST_PREFIX,
  ROLL_BACK,
  SESSION_SETTING,
  SESSION_SETTING_LENGTH,
} from '../../primary/marks.js';
import { errorParts } from './answerParts.js';
import { NOTHING_DONE } from './eventTriggers.js';

/**
 * Answers of a session lie in one of so many slots, by the beginning of the handle: a long statement keeps the old versions of a row,
 * and a reader passes by all those of its slot. Rows are small; a large object takes room for whole answers.
 */
export const ROW_SLOTS = 256;
export const OBJECT_SLOTS = 16;

/**
 * With no lock held any more, so often it looks again before there is no answer: the proxy has let go of the one lock and
 * could not take the other one, which the session itself holds, or it is about to answer by another connection. With the
 * pauses between, which grow, that is three seconds: a server that is busy may take that long to let the proxy log in again.
 */
const LOOKS_WITHOUT_LOCK = 80;

/** What a slot of a session's large object has room for. */
export const SLOT_BYTES = 1024 * 1024;

/**
 * In front of an answer in a large object: the request's handle, the process, whether a lock is to be given back, the answer's
 * length and its seal.
 */
export const OBJECT_HEAD_BYTES = 16 + 4 + 1 + 4 + 32;

/** Most answers are read at once. */
const FIRST_BYTES = 2000;

/** INV_READ | INV_WRITE: what is opened for writing is read as it is now, not as the transaction's snapshot has it. */
const OPEN_MODE = 0x40000 | 0x20000;

/** The release from which on read-only transactions may not open a large object so. */
const NO_WRITING_OPEN = 160000;

/** What the session's setting holds, in the variable `session`: sessionLocks.ts makes it. */
const SESSION = { token: 'session[1]', a: 'session[2]', b: 'session[3]', object: 'session[4]' };

/** How often a function that polls looks at most: for years. */
const POLLS = 2_000_000_000;

const NO_ANSWER = `'dblink-proxy gave no answer to a dblink call'`;

/** Gives back whichever of the two locks the session itself holds. */
const GIVE_BACK = `
      PERFORM /*${MARK}*/ pg_advisory_unlock(k.key) FROM (VALUES (key_a), (key_b)) AS k(key)
        WHERE EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.pid = pg_backend_pid() AND l.granted
          AND l.objsubid = 1 AND (l.classid::bigint << 32 | l.objid::bigint) = k.key) /*${MARK}*/;`;

/** In PL/pgSQL: looks for a row with the answer. */
const LOOK_IN_ROW = `
        SELECT /*${MARK}*/ x.parts, x.must_release, x.seal INTO given, must_release, seal FROM dblink_proxy.answer x
          WHERE x.session = key_a AND x.slot = this_slot AND x.request = handle AND x.pid = pg_backend_pid() /*${MARK}*/;`;

/** Looks into the session's large object. There is none where answers are too long for it, or it was not to be had. */
const LOOK_IN_OBJECT = `
        BEGIN
          object := lo_open(${SESSION.object}::oid, ${OPEN_MODE});
          PERFORM lo_lseek(object, this_slot / ${ROW_SLOTS / OBJECT_SLOTS} * ${SLOT_BYTES}, 0);
          bytes := loread(object, ${FIRST_BYTES});
          IF substring(bytes FROM 1 FOR 20) = handle || int4send(pg_backend_pid()) THEN
            must_release := get_byte(bytes, 20) = 1;
            size := ('x' || encode(substring(bytes FROM 22 FOR 4), 'hex'))::bit(32)::integer;
            IF size > ${FIRST_BYTES - OBJECT_HEAD_BYTES} THEN
              bytes := bytes || loread(object, size - ${FIRST_BYTES - OBJECT_HEAD_BYTES});
            END IF;
            seal := substring(bytes FROM 26 FOR 32);
            packed := convert_from(substring(bytes FROM ${OBJECT_HEAD_BYTES + 1} FOR size), getdatabaseencoding());
            given := ARRAY(/*${MARK}*/ SELECT json_array_elements_text(packed::json) /*${MARK}*/);
          END IF;
          PERFORM lo_close(object);
        EXCEPTION WHEN undefined_object OR insufficient_privilege THEN NULL;
        END;`;

/** Looks for a side table. In a subtransaction that is rolled back: no lock on it stays, so that it can be dropped at once. */
const LOOK_FOR_TABLE = `
        relation := 'answer_' || pg_backend_pid() || '_' || encode(handle, 'hex');
        BEGIN
          EXECUTE format('/*${MARK}*/ SELECT bool_or(n < 0), convert_from(string_agg(part, ''''::bytea ORDER BY n) FILTER (WHERE n > 0),
            getdatabaseencoding()), string_agg(part, ''''::bytea) FILTER (WHERE n = 0) FROM dblink_proxy.%I /*${MARK}*/', relation)
            INTO must_release, packed, seal;
          given := ARRAY(/*${MARK}*/ SELECT json_array_elements_text(packed::json) /*${MARK}*/);
          RAISE EXCEPTION USING ERRCODE = '${ROLL_BACK}';
        EXCEPTION
          WHEN SQLSTATE '${ROLL_BACK}' THEN NULL;
          WHEN undefined_table THEN given := NULL;
        END;`;

/** The first key of the advisory locks that vouch for processes; the second one is the process. */
export const VOUCHING = 0x64627078;

/** SQL of the locks that vouch for this process, of holders that meet the condition. */
const VOUCHING_LOCKS = (condition: string): string =>
  `/*${MARK}*/ SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = ${VOUCHING}::oid
          AND l.objid = pg_backend_pid()::oid AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())${condition} /*${MARK}*/`;
const OF_THE_OWNER =
  ' AND EXISTS (SELECT FROM pg_stat_activity s WHERE s.pid = l.pid AND s.usename = current_user)';

/**
 * Waits until the proxy vouches for this process: a connection of the account that owns this function holds a lock that says so.
 * Whoever calls a function that has rights of another role can change the setting by which the proxy is known, or be connected
 * past the proxy; the arguments would be shown to them.
 */
const BE_VOUCHED_FOR = `
  IF role <> session_user::text AND NOT pg_has_role(session_user, role::name, CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END) THEN
    FOR attempt IN 0 .. 400 LOOP
      -- A transaction goes on seeing the sessions that it has seen: only when there is such a lock they are looked at, and then anew.
      IF EXISTS (${VOUCHING_LOCKS('')}) THEN
        EXIT WHEN EXISTS (${VOUCHING_LOCKS(OF_THE_OWNER)});
        PERFORM pg_stat_clear_snapshot();
        EXIT WHEN EXISTS (${VOUCHING_LOCKS(OF_THE_OWNER)});
      END IF;
      IF attempt = 400 THEN
        RETURN ${errorParts('08006', NO_ANSWER, `'The session does not come through dblink-proxy, or its setting dblink_proxy.session was changed.'`)};
      END IF;
      IF attempt % 25 = 0 THEN
        RAISE INFO '${REQUEST_PREFIX}:%:%:none:row:%:vouch:', ${SESSION.token}, gen_random_uuid(), pg_backend_pid();
      END IF;
      PERFORM pg_sleep(least(0.001 * (1 + attempt / 5), 0.05));
    END LOOP;
  END IF;`;

/**
 * SQL of the function that asks the proxy to carry out a call and waits for its answer.
 *
 * Waiting: the proxy holds exactly one of the session's two advisory locks. The function names in its request the one
 * that is held, and waits for it; the proxy takes the other one before it lets go. When neither is held (the session's
 * first call, or the service connection was lost) the request says so, and the function waits until one is. Woken
 * without an answer it waits for the lock that is held now: what woke it was the answer to an earlier call, which a
 * cancel or a time limit had ended. When none is held any more, and stays so, there will be no answer.
 *
 * Where it looks: under READ COMMITTED its next statement sees a row of a table. In the higher levels, whose snapshot is
 * older than the answer, it looks into a large object, which is read as it is now, and where that cannot be opened for
 * writing, in read-only transactions from 16 on, or the answer is not there, for a table that every snapshot sees.
 *
 * Polling: the answer can be that it is to wait without a lock. Then it asks again, and looks for the answer now and then, for as
 * long as it takes. No service connection has to be in the database meanwhile (makeWay.ts).
 *
 * It finds the row by the index, always: a statement is planned once for the session, and a table that happened to be empty then
 * would be read from end to end for ever, with all the old versions of rows that a long statement keeps. Before PostgreSQL 18 a scan
 * that is switched off, as that of a side table, counts as so dear that the server would compile it (jit).
 *
 * What it takes for an answer: who could write where it looks must not be able to make one. The request's UUID is known to the
 * function and the proxy alone; what is written is found by a digest of it, and sealed with another one of it and the answer.
 *
 * It must leave nothing behind wherever an error (a cancel, a timeout) ends it: lock and unlock are one expression, in
 * which nothing is interrupted but the waiting itself. Just there a lock can be left, if it is granted at the moment of
 * the cancel; the next call that is hindered by it gives it back.
 */
export const ASK = `
CREATE OR REPLACE FUNCTION dblink_proxy.ask(function text, role text, args text[]) RETURNS text[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = 0 SET enable_seqscan = off SET jit = off
AS $bridge$
DECLARE
  setting CONSTANT text := current_setting('${SESSION_SETTING}', true);
  session CONSTANT text[] := string_to_array(setting, ':');
  this_call CONSTANT uuid := gen_random_uuid();
  polls CONSTANT boolean := function = '${POLL}';
  handle bytea;
  this_slot integer;
  mode CONSTANT text := CASE WHEN current_setting('transaction_isolation') IN ('read committed', 'read uncommitted') THEN 'row'
    WHEN current_setting('transaction_read_only')::boolean AND current_setting('server_version_num')::integer >= ${NO_WRITING_OPEN} THEN 'table'
    ELSE 'object' END;
  arg text;
  list text;
  key_a bigint;
  key_b bigint;
  held text;
  awaited boolean := false;
  unheld integer := 0;
  done boolean;
  given text[];
  packed text;
  seal bytea;
  must_release boolean;
  object integer;
  bytes bytea;
  size integer;
  relation text;
BEGIN
  IF session IS NULL OR cardinality(session) <> ${Object.keys(SESSION).length} OR length(setting) > ${SESSION_SETTING_LENGTH} THEN
    IF dblink_proxy.is_service() THEN RETURN ${NOTHING_DONE}; END IF;
    RETURN ${errorParts(
      '55000',
      `'${NOT_THROUGH_PROXY}'`,
      'NULL',
      `'Connect to the port of dblink-proxy instead of the server''s own.'`,
    )};
  END IF;
  IF pg_is_in_recovery() THEN
    RETURN ${errorParts(
      '25006',
      `format('cannot execute %s on a standby by way of dblink-proxy', function)`,
      `'The answer of a remote is handed over in a table, which a standby cannot write.'`,
      `'Call dblink in the statement itself, as in SELECT ... FROM dblink(...), or connect to the primary.'`,
    )};
  END IF;
  FOREACH arg IN ARRAY args LOOP
    list := concat_ws(',', list, coalesce(encode(convert_to(arg, getdatabaseencoding()), 'hex'), '-'));
  END LOOP;
  IF length(list) > 60000000 THEN
    RETURN ${errorParts(
      '54000',
      `'arguments of more than 30 MB cannot be handed to dblink-proxy'`,
      `format('It is the call of %s.', function)`,
    )};
  END IF;
  key_a := ${SESSION.a};
  key_b := ${SESSION.b};${BE_VOUCHED_FOR}
  FOR attempt IN 0 .. CASE WHEN polls THEN ${POLLS} ELSE 400 END LOOP
    -- Mostly it was the answer that has woken it.
    IF awaited AND mode = 'row' THEN${LOOK_IN_ROW}
      EXIT WHEN given IS NOT NULL;
    END IF;
    held := CASE WHEN polls THEN 'none'
                 WHEN NOT (pg_try_advisory_lock(key_a) AND pg_advisory_unlock(key_a)) THEN 'a'
                 WHEN NOT (pg_try_advisory_lock(key_b) AND pg_advisory_unlock(key_b)) THEN 'b' ELSE 'none' END;
    IF attempt = 0 THEN
      RAISE INFO USING MESSAGE = /*${MARK}*/ concat_ws(':', '${REQUEST_PREFIX}', ${SESSION.token}, this_call, held,
        mode || CASE WHEN current_setting('transaction_read_only')::boolean THEN '!' ELSE '' END, pg_backend_pid(),
        function, encode(convert_to(role, getdatabaseencoding()), 'hex'), list) /*${MARK}*/;
      -- The proxy is at work already.
      handle := substring(sha256(uuid_send(this_call)) FROM 1 FOR 16);
      this_slot := get_byte(handle, 0) * ${ROW_SLOTS} / 256;
    END IF;
    -- Before waiting: it may be there already, given between two looks. While there is no lock yet, now and then.
    IF attempt > 0 AND (held <> 'none' OR awaited OR polls OR attempt % 5 = 4) THEN
      IF mode = 'row' THEN${LOOK_IN_ROW}
      END IF;
      IF mode = 'object' THEN${LOOK_IN_OBJECT}
      END IF;
      IF mode <> 'row' AND given IS NULL THEN${LOOK_FOR_TABLE}
      END IF;
    END IF;
    EXIT WHEN given IS NOT NULL OR unheld >= ${LOOKS_WITHOUT_LOCK};
    CASE held
      WHEN 'a' THEN done := pg_advisory_lock(key_a)::text = '' AND pg_advisory_unlock(key_a);
      WHEN 'b' THEN done := pg_advisory_lock(key_b)::text = '' AND pg_advisory_unlock(key_b);
      ELSE
        -- Hundreds of sessions may begin at once.
        PERFORM pg_sleep(CASE WHEN awaited THEN least(0.01 * (1 + unheld / 10), 0.05) ELSE least(0.001 * (1 + attempt / 5), 0.05) END);
        IF awaited THEN unheld := unheld + 1; END IF;
        IF unheld = 1 OR attempt % 50 = 20 THEN ${GIVE_BACK} END IF;
        -- Means nothing to the proxy; but if that is gone, the server notices only when it sends something.
        IF attempt % 25 = 24 OR unheld % 10 = 9 THEN
          RAISE INFO '${REQUEST_PREFIX}:%:%:none:row:%:again:', ${SESSION.token}, this_call, pg_backend_pid();
        END IF;
    END CASE;
    IF held <> 'none' THEN
      awaited := true;
      unheld := 0;
    END IF;
  END LOOP;
  IF given IS NULL THEN
    RETURN ${errorParts('08006', NO_ANSWER, `'The connection by which it answers was lost, or the session is being ended.'`)};
  END IF;
  IF must_release THEN ${GIVE_BACK} END IF;
  IF seal IS DISTINCT FROM sha256(uuid_send(this_call)
      || sha256(convert_to(coalesce(packed, array_to_json(given)::text), getdatabaseencoding()))) THEN
    RETURN ${errorParts(
      '08P01',
      `'the answer to a dblink call is not one of dblink-proxy'`,
      `'Somebody has changed it on its way.'`,
    )};
  END IF;
  IF given[1] = 'wait' THEN RETURN dblink_proxy.ask('${POLL}', role, '{}'); END IF;
  RETURN given;
END $bridge$;`;
