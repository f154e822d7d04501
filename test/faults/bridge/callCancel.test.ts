import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { eventually, soon } from '../../support/eventually.js';
import { dataRowText, type Frame } from '../../support/wire.js';
import {
  assertNothingLeft,
  type BridgeSession,
  type BridgeWorld,
  makeBridgeWorld,
  OBSERVER,
} from '../world/bridgeWorld.js';
import { brief, errorOf, FaultClient, PROTOCOLS, type Protocol } from '../world/client.js';
import { remote, type ScriptedRemote, scriptedRemote, WELCOME } from '../world/scriptedRemote.js';
import { FOREVER } from '../world/statements.js';

/**
 * A cancel request, or the statement's time limit, while a function other than dblink() and dblink_exec() waits. What the client sees is the extension's
 * answer. The extension lets the remote work on and leaves the connection busy; the proxy leaves it as the extension does
 * after `dblink_cancel_query` and after what that leaves was taken, so whatever is asked of both from then on must have the
 * same answers.
 */

interface Waiting {
  readonly name: string;
  /** What has been run before, at the top level. */
  readonly prepare?: readonly string[];
  readonly sql: string;
  /** What the remote runs while the call waits; without it the call waits for the host that never answers, or for a lock. */
  readonly runs?: string;
  /** The connection whose call is cancelled; without it none has been made. */
  readonly connection?: 'c' | 'h';
  /** The remote works already when the call is made: that it does so does not tell that the call waits. */
  readonly early?: true;
  /** A catalog that somebody has locked meanwhile. */
  readonly locked?: string;
  readonly next: readonly string[];
}

const FETCH = "SELECT * FROM dblink_fetch('c', 'k', 10) AS t(a int, b text)";
const HUNG_FETCH = "SELECT * FROM dblink_fetch('h', 'k', 1) AS t(a int)";
const OTHER_CALL = "SELECT run('SELECT 1 FROM dblink(''c'', ''SELECT 1'') AS t(a int)')";
const RESULT = "SELECT * FROM dblink_get_result('c') AS t(a text)";
/** A connection from beginning to end, once the host answers. */
const NOT_THERE = ['SELECT dblink_get_connections()', "SELECT dblink_disconnect('f')"];
const LOOKUPS = [
  ...NOT_THERE,
  "SELECT dblink_connect('f', 'far')",
  "SELECT * FROM dblink('f', 'SELECT 1') AS t(a int)",
  "SELECT dblink_disconnect('f')",
];

const CASES: readonly Waiting[] = [
  {
    name: 'dblink_open, in BEGIN',
    sql: "SELECT dblink_open('h', 'k', 'SELECT 1')",
    runs: 'BEGIN',
    connection: 'h',
    next: ["SELECT dblink_open('h', 'k', 'SELECT 1')", HUNG_FETCH, "SELECT dblink_exec('h', 'ROLLBACK')"],
  },
  {
    name: 'dblink_open, in DECLARE',
    sql: "SELECT dblink_open('c', 'k', 'SELECT a, a::text FROM held')",
    runs: 'DECLARE',
    connection: 'c',
    next: [
      FETCH,
      "SELECT dblink_open('c', 'k', 'SELECT 1, 2')",
      "SELECT dblink_exec('c', 'ROLLBACK')",
      "SELECT dblink_open('c', 'k', 'SELECT 1, 2')",
      FETCH,
      "SELECT dblink_close('c', 'k')",
      "SELECT dblink_close('c', 'k')",
    ],
  },
  {
    name: 'dblink_fetch',
    prepare: [
      `SELECT dblink_open('c', 'k', 'SELECT i, CASE WHEN i > 3 THEN pg_sleep(${FOREVER})::text END FROM generate_series(1, 5) i')`,
    ],
    sql: FETCH,
    runs: 'FETCH',
    connection: 'c',
    next: [
      FETCH,
      "SELECT dblink_close('c', 'k')",
      "SELECT dblink_exec('c', 'ROLLBACK')",
      "SELECT dblink_open('c', 'k', 'SELECT 1, 2')",
      FETCH,
      "SELECT dblink_close('c', 'k')",
    ],
  },
  {
    name: 'dblink_close, in CLOSE',
    prepare: ["SELECT dblink_open('h', 'k', 'SELECT 1')"],
    sql: "SELECT dblink_close('h', 'k')",
    runs: 'CLOSE',
    connection: 'h',
    next: [
      "SELECT dblink_exec('h', 'ROLLBACK')",
      "SELECT dblink_open('h', 'k', 'SELECT 1')",
      HUNG_FETCH,
      "SELECT dblink_close('h', 'k')",
    ],
  },
  {
    name: 'dblink_close, in COMMIT',
    prepare: [
      "SELECT dblink_open('c', 'k', 'SELECT 1, 2')",
      "SELECT dblink_exec('c', 'INSERT INTO slow_commit VALUES (1)')",
    ],
    sql: "SELECT dblink_close('c', 'k')",
    runs: 'COMMIT',
    connection: 'c',
    next: [
      FETCH,
      "SELECT * FROM dblink('c', 'SELECT count(*) FROM slow_commit') AS t(a int)",
      "SELECT dblink_open('c', 'k', 'SELECT 1, 2')",
      FETCH,
      "SELECT dblink_close('c', 'k')",
      FETCH,
    ],
  },
  {
    name: 'dblink_get_result',
    prepare: [`SELECT dblink_send_query('c', 'SELECT pg_sleep(${FOREVER})::text; SELECT 2')`],
    sql: RESULT,
    runs: 'pg_sleep',
    early: true,
    connection: 'c',
    next: [RESULT, "SELECT dblink_is_busy('c')", "SELECT dblink_send_query('c', 'SELECT 3')", RESULT, RESULT],
  },
  {
    name: 'the second dblink_get_result',
    prepare: [
      `SELECT dblink_send_query('c', 'SELECT 1; DO $x$ BEGIN RAISE NOTICE ''to flush''; PERFORM pg_sleep(${FOREVER}); END $x$')`,
      RESULT,
    ],
    sql: RESULT,
    runs: 'pg_sleep',
    early: true,
    connection: 'c',
    next: [RESULT, "SELECT dblink_send_query('c', 'SELECT 3')", RESULT, RESULT],
  },
  {
    name: 'dblink_connect to a host that never answers',
    sql: "SELECT dblink_connect('f', '{silent}')",
    next: NOT_THERE,
  },
  {
    name: 'dblink_connect, in looking up the server',
    sql: "SELECT dblink_connect('f', 'far')",
    locked: 'pg_foreign_server',
    next: LOOKUPS,
  },
  {
    name: 'dblink, in looking up the user mapping',
    sql: "SELECT a FROM dblink('far', 'SELECT 1') AS t(a int)",
    locked: 'pg_user_mapping',
    next: LOOKUPS,
  },
];

type Level = 'top level' | 'bridged';
interface Form {
  readonly level: Level;
  readonly protocol: Protocol;
  /** The block that the call is in, if it is in one. */
  readonly begin?: string;
  /** What ends the waiting. */
  readonly by: 'cancel' | 'timeout';
}

/** An answer of the bridge goes another way in each of them. */
const BLOCKS = [
  'BEGIN',
  'BEGIN ISOLATION LEVEL REPEATABLE READ',
  'BEGIN ISOLATION LEVEL SERIALIZABLE',
  'BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY',
];

/** The protocols and blocks take turns. */
function formsOf(number: number, { locked }: Waiting): readonly Form[] {
  const [protocol, other] = number % 2 === 0 ? PROTOCOLS : [...PROTOCOLS].reverse();
  const block = (offset: number): string => BLOCKS[(number + offset) % BLOCKS.length]!;
  return [
    { level: 'top level', protocol: 'simple', by: 'cancel' },
    { level: 'top level', protocol: 'extended', begin: block(0), by: 'cancel' },
    { level: 'bridged', protocol: protocol!, by: 'cancel' },
    { level: 'bridged', protocol: other!, begin: block(1), by: 'cancel' },
    { level: 'bridged', protocol: protocol!, begin: block(3), by: 'timeout' },
    ...(locked === undefined
      ? []
      : PROTOCOLS.map((by): Form => ({ level: 'top level', protocol: by, by: 'timeout' }))),
  ];
}

/** Time limits of the statement: the next one where the call had not come to where it waits. */
const TIMEOUTS_MS = [300, 1500, 10_000, 60_000];
/** Calls of another session that were made later and have been answered show that the proxy has come to a call. */
const LATER_CALLS = 3;

/** The client of a server with the extension, or of the proxy. */
interface Side {
  readonly client: FaultClient;
  /** How the remote knows its connection c. */
  readonly tag: string;
  /** A cancelled call leaves the remote's work and its results to be got rid of. */
  readonly native: boolean;
  /** Asks who makes calls, and where they wait. */
  readonly observe: (sql: string) => Promise<readonly (readonly unknown[])[]>;
  /** Locks a table of the database of its session. */
  lock(table: string): Promise<TableLock>;
}

/** What the client sees: the statement that is cancelled, then what is asked next. Places in the source are left out. */
const shown = (frames: readonly Frame[]): string => {
  const failure = frames.some(({ type }) => type === 'E') ? errorOf(frames) : {};
  const { F: _file, L: _line, R: _routine, ...fields } = failure;
  const rows = frames.filter(({ type }) => type === 'D').map(({ body }) => dataRowText(body));
  return JSON.stringify([brief(frames), fields, rows]);
};

describe('cancel of calls that wait', () => {
  let world: BridgeWorld;
  let proxy: Side;
  let session: BridgeSession;
  let other: BridgeSession;
  let held: TableLock;
  let hanging: HangingRemote;
  let silent: ScriptedRemote;
  const extension = { database: 'with_extension', tag: 'native' };

  /** What both sides have beside dblink. */
  const fixtures = () => `
    CREATE FUNCTION run(sql text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE sql; END $$;
    CREATE SERVER far FOREIGN DATA WRAPPER dblink_fdw
      OPTIONS (host '${world.remote.host}', port '${world.remote.port}', dbname 'postgres', application_name 'far');
    CREATE USER MAPPING FOR postgres SERVER far OPTIONS (user 'postgres')`;

  before(async () => {
    world = await makeBridgeWorld();
    hanging = await hangingRemote();
    silent = await scriptedRemote({ login: () => {} });
    await world.onPrimary(`${fixtures()};
      CREATE SERVER far_for_all FOREIGN DATA WRAPPER dblink_fdw
        OPTIONS (host '${world.remote.host}', port '${world.remote.port}', dbname 'postgres');
      CREATE USER MAPPING FOR PUBLIC SERVER far_for_all OPTIONS (user 'postgres', password 'unasked');
      CREATE ROLE plain LOGIN;
      GRANT USAGE ON FOREIGN SERVER far_for_all TO plain`);
    await world.onRemote(`
      CREATE TABLE held (a int);
      CREATE TABLE slow_commit (a int);
      CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(${FOREVER}); RETURN NULL; END $$;
      CREATE CONSTRAINT TRIGGER nap AFTER INSERT ON slow_commit DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION nap()`);
    await world.onRemote(`CREATE DATABASE ${extension.database}`);
    const native = await nativeSide();
    await native.client.rows(`CREATE EXTENSION dblink; ${fixtures()}`);
    await native.client.end();
    held = await lock(world.remote.url(), 'held');

    other = await world.session('others');
    await other.client.rows(`SELECT dblink_connect('c', '${world.conninfo('others')}')`);
    await other.client.rows(OTHER_CALL);
    session = await world.session('calls');
    await session.client.rows(`SELECT dblink_connect('c', '${world.conninfo('calls')}')`);
    await session.client.rows(OTHER_CALL);
    proxy = {
      client: session.client,
      tag: 'calls',
      native: false,
      observe: world.onPrimary,
      lock: (table) => lock(world.primary.url(), table),
    };
  });
  after(async () => {
    await session.client.end();
    await other.client.end();
    await assertNothingLeft(world, []);
    await world.assertIdle();
    await held.release();
    await Promise.all([hanging.close(), silent.close()]);
    await world.close();
  });

  async function nativeSide(): Promise<Side> {
    const client = await FaultClient.open(world.remote.port, { database: extension.database });
    return {
      client,
      tag: extension.tag,
      native: true,
      observe: world.onRemote,
      lock: (table) => lock(world.remote.url(extension.database), table),
    };
  }

  const statesOf = async (tag: string): Promise<unknown> =>
    world.onRemote(`SELECT state, query FROM pg_stat_activity WHERE application_name = '${tag}'`);

  /** A check that the call waits for what it is to wait for. */
  function waits({ runs, connection, early }: Waiting, level: Level, side: Side): () => Promise<void> {
    let later = 0;
    return async () => {
      if (connection === undefined) return assert.equal(silent.open(), 1);
      if (connection === 'h') return assert.match(hanging.runs() ?? '', new RegExp(`^${runs}`));
      const active = (await statesOf(side.tag)) as [string, string][];
      assert.ok(
        active.some(([state, query]) => state === 'active' && query.includes(runs!)),
        `${active}`,
      );
      if (early === undefined) return;
      if (side.native || level === 'bridged') {
        // The session's own process has to wait: for the remote, or for the proxy's answer.
        const waiting =
          await side.observe(`SELECT FROM pg_stat_activity WHERE query LIKE '%dblink_get_result%'
          AND state = 'active' AND wait_event IN ('DblinkGetResult', 'advisory') AND pid <> pg_backend_pid()`);
        assert.equal(waiting.length, 1);
      }
      if (side.native) return;
      for (; later < LATER_CALLS; later++) await other.client.rows(OTHER_CALL);
    };
  }

  /** The call that is cancelled works no more, wherever that was. */
  const stopped = (side: Side): Promise<void> =>
    soon('the remote has stopped', async () => {
      assert.equal(silent.open(), 0);
      assert.equal(hanging.runs(), undefined);
      for (const [state] of (await statesOf(side.tag)) as [string][]) assert.notEqual(state, 'active');
    });

  /** Plays a case: what the client was shown, statement by statement. */
  async function played(waiting: Waiting, form: Form, side: Side): Promise<string[]> {
    for (const timeoutMs of TIMEOUTS_MS) {
      const answers = await play(waiting, form, side, timeoutMs);
      if (answers !== undefined) return answers;
    }
    assert.fail('the call never came to where it waits');
  }

  /** The same; undefined if the time limit was over before the call waited. */
  async function play(
    waiting: Waiting,
    { level, protocol, begin, by }: Form,
    side: Side,
    timeoutMs: number,
  ): Promise<string[] | undefined> {
    const { client } = side;
    const { prepare = [], connection, locked } = waiting;
    hanging.hang(connection === 'h' ? waiting.runs : undefined);
    if (connection === 'h') await client.rows(`SELECT dblink_connect('h', '${hanging.conninfo}')`);
    for (const sql of prepare) await client.rows(sql);
    if (begin !== undefined) await client.rows(`${begin}; SAVEPOINT s`);
    if (by === 'timeout') await client.rows(`SET statement_timeout = ${timeoutMs}`);
    const lockedNow = locked === undefined ? undefined : await side.lock(locked);
    const call = waiting.sql.replace('{silent}', silent.conninfo);
    client.start(level === 'bridged' ? `SELECT run($call$${call}$call$)` : call, protocol);
    let over = false;
    const answered = client.answer().finally(() => {
      over = true;
    });
    const check = lockedNow?.waitedFor ?? waits(waiting, level, side);
    let waited = false;
    await eventually('the call waits', async () => {
      if (over) return;
      await check();
      waited = !over;
    });
    if (by === 'cancel') await client.cancel();
    const answers = [shown(await answered)];
    if (!waited) hanging.hang(undefined);
    if (!side.native) await stopped(side);
    if (begin !== undefined) answers.push(shown(await client.query('ROLLBACK TO s')));
    if (by === 'timeout') await client.rows('RESET statement_timeout');
    if (side.native && connection !== undefined) {
      await client.rows(`SELECT dblink_cancel_query('${connection}')`);
      for (let i = 0; i < 2; i++) {
        await client.query(`SELECT * FROM dblink_get_result('${connection}', false) AS t(a text)`);
      }
    }
    await stopped(side);
    await lockedNow?.release();
    if (begin !== undefined) answers.push(shown(await client.query('COMMIT')));
    for (const sql of waiting.next) {
      answers.push(shown(await client.query(sql)));
    }
    if (connection === 'h') {
      await client.rows("SELECT dblink_disconnect('h')");
      await eventually('the connection is closed', () => assert.equal(hanging.open(), 0));
      answers.push(hanging.told().join('; '));
    }
    if (by === 'cancel') assert.ok(waited, `answered before it waited: ${answers[0]}`);
    return waited ? answers : undefined;
  }

  for (const [number, waiting] of CASES.entries()) {
    for (const form of formsOf(number, waiting)) {
      const { level, protocol, begin = 'no block', by } = form;
      it(`${waiting.name}: ${level}, ${protocol}, ${begin}, ${by}`, async () => {
        const native = await nativeSide();
        await native.client.rows(`SELECT dblink_connect('c', '${world.conninfo(extension.tag)}')`);
        const expected = await played(waiting, form, native).finally(() => native.client.end());
        assert.match(expected[0]!, /E:57014 Z:[IE]"/);
        const actual = await played(waiting, form, proxy);
        assert.deepEqual(actual, expected);
        await proxy.client.rows(OTHER_CALL);
        await assertNothingLeft(world, [session, other]);
      });
    }
  }

  for (const level of ['top level', 'bridged'] as const) {
    it(`dblink_connect, in a login of the proxy's account that is to read the user mapping: ${level}`, async () => {
      const plain = await world.session('plain', { user: 'plain' });
      // What the proxy asks about a session reads roles, and with them what is locked below. It is asked now.
      assert.deepEqual(await plain.client.rows('SELECT dblink_get_connections()'), [[null]]);
      const connect = "SELECT dblink_connect('f', 'far_for_all')";
      const call = level === 'bridged' ? `SELECT run($call$${connect}$call$)` : connect;
      await world.onPrimary(
        "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE application_name = 'dblink-proxy'",
      );
      // Every login reads it.
      const logins = await lock(world.primary.url(), 'pg_db_role_setting');
      plain.client.start(call, 'simple');
      await eventually('somebody waits for the lock', logins.waitedFor);
      // Others of the proxy's connections may be waiting there already, and a cancel that comes before the statement is for nobody.
      let answered = false;
      const answer = plain.client.answer().finally(() => {
        answered = true;
      });
      while (!answered) {
        await plain.client.cancel();
        await delay(50);
      }
      assert.match(brief(await answer), /^T E:57014 Z:I$/);
      await logins.release();
      // The mapping is found, and is good for nobody of whom the remote asks no password.
      assert.equal(errorOf(await plain.client.query(call))['C'], '2F003');
      assert.deepEqual(await plain.client.rows('SELECT dblink_get_connections()'), [[null]]);
      await plain.client.end();
      // Their locks were lost with the service connections.
      for (const { client } of [session, other]) await client.rows(OTHER_CALL);
      await assertNothingLeft(world, [session, other]);
    });
  }
});

interface TableLock {
  /** Checks that somebody waits for it. */
  waitedFor(): Promise<void>;
  release(): Promise<void>;
}

/** Locks a table, as somebody who is not observed. */
async function lock(url: string, table: string): Promise<TableLock> {
  const holder = new Client({ connectionString: url, application_name: OBSERVER });
  holder.on('error', () => {});
  await holder.connect();
  await holder.query(`BEGIN; LOCK TABLE ${table}`);
  return {
    async waitedFor() {
      const { rows } = await holder.query(
        `SELECT FROM pg_locks WHERE relation = '${table}'::regclass AND NOT granted`,
      );
      assert.ok(rows.length > 0);
    },
    release: () => holder.end(),
  };
}

/** A remote that hangs in a statement until it is cancelled. */
interface HangingRemote extends ScriptedRemote {
  /** Hangs the first time that a statement begins so; forgets what it was told. */
  hang(command: string | undefined): void;
  /** What it hangs in. */
  runs(): string | undefined;
  /** Statements that it was told, with what became of them. */
  told(): readonly string[];
}

async function hangingRemote(): Promise<HangingRemote> {
  let command: string | undefined;
  let told: string[] = [];
  let status = 'I';
  let hung: { readonly sql: string; readonly socket: Socket } | undefined;
  const answer = (sql: string): Buffer => {
    if (sql.startsWith('BEGIN')) status = 'T';
    else if (/^(COMMIT|ROLLBACK)/.test(sql)) status = 'I';
    const rows = sql.startsWith('FETCH') ? [remote.columns([23]), remote.row(['1'])] : [];
    return Buffer.concat([...rows, remote.tag(sql.split(' ')[0]!), remote.ready(status)]);
  };
  const server = await scriptedRemote({
    login: ({ socket }) => {
      status = 'I';
      socket.write(WELCOME);
    },
    query: (sql, socket) => {
      told.push(sql);
      if (command !== undefined && sql.startsWith(command)) {
        hung = { sql, socket };
        command = undefined;
      } else socket.write(answer(sql));
    },
    cancel: () => {
      if (hung === undefined) return;
      const { socket } = hung;
      hung = undefined;
      told.push('cancelled');
      if (status === 'T') status = 'E';
      socket.write(Buffer.concat([remote.error('57014', 'canceled'), remote.ready(status)]));
    },
  });
  return {
    ...server,
    hang(next) {
      command = next;
      told = [];
    },
    runs: () => hung?.sql,
    told: () => told,
  };
}
