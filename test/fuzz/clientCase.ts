import { setTimeout as delay } from 'node:timers/promises';
import { frontend } from '../support/wire.js';
import type { Choices } from './choices.js';
import { conversations } from './corpus.js';
import { change, encode, type Piece, piece, segments, trace } from './pieces.js';
import { FuzzClient } from './wire.js';
import { startup, type World } from './world.js';

/** How long PostgreSQL itself may be silent until it counts as having said everything. */
const SILENT_MS = 80;
const NOTHING_YET_MS = 300;

const STARTUPS = conversations('startup');
const SESSIONS = conversations('session');
const DONORS: readonly Piece[] = SESSIONS.flatMap(({ pieces }) => pieces);
const LOGIN: Piece = piece('', startup().subarray(4));

function changed(pieces: readonly Piece[], most: number, choices: Choices): readonly Piece[] {
  let list = pieces;
  for (let i = choices.int(most + 1); i > 0; i--) list = change(list, DONORS, choices);
  return list;
}

/**
 * From a client to the proxy: a conversation with changes in it, which goes to PostgreSQL as well. As many requests have to
 * be answered by the proxy as by PostgreSQL, or the session closed with an error.
 */
export async function clientCase(world: World, choices: Choices): Promise<string | undefined> {
  const early = choices.chance(0.3);
  const { pieces } = choices.pick(early ? STARTUPS : SESSIONS);
  const list = early
    ? changed(pieces, 4, choices)
    : [...changed([LOGIN], choices.chance(0.1) ? 1 : 0, choices), ...changed(pieces, 5, choices)];
  const alive = choices.chance(0.5) ? [frontend.sync(), frontend.query("SELECT 'alive'")] : [];
  const portions = segments(Buffer.concat([...list.map(encode), ...alive]), choices);
  trace(list);
  const how = choices.int(10);
  const client = new FuzzClient(world.proxy.port);
  if (how === 0) {
    // Goes away in the midst of it.
    await client.writeAll(portions.slice(0, 1 + choices.int(portions.length)));
    await delay(choices.int(15));
    if (choices.chance(0.5)) client.reset();
    else client.destroy();
    return undefined;
  }
  const reference = new FuzzClient(world.extension.port);
  try {
    return await compare(world, client, reference, portions);
  } finally {
    client.destroy();
    reference.destroy();
  }
}

async function compare(
  world: World,
  client: FuzzClient,
  reference: FuzzClient,
  portions: readonly Buffer[],
): Promise<string | undefined> {
  await Promise.all([client.writeAll(portions), reference.writeAll(portions)]);
  await reference.until(
    () => reference.closed || reference.silentMs > (reference.tail === '' ? NOTHING_YET_MS : SILENT_MS),
    20_000,
  );
  const { readies, closed } = reference;
  const answered = (): boolean => client.closed || (!closed && client.readies >= readies);
  const told = (): string => `…${client.tail}, PostgreSQL …${reference.tail}`;
  await world.wait(
    client,
    answered,
    () =>
      `not answered: ${readies} requests were, ${client.readies} here${closed ? ', and not closed' : ''}; ${told()}`,
  );
  if (client.internalError !== undefined) return client.internalError;
  if (client.closed && !client.midMessage && !/E$/.test(client.tail)) {
    await world.wait(
      reference,
      () => reference.closed,
      () => `closed without a word: ${told()}`,
    );
  }
  client.finish();
  await world.wait(
    client,
    () => client.closed,
    () => 'not closed behind its client',
  );
  return client.internalError;
}
