import type { Conversation, Exchange } from '../differential/compare/compare.js';
import { fillIn, type Side } from '../differential/play/environment.js';
import { objectNames } from '../differential/play/play.js';
import { remoteSessions } from '../differential/play/scratch.js';
import { type Frame, frontend, isBroken, WireConnection } from '../support/wire.js';
import { DATABASE, type Program, type ProgramStep } from './program.js';
import { clearUp, makeReady, onPrimary, whatIsLeft } from './servers.js';

/**
 * Plays a program on one side.
 *
 * @returns an exchange for each step, labelled by its title, and behind them what the program leaves on the servers
 */
export async function playProgram(side: Side, program: Program): Promise<Conversation> {
  await makeReady(side);
  const sessions = new Map<string, WireConnection>();
  try {
    const exchanges: Exchange[] = [];
    for (const step of program.steps) {
      exchanges.push({ label: step.title, frames: await playStep(side, step, sessions) });
    }
    for (const session of sessions.values()) await session.end();
    exchanges.push(await remoteSessions(side), ...(await whatIsLeft(side)));
    const names = await onPrimary(side, DATABASE, (direct) => objectNames(direct, exchanges));
    return { exchanges, facts: { ports: side.ports, objectNames: names } };
  } finally {
    for (const session of sessions.values()) session.destroy();
    await clearUp(side);
  }
}

/** All that comes back; where a session cannot be had, what it was answered instead. */
async function playStep(
  side: Side,
  step: ProgramStep,
  sessions: Map<string, WireConnection>,
): Promise<readonly Frame[]> {
  let session = sessions.get(step.session);
  if (step.ends) {
    await session?.end();
    sessions.delete(step.session);
    return [];
  }
  if (session === undefined) {
    const parameters = { user: step.user, database: step.database, application_name: 'client' };
    const { connection, startup } = await WireConnection.open({ ...side.client, parameters });
    if (startup.at(-1)?.type !== 'Z') {
      connection.destroy();
      return startup;
    }
    session = connection;
    sessions.set(step.session, session);
  }
  session.send(...messagesOf(step, side));
  const frames = await session.collect(1);
  if (isBroken(frames.at(-1)!)) sessions.delete(step.session);
  return frames;
}

function messagesOf({ sql, parameters }: ProgramStep, side: Side): readonly Buffer[] {
  const text = fillIn(sql, side);
  if (parameters.length === 0) return [frontend.query(text)];
  return [
    frontend.parse('', text),
    frontend.bind({ values: parameters.map((value) => Buffer.from(fillIn(value, side))) }),
    frontend.describe('P', ''),
    frontend.execute('', 0),
    frontend.sync(),
  ];
}
