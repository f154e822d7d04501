/**
 * How far a search for `dblink` may move on, by the byte that lies under the word's last letter (Horspool's algorithm).
 * Upper and lower case are alike. 6: the byte is not in the word. 0: it is the last letter.
 */
const SKIP = new Uint8Array(256).fill(6);
for (const [i, letter] of [...'dblin'].entries()) {
  SKIP[letter.charCodeAt(0)] = 5 - i;
  SKIP[letter.toUpperCase().charCodeAt(0)] = 5 - i;
}
SKIP['k'.charCodeAt(0)] = 0;
SKIP['K'.charCodeAt(0)] = 0;

/**
 * Whether bytes hold the ASCII letters `dblink` in any case. This is the only inspection that ordinary traffic gets. It
 * neither decodes nor allocates, and it looks at one byte in six.
 * @param start offset to begin at
 */
export function containsDblink(bytes: Buffer, start: number): boolean {
  const { length } = bytes;
  let at = start + 5;
  while (at < length) {
    const skip = SKIP[bytes[at]!]!;
    if (skip > 0) {
      at += skip;
    } else if (
      (bytes[at - 1]! | 0x20) === 0x6e &&
      (bytes[at - 2]! | 0x20) === 0x69 &&
      (bytes[at - 3]! | 0x20) === 0x6c &&
      (bytes[at - 4]! | 0x20) === 0x62 &&
      (bytes[at - 5]! | 0x20) === 0x64
    ) {
      return true;
    } else {
      at += 6;
    }
  }
  return false;
}
