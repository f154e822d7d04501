import { createHash } from 'node:crypto';
import { Pool, type QueryArrayConfig } from 'pg';
import { config, remote, session, showResult, target } from './pgSession.js';
import { emit, showError, timed } from './support.js';

const FIVE = "SELECT * FROM dblink('c', 'SELECT id, item FROM orders ORDER BY id') AS t(id int, item text)";
const DIVISION = "SELECT * FROM dblink('c', 'SELECT 1/(3 - g) FROM generate_series(1, 5) g') AS t(a int)";

/** What node-postgres alone offers. */
export async function ownFlows(): Promise<void> {
  await session('a named statement is run again', async (opened) => {
    await opened.run('SELECT dblink_connect($1, $2)', ['c', remote], { name: 'connect' });
    const text = 'SELECT * FROM dblink($1, $2) AS t(a int, b timestamptz)';
    for (const n of [1, 2, 3]) {
      await opened.run(text, ['c', `SELECT ${n}, timestamptz '2024-01-0${n} 00:00+00'`], {
        name: 'again',
        binary: n === 2,
      });
    }
    await opened.run(text, ['c', 'SELECT 1/0, now()'], { name: 'again' });
    await opened.run(text, ['c', 'SELECT 1'], { name: 'again' });
    await opened.run(text, ['c', 'SELECT 4, NULL'], { name: 'again' });
    await opened.run('DEALLOCATE ALL');
    await opened.run(text, ['c', 'SELECT 5, NULL'], { name: 'again' });
  });

  await session('a named statement whose result changes its type', async (opened) => {
    await opened.run("SELECT dblink_connect('c', $1)", [remote]);
    await opened.run('CREATE TEMP TABLE changing (id int)');
    await opened.run('INSERT INTO changing VALUES (1)');
    const text = "SELECT l.*, t.a FROM changing l, dblink('c', $1) AS t(a int)";
    await opened.run(text, ['SELECT 1'], { name: 'changing' });
    await opened.run(text, ['SELECT 2'], { name: 'changing' });
    await opened.run("ALTER TABLE changing ADD COLUMN added text DEFAULT 'x'");
    await opened.run(text, ['SELECT 3'], { name: 'changing' });
    await opened.run(text, ['SELECT 4']);
  });

  await session('long texts', async (opened) => {
    const long = 'é'.repeat(150_000);
    await opened.run("SELECT dblink_connect('c', $1)", [remote]);
    for (const sql of [
      'SELECT length(a), a = $2 FROM dblink($1, $3) AS t(a text)',
      'SELECT a = $2, a FROM dblink($1, $3) AS t(a text)',
    ]) {
      await opened.run(sql, ['c', long, `SELECT '${long}' -- ${long}`]);
    }
    await opened.run(`SELECT length(a) FROM dblink('c', 'SELECT ''${long}''') AS t(a text)`);
    await opened.run(`SELECT length(a), '${long}' AS b FROM customers, dblink('c', 'SELECT 1') AS t(a text)`);
  });

  await session('binary parameters', async (opened) => {
    await opened.run('SELECT dblink_connect($1, $2)', [Buffer.from('é'), Buffer.from(remote)]);
    await opened.run('SELECT * FROM dblink($1, $2) AS t(a text)', [
      Buffer.from('é'),
      Buffer.from("SELECT 'ü €'"),
    ]);
    await opened.run('SELECT dblink_exec($1, $2, $3)', [
      Buffer.from('é'),
      Buffer.from('SELEC'),
      Buffer.from([0]),
    ]);
    await opened.run('SELECT dblink_disconnect($1)', [Buffer.from('é')]);
  });

  await session('pages of two rows over five', async (opened) => {
    await opened.run("SELECT dblink_connect('c', $1)", [remote]);
    await opened.run(FIVE, [], { rows: 2 });
    await opened.run(`${FIVE} WHERE id > $1`, [1], { rows: 2 });
    await opened.run(DIVISION, [], { rows: 2 });
    await opened.run(FIVE, [], { rows: 5 });
    await opened.run('SELECT 1');
  });

  await session('many rows', async (opened) => {
    await opened.run("SELECT dblink_connect('c', $1)", [remote]);
    // Enough rows that no buffer on the way holds them all.
    const many = 'SELECT g, repeat(md5(g::text), 10) FROM generate_series(1, 20000) g';
    const text = 'SELECT * FROM dblink($1, $2) AS t(g int, x text)';
    for (const where of ['', ' WHERE g > 0']) {
      for (const options of [{ rows: 500 }, { binary: true }]) {
        const query = { text: text + where, values: ['c', many], rowMode: 'array', ...options };
        const { rows } = await opened.client.query(query as QueryArrayConfig);
        const digest = createHash('md5').update(JSON.stringify(rows)).digest('hex');
        opened.note(query.text, { count: rows.length, digest });
      }
    }
  });

  await session('LISTEN in between', async (opened) => {
    await opened.run("SELECT dblink_connect('c', $1)", [remote]);
    await opened.run('LISTEN news');
    await opened.run(FIVE);
    await opened.run("NOTIFY news, 'one'");
    await opened.run(FIVE);
    await opened.run('BEGIN');
    await opened.run("NOTIFY news, 'two'");
    await opened.run(FIVE);
    await opened.run('COMMIT');
    await opened.run('SELECT 1');
  });

  const flow = 'a pool of two';
  const pool = new Pool({ ...config, max: 2 });
  const [first, second] = [await pool.connect(), await pool.connect()];
  const query = async (client: typeof first, sql: string): Promise<void> => {
    const outcome = await client
      .query({ text: sql, rowMode: 'array' })
      .then(showResult, (error: unknown) => ({ error: showError(error) }));
    emit(flow, sql, outcome);
  };
  await query(first, `SELECT dblink_connect('c', '${remote}')`);
  await query(second, FIVE);
  await Promise.all([
    query(first, "SELECT * FROM dblink('c', 'SELECT pg_sleep(0.2)') AS t(a text)"),
    second.query('SELECT 1'),
  ]);
  await query(second, 'SELECT dblink_get_connections()');
  first.release();
  second.release();
  await query(await pool.connect(), 'SELECT dblink_get_connections()');
  // The client that was just taken has not been given back: end() would wait for it.
  void pool.end();

  await session('statement_timeout', async (opened) => {
    await opened.run("SELECT dblink_connect('c', $1)", [remote]);
    await opened.run('SET statement_timeout = 300');
    const sleep = `SELECT * FROM dblink('c', 'SELECT pg_sleep(${target.nap})') AS t(a text)`;
    for (const options of [{}, { queryMode: 'extended' }] as const) {
      const { elapsedMs } = await timed(() => opened.run(sleep, [], options));
      opened.note('time of the timeout', { elapsedMs });
    }
    await opened.run('SELECT 1');
    await opened.run(FIVE);
  });
}
