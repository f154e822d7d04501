import { dataRowValues, type Frame } from '../../support/wire.js';
import type { Conversation, Exchange } from './compare.js';

/**
 * Mutations of a recorded conversation: each changes one thing that the comparer must notice. They work on the bytes,
 * so that decoding is tested as well.
 */
export interface Mutation {
  readonly name: string;
  readonly conversation: Conversation;
}

/** Every single change of every message, and of the order and number of messages. */
export function* mutations(original: Conversation): Generator<Mutation> {
  for (const [index, exchange] of original.exchanges.entries()) {
    for (const [name, frames] of exchangeMutations(exchange.frames)) {
      const changed: Exchange = { ...exchange, frames };
      const exchanges = original.exchanges.map((each, at) => (at === index ? changed : each));
      yield { name: `${exchange.label}: ${name}`, conversation: { ...original, exchanges } };
    }
  }
}

type Named = readonly [name: string, frames: readonly Frame[]];

function* exchangeMutations(frames: readonly Frame[]): Generator<Named> {
  for (const [at, frame] of frames.entries()) {
    const place = `message ${at + 1} (${frame.type})`;
    const replaced = (...substitutes: readonly Frame[]): Frame[] => frames.toSpliced(at, 1, ...substitutes);
    yield [`${place} left out`, replaced()];
    yield [`${place} sent twice`, replaced(frame, frame)];
    const next = frames[at + 1];
    if (next !== undefined && !(next.type === frame.type && next.body.equals(frame.body))) {
      yield [`${place} after the next`, frames.toSpliced(at, 2, next, frame)];
    }
    yield [`${place} of another type`, replaced({ type: frame.type === 'n' ? '1' : 'n', body: frame.body })];
    for (const [name, body] of bodyMutations(frame))
      yield [`${place}: ${name}`, replaced({ type: frame.type, body })];
  }
}

type NamedBody = readonly [name: string, body: Buffer];

function* bodyMutations({ type, body }: Frame): Generator<NamedBody> {
  yield ['a byte more', Buffer.concat([body, Buffer.from([0])])];
  if (body.length > 0) yield ['a byte less', body.subarray(0, -1)];
  if (type === 'E' || type === 'N') yield* errorMutations(body);
  else if (type === 'T') yield* descriptionMutations(body);
  else if (type === 'D') yield* rowMutations(body);
  else if (type === 't') yield ['another parameter type', flipped(body, body.length - 1)];
  else if (type === 'C') yield ['another tag', flipped(body, 0)];
  else if (type === 'Z') {
    for (const status of 'ITE')
      if (body.toString('latin1') !== status) yield [`status ${status}`, Buffer.from(status)];
  } else if (type === 'S') {
    yield ['another parameter', flipped(body, 0)];
    yield ['another value', flipped(body, body.length - 2)];
  } else if (type === 'd' || type === 'A') yield ['other data', flipped(body, body.length - 2)];
  else if (type === 'G' || type === 'H') yield ['another format', flipped(body, 0)];
}

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

/** Each field changed, left out, and put elsewhere; a field added. */
function* errorMutations(body: Buffer): Generator<NamedBody> {
  const fields = errorFields(body);
  const encoded = (list: readonly Buffer[]): Buffer => Buffer.concat([...list, Buffer.from([0])]);
  for (const [at, field] of fields.entries()) {
    const code = String.fromCharCode(field[0] ?? 0);
    yield [
      `field ${code} changed`,
      encoded(fields.with(at, Buffer.concat([field.subarray(0, -1), Buffer.from('x\0')]))),
    ];
    yield [`field ${code} empty`, encoded(fields.with(at, Buffer.from(`${code}\0`)))];
    yield [`field ${code} left out`, encoded(fields.toSpliced(at, 1))];
    yield [`field ${code} twice`, encoded([...fields, field])];
  }
  for (const code of 'DHWPqstcdn') {
    if (fields.some((field) => field[0] === code.charCodeAt(0))) continue;
    yield [`field ${code} added`, encoded([...fields, Buffer.from(`${code}x\0`)])];
  }
}

function errorFields(body: Buffer): Buffer[] {
  const fields: Buffer[] = [];
  for (let start = 0; (body[start] ?? 0) !== 0; ) {
    const end = body.indexOf(0, start) + 1;
    fields.push(body.subarray(start, end));
    start = end;
  }
  return fields;
}

/** Each of the seven properties of each column; a column more and less. */
function* descriptionMutations(body: Buffer): Generator<NamedBody> {
  const count = body.readInt16BE(0);
  const sizes = [4, 2, 4, 2, 4, 2];
  const names = ['table', 'attribute', 'type', 'size', 'typmod', 'format'];
  const starts: number[] = [];
  let offset = 2;
  for (let column = 1; column <= count; column += 1) {
    starts.push(offset);
    yield [`column ${column} name`, flipped(body, offset)];
    offset = body.indexOf(0, offset) + 1;
    for (const [index, size] of sizes.entries()) {
      yield [`column ${column} ${names[index]}`, flipped(body, offset + size - 1)];
      offset += size;
    }
  }
  const last = starts.at(-1);
  if (last === undefined) return;
  const withCount = (value: number, rest: Buffer): Buffer => {
    const head = Buffer.alloc(2);
    head.writeInt16BE(value);
    return Buffer.concat([head, rest]);
  };
  yield ['a column less', withCount(count - 1, body.subarray(2, last))];
  yield ['a column more', withCount(count + 1, Buffer.concat([body.subarray(2), body.subarray(last)]))];
}

/** Each value changed, made longer, made NULL, or NULL made empty; a value more. */
function* rowMutations(body: Buffer): Generator<NamedBody> {
  const values = dataRowValues(body);
  for (const [at, value] of values.entries()) {
    const place = `value ${at + 1}`;
    if (value === null) {
      yield [`${place} empty`, rowOf(values.with(at, Buffer.alloc(0)))];
      yield [`${place} is the word NULL`, rowOf(values.with(at, Buffer.from('NULL')))];
    } else {
      if (value.length > 0)
        yield [`${place} changed`, rowOf(values.with(at, flipped(value, value.length - 1)))];
      yield [`${place} longer`, rowOf(values.with(at, Buffer.concat([value, Buffer.from(' ')])))];
      yield [`${place} NULL`, rowOf(values.with(at, null))];
    }
  }
  yield ['a value more', rowOf([...values, Buffer.from('x')])];
}

function rowOf(values: readonly (Buffer | null)[]): Buffer {
  const parts: Buffer[] = [Buffer.alloc(2)];
  parts[0]?.writeInt16BE(values.length);
  for (const value of values) {
    const length = Buffer.alloc(4);
    length.writeInt32BE(value?.length ?? -1);
    parts.push(length, value ?? Buffer.alloc(0));
  }
  return Buffer.concat(parts);
}
