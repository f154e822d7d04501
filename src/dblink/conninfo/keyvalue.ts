import { type ByteString, isBlank } from './bytes.js';
import { conninfoError } from './error.js';
import { type OptionMap, storeKnownOption } from './options.js';

/**
 * Reads the key=value form (behaviour reference 10, "Keyword/value grammar"). Blanks separate pairs and may surround `=`.
 * A value is quoted with `'…'`, or ends at a blank. A backslash takes the next character literally, quoted or not. After
 * a closing quote the next keyword may follow at once.
 *
 * @throws ConninfoError in the order in which the mistakes stand in the string, as libpq finds them.
 */
export function parseKeyValue(text: ByteString): OptionMap {
  const options: OptionMap = new Map();
  let at = skipBlanks(text, 0);
  while (at < text.length) {
    const nameStart = at;
    while (at < text.length && text[at] !== '=' && !isBlank(text[at])) at++;
    const name = text.slice(nameStart, at);
    at = skipBlanks(text, at);
    if (text[at] !== '=') {
      throw conninfoError`missing "=" after "${name}" in connection info string`;
    }
    at = skipBlanks(text, at + 1);
    const value = text[at] === "'" ? readQuoted(text, at + 1) : readUnquoted(text, at);
    storeKnownOption(options, name, value.value);
    at = skipBlanks(text, value.end);
  }
  return options;
}

interface ReadValue {
  readonly value: ByteString;
  readonly end: number;
}

function readUnquoted(text: ByteString, start: number): ReadValue {
  let value = '';
  let at = start;
  while (at < text.length && !isBlank(text[at])) {
    // A backslash at the very end stands for nothing, as in libpq.
    if (text[at] === '\\') at++;
    const from = at++;
    while (at < text.length && text[at] !== '\\' && !isBlank(text[at])) at++;
    value += text.slice(from, at);
  }
  return { value, end: Math.min(at, text.length) };
}

function readQuoted(text: ByteString, start: number): ReadValue {
  let value = '';
  let at = start;
  while (text[at] !== "'") {
    if (text[at] === '\\') at++;
    if (at >= text.length) throw conninfoError`unterminated quoted string in connection info string`;
    const from = at++;
    while (at < text.length && text[at] !== '\\' && text[at] !== "'") at++;
    value += text.slice(from, at);
  }
  return { value, end: at + 1 };
}

function skipBlanks(text: ByteString, start: number): number {
  let at = start;
  while (isBlank(text[at])) at++;
  return at;
}
