import {
  fingerprintSync,
  loadModule,
  type Node,
  parseSync,
  type RawStmt,
  type ScanToken,
  SqlError,
  scanSync,
} from 'libpg-query';

/** A token's place in the original bytes. Comments are kept apart from the rest. */
export interface Token {
  readonly start: number;
  readonly end: number;
}

/** SQL text as the parser saw it, with places translated back to the bytes that the client sent. */
export interface ParsedText {
  /** The client's bytes as a latin1 string: one character a byte. */
  readonly latin1: string;
  readonly statements: readonly RawStmt[];
  readonly tokens: readonly Token[];
  readonly comments: readonly Token[];
  /** Translates a location of the syntax tree into a byte offset of the text. */
  readonly byteOffset: (location: number | undefined) => number;
}

/** Makes the parser ready; must have been awaited once before anything is analysed. */
export async function loadParser(): Promise<void> {
  await loadModule();
}

let broken = false;

/**
 * Whether the parser of this thread was abandoned. A text that is nested some ten thousand levels deep overflows the
 * stack of the parser's virtual machine, whose stack pointer then stays where it was. After a few such texts the parser
 * reads out of bounds or never returns. So after the first failure that is not an error in the SQL this instance is not
 * used again.
 */
export const parserIsBroken = (): boolean => broken;

function guarded<T>(work: () => T): T | undefined {
  if (broken) return undefined;
  try {
    return work();
  } catch (error) {
    if (!(error instanceof SqlError)) broken = true;
    return undefined;
  }
}

/** The statements of a text that may hold several, or undefined if it cannot be parsed. */
export function parseOnly(latin1: string): readonly RawStmt[] | undefined {
  if (latin1.includes('\0') || latin1.trim() === '') return undefined;
  return guarded(() => parseSync(latin1).stmts ?? []);
}

/**
 * Parses text and finds its tokens. The parser works on UTF-8, where every byte above 127 of the original takes two. So
 * all locations that it gives are translated back.
 * @returns undefined if the text cannot be parsed
 */
export function parseSql(text: Buffer): ParsedText | undefined {
  const latin1 = text.toString('latin1');
  const statements = parseOnly(latin1);
  if (statements === undefined) return undefined;
  const scanned = scanTokens(text);
  return scanned && { latin1, statements, ...scanned };
}

/** The tokens of a text, which need not be SQL that can be parsed. @returns undefined if they cannot be told apart */
export function scanTokens(text: Buffer): Pick<ParsedText, 'tokens' | 'comments' | 'byteOffset'> | undefined {
  const latin1 = text.toString('latin1');
  if (latin1.includes('\0')) return undefined;
  const scanned = guarded(() => scanSync(latin1).tokens);
  if (scanned === undefined) return undefined;
  const byteOffset = offsetTranslation(text);
  const tokens: Token[] = [];
  const comments: Token[] = [];
  for (const token of scanned) {
    const place = { start: byteOffset(token.start), end: byteOffset(token.end) };
    const isComment = token.tokenName === 'SQL_COMMENT' || token.tokenName === 'C_COMMENT';
    (isComment ? comments : tokens).push(place);
  }
  return { tokens, comments, byteOffset };
}

/** Offsets in the UTF-8 form of latin1 text → offsets in the bytes themselves. */
function offsetTranslation(text: Buffer): (location: number | undefined) => number {
  const wide: number[] = [];
  for (let i = 0; i < text.length; i++) if (text[i]! > 0x7f) wide.push(i + wide.length);
  if (wide.length === 0) return (location) => location ?? 0;
  return (location = 0) => {
    let low = 0;
    let high = wide.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (wide[middle]! < location) low = middle + 1;
      else high = middle;
    }
    return location - low;
  };
}

/** The tokens of a text that can be parsed, as the parser gives them: places count in UTF-8. */
export const rawTokens = (latin1: string): readonly ScanToken[] | undefined =>
  guarded(() => scanSync(latin1).tokens);

/**
 * libpg-query's fingerprint of a text: 16 hexadecimal digits. Literals that are constants of expressions make no difference to it, others do.
 * @returns undefined if the text cannot be parsed
 */
export function fingerprintOf(latin1: string): string | undefined {
  if (parseOnly(latin1) === undefined) return undefined;
  return guarded(() => fingerprintSync(latin1));
}

/** The one key of a node of the syntax tree, and what is under it. */
export function unwrap(node: Node): { readonly tag: string; readonly body: Record<string, unknown> } {
  const [entry] = Object.entries(node);
  return entry === undefined
    ? { tag: '', body: {} }
    : { tag: entry[0], body: entry[1] as Record<string, unknown> };
}

/** The parts of a qualified name: the texts of a list of String nodes. */
export function nameParts(names: readonly Node[] | undefined): readonly string[] {
  return (names ?? []).map((part) => ('String' in part ? (part.String.sval ?? '') : ''));
}

/** Calls `visit` for every object of a part of the syntax tree, parents first, until it returns false for a branch. */
export function walk(part: unknown, visit: (value: Record<string, unknown>) => boolean): void {
  if (Array.isArray(part)) {
    for (const item of part) walk(item, visit);
  } else if (part !== null && typeof part === 'object') {
    if (!visit(part as Record<string, unknown>)) return;
    for (const key in part) walk((part as Record<string, unknown>)[key], visit);
  }
}
