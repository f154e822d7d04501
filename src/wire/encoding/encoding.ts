/** What the proxy has to know about PostgreSQL's character encodings. Names are PostgreSQL's own. */

/**
 * Client encodings in which a byte below 0x80 can be part of a longer character. Text in these encodings cannot be parsed byte
 * by byte.
 */
const UNSAFE: ReadonlySet<string> = new Set([
  'SJIS',
  'BIG5',
  'GBK',
  'UHC',
  'GB18030',
  'JOHAB',
  'SHIFT_JIS_2004',
]);

/** Whether every byte below 0x80 in this encoding is the ASCII character of that number. */
export const isAsciiSafe = (encoding: string): boolean => !UNSAFE.has(encoding);

/** Whether the bytes are all ASCII. */
export function isAscii(bytes: Buffer): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i]! >= 0x80) return false;
  return true;
}

type Counter = (bytes: Buffer) => number;

const countBytes: Counter = (bytes) => bytes.length;

const countUtf8: Counter = (bytes) => {
  let count = 0;
  for (let i = 0; i < bytes.length; i++) if ((bytes[i]! & 0xc0) !== 0x80) count++;
  return count;
};

const countEuc =
  (ss2Length: number): Counter =>
  (bytes) => {
    let count = 0;
    for (let i = 0; i < bytes.length; count++) {
      const byte = bytes[i]!;
      i += byte === 0x8e ? ss2Length : byte === 0x8f ? 3 : byte >= 0x80 ? 2 : 1;
    }
    return count;
  };

const COUNTERS: Readonly<Record<string, Counter>> = {
  UTF8: countUtf8,
  EUC_JP: countEuc(2),
  EUC_JIS_2004: countEuc(2),
  EUC_CN: countEuc(2),
  EUC_KR: countEuc(2),
  EUC_TW: countEuc(4),
};

/** A function that counts the characters in text of this encoding. In an unknown encoding it counts bytes. */
export const byteCounter = (encoding: string): Counter => COUNTERS[encoding] ?? countBytes;
