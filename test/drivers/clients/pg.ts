import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, type ClientConfig, Pool, type QueryArrayConfig } from 'pg';
import type { Flow } from '../flows/types.js';
import { emit, readInput, show, showError, timed } from './support.js';

/** node-postgres: the flows in each of its ways to run a statement, then what only it does. */
const { target, flows } = readInput();
const { remote } = target;

/** Options that `pg` takes beside those in its types. */
interface Options extends Partial<QueryArrayConfig> {
  readonly binary?: boolean;
  readonly rows?: number;
  readonly queryMode?: 'extended';
}

/** What `pg` does not show. */
interface WithConnection {
  readonly connection: { sync(): void; readonly stream: Socket };
}

interface Config extends ClientConfig {
  readonly pipeline?: boolean;
}

const config: Config = {
  host: target.host,
  port: target.port,
  user: target.user,
  database: target.database,
};

interface Result {
  readonly command: string;
  readonly rowCount: number | null;
  readonly fields: readonly {
    readonly name: string;
    readonly dataTypeID: number;
    readonly dataTypeModifier: number;
  }[];
  readonly rows: readonly unknown[];
}

/** A connection whose statements go into the transcript. */
class Session {
  readonly #flow: string;
  readonly #notices: unknown[] = [];
  readonly client: Client;

  constructor(flow: string, options: Config = {}) {
    this.#flow = flow;
    this.client = new Client({ ...config, ...options });
    this.client.on('notice', (notice) => this.#notices.push(showError(notice)));
    this.client.on('notification', ({ channel, payload }) => this.#notices.push({ channel, payload }));
  }

  /** Runs a statement; an error is part of the transcript. */
  async run(sql: string, values: readonly unknown[] = [], options: Options = {}): Promise<void> {
    let outcome: Record<string, unknown>;
    try {
      const query = { rowMode: 'array', ...options, text: sql, ...(values.length > 0 ? { values } : {}) };
      const results: unknown = await this.client.query(query as QueryArrayConfig);
      outcome = { results: (Array.isArray(results) ? results : [results]).map(showResult) };
    } catch (error) {
      outcome = { error: showError(error) };
      // With a row limit the driver has sent a Flush, and after an error it forgets the Sync.
      if (options.rows !== undefined) (this.client as unknown as WithConnection).connection.sync();
    }
    this.note(sql, outcome);
  }

  note(at: string, outcome: Readonly<Record<string, unknown>>): void {
    emit(this.#flow, at, { ...outcome, notices: this.#notices.splice(0) });
  }
}

function showResult({ command, rowCount, fields, rows }: Result): Readonly<Record<string, unknown>> {
  return {
    command,
    rowCount,
    columns: fields.map(({ name, dataTypeID, dataTypeModifier }) => [name, dataTypeID, dataTypeModifier]),
    rows: rows.map(show),
  };
}

/** A session of its own, closed in any case. */
async function session(
  flow: string,
  run: (session: Session) => Promise<void>,
  options?: Config,
): Promise<void> {
  const opened = new Session(flow, options);
  await opened.client.connect();
  try {
    await run(opened);
  } finally {
    await opened.client.end();
  }
}

const MODES: Readonly<Record<string, Options>> = {
  simple: {},
  extended: { queryMode: 'extended' },
  'binary results': { queryMode: 'extended', binary: true },
  'row limit 2': { queryMode: 'extended', rows: 2 },
};

async function sharedFlows(): Promise<void> {
  for (const [mode, options] of Object.entries(MODES)) {
    for (const { name, steps, simpleOnly } of flows) {
      if (simpleOnly && mode !== 'simple') continue;
      await session(`${name} [${mode}]`, async (opened) => {
        for (const { sql, values } of steps) await opened.run(sql, values, options);
      });
    }
  }
  for (const { name, steps, simpleOnly } of flows) {
    if (simpleOnly) continue;
    await session(`${name} [named]`, async (opened) => {
      // A name can stand for one text only.
      const names = new Map<string, string>();
      for (const { sql, values } of steps) {
        if (!names.has(sql)) names.set(sql, `statement ${names.size}`);
        await opened.run(sql, values, { name: names.get(sql) ?? '' });
      }
    });
    await pipelined(name, steps);
  }
}

/** Everything is written before the first answer is read. */
async function pipelined(name: string, steps: Flow['steps']): Promise<void> {
  const inFlight = async (opened: Session): Promise<void> => {
    const outcomes = steps.map(({ sql, values }) =>
      opened.client.query({ text: sql, values: [...values], rowMode: 'array' }).then(
        (result: unknown) => ({ results: [showResult(result as Result)] }),
        (error: unknown) => ({ error: showError(error) }),
      ),
    );
    // Notices belong to no statement here: all of them come with the last line.
    const all = await Promise.all(outcomes);
    for (const [index, outcome] of all.entries())
      emit(`${name} [pipelined]`, steps[index]?.sql ?? '', outcome);
    opened.note('all notices', {});
  };
  await session(`${name} [pipelined]`, inFlight, { pipeline: true });
}

const FIVE = "SELECT * FROM dblink('c', 'SELECT id, item FROM orders ORDER BY id') AS t(id int, item text)";
const DIVISION = "SELECT * FROM dblink('c', 'SELECT 1/(3 - g) FROM generate_series(1, 5) g') AS t(a int)";

async function ownFlows(): Promise<void> {
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
    const sleep = "SELECT * FROM dblink('c', 'SELECT pg_sleep(2)') AS t(a text)";
    for (const options of [{}, { queryMode: 'extended' }] as const) {
      const { elapsedMs } = await timed(() => opened.run(sleep, [], options));
      opened.note('time of the timeout', { elapsedMs, limitMs: 1900 });
    }
    await opened.run('SELECT 1');
    await opened.run(FIVE);
  });
}

/** Clients that go away without a word while the remote works: nothing of it may go on for long. */
async function abandoned(): Promise<void> {
  for (const [at, sql] of [
    ['asleep', "SELECT * FROM dblink('c', 'SELECT pg_sleep(20)') AS t(a text)"],
    ['in a join', "SELECT * FROM customers, dblink('c', 'SELECT a FROM slow') AS t(a int)"],
    [
      'in mid-result',
      "SELECT * FROM dblink('c', 'SELECT repeat(''x'', 1000) FROM generate_series(1, 1e7)') AS t(a text)",
    ],
    [
      'in a transaction of the remote',
      "SELECT dblink_exec('c', 'BEGIN'), dblink_exec('c', 'DELETE FROM orders')",
    ],
  ] as const) {
    const opened = new Session('clients that go away');
    await opened.client.connect();
    opened.client.on('error', () => {});
    await opened.client.query("SELECT dblink_connect('c', $1)", [remote]);
    opened.client.query({ text: sql, rowMode: 'array' }).catch(() => {});
    await delay(300);
    (opened.client as unknown as WithConnection).connection.stream.destroy();
    opened.note(at, {});
  }
}

await sharedFlows();
await ownFlows();
await abandoned();
process.exit(0);
