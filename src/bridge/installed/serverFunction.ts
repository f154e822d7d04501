import { CURRENT_ROLE, serverExists, serverQuery } from '../../primary/foreignServerQuery.js';
import { MARK } from '../../primary/marks.js';

/**
 * What the caller of a dblink function finds under the name of a foreign server: an element to be put behind the
 * arguments of a request, or none. It is looked up in the session itself, as the role that calls and in its transaction.
 */
export const SERVER_FUNCTION = `
CREATE OR REPLACE FUNCTION dblink_proxy.server(given text) RETURNS text[] LANGUAGE plpgsql AS $bridge$
BEGIN
  IF NOT (/*${MARK}*/ ${serverExists('given::pg_catalog.name')} /*${MARK}*/) THEN RETURN '{}'; END IF;
  RETURN ARRAY(/*${MARK}*/ ${serverQuery('given::pg_catalog.name', CURRENT_ROLE)} /*${MARK}*/);
END $bridge$;`;
