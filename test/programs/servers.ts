import type { Exchange } from '../differential/compare/compare.js';
import type { Side } from '../differential/play/environment.js';
import { rowsAsExchange } from '../differential/play/scratch.js';
import { eventually } from '../support/eventually.js';
import { WireConnection } from '../support/wire.js';
import { DATABASE } from './program.js';

/** The servers of a side before and after a program. */

/** Those of the tests, which no program uses. */
const DATABASES = `SELECT datname FROM pg_database
  WHERE NOT datistemplate AND datname <> 'postgres' AND datname NOT LIKE 'app%' ORDER BY 1`;

/** What somebody who looks directly at a database finds in it, without what makes dblink work there. */
const REPORT = `
CREATE FUNCTION pg_temp.report() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  FOR r IN SELECT c.oid::regclass AS name, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'dblink_proxy') AND n.nspname !~ '^pg_(temp|toast)'
             AND c.relkind IN ('r', 'v', 'm', 'S', 'p', 'f') ORDER BY c.oid::regclass::text LOOP
    RETURN NEXT format('%s %s', r.relkind, r.name);
    IF r.relkind IN ('r', 'm', 'p') THEN
      RETURN QUERY EXECUTE format('SELECT ''  '' || t::text FROM %s t ORDER BY 1', r.name);
    END IF;
  END LOOP;
  RETURN QUERY SELECT format('schema %s, %s functions, %s of dblink', n.nspname,
      count(p.oid) FILTER (WHERE p.proname NOT LIKE 'dblink%'), count(p.oid) FILTER (WHERE p.proname LIKE 'dblink%'))
    FROM pg_namespace n LEFT JOIN pg_proc p ON p.pronamespace = n.oid
    WHERE n.nspname NOT IN ('information_schema', 'dblink_proxy') AND n.nspname !~ '^pg_' GROUP BY n.nspname ORDER BY n.nspname;
  RETURN QUERY SELECT format('event trigger %s %s', evtname, evtenabled) FROM pg_event_trigger ORDER BY evtname;
  RETURN QUERY SELECT format('trigger %s on %s', tgname, tgrelid::regclass) FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgname;
  RETURN QUERY SELECT format('foreign server %s', srvname) FROM pg_foreign_server ORDER BY srvname;
END $$;
SELECT pg_temp.report()`;

/** A connection to the primary that no proxy sees. */
export async function directConnection(side: Side, database: string): Promise<WireConnection> {
  const { connection, startup } = await WireConnection.open({
    host: side.local.host,
    port: side.local.port,
    parameters: { user: 'postgres', database, client_encoding: 'UTF8', application_name: 'harness' },
  });
  if (startup.at(-1)?.type !== 'Z') throw new Error(`no direct connection to ${database}`);
  return connection;
}

export async function onPrimary<T>(
  side: Side,
  database: string,
  act: (connection: WireConnection) => Promise<T>,
): Promise<T> {
  const connection = await directConnection(side, database);
  try {
    return await act(connection);
  } finally {
    await connection.end();
  }
}

/** An empty database, and an empty schema on the remote. */
export async function makeReady(side: Side): Promise<void> {
  await side.direct.remote.rows('DROP SCHEMA IF EXISTS scratch CASCADE; CREATE SCHEMA scratch');
  await side.direct.remote.rows('ALTER DATABASE remote SET search_path = scratch, public');
  await onPrimary(side, 'postgres', (postgres) =>
    postgres.rows(`CREATE DATABASE ${DATABASE} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'`),
  );
}

/** What a program has left when its sessions are gone: sessions of others, databases and what is in them, the remote's schema. */
export async function whatIsLeft(side: Side): Promise<readonly Exchange[]> {
  const [databases, sessions] = await onPrimary(side, 'postgres', async (postgres) => {
    let rows: (string | null)[][] = [];
    await eventually('the sessions end', async () => {
      rows = await postgres.rows(`SELECT application_name, query FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND application_name NOT IN ('harness', 'dblink-proxy') ORDER BY 1, 2`);
      return rows.length === 0;
    }).catch(() => undefined);
    return [await postgres.rows(DATABASES), rows] as const;
  });
  const contents: (string | null)[][] = [];
  for (const [name] of databases) {
    contents.push([`database ${name}`], ...(await onPrimary(side, name!, (one) => one.rows(REPORT))));
  }
  return [
    rowsAsExchange('left: sessions on the primary', sessions),
    rowsAsExchange('left: databases of the primary', contents),
    rowsAsExchange('left: the remote', await side.direct.remote.rows('SELECT scratch_report()')),
  ];
}

/** Removes the program's databases. */
export async function clearUp(side: Side): Promise<void> {
  await onPrimary(side, 'postgres', async (postgres) => {
    for (const [name] of await postgres.rows(DATABASES)) {
      await postgres.rows(`DROP DATABASE "${name}" WITH (FORCE)`);
    }
  });
}
