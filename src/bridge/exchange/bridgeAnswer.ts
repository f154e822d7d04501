import { PgError } from '../../wire/errors.js';
import { EMPTY } from '../../wire/protocol.js';
import { type AnswerKind, PARTS, type PartOf } from '../installed/answerParts.js';
import { sealOf } from './answerSeal.js';
import type { BridgeRequest } from './request.js';

/**
 * An answer of the proxy to a request, as the elements of an array: its kind, then the parts at the places that answerParts.ts
 * gives them. null is SQL's NULL.
 */
export type BridgeAnswer = readonly (Buffer | null)[];

const TEXT_OID = 25;
const INT4_OID = 23;

/**
 * Puts the parts of an answer into their places.
 * @param parts bytes, or a byte string; what is missing is NULL
 * @param earlier the elements from the place of the part `earlier` on
 */
function answer<Kind extends AnswerKind>(
  kind: Kind,
  parts: { readonly [Part in PartOf<Kind>]?: Buffer | string | null | undefined },
  earlier: readonly Buffer[] = [],
): BridgeAnswer {
  const places: Readonly<Record<string, number>> = PARTS[kind];
  // The second part is never NULL: a function that does not know the kind puts it into SQL all the same (tell()).
  const made: (Buffer | null)[] = [Buffer.from(kind, 'latin1'), EMPTY];
  for (const [name, place] of Object.entries(places)) {
    if (name === 'earlier') continue;
    const value = (parts as Readonly<Record<string, Buffer | string | null | undefined>>)[name] ?? null;
    while (made.length < place) made.push(null);
    made[place - 1] = typeof value === 'string' ? Buffer.from(value, 'latin1') : value;
  }
  return [...made, ...earlier];
}

/** The result of a function of one value. @param value a byte string; null is SQL's NULL */
export const valueAnswer = (value: string | null): BridgeAnswer => answer('value', { value });

/**
 * An error or a notice for the function to raise. Its context lines are given in hexadecimal: the function puts them into a
 * comment of the statement that raises it.
 */
export function raisingAnswer(kind: 'error' | 'notice', error: PgError): BridgeAnswer {
  const { context, message, detail, hint } = error.fields;
  return answer(kind, {
    context: Buffer.from(context ?? '', 'latin1').toString('hex'),
    sqlstate: /^[0-9A-Z]{5}$/.test(error.sqlstate) ? error.sqlstate : 'XX000',
    message,
    detail,
    hint,
  });
}

/** An error of a service connection as the session is to get it: without its place in a statement of the bridge. */
export const withoutPlace = ({ sqlstate, message, fields: { detail, hint } }: PgError): PgError =>
  new PgError(sqlstate, message, { detail, hint });

/** What an answer with rows says about how to read them. */
export interface Reading {
  /** The remote's types. */
  readonly oids: readonly number[];
  /** The settings under which the remote has written the values. */
  readonly style: { readonly dateStyle: string | undefined; readonly intervalStyle: string | undefined };
  /** Results of the string's earlier statements, which are only converted: each JSON or the name of a relation. */
  readonly earlier: readonly Buffer[];
}

const array = (oids: readonly number[]): string => `{${oids.join()}}`;

/** The one row that a command gives. @param tag the command tag @param reading of the rows before it, if there were any */
export const statusAnswer = (tag: string, reading: Reading | undefined): BridgeAnswer =>
  reading === undefined
    ? answer('status', { tag })
    : answer('status', { tag, oids: array(reading.oids), ...reading.style }, reading.earlier);

/** All rows of the last result. @param rows a JSON array */
export const rowsAnswer = (rows: Buffer, { oids, style, earlier }: Reading): BridgeAnswer =>
  answer('rows', { oids: array(oids), rows, ...style }, earlier);

const NO_STYLE = { dateStyle: undefined, intervalStyle: undefined };

/** The notifications that a connection has received. Names and payloads are byte strings. */
export const notificationsAnswer = (
  notifications: readonly { readonly name: string; readonly pid: number; readonly payload: string }[],
): BridgeAnswer => {
  const rows = notifications.map(({ name, pid, payload }) => ({ c1: name, c2: pid, c3: payload }));
  const json = Buffer.from(JSON.stringify(rows), 'latin1');
  return rowsAnswer(json, { oids: [TEXT_OID, INT4_OID, TEXT_OID], style: NO_STYLE, earlier: [] });
};

/** Rows that are only converted. The call goes on after them. */
export const checkedAnswer = ({ oids, style, earlier }: Reading): BridgeAnswer =>
  answer('checked', { oids: array(oids), ...style }, earlier);

/** The rows are in this relation of the service schema. */
export const tableAnswer = (relation: string, { style, earlier }: Reading): BridgeAnswer =>
  answer('table', { relation, ...style }, earlier);

/** Asks the function which foreign server it finds under the name. */
export const serverAnswer: BridgeAnswer = answer('server', {});

/** Asks the function for what only its role can get. @param question see questionOf (roleProof.ts) */
export const proofAnswer = (question: string): BridgeAnswer => answer('prove', { question });

/** No result at all: there was none, or the remote refused and the caller wanted no error for that. */
export const nothingAnswer: BridgeAnswer = answer('nothing', {});

/** Has the function wait without a lock. */
export const waitAnswer: BridgeAnswer = answer('wait', {});

/** Says that there are more rows than an answer holds, and asks which types are wanted. @param oids the remote's types */
export const moreAnswer = (oids: readonly number[]): BridgeAnswer => answer('more', { oids: array(oids) });

/**
 * An answer as the binary form of text[]: the number of dimensions, whether there are NULLs, the type, the length and the lower
 * bound, of four bytes each, then every element behind its length.
 */
export function encodeAnswer(parts: BridgeAnswer): Buffer {
  const length = parts.reduce((sum, part) => sum + 4 + (part?.length ?? 0), 20);
  const out = Buffer.allocUnsafe(length);
  out.writeInt32BE(1, 0);
  out.writeInt32BE(parts.includes(null) ? 1 : 0, 4);
  out.writeInt32BE(TEXT_OID, 8);
  out.writeInt32BE(parts.length, 12);
  out.writeInt32BE(1, 16);
  let offset = 20;
  for (const part of parts) {
    offset = out.writeInt32BE(part?.length ?? -1, offset);
    if (part !== null) offset += part.copy(out, offset);
  }
  return out;
}

/** How many bytes of an answer are in one row of a table. The row has to fit into a page. */
const PART_BYTES = 7000;
/** How COPY BINARY begins (signature, flags, length of the extension) and ends (PostgreSQL documentation, COPY). */
const COPY_HEADER = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
const COPY_TRAILER = Buffer.from([0xff, 0xff]);

/** An answer as a JSON array of strings, in the database's encoding. */
export const packAnswer = (parts: BridgeAnswer): Buffer =>
  Buffer.from(JSON.stringify(parts.map((part) => part?.toString('latin1') ?? null)), 'latin1');

/**
 * An answer as COPY BINARY data, in numbered rows. Number 0 is the seal. From 1 on are the pieces of the answer (packAnswer).
 * @param mustRelease adds a row of number −1, which says that the session holds a lock that it is to give back
 */
export function copyAnswer(request: BridgeRequest, parts: BridgeAnswer, mustRelease: boolean): Buffer {
  const json = packAnswer(parts);
  const rows: Buffer[] = [COPY_HEADER];
  const add = (n: number, part: Buffer): void => {
    const head = Buffer.allocUnsafe(14);
    head.writeInt16BE(2, 0);
    head.writeInt32BE(4, 2);
    head.writeInt32BE(n, 6);
    head.writeInt32BE(part.length, 10);
    rows.push(head, part);
  };
  if (mustRelease) add(-1, Buffer.alloc(0));
  add(0, Buffer.from(sealOf(request, json), 'hex'));
  for (let n = 0; n * PART_BYTES < json.length; n++) {
    add(n + 1, json.subarray(n * PART_BYTES, (n + 1) * PART_BYTES));
  }
  return Buffer.concat([...rows, COPY_TRAILER]);
}
