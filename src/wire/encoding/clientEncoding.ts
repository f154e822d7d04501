import { isWide } from './wideCharacters.js';

/**
 * Lengths and display widths of characters in the encodings that a connection can have. They only serve to place the caret
 * under an error position. Data are never decoded.
 */

/** Length in bytes of the character at an offset, and how many screen columns it takes. */
export interface CharacterSize {
  readonly bytes: number;
  readonly columns: number;
}

type Measure = (text: Uint8Array, offset: number, major: number) => CharacterSize;

const size = (bytes: number, columns: number): CharacterSize => ({ bytes, columns });
const ONE = size(1, 1);

function utf8(text: Uint8Array, offset: number, major: number): CharacterSize {
  const lead = text[offset]!;
  const at = (index: number): number => (text[offset + index] ?? 0) & 0x3f;
  if (lead < 0xc0 || lead >= 0xf8) return ONE;
  if (lead < 0xe0) return size(2, 1);
  const wide =
    lead < 0xf0
      ? isWide(((lead & 0x0f) << 12) | (at(1) << 6) | at(2), major)
      : isWide(((lead & 0x07) << 18) | (at(1) << 12) | (at(2) << 6) | at(3), major);
  return size(lead < 0xf0 ? 3 : 4, wide ? 2 : 1);
}

/** EUC encodings: a first byte with the high bit set begins two bytes, except the single shifts SS2 (8E) and SS3 (8F). */
const euc =
  (shift2: CharacterSize, shift3: CharacterSize): Measure =>
  (text, offset) => {
    const lead = text[offset]!;
    if (lead < 0x80) return ONE;
    if (lead === 0x8e) return shift2;
    return lead === 0x8f ? shift3 : size(2, 2);
  };

const doubleByte: Measure = (text, offset) => (text[offset]! < 0x80 ? ONE : size(2, 2));

/** Shift JIS: A1 to DF are the half-width katakana, one byte and one column each. */
const shiftJis: Measure = (text, offset) => {
  const lead = text[offset]!;
  return lead < 0x80 || (lead >= 0xa1 && lead <= 0xdf) ? ONE : size(2, 2);
};

/** GB 18030: a digit as the second byte means a character of four bytes. */
const gb18030: Measure = (text, offset) => {
  if (text[offset]! < 0x80) return ONE;
  const second = text[offset + 1] ?? 0;
  return size(second >= 0x30 && second <= 0x39 ? 4 : 2, 2);
};

const mule: Measure = (text, offset) => {
  const lead = text[offset]!;
  if (lead >= 0x81 && lead <= 0x8d) return size(2, 1);
  if (lead >= 0x90 && lead <= 0x99) return size(3, 2);
  if (lead === 0x9a || lead === 0x9b) return size(3, 1);
  return lead === 0x9c || lead === 0x9d ? size(4, 2) : ONE;
};

const MEASURES: Readonly<Record<string, Measure>> = {
  UTF8: utf8,
  EUC_JP: euc(size(2, 1), size(3, 2)),
  EUC_JIS_2004: euc(size(2, 1), size(3, 2)),
  EUC_CN: euc(size(3, 2), size(3, 2)),
  EUC_KR: euc(size(2, 2), size(3, 2)),
  JOHAB: euc(size(2, 2), size(3, 2)),
  EUC_TW: euc(size(4, 2), size(3, 2)),
  SJIS: shiftJis,
  SHIFT_JIS_2004: shiftJis,
  BIG5: doubleByte,
  GBK: doubleByte,
  UHC: doubleByte,
  GB18030: gb18030,
  MULE_INTERNAL: mule,
};

const SINGLE_BYTE: Measure = () => ONE;

/**
 * The function that measures the characters of an encoding.
 * @param encoding PostgreSQL's name, as ParameterStatus reports it for client_encoding. An unknown encoding is taken to have
 *   one byte for each character.
 */
export const measureFor = (encoding: string): Measure => MEASURES[encoding.toUpperCase()] ?? SINGLE_BYTE;
