import { isNameByte, passOver } from './passOver.js';

/**
 * The parser reads SQL text as with standard_conforming_strings = on. This rewrites the text of a session in which that
 * is off.
 */

/** A text in which every literal that holds a backslash is marked as an escape string (E'…'). */
export interface EscapeStrings {
  readonly text: Buffer;
  /** Where an error position in it (1-based, in characters) lies in the original text. */
  readonly mapPosition: (position: number) => number;
}

const QUOTE = 0x27;
const BACKSLASH = 0x5c;
const DOLLAR = 0x24;
const LINE_FEED = 0x0a;
const RETURN = 0x0d;

/** A prefix that belongs to the literal behind it. */
const PREFIX = /(?:^|[^\w$\x80-\xff])([A-Za-z]|[Uu]&)$/;

/**
 * Puts an E in front of every plain literal with a backslash in it. With standard_conforming_strings = off the two mean
 * the same (PostgreSQL documentation, "String Constants with C-Style Escapes").
 * @param text bytes in an encoding in which no byte below 128 is part of a longer character
 * @param countCharacters as PostgreSQL counts error positions
 * @returns undefined for a text in which that cannot be done, or that ends inside a literal
 */
export function asEscapeStrings(
  text: Buffer,
  countCharacters: (bytes: Buffer) => number,
): EscapeStrings | undefined {
  const marks: Mark[] = [];
  for (let i = 0; i < text.length; ) {
    const passed = passOver(text, i);
    if (passed === undefined) return undefined;
    if (passed > i) {
      i = passed;
      continue;
    }
    if (text[i] !== QUOTE) {
      i++;
      continue;
    }
    const literal = readLiteral(text, i);
    if (literal === undefined) return undefined;
    if (literal.escapes) {
      const prefix = PREFIX.exec(text.toString('latin1', Math.max(0, i - 3), i))?.[1];
      // Literals such as N'…' and U&'…' cannot be written as escape strings.
      if (prefix !== undefined && prefix.toLowerCase() !== 'e') return undefined;
      if (prefix === undefined) {
        const before = text[i - 1];
        marks.push({ at: i, mark: isNameByte(before) || before === DOLLAR ? ' E' : 'E' });
      }
    }
    i = literal.end;
  }
  const parts: Buffer[] = [];
  let from = 0;
  for (const { at, mark } of marks) {
    parts.push(text.subarray(from, at), Buffer.from(mark, 'latin1'));
    from = at;
  }
  let places: readonly Place[] | undefined;
  return {
    text: Buffer.concat([...parts, text.subarray(from)]),
    mapPosition(position) {
      places ??= placesOf(text, marks, countCharacters);
      let rest = position - 1;
      for (const { at, by } of places) if (rest > at) rest = Math.max(at, rest - by);
      return rest + 1;
    },
  };
}

interface Mark {
  readonly at: number;
  readonly mark: string;
}

/** A mark, counted in characters of the original: where it was put, and how many characters it adds. */
interface Place {
  readonly at: number;
  readonly by: number;
}

function placesOf(text: Buffer, marks: readonly Mark[], count: (bytes: Buffer) => number): readonly Place[] {
  let characters = 0;
  let from = 0;
  return marks.map(({ at, mark }) => {
    characters += count(text.subarray(from, at));
    from = at;
    return { at: characters, by: mark.length };
  });
}

/**
 * Reads a literal from its opening quote on, with the parts that continue it on further lines.
 * @returns undefined if it has no end
 */
function readLiteral(
  text: Buffer,
  start: number,
): { readonly end: number; readonly escapes: boolean } | undefined {
  let escapes = false;
  for (let i = start + 1; i < text.length; i++) {
    if (text[i] === BACKSLASH) {
      escapes = true;
      i++;
    } else if (text[i] === QUOTE) {
      if (text[i + 1] === QUOTE) {
        i++;
        continue;
      }
      const next = continued(text, i + 1);
      if (next < 0) return { end: i + 1, escapes };
      i = next;
    }
  }
  return undefined;
}

/**
 * A literal goes on behind its closing quote if another quote follows after white space with a line end in it.
 * @returns where that quote is; -1 if there is none
 */
function continued(text: Buffer, from: number): number {
  let lines = false;
  for (let i = from; i < text.length; i++) {
    const byte = text[i]!;
    if (byte === LINE_FEED || byte === RETURN) lines = true;
    else if (byte === QUOTE) return lines ? i : -1;
    else if (!BLANKS.includes(byte)) return -1;
  }
  return -1;
}

const BLANKS: readonly number[] = [...' \t\f\v'].map((blank) => blank.charCodeAt(0));
