import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { CLOSED, type Frame, TIMEOUT } from '../../support/wire.js';
import { BRIDGE_FIXTURES, type BridgedStatement, bridgedStatement } from '../world/bridgeStatements.js';
import {
  assertNothingLeft,
  type BridgeSession,
  type BridgeWorld,
  makeBridgeWorld,
} from '../world/bridgeWorld.js';
import { brief, errorOf, fieldsOf } from '../world/client.js';
import { type Random, seededRandom } from '../world/random.js';

/**
 * Sessions run bridged calls, and at a random moment something fails; then every call has given the right rows or an
 * error that says what happened, nothing is left behind, and those sessions that live go on.
 */

const SESSIONS = 4;
/** Every other session is one of somebody without rights, who has to give it. */
const PASSWORD = 'campaign';
/** Moments at which a fault comes: milliseconds after the statements were sent, at most. */
const LATEST_MS = 60;
/** Made however long they take. */
const LEAST_FAULTS = 10;

interface Fault {
  readonly name: string;
  /** How often, relative to the others. */
  readonly weight: number;
  /** Whose statements may fail: the chosen session's, or anybody's. */
  readonly hits: 'one' | 'all';
  /** The chosen session, or all, are over afterwards. */
  readonly ends?: boolean;
  /** SQLSTATE and message that a statement that fails may give. */
  readonly errors: RegExp;
  /** Done before the statements are sent. */
  prepare?(session: BridgeSession, random: Random): Promise<void>;
  act(world: BridgeWorld, session: BridgeSession, random: Random): Promise<void>;
}

/** A service connection is lost: what it was to bring is not coming, or the lock that a function waits for is gone. */
const NO_ANSWER = /^(08006|08001) /;
/** What the extension says; the second call after a loss, and dblink_open() and dblink_close(), have errors of their own. */
const REMOTE_LOST = new RegExp(
  [
    '^(57P0[123]|08006|08003|08001|08000) ',
    '^(XX000|00000) could not send query: no connection to the server',
    '^XX000 (begin|commit) error: (FATAL:  |server closed the connection|no connection to the server)',
  ].join('|'),
);
/** That dblink_send_query() has sent nothing it says by a notice. */
const NOT_SENT = /^could not send query: /;
/** Ends backends, and waits until they have ended. */
const terminate = (where: string): string =>
  `SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE ${where}`;

const FAULTS: readonly Fault[] = [
  {
    name: 'the service connections are killed',
    weight: 3,
    hits: 'all',
    errors: NO_ANSWER,
    act: async (world) => void (await world.onPrimary(terminate("application_name = 'dblink-proxy'"))),
  },
  {
    name: 'one service connection is killed',
    weight: 2,
    hits: 'all',
    errors: NO_ANSWER,
    act: async (world) =>
      void (await world.onPrimary(
        `SELECT pg_terminate_backend(pid, 2000) FROM (SELECT pid FROM pg_stat_activity
          WHERE application_name = 'dblink-proxy' ORDER BY random() LIMIT 1) AS one`,
      )),
  },
  {
    name: 'a bulk connection is killed during COPY',
    weight: 3,
    hits: 'all',
    errors: NO_ANSWER,
    act: async (world) => {
      // It is a matter of milliseconds, so it is waited for at the server.
      await world.onPrimary(`DO $$ BEGIN
        FOR i IN 1 .. 60 LOOP
          PERFORM pg_stat_clear_snapshot();
          PERFORM pg_terminate_backend(pid, 2000) FROM pg_stat_activity
            WHERE application_name = 'dblink-proxy' AND state = 'active' AND query LIKE '%COPY dblink_proxy.rows%';
          EXIT WHEN FOUND;
          PERFORM pg_sleep(0.001);
        END LOOP; END $$`);
    },
  },
  {
    name: "the remote's backend is killed",
    weight: 2,
    hits: 'one',
    errors: REMOTE_LOST,
    act: async (world, { tag }) => void (await world.onRemote(terminate(`application_name = '${tag}'`))),
  },
  {
    name: 'the remote restarts',
    weight: 0.5,
    hits: 'all',
    errors: REMOTE_LOST,
    act: (world) => world.remote.restart('immediate'),
  },
  {
    name: 'the client says goodbye',
    weight: 1,
    hits: 'one',
    ends: true,
    errors: /^(08006|57014|57P01) /,
    act: async (_, { client }) => void client.end(),
  },
  {
    name: 'the client disconnects',
    weight: 2,
    hits: 'one',
    ends: true,
    errors: /^(08006|57014|57P01) /,
    act: async (_, { client }) => client.wire.destroy(),
  },
  {
    name: 'the client resets the connection',
    weight: 2,
    hits: 'one',
    ends: true,
    errors: /^(08006|57014|57P01) /,
    act: async (_, session) => session.reset(),
  },
  {
    name: 'a cancel request',
    weight: 4,
    hits: 'one',
    errors: /^57014 /,
    act: (_, { client }) => client.cancel(),
  },
  {
    name: 'statement_timeout',
    weight: 5,
    hits: 'one',
    errors: /^57014 /,
    prepare: async ({ client }, random) =>
      void (await client.rows(`SET statement_timeout = ${1 + random.integer(LATEST_MS)}`)),
    act: async () => {},
  },
  {
    name: 'lock_timeout is set',
    weight: 1,
    hits: 'one',
    // Waiting for an answer is not waiting for a lock.
    errors: /^$/,
    prepare: async ({ client }) => void (await client.rows('SET lock_timeout = 1')),
    act: async () => {},
  },
  {
    name: "the session's backend is killed",
    weight: 2,
    hits: 'one',
    ends: true,
    errors: /^(57P01|08006) /,
    act: async (world, { pid }) => void (await world.onPrimary(`SELECT pg_terminate_backend(${pid}, 2000)`)),
  },
  {
    name: 'the primary restarts',
    weight: 0.4,
    hits: 'all',
    ends: true,
    errors: /^(57P0[123]|08006|08001) /,
    act: (world) => world.primary.restart('immediate'),
  },
  {
    name: 'the proxy is killed',
    weight: 0.4,
    hits: 'all',
    ends: true,
    errors: /^$/,
    act: (world) => world.killProxy(),
  },
];

function pickFault(random: Random): Fault {
  let left = random.number() * FAULTS.reduce((sum, { weight }) => sum + weight, 0);
  for (const fault of FAULTS) {
    left -= fault.weight;
    if (left < 0) return fault;
  }
  return FAULTS[0]!;
}

/** What became of a statement. */
type Fate = 'right' | 'error' | 'lost';

/** @throws AssertionError when it is none of those that the fault allows */
function fateOf(
  { name, check }: BridgedStatement,
  frames: readonly Frame[],
  may: { readonly fail: boolean; readonly end: boolean; readonly errors: RegExp },
): Fate {
  const account = `${name}: ${brief(frames)}`;
  assert.ok(!frames.some(({ type }) => type === TIMEOUT), `hangs: ${account}`);
  for (const frame of frames) {
    if (frame.type !== 'N') continue;
    assert.doesNotMatch(fieldsOf(frame)['M'] ?? '', /dblink-proxy/, 'a request reached the client');
  }
  const errors = frames
    .filter(
      (frame) => frame.type === 'E' || (frame.type === 'N' && NOT_SENT.test(fieldsOf(frame)['M'] ?? '')),
    )
    .map(fieldsOf);
  for (const { C: sqlstate = '', M: message = '', D: detail = '' } of errors) {
    const told = `${account}: ${sqlstate} ${message} ${detail}`;
    assert.ok(may.fail, told);
    assert.match(`${sqlstate} ${message}`, may.errors, told);
  }
  if (frames.some(({ type }) => type === CLOSED)) {
    assert.ok(may.end, `closed: ${account}`);
    return 'lost';
  }
  if (errors.length > 0) return 'error';
  check(frames);
  return 'right';
}

export interface CampaignOptions {
  readonly faults: number;
  readonly seed: number;
  /** No further fault after this time. */
  readonly seconds: number;
  readonly progress?: (line: string) => void;
}

export interface CampaignResult {
  readonly faults: number;
  /** For each fault: how often, and what became of the statements that it could hit. */
  readonly fates: Readonly<Record<string, Record<'times' | Fate, number>>>;
}

/** Runs a campaign. @throws AssertionError that names the seed and the fault */
export async function runCampaign(options: CampaignOptions): Promise<CampaignResult> {
  const { seed, seconds } = options;
  const world = await makeBridgeWorld({ remotePassword: PASSWORD });
  const conninfo = (tag: string): string => `${world.conninfo(tag)} password=${PASSWORD}`;
  const random = seededRandom(seed);
  const fates: Record<string, Record<'times' | Fate, number>> = {};
  const sessions: BridgeSession[] = [];
  let opened = 0;
  let count = 0;

  const open = async (): Promise<BridgeSession> => {
    const tag = `s${++opened}`;
    const session = await world.session(tag, { user: opened % 2 === 0 ? 'postgres' : 'plain' });
    await session.client.rows(`SELECT dblink_connect('c', '${conninfo(tag)}')`);
    return session;
  };

  /** The session is as at its beginning, and its calls work. */
  const settle = async (session: BridgeSession): Promise<void> => {
    const { client, tag } = session;
    // The limit that is in force is for this, too.
    for (let done = false; !done; ) {
      const frames = await client.query('ROLLBACK; RESET statement_timeout; RESET lock_timeout');
      const failed = frames.some(({ type }) => type === 'E');
      if (failed) assert.equal(errorOf(frames)['C'], '57014', errorOf(frames)['M']);
      done = !failed;
    }
    for (const name of ['f', 'l']) await client.query(`SELECT dblink_disconnect('${name}')`);
    // Results that nobody has taken are dropped by this call, and a connection that was lost is reported by it, or the next.
    await client.query("SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)");
    const alive = await client.query("SELECT dblink_exec('c', 'ROLLBACK')");
    if (alive.some(({ type }) => type === 'E')) {
      const { C: sqlstate = '', M: message = '' } = errorOf(alive);
      assert.match(`${sqlstate} ${message}`, REMOTE_LOST, 'the connection is of no more use');
      assert.doesNotMatch(message, /already in progress/);
      await client.query("SELECT dblink_disconnect('c')");
      await client.rows(`SELECT dblink_connect('c', '${conninfo(tag)}')`);
    }
    // The first gives back a lock that an interrupted call has left, if any.
    for (const n of [1, 2]) assert.deepEqual(await client.rows(`SELECT triple(${n})`), [[String(n * 3)]]);
  };

  const round = async (fault: Fault): Promise<void> => {
    while (sessions.length < SESSIONS) sessions.push(await open());
    const chosen = random.pick(sessions);
    const work = sessions.map((session) => ({ session, statement: bridgedStatement(random) }));
    const afterMs = random.number() ** 2 * LATEST_MS;
    await fault.prepare?.(chosen, random);
    const answers = work.map(async ({ session, statement }) => {
      session.client.start(statement.sql, 'simple');
      return session.client.answer();
    });
    await delay(afterMs);
    await fault.act(world, chosen, random);
    const tally = (fates[fault.name] ??= { times: 0, right: 0, error: 0, lost: 0 });
    tally.times++;
    for (const [i, { session, statement }] of work.entries()) {
      const hit = fault.hits === 'all' || session === chosen;
      const end = hit && fault.ends === true;
      const fate = fateOf(statement, (await answers[i])!, { fail: hit, end, errors: fault.errors });
      if (hit) tally[fate]++;
      if (end) sessions.splice(sessions.indexOf(session), 1);
    }
    // What was left by a process that is gone is removed at the next use.
    if (sessions.length === 0) sessions.push(await open());
    await Promise.all(sessions.map(settle));
    await assertNothingLeft(world, sessions);
  };

  try {
    await world.onPrimary(BRIDGE_FIXTURES);
    await world.onPrimary(`
      CREATE SERVER far FOREIGN DATA WRAPPER dblink_fdw
        OPTIONS (host '${world.remote.host}', port '${world.remote.port}', dbname 'postgres', application_name 'far');
      CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (user 'postgres', password '${PASSWORD}');
      CREATE TABLE conf AS SELECT '${conninfo('lent')}'::text AS conninfo;
      CREATE ROLE plain LOGIN;
      GRANT USAGE ON FOREIGN SERVER far TO plain;
      GRANT INSERT, SELECT ON audited TO plain; GRANT SELECT ON small, large, slow_large TO plain`);
    const deadline = Date.now() + seconds * 1000;
    while (count < options.faults && (count < LEAST_FAULTS || Date.now() < deadline)) {
      const fault = pickFault(random);
      count++;
      await round(fault).catch((error: unknown) => {
        throw new Error(`seed ${seed}, fault ${count}: ${fault.name}\n${world.proxy.log().slice(-3000)}`, {
          cause: error,
        });
      });
      if (count % 50 === 0) options.progress?.(`${count} faults`);
    }
    await Promise.all(sessions.splice(0).map(({ client }) => client.end()));
    await assertNothingLeft(world, []);
    await world.assertIdle();
  } finally {
    await world.close();
  }
  return { faults: count, fates };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      faults: { type: 'string', default: '1000' },
      seed: { type: 'string', default: String(Date.now() % 1e6) },
      seconds: { type: 'string', default: '3600' },
    },
  });
  const [faults, seed, seconds] = [Number(values.faults), Number(values.seed), Number(values.seconds)];
  console.log(`seed ${seed}`);
  const result = await runCampaign({ faults, seed, seconds, progress: (line) => console.log(line) });
  console.table(result.fates);
  console.log(`${result.faults} faults, nothing left behind`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main();
