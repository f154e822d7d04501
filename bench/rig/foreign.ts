import { SLOW_MS } from '../measure/tables.js';

/** Who must say a password to the remote. */
export const READER = { name: 'reader', password: 'as-long-as-others' } as const;

/** The remote's pg_hba.conf. */
export const REMOTE_HBA: readonly string[] = [
  'local all all trust',
  `host all ${READER.name} 127.0.0.1/32 scram-sha-256`,
  'host all all 127.0.0.1/32 trust',
];

/** What the remote has beside the large table. `slow` is something that takes its time, as a scan of a disk does. */
export const remoteTables = `
  CREATE UNLOGGED TABLE sink (n int);
  CREATE TABLE items (id int PRIMARY KEY, v int NOT NULL);
  INSERT INTO items SELECT i, i * 2 FROM generate_series(1, 1000) i;
  CREATE VIEW slow AS SELECT 1 AS n FROM pg_sleep(${SLOW_MS / 1000});
  CREATE ROLE ${READER.name} LOGIN PASSWORD '${READER.password}';
  GRANT SELECT ON bulk, items, slow TO ${READER.name}`;

const FOREIGN_SERVERS = [1, 2, 3, 4];

/** Foreign tables of the remote: the large one by one server, and the slow view by four that may be waited for at once. */
export const foreignTables = ({ port }: { readonly port: number }): string => `
  CREATE EXTENSION postgres_fdw;
  ${FOREIGN_SERVERS.map(
    (n) => `
  CREATE SERVER r${n} FOREIGN DATA WRAPPER postgres_fdw
    OPTIONS (host '127.0.0.1', port '${port}', dbname 'postgres', async_capable 'true');
  CREATE USER MAPPING FOR postgres SERVER r${n} OPTIONS (user 'postgres', password_required 'false');
  CREATE FOREIGN TABLE far_slow${n} (n int) SERVER r${n} OPTIONS (table_name 'slow');`,
  ).join('')}
  CREATE FOREIGN TABLE far_bulk (id int, filler text) SERVER r1 OPTIONS (table_name 'bulk');
  ANALYZE far_bulk`;
