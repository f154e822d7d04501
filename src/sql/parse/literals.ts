import type { Span } from '../types.js';
import { dollarQuoted, passOver } from './passOver.js';

const QUOTE = 0x27;
const DOLLAR = 0x24;

/** 1 for bytes with which a literal, a comment or a quoted name can begin. */
const BEGINS = new Uint8Array(256);
for (const character of `'$"-/`) BEGINS[character.charCodeAt(0)] = 1;

/** A string in a text. */
export interface Literal extends Span {
  /** How many bytes of quotation marks are on either side of the content. */
  readonly marks: number;
}

/**
 * What may be literals in a text, in their order: '…' and $tag$…$tag$. A prefix (E, U&, N …) is not told apart, and neither are
 * literals that go on in another line; who uses them must know where a literal is one by itself.
 * @returns undefined if there are more than `most`, or something has no end
 */
export function literalsOf(text: Buffer, most: number): readonly Literal[] | undefined {
  const found: Literal[] = [];
  for (let at = 0; at < text.length; ) {
    if (BEGINS[text[at]!] === 0) {
      at++;
      continue;
    }
    const literal = literalAt(text, at);
    if (literal === undefined) return undefined;
    if (literal.end > at) {
      if (found.push(literal) > most) return undefined;
      at = literal.end;
      continue;
    }
    const end = passOver(text, at);
    if (end === undefined) return undefined;
    at = Math.max(end, at + 1);
  }
  return found;
}

/** The literal that begins at `start`, an empty one if none does; undefined if it has no end. */
function literalAt(text: Buffer, start: number): Literal | undefined {
  if (text[start] === DOLLAR) {
    const quoted = dollarQuoted(text, start);
    return quoted && { start, end: quoted.end, marks: quoted.content - start };
  }
  if (text[start] !== QUOTE) return { start, end: start, marks: 0 };
  for (let at = text.indexOf(QUOTE, start + 1); at >= 0; at = text.indexOf(QUOTE, at + 2)) {
    if (text[at + 1] !== QUOTE) return { start, end: at + 1, marks: 1 };
  }
  return undefined;
}

/** The content of a literal without prefix, as a latin1 string. */
export function literalValue(text: Buffer, { start, end, marks }: Literal): string {
  const content = text.toString('latin1', start + marks, end - marks);
  return text[start] === QUOTE ? content.replaceAll("''", "'") : content;
}
