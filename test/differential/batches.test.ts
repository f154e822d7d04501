import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { testedMajors } from '../support/majors.js';
import { type Frame, frontend, isBroken, WireConnection } from '../support/wire.js';
import { type Environment, fillIn, type Side, startEnvironment } from './play/environment.js';
import { seeded } from './play/random.js';

/** Batches of the extended protocol in random order and in random parts, some of which the proxy answers without the primary. */

const SEED = Number(process.env.DBLINK_PROXY_TEST_SEED ?? 1);
const SYNC = 'S'.charCodeAt(0);
const QUERY = 'Q'.charCodeAt(0);
const SESSIONS = 60;
const STEPS = 40;

/** Statements, as a function of a literal, and the values of their parameters. */
const STATEMENTS: readonly {
  readonly sql: (literal: number) => string;
  readonly values?: readonly string[];
  readonly types?: readonly number[];
}[] = [
  { sql: (n) => `SELECT dblink_exec('conn', 'UPDATE t SET n = ${n}')` },
  { sql: () => "SELECT dblink_exec('conn', $1)", values: ['UPDATE t SET n = 5'] },
  { sql: () => "SELECT dblink_exec('conn', $1) AS done", values: ['UPDATE t SET nothing = 5'] },
  { sql: () => 'SELECT dblink_exec($1, $2)', values: ['conn', 'SET a.b = 1'], types: [25, 1043] },
  { sql: (n) => `SELECT dblink_exec('conn', 'SELECT 1 / ${n % 2}', false)` },
  { sql: (n) => `SELECT dblink_exec('conn', 'SET a.c = ${n}', ${n % 2 === 0})` },
  { sql: () => "SELECT dblink_send_query('conn', 'SELECT 1') AS sent" },
  { sql: () => "SELECT * FROM dblink_get_result('conn') AS t(a int)" },
  { sql: () => "SELECT dblink_error_message('conn'), dblink_error_message('conn') AS message" },
  { sql: () => 'SELECT dblink_get_connections() AS names' },
  { sql: (n) => `SELECT * FROM dblink('conn', 'SELECT id, n FROM t WHERE id < ${n}') AS t(id int, n int)` },
  { sql: () => "SELECT * FROM dblink('conn', $1) AS t(id int, m text)", values: ["SELECT 1, 'é'"] },
  { sql: (n) => `SELECT * FROM dblink('conn', 'SELECT 1 / ${n % 2}') AS t(a int)` },
  { sql: (n) => `SELECT * FROM dblink('conn', 'SELECT ${n}; SELECT 2') AS t(a int)` },
  { sql: () => "SELECT * FROM dblink('conn', 'SET a.b = 2') AS t(status text)" },
  { sql: () => "SELECT * FROM dblink('conn', 'SELECT 1', false) AS t(a date)" },
  { sql: (n) => `SELECT * FROM dblink('conn', 'SELECT ''x''') AS t(a int), (SELECT ${n}) AS u` },
  { sql: (n) => `SELECT dblink_exec('conn', 'DO $x$BEGIN RAISE NOTICE ''${n}''; END$x$')` },
  { sql: () => "SELECT dblink_exec('conn', 'SELECT 1', 'x')" },
  { sql: () => "SELECT dblink_exec('nobody', $1)", values: ['SELECT 1'] },
  { sql: (n) => `SELECT ${n}, $1::text`, values: ['plain'] },
];

/** What a client may send in between. */
const BETWEEN: readonly string[] = [
  'SELECT 1',
  'BEGIN',
  'COMMIT',
  'ROLLBACK',
  'SAVEPOINT s',
  'SELECT 1 / 0',
  'DEALLOCATE ALL',
  "SET search_path = public, 'other'",
  'RESET search_path',
  'LISTEN ping',
  'NOTIFY ping',
  "SET default_transaction_isolation = 'serializable'",
  "SELECT dblink_exec('conn', 'UPDATE t SET n = 7')",
  'DISCARD PLANS',
];

/** A value in the place of a parameter that no server takes, or that is not what the statement wants. */
const ODD: readonly Buffer[] = [
  Buffer.from('a\0b'),
  Buffer.from([0xff]),
  Buffer.from('\u{1f600}'),
  Buffer.from('x y'),
];

/** Messages of a session, with as many ReadyForQuery as they bring. */
interface Step {
  readonly what: string;
  readonly messages: readonly Buffer[];
  readonly readies: number;
}

class Steps {
  readonly #random: () => number;
  /** The names under which statements have been prepared, with which. */
  readonly #named = new Map<string, number>();

  constructor(seed: number) {
    this.#random = seeded(seed);
  }

  #pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.#random() * items.length)]!;
  }

  #chance(of: number): boolean {
    return this.#random() < of;
  }

  get splits(): boolean {
    return this.#chance(0.2);
  }

  /** Where bytes are cut. */
  cut(length: number): number {
    return 1 + Math.floor(this.#random() * Math.max(1, length - 1));
  }

  next(): Step {
    if (this.#chance(0.12)) {
      const sql = this.#pick(BETWEEN);
      return { what: sql, messages: [frontend.query(sql)], readies: 1 };
    }
    const portal = this.#chance(0.1) ? 'p' : '';
    const name = this.#chance(0.3) ? this.#pick(['a', 'b']) : '';
    // Only those with calls have names: a name that DEALLOCATE has freed is not looked for.
    const count = STATEMENTS.length - (name === '' ? 0 : 1);
    const index = Math.floor(this.#random() * (this.#chance(0.6) ? 4 : count));
    const { sql, types = [] } = STATEMENTS[index]!;
    const literal = Math.floor(this.#random() * 6);
    const messages: Buffer[] = [];
    const before = this.#named.get(name);
    const parses = before === undefined || this.#chance(name === '' ? 0.8 : 0.2);
    if (parses) messages.push(frontend.parse(name, Buffer.from(sql(literal)), types));
    if (this.#chance(0.05)) messages.push(this.#other(name));
    // A name that is taken keeps its statement.
    const bound = parses && (name === '' || before === undefined) ? index : (before ?? index);
    this.#named.set(name, bound);
    messages.push(this.#bind(portal, name, bound));
    if (this.#chance(0.05)) messages.push(this.#other(name));
    if (this.#chance(0.6)) messages.push(frontend.describe('P', portal));
    if (this.#chance(0.05)) messages.push(this.#other(name));
    messages.push(frontend.execute(portal, this.#chance(0.9) ? 0 : this.#pick([1, 2, 0xffffffff])));
    if (this.#chance(0.1)) messages.push(this.#other(name), frontend.execute(portal, 0));
    if (this.#chance(0.05)) {
      // A Query behind an error would be skipped.
      const more = this.next().messages.filter((one) => one[0] !== SYNC);
      if (more[0]?.[0] !== QUERY) messages.push(...more);
    }
    messages.push(frontend.sync());
    const readies = messages.filter(([type]) => type === SYNC).length;
    return { what: `${name}: ${sql(literal)}`, messages, readies };
  }

  #bind(portal: string, statement: string, index: number): Buffer {
    const given = STATEMENTS[index]!.values ?? [];
    const values: (Buffer | null)[] = given.map((value) =>
      this.#chance(0.05) ? this.#pick([...ODD, null]) : Buffer.from(value),
    );
    if (this.#chance(0.02)) values.push(Buffer.from('more'));
    const one = this.#pick([[], [0], [1], [0, 0], [1, 0], [2]]);
    return frontend.bind({
      portal,
      statement,
      values,
      valueFormats: this.#chance(0.8) ? [] : this.#pick([[0], [1], [0, 1], [3]]),
      resultFormats: this.#chance(0.6) ? [] : one,
    });
  }

  #other(name: string): Buffer {
    return this.#pick([
      frontend.flush(),
      frontend.sync(),
      frontend.describe('S', name),
      frontend.describe('P', ''),
      frontend.close('P', ''),
      frontend.close('S', name),
      frontend.execute('', 0),
      frontend.bind({ statement: name }),
    ]);
  }
}

/** A message without the place in the server's source, and without the process that has sent a notification. */
const shown = ({ type, body }: Frame): string => {
  if (type === 'A') return `A ${body.subarray(4).toString('latin1')}`;
  const fields = body.toString('latin1').split('\0');
  return `${type} ${fields.filter((field) => !'EN'.includes(type) || !/^[FLR]/.test(field)).join('.')}`;
};

async function open(side: Side): Promise<WireConnection> {
  const { connection } = await WireConnection.open({
    ...side.client,
    parameters: { user: 'postgres', database: 'app' },
  });
  const ready = [
    "SELECT dblink_connect('conn', '{R}')",
    "SELECT dblink_exec('conn', 'CREATE TEMP TABLE t AS SELECT id, 0 AS n FROM generate_series(1, 4) AS g(id)')",
  ];
  connection.send(...ready.map((sql) => frontend.query(fillIn(sql, side))));
  await connection.collect(ready.length);
  return connection;
}

for (const major of testedMajors()) {
  describe(`batches of the extended protocol, PostgreSQL ${major}`, () => {
    let environment: Environment;
    before(async () => {
      environment = await startEnvironment(major, 'proxy');
    });
    after(() => environment?.stop());

    /** Plays the steps of a seed, one at a time or several at once. */
    async function play(side: Side, seed: number): Promise<string[]> {
      const steps = new Steps(seed);
      const connection = await open(side);
      const lines: string[] = [];
      for (let i = 0; i < STEPS; ) {
        const together = Array.from({ length: steps.splits ? 1 + (i % 5) : 1 }, () => steps.next());
        i += together.length;
        const bytes = Buffer.concat(together.flatMap(({ messages }) => messages));
        const at = steps.splits ? steps.cut(bytes.length) : bytes.length;
        connection.send(bytes.subarray(0, at));
        await turn();
        connection.send(bytes.subarray(at));
        const frames = await connection.collect(together.reduce((sum, { readies }) => sum + readies, 0));
        lines.push(`> ${together.map(({ what }) => what).join(' | ')}`);
        lines.push(...frames.map(shown));
        if (isBroken(frames.at(-1)!)) break;
      }
      await connection.end();
      return lines;
    }

    it('are answered alike', async () => {
      for (let seed = SEED * 1000; seed < SEED * 1000 + SESSIONS; seed++) {
        const [extension, proxy] = await Promise.all([
          play(environment.extension, seed),
          play(environment.proxy, seed),
        ]);
        const at = extension.findIndex((line, i) => line !== proxy[i]);
        const around = (lines: readonly string[]): string =>
          lines.slice(Math.max(0, at - 12), at + 4).join('\n');
        assert.ok(
          at < 0 && extension.length === proxy.length,
          `seed ${seed}, the extension:\n${around(extension)}\nthrough the proxy:\n${around(proxy)}`,
        );
      }
    });

    /** Plays flights, each with as many ReadyForQuery as it brings, and shows what comes back. */
    async function fly(side: Side, flights: readonly (readonly [number, ...Buffer[]])[]): Promise<string[]> {
      const connection = await open(side);
      const lines: string[] = [];
      for (const [i, [readies, ...messages]] of flights.entries()) {
        connection.send(...messages);
        lines.push(`> ${i}`, ...(await connection.collect(readies)).map(shown));
      }
      await connection.end();
      return lines;
    }

    describe('find the statements and portals that the client means', () => {
      const exec = "SELECT dblink_exec('conn', $1)";
      const parse = (sql: string, name = ''): Buffer => frontend.parse(name, Buffer.from(sql));
      const given = frontend.bind({ values: [Buffer.from('UPDATE t SET n = n + 1')] });
      const ends = [frontend.describe('P', ''), frontend.execute('', 0), frontend.sync()];
      const executes = [frontend.execute('', 0), frontend.sync()];
      const known = [1, parse(exec), given, ...ends] as const;
      const nosuch = frontend.bind({ statement: 'nosuch' });
      const note = "SELECT set_config('my.note', 'touched', false)";
      const noted = [1, frontend.query("SELECT current_setting('my.note', true)")] as const;
      const remote = [
        1,
        frontend.query("SELECT * FROM dblink('conn', 'SELECT sum(n) FROM t') AS t(n int)"),
      ] as const;
      const SCENARIOS: Readonly<Record<string, readonly (readonly [number, ...Buffer[]])[]>> = {
        'a Query that an error skips': [
          known,
          known,
          known,
          [1, parse(note), frontend.describe('S', ''), frontend.sync()],
          known,
          [1, nosuch, frontend.query('SELECT 1'), frontend.sync()],
          [1, frontend.bind({}), ...executes],
          noted,
          [1, given, ...executes],
          remote,
        ],
        'a Parse that an error skips': [
          known,
          known,
          known,
          [1, parse(note), frontend.describe('S', ''), frontend.sync()],
          known,
          [1, nosuch, parse(note), frontend.sync()],
          [1, frontend.bind({}), ...executes],
          noted,
          [1, given, ...executes],
          remote,
        ],
        'a Parse that is refused': [
          [1, parse(note), frontend.sync()],
          [1, parse("SELECT dblink_exec('conn', $1), $2::nosuch"), frontend.sync()],
          [1, frontend.bind({}), ...executes],
          noted,
          [1, parse(note), frontend.sync()],
          [1, parse('SELECT dblink_exec(1, 2, 3, 4, 5)'), frontend.sync()],
          [1, frontend.bind({}), ...executes],
          noted,
        ],
        'a Parse whose name is taken, with the Bind in the same flight': [
          [1, parse("SELECT dblink_exec('conn', 'UPDATE t SET n = 1')", 's'), frontend.sync()],
          [1, frontend.bind({ statement: 's' }), ...executes],
          [1, frontend.bind({ statement: 's' }), ...executes],
          [
            2,
            parse("SELECT dblink_exec('conn', 'UPDATE t SET n = 2')", 's'),
            frontend.sync(),
            frontend.bind({ statement: 's' }),
            ...executes,
          ],
          remote,
        ],
        'an extension command behind a Parse that an error skips': [
          [1, parse('DROP EXTENSION IF EXISTS dblink_of_nobody'), frontend.sync()],
          [1, parse('CREATE EXTENSION dblink'), frontend.sync()],
          [1, nosuch, parse('SELECT 1'), frontend.sync()],
          [1, frontend.bind({}), ...executes],
        ],
        'a Bind that is too long to be looked at': [
          [1, frontend.query('BEGIN')],
          [1, parse('SELECT length($1)', 'long'), frontend.sync()],
          known,
          [1, parse(exec), given, frontend.sync()],
          [1, frontend.bind({ statement: 'long', values: [Buffer.alloc(65 << 20, 'x')] }), ...executes],
          remote,
          [1, frontend.query('ROLLBACK')],
        ],
        'a statement that the failed transaction refuses twice': [
          [1, parse('BEGIN', 'begin'), frontend.sync()],
          [1, parse('SELECT 1 / 0', 'fails'), frontend.sync()],
          known,
          known,
          known,
          [1, frontend.bind({ statement: 'begin' }), ...executes],
          [1, frontend.bind({ statement: 'fails' }), ...executes],
          [2, given, ...executes, given, ...executes],
          [1, frontend.bind({ values: [] }), ...executes],
          [1, frontend.query('ROLLBACK')],
        ],
        'a role that may not call the function': [
          [1, frontend.query('DROP ROLE IF EXISTS batches_other; CREATE ROLE batches_other')],
          [1, frontend.query('BEGIN; REVOKE EXECUTE ON FUNCTION dblink_exec(text, text) FROM PUBLIC')],
          [
            1,
            parse(exec, 's'),
            frontend.bind({ statement: 's', values: [Buffer.from('UPDATE t SET n = 3')] }),
            ...executes,
          ],
          [1, frontend.query('SAVEPOINT a; SET LOCAL ROLE batches_other')],
          [1, frontend.bind({ statement: 's', values: [Buffer.from('UPDATE t SET n = 4')] }), ...executes],
          [1, frontend.query('ROLLBACK TO a')],
          [
            1,
            frontend.bind({ statement: 's', values: [Buffer.from('UPDATE t SET n = n + 5')] }),
            ...executes,
          ],
          [1, frontend.query('ROLLBACK')],
          remote,
        ],
        'a function of another schema that comes first': [
          [1, frontend.query('CREATE SCHEMA batches_other')],
          [
            1,
            frontend.query(
              "CREATE FUNCTION batches_other.dblink_exec(text, text) RETURNS text LANGUAGE sql AS 'SELECT ''other''::text'",
            ),
          ],
          [1, parse(exec, 's'), frontend.sync()],
          [1, frontend.bind({ statement: 's', values: [Buffer.from('UPDATE t SET n = 3')] }), ...executes],
          [1, frontend.query('SET search_path = batches_other, public')],
          [1, frontend.bind({ statement: 's', values: [Buffer.from('UPDATE t SET n = 4')] }), ...executes],
          [1, frontend.bind({ statement: 's', values: [Buffer.from('UPDATE t SET n = 5')] }), ...ends],
          [1, frontend.query('RESET search_path')],
          [
            1,
            frontend.bind({ statement: 's', values: [Buffer.from('UPDATE t SET n = n + 6')] }),
            ...executes,
          ],
          remote,
          [1, frontend.query('DROP SCHEMA batches_other CASCADE')],
        ],
      };
      for (const [name, flights] of Object.entries(SCENARIOS)) {
        it(name, async () => {
          const extension = await fly(environment.extension, flights);
          assert.deepEqual(await fly(environment.proxy, flights), extension);
        });
      }
    });

    it('see what others change', async () => {
      const flights = [
        frontend.parse('', Buffer.from("SELECT dblink_exec('conn', $1)")),
        frontend.bind({ values: [Buffer.from('SET a.b = 1')] }),
        frontend.describe('P', ''),
        frontend.execute('', 0),
        frontend.sync(),
      ];
      const results = [environment.extension, environment.proxy].map(async (side) => {
        const connection = await open(side);
        const { app } = side.direct;
        await app.rows('DROP ROLE IF EXISTS batches_low; CREATE ROLE batches_low');
        await connection.rows('SET ROLE batches_low');
        const lines: string[] = [];
        const fly = async (): Promise<void> => {
          connection.send(...flights);
          lines.push(...(await connection.collect(1)).map(shown));
        };
        for (let i = 0; i < 4; i++) await fly();
        await app.rows('REVOKE EXECUTE ON FUNCTION dblink_exec(text, text) FROM PUBLIC');
        // Whoever has lately been asked is not asked again.
        await delay(5200);
        await fly();
        await fly();
        await app.rows('GRANT EXECUTE ON FUNCTION dblink_exec(text, text) TO PUBLIC');
        await fly();
        await connection.end();
        return lines;
      });
      const [extension, proxy] = await Promise.all(results);
      assert.match(extension!.join(), /permission denied/);
      assert.deepEqual(proxy, extension);
    });

    it('keep a session from being idle', { skip: major < 14 }, async () => {
      const connection = await open(environment.proxy);
      connection.send(frontend.query("SET idle_session_timeout = '1s'"));
      await connection.collect(1);
      const exec = "SELECT dblink_exec('conn', 'SET a.b = 1')";
      const batch = [frontend.parse('', Buffer.from(exec)), frontend.bind({}), frontend.execute('', 0)];
      for (const messages of [[...batch, frontend.sync()], [frontend.query(exec)]]) {
        for (let i = 0; i < 8; i++) {
          await delay(250);
          connection.send(...messages);
          const frames = await connection.collect(1);
          assert.ok(!frames.some((frame) => frame.type === 'E' || isBroken(frame)), frames.map(shown).join());
        }
      }
      await connection.end();
    });

    it('may have a statement in between that is too long to be looked at', async () => {
      const long = `SELECT ${'/* */'.repeat(250_000)} 'long', $1::text`;
      const results = await Promise.all(
        [environment.extension, environment.proxy].map(async (side) => {
          const connection = await open(side);
          const ends = [frontend.describe('P', ''), frontend.execute('', 0), frontend.sync()];
          const given = frontend.bind({ values: [Buffer.from('SET a.b = 1')] });
          const own = [frontend.parse('', Buffer.from("SELECT dblink_exec('conn', $1)")), given, ...ends];
          const flights = [own, own, own, [given, ...ends], [frontend.parse('', long), given, ...ends]];
          const lines: string[] = [];
          for (const flight of [
            ...flights,
            [given, ...ends],
            own,
            [frontend.query(long)],
            [given, ...ends],
          ]) {
            connection.send(...flight);
            lines.push(...(await connection.collect(1)).map(shown));
          }
          await connection.end();
          return lines;
        }),
      );
      assert.deepEqual(results[1], results[0]);
    });

    it('do not reach the primary when it has nothing to add', async () => {
      const { proxy: side } = environment;
      const connection = await open(side);
      const asked = async (): Promise<string> => {
        const [row] = await side.direct.app.rows(
          "SELECT string_agg(concat_ws(' ', pid, query_start, state_change), ', ') FROM pg_stat_activity WHERE datname = 'app' AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name = 'whole'",
        );
        return row?.[0] ?? '';
      };
      connection.send(frontend.query("SET application_name = 'whole'"));
      await connection.collect(1);
      const batch = (sql: string, value: string | undefined, format: number): Buffer[] => [
        frontend.parse('', Buffer.from(sql)),
        frontend.bind({ values: value === undefined ? [] : [Buffer.from(value)], resultFormats: [format] }),
        frontend.describe('P', ''),
        frontend.execute('', 0),
        frontend.sync(),
      ];
      const rounds = [
        (n: number) => batch(`SELECT dblink_exec('conn', 'UPDATE t SET n = ${n}')`, undefined, n % 2),
        (n: number) => batch("SELECT dblink_exec('conn', $1)", `UPDATE t SET n = ${n}`, n % 2),
        (n: number) => batch(`SELECT * FROM dblink('conn', 'SELECT ${n}') AS t(a int)`, undefined, 0),
        (n: number) => batch("SELECT * FROM dblink('conn', $1) AS t(a int)", `SELECT ${n}`, 0),
        (n: number) => batch("SELECT * FROM dblink('conn', $1) AS t(a int)", `SELECT 1 / ${n % 2}`, 0),
      ];
      for (const round of rounds) {
        for (let n = 0; n < 3; n++) {
          connection.send(...round(n));
          await connection.collect(1);
        }
        const earlier = await asked();
        assert.notEqual(earlier, '');
        for (let n = 10; n < 16; n++) {
          connection.send(...round(n));
          const frames = await connection.collect(1);
          assert.equal(frames.at(-1)?.type, 'Z');
        }
        connection.send(...[1, 2, 3, 4].flatMap(round));
        assert.equal((await connection.collect(4)).filter(({ type }) => type === 'Z').length, 4);
        assert.equal(await asked(), earlier);
      }
      await connection.end();
    });
  });
}
