import { OBJECT_HEAD_BYTES, SLOT_BYTES, SLOTS, VOUCHING } from '../installed/askFunction.js';
import { removeObjects } from '../service/housekeeping.js';
import type { Rows, ServiceConnection, Step } from '../service/serviceConnection.js';
import { type BridgeAnswer, copyAnswer, encodeAnswer, packAnswer } from './answer.js';
import { handleOf, sealOf } from './answerSeal.js';
import type { BridgeRequest } from './request.js';

/** How an answer gets to the function that waits: the statements on a service connection, and where they put it. */

/** An answer, and the session's two locks: the function waits for `held`; `next` is taken before that is let go. */
export interface HandOver {
  readonly request: BridgeRequest;
  readonly answer: BridgeAnswer;
  /** Keys of advisory locks. */
  readonly held: bigint;
  readonly next: bigint;
}

const BEGIN: Step = { sql: 'BEGIN', name: 'begin', returnsRows: false };
const COMMIT: Step = { sql: 'COMMIT', name: 'commit', returnsRows: false };
/** Without a row, which nobody reads. */
const unlock = (key: bigint): Step => ({
  sql: 'SELECT WHERE pg_advisory_unlock($1) IS NULL',
  params: [key.toString()],
  name: 'unlock',
  returnsRows: false,
});

/** Visible first, then awaited no more. The one row says whether `next` was taken: `t` or `f`. */
const committed = (store: Step, held: bigint): readonly Step[] => [BEGIN, store, COMMIT, unlock(held)];

const TAKEN = '(SELECT pg_try_advisory_lock($1) OR dblink_proxy.hold($1) AS taken) AS t';

/** @param rows of such steps @returns whether `next` was taken */
export const saysTaken = (rows: Rows): boolean => rows[0]?.[0]?.toString() === 't';

/** Gives back a lock on the connection that this runs on, if it is held there. */
export const UNLOCK_IF_HELD = `SELECT pg_advisory_unlock($1) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.pid = pg_backend_pid()
  AND l.granted AND l.objsubid = 1 AND (l.classid::bigint << 32 | l.objid::bigint) = $1`;

/** Whether the process $1 waits for the advisory lock $2. */
export const WAITS_FOR = `SELECT EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.pid = $1 AND NOT l.granted
  AND l.objsubid = 1 AND (l.classid::bigint << 32 | l.objid::bigint) = $2)`;

const slotOf = (request: BridgeRequest): number => Math.trunc((handleOf(request)[0]! * SLOTS) / 256);

/** In a row of a table. @param session its first lock's key */
export const rowSteps = ({ request, answer, held, next }: HandOver, session: bigint): readonly Step[] =>
  committed(
    {
      sql: `INSERT INTO dblink_proxy.answer SELECT $2::bigint, $3::integer, $4::integer, $5::uuid, $6::text[], NOT t.taken, $7::bytea FROM ${TAKEN}
        ON CONFLICT ON CONSTRAINT answer_pkey
        DO UPDATE SET pid = excluded.pid, request = excluded.request, parts = excluded.parts, must_release = excluded.must_release,
          seal = excluded.seal
        RETURNING NOT must_release`,
      params: [
        next.toString(),
        session.toString(),
        String(slotOf(request)),
        String(request.pid),
        handleOf(request).toString('hex'),
        { binary: encodeAnswer(answer) },
        { binary: sealOf(request, packAnswer(answer)) },
      ],
      name: 'give_row',
      returnsRows: true,
    },
    held,
  );

/** In the session's large object. @returns undefined when the answer is too long for it */
export function objectSteps(
  { request, answer, held, next }: HandOver,
  object: number,
): readonly Step[] | undefined {
  const packed = packAnswer(answer);
  if (packed.length > SLOT_BYTES - OBJECT_HEAD_BYTES) return undefined;
  const head = Buffer.alloc(OBJECT_HEAD_BYTES);
  handleOf(request).copy(head);
  head.writeInt32BE(request.pid, 16);
  head.writeInt32BE(packed.length, 21);
  sealOf(request, packed).copy(head, 25);
  const binary = Buffer.concat([head, packed]);
  return committed(
    {
      sql: `SELECT t.taken, lo_put($2, $3, CASE WHEN t.taken THEN $4::bytea ELSE set_byte($4::bytea, 20, 1) END) FROM ${TAKEN}`,
      params: [next.toString(), String(object), String(slotOf(request) * SLOT_BYTES), { binary }],
      name: 'give_object',
      returnsRows: true,
    },
    held,
  );
}

/** The table in which a request is answered where neither of these will do. */
export const answerTable = (request: BridgeRequest): string =>
  `answer_${request.pid}_${handleOf(request).toString('hex')}`;

/** In a table of its own, which every snapshot sees. @returns whether `next` was taken @throws PgError */
export async function giveInTable(
  connection: ServiceConnection,
  { request, answer, held, next }: HandOver,
): Promise<boolean> {
  const table = answerTable(request);
  let taken = false;
  await connection.script(
    `BEGIN; SELECT dblink_proxy.make_answer('${table}', '${next}');
     COPY dblink_proxy.${table} FROM STDIN WITH (FORMAT binary, FREEZE);
     COMMIT; SELECT pg_advisory_unlock('${held}')`,
    (copy, rows) => {
      taken = saysTaken(rows);
      copy.write(copyAnswer(request, answer, !taken));
      copy.done();
    },
  );
  return taken;
}

/** What ask() reads a large object with, and what removes it: an administrator may have revoked them. */
const OBJECT_FUNCTIONS =
  '{"lo_open(oid,integer)","lo_lseek(integer,integer,integer)","loread(integer,integer)",lo_close(integer),lo_unlink(oid)}';

/** Default privileges, from 18 on, would give others what the account makes. */
const GIVEN_AWAY = `EXISTS (SELECT FROM pg_default_acl d JOIN pg_roles r ON r.oid = d.defaclrole
  WHERE d.defaclobjtype = 'L' AND r.rolname = current_user)`;

/**
 * Makes a session's large object: none where it would be others' to read, or could not be read at all, or where its OID
 * is another's (23505).
 * @returns rows: one when it was made
 */
export const makeObject = (object: number, pid: number): Step => ({
  sql: `INSERT INTO dblink_proxy.object SELECT lo_create($1), $2 WHERE NOT current_setting('lo_compat_privileges')::boolean AND NOT ${GIVEN_AWAY}
    AND (SELECT bool_and(has_function_privilege(f, 'EXECUTE')) FROM unnest($3::text[]) AS f) RETURNING id`,
  params: [String(object), String(pid), OBJECT_FUNCTIONS],
  returnsRows: true,
});

/** Vouches for the process (askFunction.ts), and takes that back. */
export const VOUCH = `SELECT pg_try_advisory_lock_shared(${VOUCHING}, $1)`;
export const VOUCH_NO_MORE = `SELECT pg_advisory_unlock_shared(${VOUCHING}, $1)`;

/** Removes one, unless somebody has locked the catalog: other sessions wait for the connection meanwhile. */
export const removeObject = (object: number): readonly Step[] => [
  BEGIN,
  { sql: "SET LOCAL lock_timeout = '20ms'", returnsRows: false },
  { sql: removeObjects('o.id = $1'), params: [String(object)], returnsRows: true },
  COMMIT,
];
