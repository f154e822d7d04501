import { publicFunctionsSql } from '../../../src/bridge/installed/publicFunctions.js';
import { SERVICE_SCHEMA_SQL } from '../../../src/bridge/installed/serviceSchema.js';

/**
 * What every case may rely on and none may change. Cases write to the schema `scratch`, which comes first in the
 * search_path, is made anew for each run that needs it, and is compared afterwards.
 */

/** Passwords of the remote's roles; the names of the roles say how they must authenticate. */
export const PASSWORDS = {
  scram_user: 'sécret pass',
  md5_user: 'md5 pass',
  clear_user: 'clear pass',
} as const;

/** pg_hba.conf of the remotes. */
export const REMOTE_HBA: readonly string[] = [
  'local all all trust',
  'host all scram_user 127.0.0.1/32 scram-sha-256',
  'host all md5_user 127.0.0.1/32 md5',
  'host all clear_user 127.0.0.1/32 password',
  'host all rejected_user 127.0.0.1/32 reject',
  'host all all 127.0.0.1/32 trust',
];

/** Roles of both kinds of servers. */
export const ROLES = `
SET password_encryption = 'scram-sha-256';
CREATE ROLE scram_user LOGIN PASSWORD '${PASSWORDS.scram_user}';
CREATE ROLE clear_user LOGIN PASSWORD '${PASSWORDS.clear_user}';
CREATE ROLE rejected_user LOGIN PASSWORD 'x';
CREATE ROLE plain_user LOGIN;
SET password_encryption = 'md5';
CREATE ROLE md5_user LOGIN PASSWORD '${PASSWORDS.md5_user}';
`;

/** Lists everything in the schema scratch, table contents included: how effects are compared, and dirt is noticed. */
const SCRATCH_REPORT = `
CREATE SCHEMA scratch;
GRANT ALL ON SCHEMA scratch TO PUBLIC;
CREATE FUNCTION public.scratch_report() RETURNS SETOF text LANGUAGE plpgsql SET datestyle = 'ISO, MDY' AS $$
DECLARE
  r record;
BEGIN
  FOR r IN SELECT relname, relkind FROM pg_class
           WHERE relnamespace = 'scratch'::regnamespace AND relkind IN ('r', 'v', 'm', 'S', 'p') ORDER BY relname LOOP
    RETURN NEXT r.relkind::text || ' ' || r.relname;
    IF r.relkind IN ('r', 'm', 'p') THEN
      RETURN QUERY EXECUTE format('SELECT t::text FROM scratch.%I t ORDER BY 1', r.relname);
    END IF;
  END LOOP;
  RETURN QUERY SELECT 'f ' || proname::text FROM pg_proc WHERE pronamespace = 'scratch'::regnamespace ORDER BY 1;
  RETURN QUERY SELECT 't ' || typname::text FROM pg_type
    WHERE typnamespace = 'scratch'::regnamespace AND typtype IN ('d', 'e', 'r') ORDER BY 1;
END $$;
`;

/**
 * Before 14 servers cannot wait until a backend is gone, which what ends one here has to. Asks the system for the process,
 * since a backend leaves pg_stat_activity before it has closed its socket; systems without /proc make do with the view.
 */
const TERMINATE = `
DO $do$ BEGIN
IF to_regprocedure('pg_catalog.pg_terminate_backend(int, bigint)') IS NULL THEN
  CREATE FUNCTION public.pg_terminate_backend(pid int, timeout bigint) RETURNS bool LANGUAGE plpgsql AS $$
  DECLARE
    until timestamptz := clock_timestamp() + timeout * interval '1 ms';
  BEGIN
    IF NOT pg_terminate_backend(pid) THEN RETURN false; END IF;
    WHILE clock_timestamp() < until LOOP
      PERFORM pg_stat_clear_snapshot();
      IF NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = $1)
        AND (pg_stat_file('/proc/' || pid || '/stat', true)).modification IS NULL THEN RETURN true; END IF;
      PERFORM pg_sleep(0.005);
    END LOOP;
    RAISE WARNING 'backend with PID % did not terminate within % milliseconds', pid, timeout;
    RETURN false;
  END $$;
END IF;
END $do$;
`;

/** A role that sees or changes nothing of the tests' own may still use the probes. */
const PROBES = `
CREATE TABLE public.snapshot_probe (n int);
CREATE TABLE public.savepoint_probe (n int);
GRANT ALL ON public.snapshot_probe, public.savepoint_probe TO PUBLIC;
`;

/** Makes the types of the cases: on both sides of a dblink connection, since values cross as text. */
const TYPES = `
CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE public.pair AS (x int, y text);
CREATE DOMAIN public.positive AS int CHECK (VALUE > 0);
CREATE DOMAIN public.required AS text NOT NULL;
CREATE DOMAIN public.short AS varchar(4);
CREATE TYPE public.floatrange AS RANGE (subtype = float8);
`;

/** The database a client connects to. `accents` is text that both database encodings can hold. */
export const LOCAL_FIXTURE = `
${SCRATCH_REPORT}${TERMINATE}${PROBES}${TYPES}
CREATE TABLE public.items (id int PRIMARY KEY, name text, price numeric(8,2), sold date);
INSERT INTO public.items VALUES (1, 'apple', 1.50, '2024-01-02'), (2, 'pear', NULL, NULL), (3, 'plum', 0.25, '2023-12-31'),
  (4, 'café', 12.00, '1999-09-09');
CREATE TABLE public.conf (k text PRIMARY KEY, v text);
CREATE TABLE public.nothing (id int);
CREATE FUNCTION public.shout(text) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT upper($1) || '!' $$;
CREATE FUNCTION public.loud(text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$ BEGIN RETURN upper($1) || '!'; END $$;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC;
CREATE TABLE public.secret (s text);
ANALYZE;
`;

/** The database that `{R}` leads to. */
export const REMOTE_FIXTURE = `
${SCRATCH_REPORT}${TERMINATE}${TYPES}
CREATE TABLE public.people (id int PRIMARY KEY, name text, born date, height real, tags text[], card jsonb);
INSERT INTO public.people VALUES
  (1, 'Ada', '1815-12-10', 1.65, '{math,"first, of all"}', '{"a": 1, "b": [true, null]}'),
  (2, 'Bob', NULL, NULL, '{}', NULL),
  (3, NULL, '2000-02-29', 1.8, NULL, '"text"'),
  (4, 'O''Hara \\ "quoted"', '0044-03-15 BC', 'NaN', '{NULL,"NULL"}', '{}'),
  (5, '', 'infinity', '-Infinity', '{""}', '[]');
CREATE FUNCTION public.fail(state text, message text, detail text DEFAULT NULL, hint text DEFAULT NULL) RETURNS int
LANGUAGE plpgsql AS $$
BEGIN
  IF detail IS NULL AND hint IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message;
  END IF;
  RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message, DETAIL = coalesce(detail, ''), HINT = coalesce(hint, '');
END $$;
CREATE FUNCTION public.noise(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE 'notice % from the remote', n;
  RAISE WARNING 'warning % from the remote', n;
  RETURN n;
END $$;
CREATE PROCEDURE public.proc(n int) LANGUAGE plpgsql AS $$ BEGIN PERFORM n; END $$;
CREATE PROCEDURE public.proc_out(INOUT n int) LANGUAGE plpgsql AS $$ BEGIN n := n * 2; END $$;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC;
ANALYZE;
`;

/** What CREATE EXTENSION dblink through the proxy leaves in the schema public of a primary that lacks the extension. */
export const BRIDGE: readonly string[] = [
  SERVICE_SCHEMA_SQL,
  'CREATE TYPE public.dblink_pkey_results AS ("position" int, colname text)',
  ...publicFunctionsSql('public'),
];

/** A fingerprint of the fixtures; it must not change while the cases run. */
export const FINGERPRINT = `
SELECT md5(string_agg(c.relname || c.relkind::text, ',' ORDER BY c.relname)),
       (SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace)
FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace`;
