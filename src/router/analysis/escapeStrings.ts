/** SQL text of a session with standard_conforming_strings = off, as the parser reads it, which knows no such setting. */

/** A text in which every literal that holds a backslash says so. */
export interface EscapeStrings {
  readonly text: Buffer;
  /** Where an error position in it (1-based, in characters) lies in the original text. */
  readonly mapPosition: (position: number) => number;
}

const QUOTE = 0x27;
const BACKSLASH = 0x5c;

/** What a literal cannot begin inside of: comments, quoted names, dollar-quoted strings. */
const PASSED = /--[^\n\r]*|"(?:[^"]|"")*"|(?<![\w$\x80-\xff])\$((?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?)\$/y;

/** Between two parts of one literal: white space with a line end in it. */
const CONTINUED = /[ \t\f\v]*[\n\r][ \t\f\v\n\r]*'/y;

/**
 * Puts an E in front of every plain literal with a backslash in it: with standard_conforming_strings = off the two mean
 * the same (PostgreSQL documentation, "String Constants with C-Style Escapes").
 * @param text bytes in an encoding in which no byte below 128 is part of a longer character
 * @returns undefined for a text in which that cannot be done, or that ends inside a literal
 */
export function asEscapeStrings(
  text: Buffer,
  countCharacters: (bytes: Buffer) => number,
): EscapeStrings | undefined {
  const latin1 = text.toString('latin1');
  const marks: { readonly at: number; readonly mark: string }[] = [];
  for (let i = 0; i < latin1.length; ) {
    const passed = passOver(latin1, i);
    if (passed === undefined) return undefined;
    if (passed > i) {
      i = passed;
      continue;
    }
    if (latin1.charCodeAt(i) !== QUOTE) {
      i++;
      continue;
    }
    const literal = readLiteral(text, latin1, i);
    if (literal === undefined) return undefined;
    const prefix = /(?:^|[^\w$\x80-\xff])([A-Za-z]|[Uu]&)$/.exec(latin1.slice(Math.max(0, i - 3), i))?.[1];
    if (literal.escapes && prefix?.toLowerCase() !== 'e') {
      // N'…' and U&'…' cannot be written otherwise.
      if (prefix !== undefined) return undefined;
      marks.push({ at: i, mark: /[\w$\x80-\xff]/.test(latin1[i - 1] ?? ' ') ? ' E' : 'E' });
    }
    i = literal.end;
  }
  const parts: Buffer[] = [];
  let from = 0;
  for (const { at, mark } of marks) {
    parts.push(text.subarray(from, at), Buffer.from(mark, 'latin1'));
    from = at;
  }
  const places = marks.map(({ at, mark }) => ({
    at: countCharacters(text.subarray(0, at)),
    by: mark.length,
  }));
  return {
    text: Buffer.concat([...parts, text.subarray(from)]),
    mapPosition(position) {
      let rest = position - 1;
      for (const { at, by } of places) if (rest > at) rest = Math.max(at, rest - by);
      return rest + 1;
    },
  };
}

/** @returns where what begins here ends, the same place if nothing begins, undefined when it has no end */
function passOver(latin1: string, at: number): number | undefined {
  if (latin1.startsWith('/*', at)) return endOfComment(latin1, at);
  PASSED.lastIndex = at;
  const match = PASSED.exec(latin1);
  if (match === null) return latin1[at] === '"' ? undefined : at;
  const end = PASSED.lastIndex;
  if (!match[0].startsWith('$')) return end;
  const close = latin1.indexOf(match[0], end);
  return close < 0 ? undefined : close + match[0].length;
}

/** Comments nest. */
function endOfComment(latin1: string, at: number): number | undefined {
  let depth = 0;
  for (let i = at; i < latin1.length; i++) {
    if (latin1.startsWith('/*', i)) {
      depth++;
      i++;
    } else if (latin1.startsWith('*/', i)) {
      i++;
      if (--depth === 0) return i + 1;
    }
  }
  return undefined;
}

/** A literal from its opening quote on, with the parts that continue it on further lines. */
function readLiteral(
  text: Buffer,
  latin1: string,
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
      CONTINUED.lastIndex = i + 1;
      if (!CONTINUED.test(latin1)) return { end: i + 1, escapes };
      i = CONTINUED.lastIndex - 1;
    }
  }
  return undefined;
}
