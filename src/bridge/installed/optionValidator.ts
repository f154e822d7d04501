import { CONNINFO_KEYWORDS } from '../../dblink/conninfo/keywords.js';

/**
 * What checks the options of foreign servers and user mappings (behaviour reference, section 8): PL/pgSQL that runs in the
 * primary, also where the proxy has no part in a statement. It depends on nothing of the caller's.
 */

/** The release whose dblink checks more of use_scram_passthrough. */
const STRICT_PASSTHROUGH = 180005;

/** Rows of the options that may be given at all: name, the libpq that begins to know it, whether in user mappings. */
const KEYWORDS = CONNINFO_KEYWORDS.filter(
  ({ name, debug }) => debug !== true && name !== 'client_encoding' && !name.startsWith('oauth_'),
)
  .map(({ name, since, secret }) => `('${name}', ${since}, ${name === 'user' || secret === true})`)
  .join(', ');

/**
 * The allowed name that takes the fewest insertions, deletions and substitutions of characters, if these are at most four
 * and at most half of the bytes of what was given; of several the first.
 */
const FIND_NEAREST = `limit_of_distance := least(4, octet_length(given) / 2);
    letters := string_to_array(given, NULL);
    FOREACH candidate IN ARRAY allowed LOOP
      CONTINUE WHEN abs(length(candidate) - cardinality(letters)) > limit_of_distance;
      -- Levenshtein's: distances[j + 1] is that of the candidate's first i letters from the first j given ones.
      distances := ARRAY(SELECT generate_series(0, cardinality(letters)));
      FOR i IN 1 .. length(candidate) LOOP
        diagonal := distances[1];
        distances[1] := i;
        FOR j IN 1 .. cardinality(letters) LOOP
          above := distances[j + 1];
          distances[j + 1] := least(above + 1, distances[j] + 1,
            diagonal + CASE WHEN letters[j] = substr(candidate, i, 1) THEN 0 ELSE 1 END);
          diagonal := above;
        END LOOP;
      END LOOP;
      IF distances[cardinality(distances)] <= limit_of_distance THEN
        nearest := candidate;
        limit_of_distance := distances[cardinality(distances)] - 1;
      END IF;
    END LOOP;`;

/** The body of dblink_fdw_validator(text[], oid), to run with pg_catalog as its search_path. */
export const validatorBody = (): string => `
DECLARE
  version CONSTANT int4 := current_setting('server_version_num')::int4;
  allowed CONSTANT text[] := ARRAY(
    SELECT k.name FROM (VALUES ${KEYWORDS}) AS k(name, since, mapped)
     WHERE k.since <= version / 10000
       AND $2 = CASE WHEN k.mapped THEN 'pg_user_mapping'::regclass ELSE 'pg_foreign_server'::regclass END);
  given text COLLATE "C";
  setting text COLLATE "C";
  candidate text COLLATE "C";
  nearest text COLLATE "C";
  letters text[];
  distances int4[];
  limit_of_distance int4;
  diagonal int4;
  above int4;
BEGIN
  FOR given, setting IN SELECT o.option_name, o.option_value FROM pg_options_to_table($1) o LOOP
    CONTINUE WHEN given = ANY (allowed);
    IF given = 'use_scram_passthrough' AND version >= 180000
      AND (version < ${STRICT_PASSTHROUGH} OR $2 IN ('pg_user_mapping'::regclass, 'pg_foreign_server'::regclass)) THEN
      IF version >= ${STRICT_PASSTHROUGH} AND lower(setting) NOT IN ('true', 'false', 'on', 'off') THEN
        RAISE EXCEPTION USING ERRCODE = '42601', MESSAGE = 'use_scram_passthrough requires a Boolean value';
      END IF;
      CONTINUE;
    END IF;
    IF cardinality(allowed) = 0 AND version >= 150000 THEN
      RAISE EXCEPTION USING ERRCODE = 'HV00J', MESSAGE = format('invalid option "%s"', given),
        HINT = 'There are no valid options in this context.';
    ELSIF version < 160000 THEN
      RAISE EXCEPTION USING ERRCODE = 'HV00J', MESSAGE = format('invalid option "%s"', given),
        HINT = 'Valid options in this context are: ' || array_to_string(allowed, ', ');
    END IF;
    ${FIND_NEAREST}
    IF nearest IS NULL THEN
      RAISE EXCEPTION USING ERRCODE = 'HV00J', MESSAGE = format('invalid option "%s"', given);
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'HV00J', MESSAGE = format('invalid option "%s"', given),
      HINT = format('Perhaps you meant the option "%s".', nearest);
  END LOOP;
END`;
