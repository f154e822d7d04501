import { CURRENT_ROLE, serverExists, serverQuery } from '../foreignServerQuery.js';

/**
 * What the caller of a dblink function finds under the name of a foreign server: an element to be put behind the
 * arguments of a request, or none. It is looked up in the session itself, as the role that calls and in its transaction.
 */
export const SERVER_FUNCTION = `
CREATE OR REPLACE FUNCTION dblink_proxy.server(given text) RETURNS text[] LANGUAGE plpgsql AS $bridge$
BEGIN
  IF NOT ${serverExists('given::pg_catalog.name')} THEN RETURN '{}'; END IF;
  RETURN ARRAY(${serverQuery('given::pg_catalog.name', CURRENT_ROLE)});
END $bridge$;`;
