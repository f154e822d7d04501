/** Reads SQL text only so far as to know what no literal begins in. */

const DOUBLE_QUOTE = 0x22;
const DOLLAR = 0x24;
const DASH = 0x2d;
const SLASH = 0x2f;
const STAR = 0x2a;
const LINE_FEED = 0x0a;
const RETURN = 0x0d;

/** Bytes of a name: letters, digits, underscore, and all beyond ASCII. */
const WORD = new Uint8Array(256);
for (let i = 0; i < 256; i++) if (i >= 0x80 || /\w/.test(String.fromCharCode(i))) WORD[i] = 1;

/** Whether a byte can be part of a name, without the dollar sign. */
export const isNameByte = (byte: number | undefined): boolean => byte !== undefined && WORD[byte] === 1;
const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39;

/**
 * Passes over a comment, a quoted name or a dollar-quoted string: no literal begins inside of these.
 * @param at where one of them may begin
 * @returns where it ends; `at` if none begins there; undefined if it has no end
 */
export function passOver(text: Buffer, at: number): number | undefined {
  switch (text[at]) {
    case SLASH:
      return text[at + 1] === STAR ? endOfComment(text, at) : at;
    case DASH:
      return text[at + 1] === DASH ? endOfLine(text, at) : at;
    case DOUBLE_QUOTE: {
      // A doubled quotation mark in a name needs no care: here it ends one name and begins another.
      const end = text.indexOf(DOUBLE_QUOTE, at + 1);
      return end < 0 ? undefined : end + 1;
    }
    case DOLLAR:
      return dollarQuoted(text, at)?.end;
    default:
      return at;
  }
}

function endOfLine(text: Buffer, at: number): number {
  let end = at;
  while (end < text.length && text[end] !== LINE_FEED && text[end] !== RETURN) end++;
  return end;
}

/**
 * Reads a dollar-quoted string.
 * @param at where it may begin
 * @returns where its content begins and where it ends, both `at` if none begins there; undefined if it has no end
 */
export function dollarQuoted(
  text: Buffer,
  at: number,
): { readonly content: number; readonly end: number } | undefined {
  const none = { content: at, end: at };
  if (isNameByte(text[at - 1]) || text[at - 1] === DOLLAR) return none;
  let end = at + 1;
  if (end < text.length && isDigit(text[end]!)) return none;
  while (isNameByte(text[end])) end++;
  if (text[end] !== DOLLAR) return none;
  const tag = text.subarray(at, end + 1);
  const close = text.indexOf(tag, end + 1);
  return close < 0 ? undefined : { content: end + 1, end: close + tag.length };
}

/** Comments nest. */
function endOfComment(text: Buffer, at: number): number | undefined {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    if (text[i] === SLASH && text[i + 1] === STAR) {
      depth++;
      i++;
    } else if (text[i] === STAR && text[i + 1] === SLASH) {
      i++;
      if (--depth === 0) return i + 1;
    }
  }
  return undefined;
}
