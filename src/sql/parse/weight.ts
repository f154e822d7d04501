/** How much work a text is for the parser and for what reads its syntax tree: length alone does not tell. */

/** Longer texts are copied and scanned for milliseconds, whatever is in them. */
const MAX_BYTES = 128 * 1024;
/** A text of so many tokens is parsed and read in a few milliseconds. */
const MAX_TOKENS = 1000;
/** For each comment the parser's scanner takes time that grows with the text. */
const MAX_COMMENTS = 16;
/** Each call is read with all of its arguments, and compared with the others. */
const MAX_CALLS = 16;

const WORD = new Uint8Array(256);
for (let i = 0; i < 256; i++) if (i >= 0x80 || /\w/.test(String.fromCharCode(i))) WORD[i] = 1;

const QUOTE = 0x27;
const DOUBLE_QUOTE = 0x22;
const DOLLAR = 0x24;
const BACKSLASH = 0x5c;
const BLANK = 0x20;
const CALL = Buffer.from('dblink', 'latin1');

/** How often a word is in a text. Counting stops when there is one more than `most`. */
function count(text: Buffer, word: Buffer | string, most: number): number {
  let found = 0;
  for (let at = text.indexOf(word); at >= 0 && found <= most; at = text.indexOf(word, at + word.length))
    found++;
  return found;
}

const isDigit = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x30 && byte <= 0x39;

/** Whether a quotation mark may be something else than the beginning or end of a literal or a name. */
function hasOtherQuotes(text: Buffer): boolean {
  if (text.includes(BACKSLASH)) return true;
  for (let at = text.indexOf(DOLLAR); at >= 0; at = text.indexOf(DOLLAR, at + 1)) {
    if (!isDigit(text[at + 1])) return true;
  }
  return false;
}

/** Whether a text is parsed and read in a few milliseconds, so that everybody else can wait for that. */
export function isLight(text: Buffer): boolean {
  if (text.length > MAX_BYTES) return false;
  const comments = count(text, '--', MAX_COMMENTS) + count(text, '/*', MAX_COMMENTS);
  if (comments > MAX_COMMENTS || count(text, CALL, MAX_CALLS) > MAX_CALLS) return false;
  // What is inside literals is left out of the count, but only where it is certain what is inside.
  const skipsLiterals = comments === 0 && !hasOtherQuotes(text);
  let tokens = 0;
  for (let i = 0; i < text.length && tokens <= MAX_TOKENS; i++) {
    const byte = text[i]!;
    if (skipsLiterals && (byte === QUOTE || byte === DOUBLE_QUOTE)) {
      tokens++;
      const end = text.indexOf(byte, i + 1);
      if (end < 0) break;
      i = end;
    } else if (WORD[byte] === 1) {
      tokens++;
      while (i + 1 < text.length && WORD[text[i + 1]!] === 1) i++;
    } else if (byte > BLANK) tokens++;
  }
  return tokens <= MAX_TOKENS;
}
