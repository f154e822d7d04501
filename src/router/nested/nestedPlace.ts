import type { DatabaseServices } from '../../bridge/service/services.js';
import type { Family } from '../../dblink/connections/family.js';
import type { SessionMemory } from '../../dblink/memory.js';
import type { Session } from '../../session/session.js';
import type { SocketAddress } from '../../wire/address.js';
import { PgError } from '../../wire/errors.js';
import { addressOf, certificateOf, type ServerEnd } from '../../wire/outbound/index.js';

/** How deeply sessions may be nested in the client's. Each takes a connection of the primary. */
export const MOST_NESTED = 8;

/** A client's session, and what those that are nested in it use of it: limits and turns are the client's. */
export interface ClientPlace {
  readonly session: Session;
  /** The user that logged in, a byte string. */
  readonly user: string;
  readonly asker: readonly unknown[];
  readonly memory: SessionMemory;
  readonly family: Family;
  /** The service connections to a database. */
  readonly services: (database: string) => DatabaseServices;
  /** The database of the session, a byte string. */
  readonly database: string;
}

/** Where a nested session is. */
export interface NestedPlace {
  readonly client: ClientPlace;
  /** 1 for a session that is nested in the client's own. */
  readonly depth: number;
  readonly end: ServerEnd;
  /** Whether it leads to where the client's own session does, so that nobody else can have answered. */
  readonly direct: boolean;
}

/** The place of a session that is nested in the client's, or in one that is. @throws PgError 54001 */
export function nestedPlace(
  client: ClientPlace,
  depth: number,
  end: ServerEnd,
  primary: SocketAddress,
): NestedPlace {
  if (depth > MOST_NESTED) throw tooDeep();
  return { client, depth, end, direct: leadsTo(end, client.session, primary) };
}

/**
 * Whether a connection leads to where the client's session does: to the same address and, where that session uses TLS, to a server that
 * has proved to have the key of the same certificate. A standby can be at the same address, too, behind a balancer.
 */
function leadsTo(end: ServerEnd, session: Session, primary: SocketAddress): boolean {
  const { socket } = session.primary;
  const certificate = certificateOf(socket);
  if (certificate !== undefined && end.certificate?.equals(certificate) !== true) return false;
  return end.address === addressOf(socket, primary);
}

const tooDeep = (): PgError =>
  new PgError('54001', 'dblink sessions of the server with itself are nested too deeply', {
    detail: `dblink-proxy serves sessions that are nested in one another to a depth of ${MOST_NESTED}.`,
    hint: 'Does a function or view that a remote statement uses lead to itself?',
  });
