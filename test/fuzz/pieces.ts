import type { Choices } from './choices.js';

/** A message to be changed: a packet of the startup has no type. */
export interface Piece {
  readonly type: string;
  readonly body: Buffer;
  /** What the length field says, where that is not the truth. */
  readonly lie?: number;
}

export const piece = (type: string, body: Buffer | string = ''): Piece => ({
  type,
  body: typeof body === 'string' ? Buffer.from(body, 'latin1') : body,
});

export function encode({ type, body, lie }: Piece): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE((lie ?? body.length + 4) | 0);
  return Buffer.concat([Buffer.from(type, 'latin1'), length, body]);
}

/** The whole messages at the beginning of some bytes, and what is left. */
export function decode(bytes: Buffer): { readonly pieces: readonly Piece[]; readonly rest: Buffer } {
  const pieces: Piece[] = [];
  let offset = 0;
  while (bytes.length - offset >= 5) {
    const end = offset + 1 + bytes.readInt32BE(offset + 1);
    if (end > bytes.length || end < offset + 5) break;
    pieces.push({ type: String.fromCharCode(bytes[offset]!), body: bytes.subarray(offset + 5, end) });
    offset = end;
  }
  return { pieces, rest: bytes.subarray(offset) };
}

const LENGTHS = [
  0, 1, 2, 3, 4, 5, 8, -1, -4, -0x80000000, 10_000, 10_005, 30_001, 65_536, 0x3fffffff, 0x40000000,
  0x7fffffff,
];
const INT32 = [0, 1, -1, 2, 0x7fff, 0xffff, 0x10000, 0x7fffffff, -0x80000000, 0x40000000, 1 << 24];
const INT16 = [0, 1, 2, 0x7fff, 0x8000, 0xffff, 0x0100];
const TYPES = 'BCDEFHPQSXcdfpRKZTtnNAIGHWVv123s\0!\xff';
/** What is repeated where somebody might look at a text in more than linear time. */
const PUMPS = [
  'dblink',
  "dblink('",
  "'",
  '"',
  '(',
  ')',
  '/*',
  '--\n',
  '$$',
  'PL/pgSQL ',
  '\\',
  ' ',
  '0',
  'a',
  'é',
  ',',
  "E'\\'",
  'SELECT ',
  '\t',
  '::',
  ';',
  '\xff',
  'x\0',
];

const replaced = (body: Buffer, from: number, to: number, by: Buffer): Buffer =>
  Buffer.concat([body.subarray(0, from), by, body.subarray(to)]);

/** One change of one body. */
export function changeBody(body: Buffer, choices: Choices): Buffer {
  const at = choices.int(body.length + 1);
  const to = Math.min(body.length, at + 1 + choices.int(8));
  const copy = Buffer.from(body);
  switch (choices.int(12)) {
    case 0:
      if (at < copy.length) copy[at]! ^= 1 << choices.int(8);
      return copy;
    case 1:
      return replaced(body, at, to, Buffer.alloc(0));
    case 2:
      return replaced(body, at, at, body.subarray(at, to));
    case 3:
      return replaced(body, at, at, Buffer.alloc(1));
    case 4:
      return copy.map((byte) => (byte === 0 ? 0x20 : byte)) as Buffer;
    case 5: {
      if (body.length < 2) return choices.bytes(2);
      copy.writeUInt16BE(choices.pick(INT16), choices.int(copy.length - 1));
      return copy;
    }
    case 6: {
      if (body.length < 4) return choices.bytes(4);
      copy.writeInt32BE(choices.pick(INT32) | 0, choices.int(copy.length - 3));
      return copy;
    }
    case 7:
      return Buffer.concat([body, choices.bytes(1 + choices.int(20))]);
    case 8:
      return body.subarray(0, at);
    case 9:
      return Buffer.alloc(0);
    case 10: {
      const most = choices.chance(0.03) ? 17 : 11;
      const pump = choices.pick(PUMPS);
      const count = 2 ** choices.int(most);
      const text = Buffer.from(pump.repeat(Math.ceil(Math.min(count, 400_000 / pump.length))), 'latin1');
      return replaced(body, at, at, text);
    }
    default:
      return replaced(body, at, to, choices.bytes(1 + choices.int(6)));
  }
}

/** One change of a list of messages. @param donors messages of elsewhere, to be put in between */
export function change(pieces: readonly Piece[], donors: readonly Piece[], choices: Choices): Piece[] {
  const list = [...pieces];
  if (list.length === 0) return [choices.pick(donors)];
  const at = choices.int(list.length);
  const chosen = list[at]!;
  switch (choices.int(9)) {
    case 0:
      list.splice(at, 1);
      return list;
    case 1: {
      const times = choices.chance(0.1) ? 300 : 1 + choices.int(4);
      list.splice(at, 0, ...Array.from({ length: times }, () => chosen));
      return list;
    }
    case 2: {
      const other = choices.int(list.length);
      list[at] = list[other]!;
      list[other] = chosen;
      return list;
    }
    case 3:
    case 4:
      list.splice(at, 0, choices.pick(donors));
      return list;
    case 5:
      if (chosen.type !== '') list[at] = { ...chosen, type: choices.pick([...TYPES]) };
      return list;
    case 6: {
      const length = chosen.body.length + 4;
      const near = [length - 1, length + 1, length - 4, length + 4, length * 2];
      list[at] = { ...chosen, lie: choices.pick(choices.chance(0.5) ? near : LENGTHS) };
      return list;
    }
    default:
      list[at] = { ...chosen, body: changeBody(chosen.body, choices) };
      return list;
  }
}

/** Cuts bytes into the portions in which they are written. */
export function segments(bytes: Buffer, choices: Choices): Buffer[] {
  const cuts = new Set<number>();
  switch (choices.int(4)) {
    case 0:
      break;
    case 1:
      for (let i = 1; i < Math.min(bytes.length, 120); i++) cuts.add(i);
      break;
    default:
      for (let i = choices.int(12); i > 0; i--) cuts.add(choices.int(bytes.length + 1));
  }
  const sorted = [...cuts].filter((cut) => cut > 0 && cut < bytes.length).sort((a, b) => a - b);
  return [...sorted, bytes.length].map((end, index) => bytes.subarray(sorted[index - 1] ?? 0, end));
}

/** With FUZZ_TRACE in the environment: shows messages, for whoever looks into a finding. */
export function trace(pieces: readonly Piece[], label = ''): void {
  if (process.env['FUZZ_TRACE'] === undefined) return;
  for (const { type, body, lie } of pieces.slice(0, 30)) {
    const shown = JSON.stringify(body.toString('latin1', 0, 300));
    console.log(`${label} ${type}(${body.length}${lie === undefined ? '' : `, says ${lie - 4}`}) ${shown}`);
  }
}
