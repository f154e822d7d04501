/**
 * Commands that PostgreSQL carries out only when nobody else is connected to a database: CREATE DATABASE (its template), DROP
 * DATABASE, and ALTER DATABASE with RENAME or SET TABLESPACE. It waits five seconds for others to leave, and then raises 55006.
 */

/** So much of a text is looked at. */
const HEAD_BYTES = 8192;
/** So many names are taken of a text. */
const MOST_NAMES = 8;
/** Longest identifier in bytes (NAMEDATALEN − 1). */
const MAX_NAME_BYTES = 63;
/** The template of a database that names none. */
const DEFAULT_TEMPLATE = 'template1';

const SEMICOLON = 0x3b;
const LOWER_CASE = 0x20;

/** What a text can begin with in front of such a command, or as its first two letters. 0: nothing of the kind. 1: any text. */
const BEGINNINGS = new Uint8Array(256);
for (const blank of ' \t\n\r\f\v-/;') BEGINNINGS[blank.charCodeAt(0)] = 1;
for (const [first, second] of ['cr', 'al', 'dr']) {
  BEGINNINGS[first!.charCodeAt(0)] = second!.charCodeAt(0);
  BEGINNINGS[first!.toUpperCase().charCodeAt(0)] = second!.charCodeAt(0);
}

const WORD = 'database';
/** How far the search for the word may move on, by the byte that lies under its last letter (as in sql/parse/candidate.ts). */
const SKIP = new Uint8Array(256).fill(WORD.length);
for (const [i, letter] of [...WORD].entries()) {
  SKIP[letter.charCodeAt(0)] = WORD.length - 1 - i;
  SKIP[letter.toUpperCase().charCodeAt(0)] = WORD.length - 1 - i;
}

function holdsWord(bytes: Buffer, start: number, end: number): boolean {
  const last = WORD.length - 1;
  for (let at = start + last; at < end; ) {
    const skip = SKIP[bytes[at]!]!;
    at += skip;
    if (skip > 0) continue;
    let i = 1;
    while (i <= last && (bytes[at - i]! | LOWER_CASE) === WORD.charCodeAt(last - i)) i++;
    if (i > last) return true;
    at++;
  }
  return false;
}

/** Whether a text begins as one with such a command can, by its first two bytes. */
function beginsLikeIt(bytes: Buffer, start: number): boolean {
  const wanted = BEGINNINGS[bytes[start] ?? 0]!;
  return wanted === 1 || (wanted !== 0 && ((bytes[start + 1] ?? 0) | LOWER_CASE) === wanted);
}

/** Whether there is a semicolon with something behind it, as far as that can be told at the first one. */
function hasSeveral(bytes: Buffer, start: number): boolean {
  const at = bytes.indexOf(SEMICOLON, start);
  return at >= 0 && at < bytes.length - 2;
}

/**
 * The databases that a text wants for itself. What it says is taken at face value: one that is named in vain costs nothing but
 * connections that nobody uses. It looks at the first 8 KiB, in linear time, and at nothing that is written with U&.
 * @param start where in the bytes the text begins; it ends with them, or at a NUL
 * @param several whether the text may have several statements
 * @returns byte strings; undefined when there are none, as for nearly all texts
 */
export function wantedDatabases(bytes: Buffer, start = 0, several = true): readonly string[] | undefined {
  if (!beginsLikeIt(bytes, start) && !(several && hasSeveral(bytes, start))) return undefined;
  const end = Math.min(bytes.length, start + HEAD_BYTES);
  if (!holdsWord(bytes, start, end)) return undefined;
  const names = new Set<string>();
  const reader = new CommandReader(bytes.toString('latin1', start, end).split('\0', 1)[0]!);
  do {
    for (const name of reader.command()) names.add(name);
  } while (several && names.size < MOST_NAMES && reader.toNextStatement());
  return names.size === 0 ? undefined : [...names].slice(0, MOST_NAMES);
}

/** Blanks, or a comment up to the end of its line. */
const BLANKS = /[ \t\n\r\f\v]+|--[^\n\r]*/y;
const COMMENT_ENDS = /\/\*|\*\//g;
const BARE = /[A-Za-z_\x80-\xff][\w$\x80-\xff]*/y;
const QUOTED = /"[^"]*"/y;
const STRING = /'[^']*'/y;

/** Reads a text from its beginning to its end, once. Semicolons in strings end a statement here, which does no harm. */
class CommandReader {
  #at = 0;

  constructor(private readonly text: string) {}

  /** Reads the beginning of a statement. @returns the databases that it wants for itself */
  command(): readonly string[] {
    const verb = this.#word();
    if (verb !== 'create' && verb !== 'alter' && verb !== 'drop') return [];
    if (this.#word() !== 'database') return [];
    let name = this.#name();
    if (name === undefined) return [];
    if (verb === 'create') return this.#templates();
    if (verb === 'alter') return this.#needsAll() ? [name] : [];
    // DROP DATABASE IF EXISTS
    if (name === 'if' && this.#word() === 'exists') name = this.#name();
    return name === undefined ? [] : [name];
  }

  /** Moves behind the next semicolon. @returns false when there is none */
  toNextStatement(): boolean {
    const semicolon = this.text.indexOf(';', this.#at);
    this.#at = semicolon < 0 ? this.text.length : semicolon + 1;
    return semicolon >= 0;
  }

  /** The names behind each TEMPLATE of a CREATE DATABASE. */
  #templates(): readonly string[] {
    const found: string[] = [];
    for (;;) {
      this.#skip();
      const next = this.text[this.#at];
      if (next === undefined || next === ';') break;
      const word = this.#word();
      if (word === undefined) {
        if (this.#match(QUOTED) === undefined && this.#match(STRING) === undefined) this.#at++;
      } else if (word === 'template') {
        this.#skip();
        if (this.text[this.#at] === '=') this.#at++;
        const template = this.#name();
        if (template !== undefined && template !== 'default') found.push(template);
      }
    }
    return found.length === 0 ? [DEFAULT_TEMPLATE] : found;
  }

  /** Whether an ALTER DATABASE is one of the kinds for which nobody else may be connected. */
  #needsAll(): boolean {
    const word = this.#word();
    return word === 'rename' || (word === 'set' && this.#word() === 'tablespace');
  }

  /** An identifier, or a string in its place, as PostgreSQL reads it. */
  #name(): string | undefined {
    this.#skip();
    const bare = this.#word();
    if (bare !== undefined) return bare.slice(0, MAX_NAME_BYTES);
    const quote = this.text[this.#at];
    const parts: string[] = [];
    // Two quotes in a row are one of the name.
    const next = (): string | undefined => this.#match(quote === "'" ? STRING : QUOTED);
    for (let part = next(); part !== undefined; part = next()) parts.push(part.slice(1, -1));
    return parts.length === 0 ? undefined : parts.join(quote).slice(0, MAX_NAME_BYTES);
  }

  /** A word without quotes, in lower case. */
  #word(): string | undefined {
    this.#skip();
    return this.#match(BARE)?.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
  }

  #match(expression: RegExp): string | undefined {
    const from = this.#at;
    expression.lastIndex = from;
    if (!expression.test(this.text)) return undefined;
    this.#at = expression.lastIndex;
    return this.text.slice(from, this.#at);
  }

  /** Passes blanks and comments. */
  #skip(): void {
    for (;;) {
      if (this.text.startsWith('/*', this.#at)) this.#passComment();
      else if (this.#match(BLANKS) === undefined) return;
    }
  }

  /** Passes a comment, and those that are nested in it. Behind one that does not end there is nothing. */
  #passComment(): void {
    COMMENT_ENDS.lastIndex = this.#at;
    let depth = 0;
    do {
      if (!COMMENT_ENDS.test(this.text)) {
        this.#at = this.text.length;
        return;
      }
      depth += this.text[COMMENT_ENDS.lastIndex - 1] === '*' ? 1 : -1;
    } while (depth > 0);
    this.#at = COMMENT_ENDS.lastIndex;
  }
}
