import { WireConnection } from '../../support/wire.js';
import type { Conversation, Exchange } from '../compare/compare.js';
import type { SideFacts } from '../compare/normalise.js';
import type { Side } from './environment.js';
import { Player } from './player.js';
import { effects, prepareScratch, remoteSessions } from './scratch.js';
import type { Case, Variant } from './types.js';
import { inContext, SESSIONS } from './variants.js';

/**
 * Plays one case in one variant on one side.
 *
 * Recorded are the start-up, every flight with its answers, what is left in the schema scratch on both servers when the
 * session has ended, and the number of remote sessions that outlive it (none should).
 */
export async function play(side: Side, testCase: Case, variant: Variant): Promise<Conversation> {
  const session = SESSIONS[variant.session];
  await prepareScratch(side, testCase, variant);
  const { connection, startup } = await WireConnection.open({
    ...side.client,
    parameters: { user: testCase.user ?? 'postgres', database: session.database, ...session.parameters },
  });
  const player = new Player(side, variant, connection);
  player.exchanges.push({ label: 'start-up', frames: startup });
  let facts: SideFacts;
  try {
    await player.play(inContext(testCase.steps, variant.context));
    const names = await objectNames(side.direct[session.database], player.exchanges);
    facts = { ports: side.ports, objectNames: names };
  } finally {
    await connection.end();
  }
  player.exchanges.push(await remoteSessions(side));
  player.exchanges.push(await effects(side, variant));
  return { exchanges: player.exchanges, facts };
}

/** Names of the types and relations, given out at run time, that descriptions mention. */
export async function objectNames(
  database: WireConnection,
  exchanges: readonly Exchange[],
): Promise<ReadonlyMap<string, string>> {
  const oids = new Set<number>();
  for (const { frames } of exchanges) {
    for (const { type, body } of frames) {
      if (type !== 'T' && type !== 't') continue;
      for (let offset = 0; offset + 4 <= body.length; offset += 1) {
        const value = body.readUInt32BE(offset);
        // Any four bytes in the range are looked up; those that are no OID find nothing and do no harm.
        if (value >= 16384 && value < 10_000_000) oids.add(value);
      }
    }
  }
  if (oids.size === 0) return new Map();
  const list = [...oids].join(',');
  const rows = await database.rows(
    `SELECT oid, 'type ' || oid::regtype FROM pg_type WHERE oid IN (${list})
     UNION ALL SELECT e.oid, 'type ' || e.oid::regtype FROM pg_type e JOIN pg_type a ON a.typelem = e.oid WHERE a.oid IN (${list})
     UNION ALL SELECT oid, 'relation ' || oid::regclass FROM pg_class WHERE oid IN (${list})`,
  );
  return new Map(rows.map(([oid, name]) => [oid ?? '', (name ?? '').replace(/pg_temp_\d+/, 'pg_temp')]));
}
