import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { frontend } from '../support/wire.js';
import { type Piece, piece } from './pieces.js';

/**
 * What is changed: conversations of a client, in test/fuzz/corpus/*.txt. A line is a message, its name and its fields as
 * JSON; `== name` begins a conversation, `#` a comment. What the fuzzer found stays there as a conversation of its own.
 */
export interface Conversation {
  readonly name: string;
  readonly pieces: readonly Piece[];
}

// This file runs in dist/test/fuzz.
const FOLDER = fileURLToPath(new URL('../../../test/fuzz/corpus/', import.meta.url));

type Fields = readonly unknown[];
const text = (fields: Fields, index: number): string => String(fields[index] ?? '');
const numbers = (fields: Fields, index: number): number[] => (fields[index] as number[] | undefined) ?? [];
const value = (given: unknown): Buffer | null =>
  given === null ? null : Buffer.from(String(given), 'latin1');
const bytes = (given: string): Buffer => Buffer.from(given, 'latin1');

/** A whole message of the test client as a piece. */
const typed = (message: Buffer): Piece => piece(message.toString('latin1', 0, 1), message.subarray(5));
/** A packet of the startup as a piece. */
const untyped = (packet: Buffer): Piece => piece('', packet.subarray(4));

const code = (number: number): Piece => {
  const body = Buffer.alloc(4);
  body.writeInt32BE(number);
  return piece('', body);
};

const MESSAGES: Readonly<Record<string, (fields: Fields) => Piece>> = {
  startup: (f) => untyped(frontend.startup(f[0] as Record<string, string>, Number(f[1] ?? 196608))),
  ssl: () => code(80877103),
  gssenc: () => code(80877104),
  cancel: (f) => untyped(frontend.cancelRequest(Number(f[0]), bytes(text(f, 1)))),
  query: (f) => typed(frontend.query(text(f, 0))),
  parse: (f) => typed(frontend.parse(text(f, 0), text(f, 1), numbers(f, 2))),
  bind: (f) =>
    typed(
      frontend.bind({
        portal: text(f, 0),
        statement: text(f, 1),
        values: ((f[2] as unknown[]) ?? []).map(value),
        valueFormats: numbers(f, 3),
        resultFormats: numbers(f, 4),
      }),
    ),
  describe: (f) => typed(frontend.describe(text(f, 0) as 'S' | 'P', text(f, 1))),
  execute: (f) => typed(frontend.execute(text(f, 0), Number(f[1] ?? 0))),
  close: (f) => typed(frontend.close(text(f, 0) as 'S' | 'P', text(f, 1))),
  flush: () => typed(frontend.flush()),
  sync: () => typed(frontend.sync()),
  terminate: () => typed(frontend.terminate()),
  data: (f) => typed(frontend.copyData(bytes(text(f, 0)))),
  done: () => typed(frontend.copyDone()),
  fail: (f) => typed(frontend.copyFail(text(f, 0))),
  password: (f) => piece('p', bytes(`${text(f, 0)}\0`)),
  /** Any message: its type, and its body in hexadecimal. */
  raw: (f) => piece(text(f, 0), Buffer.from(text(f, 1), 'hex')),
};

function readLine(line: string): Piece {
  const [, name = '', rest = ''] = /^(\w+)\s*(.*)$/.exec(line) ?? [];
  const make = MESSAGES[name];
  if (make === undefined) throw new Error(`corpus: no message is called ${name}`);
  return make(JSON.parse(`[${rest}]`) as unknown[]);
}

function readFile(file: string): Conversation[] {
  const found: { name: string; pieces: Piece[] }[] = [];
  for (const line of readFileSync(FOLDER + file, 'utf8').split('\n')) {
    if (line.startsWith('== ')) found.push({ name: line.slice(3), pieces: [] });
    else if (line.trim() !== '' && !line.startsWith('#')) found.at(-1)!.pieces.push(readLine(line.trim()));
  }
  return found;
}

/** Conversations of all files whose name begins so. */
export function conversations(prefix: string): readonly Conversation[] {
  const files = readdirSync(FOLDER).filter((name) => name.startsWith(prefix) && name.endsWith('.txt'));
  return files.sort().flatMap(readFile);
}

/** The lines of a file that are no comments: statements, each of them on one line. */
export const lines = (file: string): readonly string[] =>
  readFileSync(FOLDER + file, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'));
