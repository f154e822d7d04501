import type { PieceCheck, ValueCheck } from '../../../../dblink/remote/valueCheck.js';
import { BACKSLASH, BLANK, COLON, COMMA, isDigit, isWord, MINUS_SIGN, numberIn, QUOTE } from './ascii.js';
import { unbounded } from './check.js';
import { anyText } from './texts.js';

/** Arrays as servers write them (PostgreSQL documentation, "Array Input and Output Syntax"), read byte by byte. */

const OPEN = 0x7b;
const CLOSE = 0x7d;
const BRACKET = 0x5b;
const BRACKET_END = 0x5d;
const EQUALS = 0x3d;
const NULL = Buffer.from('NULL');

const MAX_DIMENSIONS = 6;
const USUAL_BYTES = 64;
const UNKNOWN = -1;
const MIN_INT32 = -(2 ** 31);
const MAX_INT32 = 2 ** 31 - 1;

/** What comes next. */
enum Next {
  /** Bounds in front of the array, or the array. */
  beginning,
  lower,
  upper,
  /** More bounds, or the array. */
  behindBounds,
  array,
  /** An element, or an array in the array. */
  element,
  /** In an array of arrays: the next array. */
  subarray,
  plain,
  quoted,
  escaped,
  /** A comma or a closing bracket. */
  more,
  nothing,
}

/** Whether a byte cannot be in an element without quotation marks. */
const mustBeQuoted = (byte: number): boolean =>
  byte === QUOTE || byte === BACKSLASH || byte === OPEN || byte === BLANK || (byte >= 0x09 && byte <= 0x0d);

class ArrayReader implements PieceCheck {
  #next = Next.beginning;
  /** Number of brackets that are open; once an element has come, all have the same. */
  #depth = 0;
  #dimensions = UNKNOWN;
  /** The number of elements in each dimension, the outermost first; what the bounds say of it; how many there are so far. */
  readonly #lengths = new Float64Array(MAX_DIMENSIONS);
  readonly #announced = new Float64Array(MAX_DIMENSIONS);
  readonly #counts = new Float64Array(MAX_DIMENSIONS);
  #bounds = 0;
  /** Lower bound of the present dimension. */
  #lower = 0;
  /** A bound, or an element. Of text only the beginning is kept. */
  #kept: Buffer = Buffer.allocUnsafe(USUAL_BYTES);
  #length = 0;
  readonly #isText: boolean;

  constructor(private readonly element: ValueCheck) {
    this.#isText = element === anyText;
  }

  begin(): void {
    this.#next = Next.beginning;
    this.#depth = 0;
    this.#dimensions = UNKNOWN;
    this.#bounds = 0;
    this.#lengths.fill(UNKNOWN);
    if (this.#kept.length > USUAL_BYTES) this.#kept = Buffer.allocUnsafe(USUAL_BYTES);
  }

  end(): boolean {
    return this.#next === Next.nothing;
  }

  feed(bytes: Buffer, start: number, end: number): boolean {
    for (let at = start; at < end; at++) if (!this.#take(bytes[at]!)) return false;
    return true;
  }

  #take(byte: number): boolean {
    switch (this.#next) {
      case Next.plain:
        if (byte === COMMA || byte === CLOSE) return this.#endPlain() && this.#more(byte);
        return !mustBeQuoted(byte) && this.#keep(byte);
      case Next.quoted:
        if (byte === QUOTE) return this.#endElement();
        if (byte !== BACKSLASH) return this.#keep(byte);
        this.#next = Next.escaped;
        return true;
      case Next.escaped:
        this.#next = Next.quoted;
        return this.#keep(byte);
      case Next.element:
        return this.#begin(byte);
      case Next.subarray:
        return byte === OPEN && this.#open();
      case Next.more:
        return this.#more(byte);
      case Next.nothing:
        return false;
      default:
        return this.#front(byte);
    }
  }

  /** Takes a byte in front of the array's first bracket: `[0:1][-2:2]=` */
  #front(byte: number): boolean {
    switch (this.#next) {
      case Next.lower:
        if (byte !== COLON) return this.#boundByte(byte);
        this.#next = Next.upper;
        this.#lower = this.#bound();
        this.#length = 0;
        return this.#lower >= MIN_INT32 && this.#lower <= MAX_INT32;
      case Next.upper: {
        if (byte !== BRACKET_END) return this.#boundByte(byte);
        const upper = this.#bound();
        this.#announced[this.#bounds++] = upper - this.#lower + 1;
        this.#next = Next.behindBounds;
        return upper >= this.#lower && upper < MAX_INT32;
      }
      case Next.array:
        return byte === OPEN && this.#open();
      default:
        if (byte === OPEN && this.#next === Next.beginning) return this.#open();
        if (byte === EQUALS && this.#next === Next.behindBounds) {
          this.#next = Next.array;
          return true;
        }
        this.#next = Next.lower;
        this.#length = 0;
        return byte === BRACKET && this.#bounds < MAX_DIMENSIONS;
    }
  }

  #boundByte(byte: number): boolean {
    if (!isDigit(byte) && (byte !== MINUS_SIGN || this.#length > 0)) return false;
    return this.#length < 11 && this.#keep(byte, true);
  }

  /** The bound that was read; not a number if there was none. */
  #bound(): number {
    const negative = this.#length > 0 && this.#kept[0] === MINUS_SIGN;
    const from = negative ? 1 : 0;
    if (this.#length === from) return Number.NaN;
    const size = numberIn(this.#kept, from, this.#length);
    return negative ? -size : size;
  }

  /** An element or an array in the array begins. */
  #begin(byte: number): boolean {
    this.#length = 0;
    if (byte === OPEN) return this.#open();
    // An array without elements has no dimension, so only the outermost bracket can be empty.
    if (byte === CLOSE && this.#depth === 1 && this.#counts[0] === 0 && this.#bounds === 0) {
      this.#next = Next.nothing;
      return this.#dimensions === UNKNOWN;
    }
    if (this.#dimensions === UNKNOWN) this.#dimensions = this.#depth;
    if (this.#depth !== this.#dimensions) return false;
    if (byte === QUOTE) {
      this.#next = Next.quoted;
      return true;
    }
    this.#next = Next.plain;
    return byte !== COMMA && byte !== CLOSE && !mustBeQuoted(byte) && this.#keep(byte);
  }

  #open(): boolean {
    if (this.#depth === MAX_DIMENSIONS || this.#depth === this.#dimensions) return false;
    this.#counts[this.#depth++] = 0;
    this.#next = Next.element;
    return true;
  }

  /** @param always also of text, of which otherwise no more is kept than is needed to know NULL */
  #keep(byte: number, always = false): boolean {
    if (this.#isText && !always && this.#length > NULL.length) return true;
    if (this.#length === this.#kept.length) {
      if (this.#length >= this.element.maxBytes) return false;
      this.#kept = Buffer.concat([this.#kept], 2 * this.#length);
    }
    this.#kept[this.#length++] = byte;
    return true;
  }

  #endPlain(): boolean {
    if (isWord(this.#kept, 0, this.#length, NULL)) return this.#count();
    // In any case it would be NULL, which servers write in capitals.
    if (
      this.#length === NULL.length &&
      this.#kept.toString('latin1', 0, this.#length).toUpperCase() === 'NULL'
    )
      return false;
    return this.#endElement();
  }

  #endElement(): boolean {
    const { maxBytes } = this.element;
    return this.#length <= maxBytes && this.element.whole(this.#kept, 0, this.#length) && this.#count();
  }

  #count(): boolean {
    this.#counts[this.#depth - 1]!++;
    this.#next = Next.more;
    return true;
  }

  #more(byte: number): boolean {
    if (byte === COMMA) {
      this.#next = this.#depth === this.#dimensions ? Next.element : Next.subarray;
      return true;
    }
    if (byte !== CLOSE) return false;
    // All arrays of a dimension have the same length.
    const length = this.#counts[--this.#depth]!;
    if (this.#lengths[this.#depth] === UNKNOWN) this.#lengths[this.#depth] = length;
    if (this.#lengths[this.#depth] !== length) return false;
    if (this.#depth > 0) return this.#count();
    this.#next = Next.nothing;
    return this.#bounds === 0 || this.#isAsAnnounced();
  }

  #isAsAnnounced(): boolean {
    if (this.#bounds !== this.#dimensions) return false;
    for (let i = 0; i < this.#bounds; i++) if (this.#lengths[i] !== this.#announced[i]) return false;
    return true;
  }
}

/** An array of such elements, of up to six dimensions. */
export const arrayOf = (element: ValueCheck): ValueCheck => unbounded(() => new ArrayReader(element));
