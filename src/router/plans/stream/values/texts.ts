import type { PieceCheck, ValueCheck } from '../../../../dblink/remote/valueCheck.js';
import { isHexDigit, MINUS_SIGN, ZERO } from './ascii.js';
import { bounded, SHORT_BYTES, unbounded } from './check.js';

const T = 0x74;
const F = 0x66;

export const bool = bounded(
  1,
  (bytes, start, end) => end > start && (bytes[start] === T || bytes[start] === F),
);

const UUID_LENGTH = 36;
const DASHES: ReadonlySet<number> = new Set([8, 13, 18, 23]);

export const uuid = bounded(SHORT_BYTES, (bytes, start, end) => {
  if (end - start !== UUID_LENGTH) return false;
  for (let i = 0; i < UUID_LENGTH; i++) {
    const byte = bytes[start + i]!;
    if (DASHES.has(i) ? byte !== MINUS_SIGN : !isHexDigit(byte) || (byte >= 0x41 && byte <= 0x46))
      return false;
  }
  return true;
});

/** Counts what a value has, and limits it. */
abstract class Counter implements PieceCheck {
  protected count = 0;

  /** @param exactly whether there have to be so many @param most -1 for any number */
  constructor(
    private readonly most: number,
    private readonly exactly: boolean,
  ) {}

  begin(): void {
    this.count = 0;
  }

  abstract feed(bytes: Buffer, start: number, end: number): boolean;

  end(): boolean {
    return this.most < 0 || (this.exactly ? this.count === this.most : this.count <= this.most);
  }
}

class Bits extends Counter {
  feed(bytes: Buffer, start: number, end: number): boolean {
    for (let at = start; at < end; at++) if ((bytes[at]! | 1) !== (ZERO | 1)) return false;
    this.count += end - start;
    return true;
  }
}

class SingleBytes extends Counter {
  feed(_bytes: Buffer, start: number, end: number): boolean {
    this.count += end - start;
    return true;
  }
}

/** Characters as the server counts them: by the length that the first byte tells. */
class Utf8 extends Counter {
  /** How many bytes of a character are in the next piece. */
  #rest = 0;

  override begin(): void {
    super.begin();
    this.#rest = 0;
  }

  feed(bytes: Buffer, start: number, end: number): boolean {
    let at = start + this.#rest;
    while (at < end) {
      const byte = bytes[at]!;
      this.count++;
      at += byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : byte < 0xf8 ? 4 : 1;
    }
    this.#rest = at - end;
    return true;
  }
}

/** A string of bits. @param typmod how many, -1 for any number @param varying whether fewer will do */
export const bits = (typmod: number, varying: boolean): ValueCheck =>
  unbounded(() => new Bits(typmod, !varying));

/** Any text: the input functions of these types change nothing. */
export const anyText: ValueCheck = {
  maxBytes: Number.POSITIVE_INFINITY,
  whole: () => true,
  pieces: undefined,
};

const VARHDRSZ = 4;
const SINGLE_BYTE = /^(?:SQL_ASCII|LATIN\d{1,2}|WIN\d{3,4}|ISO_8859_\d|KOI8[RU])$/;

/**
 * Text of limited length.
 * @param typmod the number of characters, and 4 @param padded whether it has exactly so many
 * @returns undefined in an encoding in which they are not counted here
 */
export function limitedText(typmod: number, padded: boolean, encoding: string): ValueCheck | undefined {
  if (typmod < VARHDRSZ) return anyText;
  const most = typmod - VARHDRSZ;
  if (encoding === 'UTF8') return unbounded(() => new Utf8(most, padded));
  return SINGLE_BYTE.test(encoding) ? unbounded(() => new SingleBytes(most, padded)) : undefined;
}
