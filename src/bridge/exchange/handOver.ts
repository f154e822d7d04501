import { NOT_TAKEN } from '../../primary/marks.js';
import { PgError } from '../../wire/errors.js';
import {
  OBJECT_HEAD_BYTES,
  OBJECT_SLOTS,
  ROW_SLOTS,
  SLOT_BYTES,
  VOUCHING,
} from '../installed/askFunction.js';
import { removeObjects } from '../service/housekeeping.js';
import type { Rows, ServiceConnection, Step } from '../service/serviceConnection.js';
import { handleOf, sealOf } from './answerSeal.js';
import { type BridgeAnswer, copyAnswer, encodeAnswer, packAnswer } from './bridgeAnswer.js';
import type { BridgeRequest } from './request.js';

/** How an answer gets to the function that waits: the statements on a service connection, and where they put the answer. */

/** An answer, and the session's two locks. The function waits for `held`. `next` is taken before `held` is let go. */
export interface HandOver {
  readonly request: BridgeRequest;
  readonly answer: BridgeAnswer;
  /** Keys of advisory locks. */
  readonly held: bigint;
  readonly next: bigint;
}

/**
 * Lets the lock of the parameter go when the transaction is over, so that the function that wakes sees the answer: a lock of the
 * transaction's takes the place of the session's. Stands last, so that an error before it leaves the lock where it is.
 */
const letGo = (parameter: string): string =>
  `pg_advisory_xact_lock(${parameter})::text = '' AND pg_advisory_unlock(${parameter})`;

const TAKEN = '(SELECT pg_try_advisory_lock($1) OR dblink_proxy.hold($1) AS taken) AS t';

/** What the steps of an answer have said. @param rows that they gave @returns whether `next` was taken */
export const saysTaken = (rows: Rows): boolean => rows[0]?.[0]?.toString() === 't';

/** A row if the connection that this runs on holds the advisory lock. */
const heldHere = (
  key: string,
): string => `SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.pid = pg_backend_pid()
  AND l.granted AND l.objsubid = 1 AND (l.classid::bigint << 32 | l.objid::bigint) = ${key}`;

/** Lets the advisory lock $1 go, if the connection that this runs on holds it. */
export const UNLOCK_IF_HELD = `SELECT pg_advisory_unlock($1) WHERE EXISTS (${heldHere('$1')})`;

/** After a hand-over that has failed: whether $1 is still held. $2, which is to be taken by the next one, is let go. */
export const AFTER_FAILURE = `SELECT EXISTS (${heldHere('$1')}), (${UNLOCK_IF_HELD.replaceAll('$1', '$2')})`;

/** Whether the process $1 waits for the advisory lock $2. */
export const WAITS_FOR = `SELECT EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.pid = $1 AND NOT l.granted
  AND l.objsubid = 1 AND (l.classid::bigint << 32 | l.objid::bigint) = $2)`;

/** The slot of so many that the answer is for, by the first byte of the handle. @param handle hexadecimal digits */
const slotOf = (handle: string, slots: number): number =>
  Math.floor((Number.parseInt(handle.slice(0, 2), 16) * slots) / 256);

/**
 * Hands over in a row of dblink_proxy.answer. The one row that comes back says whether `next` was taken.
 * @param session the key of the session's first lock, by which it is known there
 */
export function rowStep({ request, answer, held, next }: HandOver, session: bigint): Step {
  const handle = handleOf(request);
  return {
    sql: `INSERT INTO dblink_proxy.answer SELECT $2::bigint, $3::integer, $4::integer, $5::bytea, $6::text[], NOT t.taken, $7::bytea FROM ${TAKEN}
      ON CONFLICT ON CONSTRAINT answer_pkey
      DO UPDATE SET pid = excluded.pid, request = excluded.request, parts = excluded.parts, must_release = excluded.must_release,
        seal = excluded.seal
      RETURNING NOT must_release, ${letGo('$8')}`,
    params: [
      next.toString(),
      session.toString(),
      String(slotOf(handle, ROW_SLOTS)),
      String(request.pid),
      `\\x${handle}`,
      { binary: encodeAnswer(answer) },
      `\\x${sealOf(request, packAnswer(answer))}`,
      held.toString(),
    ],
    name: 'give_row',
    returnsRows: true,
  };
}

/**
 * Hands over in the session's large object. The one row that comes back says whether `next` was taken.
 * @returns undefined when the answer is too long for it
 */
export function objectStep({ request, answer, held, next }: HandOver, object: number): Step | undefined {
  const packed = packAnswer(answer);
  if (packed.length > SLOT_BYTES - OBJECT_HEAD_BYTES) return undefined;
  const handle = handleOf(request);
  const head = Buffer.alloc(OBJECT_HEAD_BYTES);
  head.write(handle, 'hex');
  head.writeInt32BE(request.pid, 16);
  // The statement sets byte 20 where a lock is to be given back.
  head.writeInt32BE(packed.length, 21);
  head.write(sealOf(request, packed), 25, 'hex');
  const binary = Buffer.concat([head, packed]);
  return {
    sql: `SELECT t.taken, lo_put($2, $3, CASE WHEN t.taken THEN $4::bytea ELSE set_byte($4::bytea, 20, 1) END), ${letGo('$5')} FROM ${TAKEN}`,
    params: [
      next.toString(),
      String(object),
      String(slotOf(handle, OBJECT_SLOTS) * SLOT_BYTES),
      { binary },
      held.toString(),
    ],
    name: 'give_object',
    returnsRows: true,
  };
}

/** The name of the table in which a request is answered where neither a row nor the large object will do. */
export const answerTable = (request: BridgeRequest): string => `answer_${request.pid}_${handleOf(request)}`;

/** Hands over in a table of its own, which every snapshot sees. @returns whether `next` was taken @throws PgError */
export async function giveInTable(
  connection: ServiceConnection,
  { request, answer, held, next }: HandOver,
): Promise<boolean> {
  const table = answerTable(request);
  const give = (take: bigint | undefined): Promise<unknown> =>
    connection.copy(
      `SELECT dblink_proxy.make_answer('${table}', ${take === undefined ? 'NULL' : `'${take}'`});
       COPY dblink_proxy.${table} FROM STDIN WITH (FORMAT binary, FREEZE);
       SELECT ${letGo(`'${held}'`)}`,
      copyAnswer(request, answer, take === undefined),
    );
  try {
    await give(next);
    return true;
  } catch (error) {
    // The data, which says whether it was taken, goes with the statement that takes it.
    if (!(error instanceof PgError && error.sqlstate === NOT_TAKEN)) throw error;
    await give(undefined);
    return false;
  }
}

/** The functions with which ask() reads a large object, and the one that removes it. An administrator may have revoked them. */
const OBJECT_FUNCTIONS =
  '{"lo_open(oid,integer)","lo_lseek(integer,integer,integer)","loread(integer,integer)",lo_close(integer),lo_unlink(oid)}';

/** Whether default privileges would give others the large objects that the account makes. Possible from PostgreSQL 18 on. */
const GIVEN_AWAY = `EXISTS (SELECT FROM pg_default_acl d JOIN pg_roles r ON r.oid = d.defaclrole
  WHERE d.defaclobjtype = 'L' AND r.rolname = current_user)`;

/**
 * Makes a session's large object. None is made where others could read it, or where ask() could not. The statement fails where
 * its OID is taken already (23505).
 * @returns a statement that gives one row when the object was made, else none
 */
export const makeObject = (object: number, pid: number): Step => ({
  sql: `INSERT INTO dblink_proxy.object SELECT lo_create($1), $2 WHERE NOT current_setting('lo_compat_privileges')::boolean AND NOT ${GIVEN_AWAY}
    AND (SELECT bool_and(has_function_privilege(f, 'EXECUTE')) FROM unnest($3::text[]) AS f) RETURNING id`,
  params: [String(object), String(pid), OBJECT_FUNCTIONS],
  returnsRows: true,
});

/** Vouches for the process $1: takes a lock that says that the proxy answers it (askFunction.ts). */
export const VOUCH = `SELECT pg_try_advisory_lock_shared(${VOUCHING}, $1)`;
/** Takes that back. */
export const VOUCH_NO_MORE = `SELECT pg_advisory_unlock_shared(${VOUCHING}, $1)`;

const BEGIN: Step = { sql: 'BEGIN', returnsRows: false };
const COMMIT: Step = { sql: 'COMMIT', returnsRows: false };

/**
 * Removes a large object. Gives up soon (55P03) where somebody has locked the catalog, since other sessions wait for the
 * connection meanwhile.
 */
export const removeObject = (object: number): readonly Step[] => [
  BEGIN,
  { sql: "SET LOCAL lock_timeout = '20ms'", returnsRows: false },
  { sql: removeObjects('o.id = $1'), params: [String(object)], returnsRows: true },
  COMMIT,
];
