/**
 * Lengths and display widths of characters in the encodings that a connection can have. Only for placing the caret under
 * an error position: data are never decoded.
 */

/** Length in bytes of the character at an offset, and how many screen columns it takes. */
export interface CharacterSize {
  readonly bytes: number;
  readonly columns: number;
}

type Measure = (text: Uint8Array, offset: number) => CharacterSize;

/** Code points of two columns (Unicode 14, East Asian Width W and F), as ranges in hexadecimal. */
const WIDE_CODE_POINTS =
  '1100-115f 231a-231b 2329-232a 23e9-23ec 23f0 23f3 25fd-25fe 2614-2615 2648-2653 267f 2693 26a1 ' +
  '26aa-26ab 26bd-26be 26c4-26c5 26ce 26d4 26ea 26f2-26f3 26f5 26fa 26fd 2705 270a-270b 2728 274c 274e ' +
  '2753-2755 2757 2795-2797 27b0 27bf 2b1b-2b1c 2b50 2b55 2e80-2e99 2e9b-2ef3 2f00-2fd5 2ff0-2ffb ' +
  '3000-3029 302e-303e 3041-3096 309b-30ff 3105-312f 3131-318e 3190-31e3 31f0-321e 3220-3247 3250-4dbf ' +
  '4e00-a48c a490-a4c6 a960-a97c ac00-d7a3 f900-faff fe10-fe19 fe30-fe52 fe54-fe66 fe68-fe6b ff01-ff60 ' +
  'ffe0-ffe6 16fe0-16fe3 16ff0-16ff1 17000-187f7 18800-18cd5 18d00-18d08 1aff0-1aff3 1aff5-1affb ' +
  '1affd-1affe 1b000-1b122 1b150-1b152 1b164-1b167 1b170-1b2fb 1f004 1f0cf 1f18e 1f191-1f19a ' +
  '1f200-1f202 1f210-1f23b 1f240-1f248 1f250-1f251 1f260-1f265 1f300-1f320 1f32d-1f335 1f337-1f37c ' +
  '1f37e-1f393 1f3a0-1f3ca 1f3cf-1f3d3 1f3e0-1f3f0 1f3f4 1f3f8-1f43e 1f440 1f442-1f4fc 1f4ff-1f53d ' +
  '1f54b-1f54e 1f550-1f567 1f57a 1f595-1f596 1f5a4 1f5fb-1f64f 1f680-1f6c5 1f6cc 1f6d0-1f6d2 ' +
  '1f6d5-1f6d7 1f6dd-1f6df 1f6eb-1f6ec 1f6f4-1f6fc 1f7e0-1f7eb 1f7f0 1f90c-1f93a 1f93c-1f945 ' +
  '1f947-1f9ff 1fa70-1fa74 1fa78-1fa7c 1fa80-1fa86 1fa90-1faac 1fab0-1faba 1fac0-1fac5 1fad0-1fad9 ' +
  '1fae0-1fae7 1faf0-1faf6 20000-2fffd 30000-3fffd';

const WIDE: readonly (readonly [number, number])[] = WIDE_CODE_POINTS.split(' ').map((range) => {
  const [first = '', last = first] = range.split('-');
  return [Number.parseInt(first, 16), Number.parseInt(last, 16)];
});

function isWide(codePoint: number): boolean {
  let low = 0;
  let high = WIDE.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const [first, last] = WIDE[middle]!;
    if (codePoint > last) low = middle + 1;
    else if (codePoint < first) high = middle - 1;
    else return true;
  }
  return false;
}

const size = (bytes: number, columns: number): CharacterSize => ({ bytes, columns });
const ONE = size(1, 1);

function utf8(text: Uint8Array, offset: number): CharacterSize {
  const lead = text[offset]!;
  const at = (index: number): number => (text[offset + index] ?? 0) & 0x3f;
  if (lead < 0xc0 || lead >= 0xf8) return ONE;
  if (lead < 0xe0) return size(2, 1);
  const wide =
    lead < 0xf0
      ? isWide(((lead & 0x0f) << 12) | (at(1) << 6) | at(2))
      : isWide(((lead & 0x07) << 18) | (at(1) << 12) | (at(2) << 6) | at(3));
  return size(lead < 0xf0 ? 3 : 4, wide ? 2 : 1);
}

/** EUC encodings: two bytes with the high bit set, save after the single shifts SS2 (8E) and SS3 (8F). */
const euc =
  (shift2: CharacterSize, shift3: CharacterSize): Measure =>
  (text, offset) => {
    const lead = text[offset]!;
    if (lead < 0x80) return ONE;
    if (lead === 0x8e) return shift2;
    return lead === 0x8f ? shift3 : size(2, 2);
  };

const doubleByte: Measure = (text, offset) => (text[offset]! < 0x80 ? ONE : size(2, 2));

/** Shift JIS: A1 to DF are the half-width katakana. */
const shiftJis: Measure = (text, offset) => {
  const lead = text[offset]!;
  return lead < 0x80 || (lead >= 0xa1 && lead <= 0xdf) ? ONE : size(2, 2);
};

/** GB 18030: a digit as the second byte announces four. */
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
 * Measures the characters of an encoding.
 * @param encoding PostgreSQL's name as ParameterStatus client_encoding reports it; one that is not known is taken as
 *   having one byte for each character
 */
export const measureFor = (encoding: string): Measure => MEASURES[encoding.toUpperCase()] ?? SINGLE_BYTE;
