import type { PieceCheck } from '../../../../dblink/remote/valueCheck.js';
import {
  BACKSLASH,
  BLANK,
  COLON,
  COMMA,
  DOT,
  isDigit,
  isHexDigit,
  MINUS_SIGN,
  PLUS_SIGN,
  QUOTE,
  ZERO,
} from './ascii.js';
import { unbounded } from './check.js';

/**
 * Whether a text is JSON (RFC 8259), read byte by byte. In the encodings that a database can have no byte of a longer character is an
 * ASCII one.
 */

const OPEN_OBJECT = 0x7b;
const OPEN_ARRAY = 0x5b;
/** From a bracket to the one that closes it. */
const CLOSES = 2;
const U = 0x75;
const E = 0x65;

/** What may stand behind a backslash, besides `u`. */
const ESCAPED: ReadonlySet<number> = new Set(Buffer.from('"\\/bfnrt'));
const WORDS: ReadonlyMap<number, Buffer> = new Map(
  ['true', 'false', 'null'].map((word) => [word.charCodeAt(0), Buffer.from(word)]),
);

/** What comes next. */
enum Next {
  value,
  /** A value, or the end of an empty array. */
  firstValue,
  key,
  /** A key, or the end of an empty object. */
  firstKey,
  colon,
  /** A comma or a closing bracket; at the outermost level nothing. */
  more,
  string,
  escape,
  hex,
  word,
  /** Behind the sign of a number. */
  integer,
  /** Behind a zero at a number's beginning. */
  point,
  digits,
  fraction,
  moreFraction,
  exponent,
  exponentDigit,
  moreExponent,
}

/** Where a number may end. */
const NUMBER_ENDS: ReadonlySet<Next> = new Set([
  Next.point,
  Next.digits,
  Next.moreFraction,
  Next.moreExponent,
]);

/** The largest depth for which room is made; the stack of servers ends sooner. */
const MAX_DEPTH = 1 << 16;
const USUAL_DEPTH = 64;
/** numeric's, before and behind the point, which jsonb's numbers are. */
const MAX_DIGITS = 131_072;
const MAX_FRACTION = 16_383;

class Json implements PieceCheck {
  #next = Next.value;
  #depth = 0;
  /** Which brackets are open, the outermost first. */
  #open = new Uint8Array(USUAL_DEPTH);
  /** The string is a key. */
  #isKey = false;
  #word: Buffer = WORDS.get(0x6e)!;
  #wordAt = 0;
  /** Of an escape: how many digits have come, and what they say. */
  #hexDigits = 0;
  #code = 0;
  #digits = 0;

  /** @param stored whether it is jsonb, which is written more strictly than json may be */
  constructor(private readonly stored: boolean) {}

  begin(): void {
    this.#next = Next.value;
    this.#depth = 0;
    if (this.#open.length > USUAL_DEPTH) this.#open = new Uint8Array(USUAL_DEPTH);
  }

  end(): boolean {
    return this.#depth === 0 && (this.#next === Next.more || NUMBER_ENDS.has(this.#next));
  }

  feed(bytes: Buffer, start: number, end: number): boolean {
    let at = start;
    while (at < end) {
      // Most of a text is in its strings.
      if (this.#next === Next.string) {
        at = behindPlain(bytes, at, end);
        if (at === end) return true;
      }
      if (!this.#take(bytes[at]!)) return false;
      at++;
    }
    return true;
  }

  #take(byte: number): boolean {
    switch (this.#next) {
      case Next.string:
        if (byte === QUOTE) this.#next = this.#isKey ? Next.colon : Next.more;
        else if (byte === BACKSLASH) this.#next = Next.escape;
        else return false;
        return true;
      case Next.escape:
        this.#next = byte === U ? Next.hex : Next.string;
        this.#hexDigits = this.#code = 0;
        return byte === U || ESCAPED.has(byte);
      case Next.hex:
        return this.#hex(byte);
      case Next.word:
        if (byte !== this.#word[this.#wordAt++]) return false;
        if (this.#wordAt === this.#word.length) this.#next = Next.more;
        return true;
      case Next.integer:
      case Next.point:
      case Next.digits:
      case Next.fraction:
      case Next.moreFraction:
      case Next.exponent:
      case Next.exponentDigit:
      case Next.moreExponent:
        if (this.#number(byte)) return true;
        if (!NUMBER_ENDS.has(this.#next)) return false;
        this.#next = Next.more;
        return isBlank(byte) || this.#structure(byte);
      default:
        return isBlank(byte) || this.#structure(byte);
    }
  }

  #hex(byte: number): boolean {
    if (!isHexDigit(byte)) return false;
    this.#code = this.#code * 16 + (byte <= 0x39 ? byte - ZERO : (byte | 0x20) - 0x57);
    if (++this.#hexDigits < 4) return true;
    this.#next = Next.string;
    // jsonb is written so only for control characters, and never holds NUL.
    return !this.stored || (this.#code > 0 && this.#code < BLANK);
  }

  /** Takes a byte of a number. @returns whether it is one */
  #number(byte: number): boolean {
    if (isDigit(byte)) {
      const isFraction = this.#next === Next.fraction || this.#next === Next.moreFraction;
      if (++this.#digits > (isFraction ? MAX_FRACTION : MAX_DIGITS) && this.stored) return false;
      switch (this.#next) {
        case Next.integer:
          this.#next = byte === ZERO ? Next.point : Next.digits;
          return true;
        case Next.point:
          return false;
        case Next.fraction:
          this.#next = Next.moreFraction;
          return true;
        case Next.exponent:
        case Next.exponentDigit:
          this.#next = Next.moreExponent;
          return true;
        default:
          return true;
      }
    }
    if (byte === DOT && (this.#next === Next.point || this.#next === Next.digits)) {
      this.#next = Next.fraction;
      this.#digits = 0;
      return true;
    }
    // jsonb's numbers are written without an exponent.
    const mantissa =
      this.#next === Next.point || this.#next === Next.digits || this.#next === Next.moreFraction;
    if ((byte | 0x20) === E && mantissa && !this.stored) {
      this.#next = Next.exponent;
      return true;
    }
    if ((byte === PLUS_SIGN || byte === MINUS_SIGN) && this.#next === Next.exponent) {
      this.#next = Next.exponentDigit;
      return true;
    }
    return false;
  }

  /** Takes a byte that is outside of strings, words and numbers, and not blank. */
  #structure(byte: number): boolean {
    switch (this.#next) {
      case Next.more:
        return this.#behindValue(byte);
      case Next.colon:
        this.#next = Next.value;
        return byte === COLON;
      case Next.key:
      case Next.firstKey:
        if (byte === OPEN_OBJECT + CLOSES && this.#next === Next.firstKey) return this.#close();
        this.#isKey = true;
        this.#next = Next.string;
        return byte === QUOTE;
      default:
        if (byte === OPEN_ARRAY + CLOSES && this.#next === Next.firstValue) return this.#close();
        return this.#value(byte);
    }
  }

  #value(byte: number): boolean {
    if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      this.#next = byte === OPEN_OBJECT ? Next.firstKey : Next.firstValue;
      return this.#push(byte);
    }
    if (byte === QUOTE) {
      this.#isKey = false;
      this.#next = Next.string;
      return true;
    }
    const word = WORDS.get(byte);
    if (word !== undefined) {
      this.#word = word;
      this.#wordAt = 1;
      this.#next = Next.word;
      return true;
    }
    this.#digits = 0;
    this.#next = Next.integer;
    return byte === MINUS_SIGN || this.#number(byte);
  }

  #behindValue(byte: number): boolean {
    if (this.#depth === 0) return false;
    const outer = this.#open[this.#depth - 1]!;
    if (byte === outer + CLOSES) return this.#close();
    this.#next = outer === OPEN_OBJECT ? Next.key : Next.value;
    return byte === COMMA;
  }

  #close(): boolean {
    this.#depth--;
    this.#next = Next.more;
    return true;
  }

  #push(bracket: number): boolean {
    if (this.#depth === this.#open.length) {
      if (this.#depth === MAX_DEPTH) return false;
      const more = new Uint8Array(2 * this.#depth);
      more.set(this.#open);
      this.#open = more;
    }
    this.#open[this.#depth++] = bracket;
    return true;
  }
}

const isBlank = (byte: number): boolean => byte === BLANK || byte === 0x0a || byte === 0x0d || byte === 0x09;

/** The first byte in a string that means something, or may not be there. */
function behindPlain(bytes: Buffer, start: number, end: number): number {
  let at = start;
  for (; at < end; at++) {
    const byte = bytes[at]!;
    if (byte === QUOTE || byte === BACKSLASH || byte < BLANK) break;
  }
  return at;
}

export const json = () => unbounded(() => new Json(false));
export const jsonb = () => unbounded(() => new Json(true));
