import type { ColumnDefinition, Span } from '../types.js';
import type { ParsedText, Token } from './parser.js';

/** Finds the places of calls, arguments and column lists in the text. The syntax tree gives only where they begin. */
export class Tokens {
  readonly #text: string;
  readonly #tokens: readonly Token[];
  readonly #comments: readonly Token[];
  /**
   * For each opening parenthesis or bracket, by its token's index, the index of the token that closes it; -1 if none
   * does.
   */
  readonly #closing: Int32Array;

  constructor(parsed: ParsedText) {
    this.#text = parsed.latin1;
    this.#tokens = parsed.tokens;
    this.#comments = parsed.comments;
    this.#closing = closings(parsed);
  }

  /** Index of the first token that starts at or after a byte offset. */
  indexAt(offset: number): number {
    return firstFrom(this.#tokens, offset);
  }

  token(index: number): Token | undefined {
    return this.#tokens[index];
  }

  /** A token's text as written; '' beyond the ends. */
  textOf(index: number): string {
    const token = this.#tokens[index];
    return token === undefined ? '' : this.#text.slice(token.start, token.end);
  }

  slice(span: Span): string {
    return this.#text.slice(span.start, span.end);
  }

  /** Whether a token is this word, in any case. @param word in lower case */
  isWord(index: number, word: string): boolean {
    const token = this.#tokens[index];
    return (
      token !== undefined &&
      token.end - token.start === word.length &&
      this.textOf(index).toLowerCase() === word
    );
  }

  /** Index of the parenthesis or bracket that closes the one at `open`, or -1. */
  closing(open: number): number {
    return this.#closing[open] ?? -1;
  }

  /** The items between two parentheses, split at the commas of their own level, as ranges of token indexes. */
  items(open: number, close: number): readonly { readonly first: number; readonly last: number }[] {
    if (close === open + 1) return [];
    const items: { first: number; last: number }[] = [];
    let first = open + 1;
    for (let i = first; i <= close; i++) {
      const c = this.textOf(i);
      if (c === '(' || c === '[') {
        i = this.closing(i);
        if (i < 0) return [];
      } else if (c === ',' || i === close) {
        items.push({ first, last: i - 1 });
        first = i + 1;
      }
    }
    return items;
  }

  /** From the beginning of one token to the end of another, by their indexes. */
  span(first: number, last: number): Span {
    return { start: this.#tokens[first]!.start, end: this.#tokens[last]!.end };
  }

  /**
   * The part of a text between two byte offsets without blanks, semicolons and comments around it. A hint comment in
   * front (`/*+ … *\/`, read by pg_hint_plan) belongs to the statement.
   * @returns undefined if nothing is left
   */
  statementSpan(start: number, end: number): Span | undefined {
    let first = this.indexAt(start);
    while (this.textOf(first) === ';') first++;
    let last = this.indexAt(end) - 1;
    while (last > first && this.textOf(last) === ';') last--;
    if (last < first) return undefined;
    const span = this.span(first, last);
    const before = this.#tokens[first - 1]?.end ?? 0;
    for (let i = firstFrom(this.#comments, before); i < this.#comments.length; i++) {
      const comment = this.#comments[i]!;
      if (comment.end > span.start) break;
      if (this.#text.startsWith('/*+', comment.start)) return { start: comment.start, end: span.end };
    }
    return span;
  }

  /**
   * Reads a column definition list.
   * @param open index of its opening parenthesis
   * @param names of the columns, as the syntax tree has them
   * @returns undefined if the text has another number of columns
   */
  columns(open: number, names: readonly string[]): readonly ColumnDefinition[] | undefined {
    const items = this.items(open, this.closing(open));
    if (items.length !== names.length) return undefined;
    return items.map(({ first, last }, i) => {
      let typeLast = last;
      for (let t = first + 1; t <= last; t++) {
        if (this.textOf(t) === '(') t = this.closing(t);
        else if (this.isWord(t, 'collate')) {
          typeLast = t - 1;
          break;
        }
      }
      const nameSpan = this.span(first, first);
      const definitionSpan = this.span(first + 1, last);
      const typeSpan = this.span(first + 1, typeLast);
      const name = identifier(names[i]!, this.slice(nameSpan));
      return {
        name: name.text,
        nameExact: name.exact,
        nameSpan,
        definition: this.slice(definitionSpan),
        definitionSpan,
        type: this.slice(typeSpan),
        typeSpan,
      };
    });
  }
}

/** Index of the first place that starts at or after a byte offset. */
function firstFrom(places: readonly Token[], offset: number): number {
  let low = 0;
  let high = places.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (places[middle]!.start < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

function closings({ latin1, tokens }: ParsedText): Int32Array {
  const closing = new Int32Array(tokens.length).fill(-1);
  const open: number[] = [];
  for (const [i, { start, end }] of tokens.entries()) {
    if (end - start !== 1) continue;
    const c = latin1[start];
    if (c === '(' || c === '[') open.push(i);
    else if ((c === ')' || c === ']') && open.length > 0) closing[open.pop()!] = i;
  }
  return closing;
}

/**
 * An identifier's text. The parser works on UTF-8 in which each of the client's bytes stands for a character. So what it
 * has folded and truncated (to 63 bytes) is right only for ASCII. Of other identifiers the token's own bytes are given,
 * and `exact` is false.
 * @param parsed as the syntax tree has it
 * @param token as written
 */
export function identifier(
  parsed: string,
  token: string,
): { readonly text: string; readonly exact: boolean } {
  if (/^[\x20-\x7e]*$/.test(parsed)) return { text: parsed, exact: true };
  const quoted = /^"(.*)"$/s.exec(token)?.[1];
  if (quoted !== undefined) return { text: quoted.replaceAll('""', '"'), exact: false };
  return { text: token.replace(/[A-Z]+/g, (c) => c.toLowerCase()), exact: false };
}
