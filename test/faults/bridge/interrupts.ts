import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { TIMEOUT } from '../../support/wire.js';
import { assertNothingLeft, makeBridgeWorld } from '../world/bridgeWorld.js';
import { brief, errorOf, FaultClient, fieldsOf } from '../world/client.js';
import { seededRandom } from '../world/random.js';

/**
 * Cancels at the primary itself, at any moment of a call that the bridge serves: each ends the call with what the extension
 * would say, of which nothing is the bridge's, and the session's next calls are answered.
 */

interface Interrupted {
  readonly sql: string;
  /** The CONTEXT that the extension's error can have; none if left out. */
  readonly context?: RegExp;
  /** Whose session it is for the statement. */
  readonly role?: string;
}

const eachOf = (count: number, call: string): string =>
  `SELECT n, t.* FROM generate_series(1, ${count}) n, LATERAL ${call}`;

const STATEMENTS: Readonly<Record<string, Interrupted>> = {
  'a call per row': { sql: eachOf(3, "dblink('c', 'SELECT ' || n) AS t(a int)") },
  'types that differ from the remote’s': {
    sql: eachOf(
      2,
      "dblink('c', 'SELECT 7, 1.5, ''{}''::json, now()') AS t(a text, b numeric, c json, d timestamp)",
    ),
  },
  commands: { sql: "SELECT dblink_exec('c', 'SET a.b = ' || n) FROM generate_series(1, 3) n" },
  'a command as a row': { sql: eachOf(3, "dblink('c', 'SET a.b = ' || n) AS t(a text)") },
  'a large result': {
    sql: eachOf(
      1,
      "dblink('c', 'SELECT g, repeat(''x'', 200) FROM generate_series(1, 4000) g') AS t(a int, b text)",
    ),
  },
  'an error as a notice': { sql: eachOf(3, "dblink('c', 'SELECT 1 ' || n, false) AS t(a int)") },
  'a definer’s call': {
    sql: 'SELECT definer() FROM generate_series(1, 3)',
    // While its expression is being planned that is named, too.
    context:
      /^([^\n]*public\.dblink_exec\('c', 'SET a\.b = 1'\)"\n)?PL\/pgSQL function definer\(\) line 1 at (RETURN|statement block)$/,
    role: 'plain',
  },
  connections: {
    sql: "SELECT dblink_connect('d' || n, conninfo), dblink_disconnect('d' || n) FROM generate_series(1, 2) n, remote",
  },
  'a primary key': { sql: "SELECT * FROM generate_series(1, 5), dblink_get_pkey('keyed')" },
  'a built statement': {
    sql: `SELECT dblink_build_sql_update('keyed', '1', 1, '{"1"}', '{"2"}') FROM generate_series(1, 5)`,
    context: /^SQL statement "SELECT a, b FROM keyed WHERE a = '1'"$/,
  },
};

const FIXTURES = `
  CREATE ROLE plain LOGIN;
  CREATE TABLE keyed (a int PRIMARY KEY, b text);
  INSERT INTO keyed VALUES (1, 'x');
  CREATE FUNCTION definer() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN RETURN public.dblink_exec('c', 'SET a.b = 1'); END $$;`;

/** Made however long they take. */
const LEAST_INTERRUPTS = 20;

const LEVELS = ['READ COMMITTED', 'REPEATABLE READ', 'REPEATABLE READ READ ONLY'] as const;

export interface InterruptOptions {
  readonly major?: number;
  readonly interrupts: number;
  readonly seed: number;
  /** No further one after this time. */
  readonly seconds: number;
}

/** @returns how many statements were interrupted @throws AssertionError that names the seed and the statement */
export async function runInterrupts(options: InterruptOptions): Promise<number> {
  const { seed } = options;
  const world = await makeBridgeWorld({ ...(options.major === undefined ? {} : { major: options.major }) });
  const random = seededRandom(seed);
  /** How long a statement takes, about, in ms. */
  const duration: Record<string, number> = {};
  let interrupted = 0;
  try {
    await world.onPrimary(
      `${FIXTURES} CREATE TABLE remote AS SELECT '${world.conninfo('d')}'::text AS conninfo`,
    );
    const session = await world.session('interrupted');
    const { client, pid } = session;
    const canceller = await FaultClient.open(world.primary.port, { application_name: 'observer' });
    await client.rows(`SELECT dblink_connect('c', '${world.conninfo('interrupted')}')`);

    const interrupt = async (name: string, { sql, context, role }: Interrupted): Promise<void> => {
      if (role !== undefined) await client.rows(`SET SESSION AUTHORIZATION ${role}`);
      await client.rows(`BEGIN ISOLATION LEVEL ${random.pick(LEVELS)}`);
      const moment = performance.now() + random.number() * (duration[name] ?? 5);
      const begun = performance.now();
      client.start(sql, random.pick(['simple', 'extended'] as const));
      const answer = client.answer();
      // Timers have milliseconds only.
      await delay(Math.max(0, moment - performance.now() - 1));
      while (performance.now() < moment);
      await canceller.rows(`SELECT pg_cancel_backend(${pid})`);
      const frames = await answer;
      assert.ok(!frames.some(({ type }) => type === TIMEOUT), `hangs: ${brief(frames)}`);
      if (frames.some(({ type }) => type === 'E')) {
        interrupted++;
        const { C: sqlstate = '', M: message = '', W: lines } = errorOf(frames);
        assert.equal(sqlstate, '57014', `${message}: ${lines}`);
        if (context === undefined || lines === undefined) assert.equal(lines, undefined);
        else assert.match(lines, context);
      } else duration[name] = ((duration[name] ?? 5) + performance.now() - begun) / 2;
      for (const frame of frames) {
        if (frame.type === 'N') assert.doesNotMatch(fieldsOf(frame)['M'] ?? '', /dblink-proxy/);
      }
      // What came too late may meet these.
      await client.query('ROLLBACK');
      if (role !== undefined) await client.rows('RESET SESSION AUTHORIZATION');
      await client.rows(
        "SELECT dblink_disconnect(name) FROM unnest(dblink_get_connections()) name WHERE name <> 'c'",
      );
      const [row] = await client.rows(eachOf(1, `dblink('c', 'SELECT ${interrupted}') AS t(a int)`));
      assert.deepEqual(row, ['1', String(interrupted)]);
    };

    const deadline = Date.now() + options.seconds * 1000;
    const names = Object.keys(STATEMENTS);
    const enough = (): boolean =>
      interrupted >= options.interrupts || (interrupted >= LEAST_INTERRUPTS && Date.now() >= deadline);
    for (let i = 0; !enough(); i++) {
      const name = names[i % names.length]!;
      await interrupt(name, STATEMENTS[name]!).catch((error: unknown) => {
        throw new Error(`seed ${seed}, statement ${i + 1}: ${name}`, { cause: error });
      });
    }
    await assertNothingLeft(world, [session]);
    await Promise.all([client.end(), canceller.end()]);
    await assertNothingLeft(world, []);
    await world.assertIdle();
  } finally {
    await world.close();
  }
  return interrupted;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      major: { type: 'string', default: '18' },
      interrupts: { type: 'string', default: '100000' },
      seed: { type: 'string', default: String(Date.now() % 1e6) },
      seconds: { type: 'string', default: '600' },
    },
  });
  const [major, interrupts, seed, seconds] = [
    Number(values.major),
    Number(values.interrupts),
    Number(values.seed),
    Number(values.seconds),
  ];
  console.log(`seed ${seed}`);
  console.log(`${await runInterrupts({ major, interrupts, seed, seconds })} statements interrupted`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main();
