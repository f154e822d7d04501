import postgres from 'postgres';
import { emit, readInput, remoteShows, show, showError, timed } from './support.js';

/** postgres.js: the flows in each of its ways to run a statement, then what only it does. */
const { target, flows } = readInput();
const { remote } = target;

type Sql = postgres.Sql;
type Outcome = Readonly<Record<string, unknown>>;

interface Columns {
  readonly name: string;
  readonly type: number;
}

/** A connection whose statements go into the transcript. */
class Session {
  readonly #flow: string;
  readonly #notices: unknown[] = [];
  readonly sql: Sql;

  constructor(flow: string, options: postgres.Options<Record<string, never>> = {}) {
    this.#flow = flow;
    this.sql = postgres({
      host: target.host,
      port: target.port,
      username: target.user,
      database: target.database,
      max: 1,
      idle_timeout: 0,
      onnotice: (notice) => this.#notices.push(showError(notice)),
      ...options,
    });
  }

  /** Awaits a query; an error is part of the transcript. */
  async run(at: string, query: PromiseLike<unknown> | (() => PromiseLike<unknown>)): Promise<void> {
    this.note(at, await outcomeOf(typeof query === 'function' ? query : () => query));
  }

  note(at: string, outcome: Outcome): void {
    emit(this.#flow, at, { ...outcome, notices: this.#notices.splice(0) });
  }
}

async function outcomeOf(query: () => PromiseLike<unknown>): Promise<Outcome> {
  try {
    return { result: showResult(await query()) };
  } catch (error) {
    return { error: { ...showError(error), query: (error as { query?: string }).query } };
  }
}

function showResult(result: unknown): unknown {
  if (!Array.isArray(result)) {
    // The name of a prepared statement is random.
    return show(typeof result === 'object' && result !== null ? { ...result, name: '' } : result);
  }
  const { command, count, columns, statement } = result as unknown as Record<string, unknown>;
  // Several statements in one string: an array of results.
  if (command === undefined && result.some(Array.isArray)) return result.map(showResult);
  return {
    command,
    count: show(count),
    columns: (columns as Columns[] | undefined)?.map(({ name, type }) => [name, type]),
    statement: (statement as { types?: readonly number[] } | undefined)?.types,
    // After a statement that failed in mid-result the driver leaves holes in front of the next one's rows.
    rows: result.filter(() => true).map(show),
  };
}

async function session(
  flow: string,
  run: (session: Session) => Promise<void>,
  options?: postgres.Options<Record<string, never>>,
): Promise<void> {
  const opened = new Session(flow, options);
  try {
    await run(opened);
  } finally {
    await opened.sql.end({ timeout: 5 });
  }
}

async function sharedFlows(): Promise<void> {
  for (const { name, steps, simpleOnly } of flows) {
    await session(`${name} [simple]`, async (opened) => {
      for (const { sql, values } of steps) {
        if (values.length === 0) await opened.run(sql, () => opened.sql.unsafe(sql).simple());
        else await opened.run(sql, () => opened.sql.unsafe(sql, [...values]));
      }
    });
    if (simpleOnly) continue;
    for (const prepare of [true, false]) {
      // postgres.js refuses BEGIN outside its own begin() unless there is a single connection.
      await session(
        `${name} [${prepare ? 'prepared' : 'prepare: false'}]`,
        async (opened) => {
          for (const { sql, values } of steps) {
            await opened.run(sql, () => opened.sql.unsafe(sql, [...values], { prepare }));
          }
        },
        { prepare },
      );
    }
    await session(`${name} [pipelined]`, async (opened) => {
      const outcomes = steps.map(({ sql, values }) =>
        outcomeOf(() => opened.sql.unsafe(sql, [...values], { prepare: true })),
      );
      // Notices belong to no statement here: all of them come with the last line.
      const all = await Promise.all(outcomes);
      for (const [index, outcome] of all.entries())
        emit(`${name} [pipelined]`, steps[index]?.sql ?? '', outcome);
      opened.note('all notices', {});
    });
  }
}

async function ownFlows(prepare: boolean): Promise<void> {
  const mode = prepare ? 'prepared' : 'prepare: false';
  const own = (name: string, run: (session: Session) => Promise<void>): Promise<void> =>
    session(`${name} [${mode}]`, run, { prepare });

  await own('describe()', async (opened) => {
    const { sql } = opened;
    await opened.run('connect', sql`SELECT dblink_connect('c', ${remote})`);
    await opened.run(
      'a source',
      sql`SELECT * FROM dblink(${'c'}, ${'SELECT 1, 2'}) AS t(a int, b varchar(3))`.describe(),
    );
    await opened.run('a scalar', sql`SELECT dblink_exec(${'c'}, ${'SELECT 1'}, ${false})`.describe());
    await opened.run(
      'an error',
      sql`SELECT nosuch FROM dblink(${'c'}, ${'SELECT 1'}) AS t(a int)`.describe(),
    );
    await opened.run(
      'a join',
      sql`SELECT c.name, t.a FROM customers c, dblink('c', 'SELECT 1/0') AS t(a int) WHERE c.id = ${1}`.describe(),
    );
  });

  await own('cursor(2)', async (opened) => {
    const { sql } = opened;
    await opened.run('connect', sql`SELECT dblink_connect('c', ${remote})`);
    const query = (text: string) => sql`SELECT * FROM dblink('c', ${text}) AS t(a int, b text)`;
    await opened.run('five rows', async () => {
      const pages: unknown[] = [];
      for await (const page of query('SELECT id, item FROM orders ORDER BY id').cursor(2))
        pages.push([...page]);
      return pages;
    });
    await opened.run('stopped after one page', async () => {
      const pages: unknown[] = [];
      await query('SELECT id, item FROM orders ORDER BY id').cursor(2, (page) => {
        pages.push([...page]);
        return sql.CLOSE;
      });
      return pages;
    });
    await opened.run('after', sql`SELECT 1 AS a`);
    await opened.run('an error in mid-fetch', async () => {
      const pages: unknown[] = [];
      await query("SELECT 1/(3 - g), 'x' FROM generate_series(1, 5) g").cursor(2, (page) => {
        pages.push([...page]);
      });
      return pages;
    });
    await opened.run('after', sql`SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)`);
  });

  await own('forEach', async (opened) => {
    const { sql } = opened;
    await opened.run('connect', sql`SELECT dblink_connect('c', ${remote})`);
    const rows: unknown[] = [];
    await opened.run(
      'rows',
      sql`SELECT * FROM dblink('c', 'SELECT id, amount FROM orders ORDER BY id') AS t(id int, amount numeric)`.forEach(
        (row) => {
          rows.push(row);
        },
      ),
    );
    opened.note('rows', { rows: rows.map(show) });
    await opened.run('values()', sql`SELECT * FROM dblink('c', 'SELECT 1, 2') AS t(a int, a int)`.values());
    await opened.run(
      'raw()',
      sql`SELECT * FROM dblink('c', 'SELECT 1, NULL, now() IS NULL') AS t(a int, b text, c bool)`.raw(),
    );
  });

  await own('begin() and savepoint()', async (opened) => {
    const { sql } = opened;
    await opened.run('connect', sql`SELECT dblink_connect('c', ${remote})`);
    await opened.run('a transaction with a failed savepoint', () =>
      sql.begin(async (tx) => {
        await tx`INSERT INTO log (line) SELECT a FROM dblink('c', ${"SELECT 'kept'"}) AS t(a text)`;
        const failed = await tx
          .savepoint(async (inner) => {
            await inner`INSERT INTO log (line) VALUES ('lost')`;
            await inner`SELECT * FROM dblink('c', ${'SELECT 1/0'}) AS t(a int)`;
          })
          .catch((error: unknown) => showError(error));
        const after =
          await tx`SELECT line, t.a FROM log, dblink('c', ${'SELECT 1'}) AS t(a int) ORDER BY log.id`;
        return [failed, ...after];
      }),
    );
    await opened.run('a transaction that fails', () =>
      sql.begin(async (tx) => {
        await tx`INSERT INTO log (line) VALUES ('lost')`;
        await tx`SELECT dblink_exec('c', ${"INSERT INTO log (line) VALUES ('remote')"})`;
        return await tx`SELECT dblink_exec('nosuch', 'SELECT 1')`;
      }),
    );
    await opened.run('read only', () =>
      sql.begin('READ ONLY', (tx) => [
        tx`SELECT line FROM log`,
        tx`SELECT * FROM dblink('c', 'DELETE FROM log RETURNING line') AS t(line text)`,
      ]),
    );
    await opened.run('clean up', sql`DELETE FROM log`);
  });

  await own('a pipeline in a transaction', async (opened) => {
    const { sql } = opened;
    await opened.run('connect', sql`SELECT dblink_connect('c', ${remote})`);
    await opened.run('pipeline', () =>
      sql.begin((tx) => [
        tx`SELECT 1 AS a`,
        tx`SELECT * FROM dblink('c', ${'SELECT 2'}) AS t(a int)`,
        tx`INSERT INTO log (line) VALUES ('x') RETURNING line`,
        tx`SELECT dblink_exec('c', ${'SET application_name = pipeline'})`,
        tx`SELECT count(*) FROM customers, dblink('c', 'SHOW application_name') AS t(a text)`,
        tx`DELETE FROM log`,
      ]),
    );
    await opened.run('pipeline with an error in the middle', () =>
      sql.begin((tx) => [
        tx`SELECT 1 AS a`,
        tx`SELECT * FROM dblink('c', ${'SELECT 1/0'}) AS t(a int)`,
        tx`SELECT dblink_exec('c', ${'SET application_name = never'})`,
        tx`SELECT 3 AS a`,
      ]),
    );
    await opened.run('not executed', sql`SELECT * FROM dblink('c', 'SHOW application_name') AS t(a text)`);
  });

  await own('types of parameters', async (opened) => {
    const { sql } = opened;
    await opened.run('connect', sql`SELECT dblink_connect(${'c'}, ${remote})`);
    await opened.run(
      'local parameters',
      sql`SELECT t.* FROM dblink('c', 'SELECT id, ordered_on, shipped FROM orders') AS t(id int, d date, s bool) WHERE t.d > ${new Date('2024-12-01T00:00:00Z')} AND t.s = ${true} AND t.id = ANY(${[3, 4, 5]}) ORDER BY 1`,
    );
    await opened.run(
      'bytes and json',
      sql`SELECT t.ba = ${Buffer.from('00ff10', 'hex')} AS same, t.jb @> ${sql.json({ a: 'x' })} AS has FROM dblink('c', ${'SELECT ba, jb FROM kinds WHERE n = 1'}) AS t(ba bytea, jb jsonb)`,
    );
    await opened.run(
      'a list of values',
      sql`SELECT * FROM dblink('c', 'SELECT id FROM orders') AS t(id int) WHERE id IN ${sql([1, 5])} ORDER BY id`,
    );
  });

  await own('statement_timeout', async (opened) => {
    const { sql } = opened;
    await opened.run('connect', sql`SELECT dblink_connect('c', ${remote})`);
    await opened.run('set', sql`SET statement_timeout = 300`);
    const { elapsedMs } = await timed(() => opened.run('sleep', sql.unsafe(SLEEP)));
    opened.note('time of the timeout', { elapsedMs });
    await opened.run('after', sql`SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)`);
  });

  await own('cancel()', async (opened) => {
    const { sql } = opened;
    await opened.run('connect', sql`SELECT dblink_connect('c', ${remote})`);
    const { elapsedMs } = await timed(async () => {
      await cancelAsleep(opened, sql.unsafe(SLEEP));
    });
    opened.note('time of the cancel', { elapsedMs });
    await opened.run('after the cancel', sql`SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)`);
  });
}

const SLEEP = `SELECT * FROM dblink('c', 'SELECT pg_sleep(${target.nap})') AS t(a text)`;

/** Runs a query, and cancels it when the remote sleeps for it. */
async function cancelAsleep(opened: Session, query: postgres.PendingQuery<postgres.Row[]>): Promise<void> {
  const ended = opened.run('sleep', query);
  await remoteShows(target);
  query.cancel();
  await ended;
}

/** With views and functions that call dblink. */
async function bridgedFlows(prepare: boolean): Promise<void> {
  const mode = prepare ? 'prepared' : 'prepare: false';
  await session(
    `cursor(2) over a view [${mode}]`,
    async (opened) => {
      const { sql } = opened;
      const pages = async (text: string): Promise<unknown> => {
        const all: unknown[] = [];
        for await (const page of sql.unsafe(text).cursor(2)) all.push([...page]);
        return all;
      };
      await opened.run(
        'rows',
        () => pages('SELECT id, item FROM far_orders ORDER BY id') as Promise<unknown>,
      );
      await opened.run('an error', () => pages('SELECT * FROM far_division') as Promise<unknown>);
      await opened.run('after', sql`SELECT far_item(${2})`);
    },
    { prepare },
  );
  await session(
    `COPY from a view [${mode}]`,
    async (opened) => {
      const { sql } = opened;
      const copied = async (text: string): Promise<unknown> => {
        let all = '';
        for await (const chunk of await sql.unsafe(text).readable()) all += String(chunk);
        return all;
      };
      await opened.run('rows', () => copied('COPY (SELECT * FROM far_orders ORDER BY id) TO STDOUT'));
      await opened.run('after', sql`SELECT far_item(${1})`);
    },
    { prepare },
  );
  for (const statement of [
    'SELECT * FROM far_sleep',
    `SELECT unguarded('SELECT 1 FROM pg_sleep(${target.nap})')`,
  ]) {
    await session(
      `cancel() of ${statement} [${mode}]`,
      async (opened) => {
        const { sql } = opened;
        const { elapsedMs } = await timed(async () => {
          await cancelAsleep(opened, sql.unsafe(statement, [], { prepare }));
        });
        opened.note('time of the cancel', { elapsedMs });
        await opened.run('after the cancel', sql`SELECT far_item(1)`);
      },
      { prepare },
    );
  }
}

const own = target.bridged ? bridgedFlows : ownFlows;
await sharedFlows();
await own(true);
await own(false);
process.exit(0);
