import type { PgError } from '../../wire/errors.js';

/** What the proxy answers to a request: the parts that publicFunctions.ts reads. null is SQL's NULL. */
export type Answer = readonly (Buffer | null)[];

const bytes = (text: string | undefined): Buffer | null =>
  text === undefined ? null : Buffer.from(text, 'latin1');
const EMPTY = Buffer.alloc(0);

export const valueAnswer = (value: string | null): Answer => [
  bytes('value'),
  EMPTY,
  value === null ? null : bytes(value),
];

/** An error to raise, or a notice; the context lines travel in a comment of the statement that raises it. */
export function raisingAnswer(kind: 'error' | 'notice', error: PgError): Answer {
  const { context, message, detail, hint } = error.fields;
  const sqlstate = /^[0-9A-Z]{5}$/.test(error.sqlstate) ? error.sqlstate : 'XX000';
  return [
    bytes(kind),
    bytes(Buffer.from(context ?? '', 'latin1').toString('hex')),
    bytes(sqlstate),
    bytes(message),
    bytes(detail),
    bytes(hint),
  ];
}

/** The one row of a command. */
export const statusAnswer = (tag: string): Answer => [bytes('status'), EMPTY, bytes(tag)];

/** All rows of the last result; those of the string's earlier results are converted only. */
export const rowsAnswer = (
  oids: readonly number[],
  json: Buffer,
  style: { readonly dateStyle: string | undefined; readonly intervalStyle: string | undefined } | undefined,
  earlier: readonly Buffer[],
): Answer => [
  bytes('rows'),
  EMPTY,
  bytes(`{${oids.join()}}`),
  json,
  bytes(style?.dateStyle),
  bytes(style?.intervalStyle),
  ...earlier,
];

/** No result at all: the remote refused, and that was to be no error. */
export const nothingAnswer: Answer = [bytes('nothing'), EMPTY];

/** There are more rows than an answer holds: which types are wanted? */
export const moreAnswer = (oids: readonly number[]): Answer => [
  bytes('more'),
  EMPTY,
  bytes(`{${oids.join()}}`),
];

/** The rows are in this relation. */
export const tableAnswer = (relation: string): Answer => [bytes('table'), EMPTY, bytes(relation)];

const TEXT_OID = 25;

/** An answer as the binary form of text[]. */
export function encodeAnswer(parts: Answer): Buffer {
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
