/** What is searched for: words of six letters, in lower case. */
const WORDS = ['dblink', '_exten'];
const LENGTH = 6;

/** A letter in lower case, any other byte as it is. */
const FOLDED = new Uint8Array(256);
for (let byte = 0; byte < 256; byte++) FOLDED[byte] = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;

/**
 * How far the search may move on, by the byte that lies under the words' last letter (Horspool's algorithm, for several words). 0: it
 * is the last letter of one.
 */
const SKIP = new Uint8Array(256).fill(LENGTH);
/** How far behind a last letter where no word ended. */
const BEHIND = new Uint8Array(256).fill(LENGTH);
const LETTERS = WORDS.map((word) => Buffer.from(word, 'latin1'));
for (const letters of LETTERS) {
  for (const [i, letter] of [...letters.subarray(0, -1)].entries())
    BEHIND[letter] = Math.min(BEHIND[letter]!, LENGTH - 1 - i);
}
for (let byte = 0; byte < 256; byte++) SKIP[byte] = BEHIND[FOLDED[byte]!]!;
for (const letters of LETTERS) {
  const last = letters.at(-1)!;
  for (let byte = 0; byte < 256; byte++) if (FOLDED[byte] === last) SKIP[byte] = 0;
}

function endsAt(bytes: Buffer, at: number, letters: Buffer): boolean {
  for (let i = 0; i < LENGTH; i++) if (FOLDED[bytes[at - i]!] !== letters[LENGTH - 1 - i]) return false;
  return true;
}

/**
 * Whether bytes hold `dblink`, or `_exten` as in pg_extension, in upper or lower case. This is the only inspection that ordinary
 * traffic gets. It neither decodes nor allocates, and it looks at one byte of several.
 * @param start offset to begin at
 */
export function mayConcernDblink(bytes: Buffer, start: number): boolean {
  const { length } = bytes;
  let at = start + LENGTH - 1;
  while (at < length) {
    const skip = SKIP[bytes[at]!]!;
    if (skip > 0) at += skip;
    else if (endsAt(bytes, at, LETTERS[0]!) || endsAt(bytes, at, LETTERS[1]!)) return true;
    else at += BEHIND[FOLDED[bytes[at]!]!]!;
  }
  return false;
}
