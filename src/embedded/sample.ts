// What `dblink-proxy --embedded` offers for trying things out: customers on the primary, their orders on a remote, and
// statements that bring them together. The start prints the statements, `npm run example` runs them.

/** Database on the primary. */
export const PRIMARY_DATABASE = 'shop';
/** Database on the remote. */
export const REMOTE_DATABASE = 'sales';
/** The remote's port unless it is taken, so that statements can usually be pasted again after a restart. */
export const PREFERRED_REMOTE_PORT = 6433;

/** Makes the primary's data; `conninfo` tells the example where the remote is this time. */
export const PRIMARY_DATA = `
  CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, city text NOT NULL);
  INSERT INTO customers VALUES
    (1, 'Ada Lovelace', 'London'), (2, 'Grace Hopper', 'New York'),
    (3, 'Emmy Noether', 'Göttingen'), (4, 'Sofia Kovalevskaya', 'Stockholm');
  CREATE TABLE order_archive (id int, item text, amount numeric(10,2), archived_at timestamptz DEFAULT now());
  CREATE TABLE remotes (name text PRIMARY KEY, conninfo text NOT NULL);
`;

/** Makes the remote's data. */
export const REMOTE_DATA = `
  CREATE TABLE orders (
    id int PRIMARY KEY, customer_id int NOT NULL, item text NOT NULL, amount numeric(10,2) NOT NULL,
    ordered_on date NOT NULL, shipped boolean NOT NULL DEFAULT false);
  INSERT INTO orders VALUES
    (1, 1, 'punched cards', 120.00, '2024-03-01'), (2, 2, 'compiler', 950.50, '2024-11-20'),
    (3, 1, 'difference engine', 4999.99, '2025-02-14'), (4, 3, 'ring', 75.25, '2025-05-30'),
    (5, 2, 'nanosecond of wire', 0.30, '2025-07-04'), (6, 3, 'ideal', 310.00, '2025-09-09');
`;

/** Connection string of the sample's remote, as dblink takes it. */
export function remoteConninfo(port: number): string {
  return `host=127.0.0.1 port=${port} dbname=${REMOTE_DATABASE} user=postgres`;
}

/** A statement and what it shows. */
export interface SampleStatement {
  readonly title: string;
  readonly sql: string;
}

/** The statements to try, in order, in one session. They can be run again and again. */
export function sampleStatements(conninfo: string): readonly SampleStatement[] {
  const remote = `'${conninfo.replaceAll("'", "''")}'`;
  return [
    { title: 'Connect to the remote', sql: `SELECT dblink_connect('sales', ${remote});` },
    {
      title: 'Query it',
      sql: `SELECT * FROM dblink('sales', 'SELECT id, item, amount, ordered_on FROM orders ORDER BY id')
  AS o(id int, item text, amount numeric(10,2), ordered_on date);`,
    },
    {
      title: 'Join with a table of the primary',
      sql: `SELECT c.name, c.city, count(*) AS orders, sum(o.amount) AS total
  FROM customers c
  JOIN dblink('sales', 'SELECT customer_id, amount FROM orders')
    AS o(customer_id int, amount numeric(10,2)) ON o.customer_id = c.id
  GROUP BY c.name, c.city ORDER BY total DESC;`,
    },
    {
      title: 'Copy rows into the primary',
      sql: `INSERT INTO order_archive (id, item, amount)
  SELECT * FROM dblink('sales', 'SELECT id, item, amount FROM orders WHERE ordered_on < date ''2025-01-01''')
    AS o(id int, item text, amount numeric(10,2));`,
    },
    {
      title: 'See that they arrived',
      sql: 'SELECT id, item, amount FROM order_archive ORDER BY archived_at, id;',
    },
    {
      title: 'Change something on the remote',
      sql: `SELECT dblink_exec('sales', 'UPDATE orders SET shipped = true WHERE ordered_on < date ''2025-06-01''');`,
    },
    { title: 'Disconnect', sql: `SELECT dblink_disconnect('sales');` },
    {
      title: 'Or all in one, without a named connection',
      sql: `SELECT * FROM dblink(${remote},
  'SELECT shipped, count(*), sum(amount) FROM orders GROUP BY shipped ORDER BY shipped')
  AS t(shipped boolean, orders bigint, total numeric);`,
    },
  ];
}
