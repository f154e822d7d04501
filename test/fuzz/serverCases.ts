import { frontend } from '../support/wire.js';
import { BACKEND_DONORS } from './backendDonors.js';
import type { Choices } from './choices.js';
import { conversations, lines } from './corpus.js';
import { type Meddler, type Meddling, startMeddler } from './meddler.js';
import { encode } from './pieces.js';
import { FuzzClient } from './wire.js';
import { LONG_MS, MEDDLED_NAME, startup, type World } from './world.js';

/** Silence after which a server that was meddled with is taken to wait for something that will not come. */
const SILENT_MS = 150;

const SESSIONS = conversations('session');
const STATEMENTS = lines('remote.txt');
const CONNECTS = STATEMENTS.filter((sql) => sql.includes('dblink_connect('));

/** @param most the longest conversation, in messages */
function meddling(choices: Choices, most: number, concerns: (startup: Buffer) => boolean): Meddling {
  const at = new Set<number>();
  for (let i = 1 + choices.int(4); i > 0; i--) at.add(choices.int(choices.chance(0.4) ? 16 : most));
  return { choices, concerns, at, donors: BACKEND_DONORS };
}

/** From the primary to the proxy: what it says on the session's connection, on those of the service account, or on both. */
export async function primaryCase(world: World, choices: Choices): Promise<string | undefined> {
  const { pieces } = choices.pick(SESSIONS);
  const which = choices.pick(['session', 'session', 'service', 'both'] as const);
  const concerns = (packet: Buffer): boolean =>
    which === 'both' || packet.includes(MEDDLED_NAME) === (which === 'session');
  const meddler = world.primaryMeddler;
  meddler.meddling = meddling(choices, 90, concerns);
  const client = new FuzzClient(world.meddled.port);
  try {
    client.write(startup({ application_name: MEDDLED_NAME }));
    const idle = (): boolean =>
      client.closed || (client.silentMs > SILENT_MS && meddler.silentMs() > SILENT_MS);
    if (choices.chance(0.7)) await client.until(() => client.readies > 0 || idle(), LONG_MS);
    const readies = client.readies + pieces.filter(({ type }) => type === 'Q' || type === 'S').length;
    client.write(Buffer.concat(pieces.map(encode)));
    await client.until(() => client.readies >= readies || idle(), LONG_MS);
    if (choices.chance(0.2)) client.write(frontend.terminate());
    // Where everything is slow the proxy has not even connected to it yet.
    meddler.away = choices.pick(['end', 'reset']);
    meddler.cut(meddler.away);
    await world.wait(
      client,
      () => client.closed,
      () => `not closed although its primary is gone: …${client.tail}`,
    );
    return client.internalError;
  } finally {
    client.destroy();
    meddler.meddling = undefined;
    meddler.away = undefined;
    meddler.cut('reset');
  }
}

/** From a remote to the proxy: whatever it does, each statement is answered, and the session goes on. */
export async function remoteCase(world: World, choices: Choices): Promise<string | undefined> {
  const meddler = await startMeddler(world.extension);
  const conninfo = `host=127.0.0.1 port=${meddler.port} user=postgres dbname=app sslmode=disable`;
  meddler.meddling = meddling(choices, 60, () => true);
  const client = new FuzzClient(world.proxy.port);
  const statements = [choices.pick(CONNECTS)];
  for (let i = 1 + choices.int(7); i > 0; i--) statements.push(choices.pick(STATEMENTS));
  if (choices.chance(0.2)) statements.unshift('BEGIN');
  try {
    client.write(startup());
    await world.wait(
      client,
      () => client.readies > 0,
      () => `no login: …${client.tail}`,
    );
    for (const template of statements) {
      const sql = template.replaceAll('{R}', conninfo);
      const failure = await ask(world, meddler, client, sql, choices);
      if (failure !== undefined) return `${failure} after ${sql.slice(0, 300)}`;
    }
    meddler.meddling = undefined;
    for (const sql of ['ROLLBACK', "SELECT 'alive'"]) {
      const failure = await ask(world, meddler, client, sql, choices);
      if (failure !== undefined) return `${failure} after ${sql}`;
    }
    if (!client.values.some((value) => value.includes('alive'))) return 'the session is not what it was';
    client.write(frontend.terminate());
    await world.wait(
      client,
      () => client.closed,
      () => 'not closed',
    );
    await world.wait(
      client,
      () => meddler.open() === 0,
      () => 'connections were left behind',
    );
    return client.internalError;
  } finally {
    client.destroy();
    await meddler.stop();
  }
}

/** One statement, by either protocol; a remote that has become silent is cut off. */
async function ask(
  world: World,
  meddler: Meddler,
  client: FuzzClient,
  sql: string,
  choices: Choices,
): Promise<string | undefined> {
  const readies = client.readies + 1;
  const answered = (): boolean => client.closed || client.readies >= readies;
  client.write(choices.chance(0.5) ? frontend.query(sql) : extended(sql));
  const stuck = (): boolean =>
    meddler.open() > 0 && client.silentMs > SILENT_MS && meddler.silentMs() > SILENT_MS;
  await client.until(() => answered() || stuck(), LONG_MS);
  if (!answered()) {
    if (choices.chance(0.7)) meddler.cut(choices.pick(['end', 'reset']));
    await world.wait(client, answered, () => `not answered: …${client.tail} after ${sql.slice(0, 300)}`);
  }
  return client.closed ? `the session was closed: …${client.tail}` : client.internalError;
}

export const extended = (sql: string): Buffer =>
  Buffer.concat([
    frontend.parse('', sql),
    frontend.bind({}),
    frontend.describe('P', ''),
    frontend.execute('', 0),
    frontend.sync(),
  ]);
