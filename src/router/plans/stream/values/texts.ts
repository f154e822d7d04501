import type { ValueCheck } from '../../../../dblink/remote/rowGate.js';
import { isHexDigit, MINUS_SIGN, ZERO } from './ascii.js';

const T = 0x74;
const F = 0x66;

export const bool: ValueCheck = (bytes, start, end) =>
  end - start === 1 && (bytes[start] === T || bytes[start] === F);

const UUID_LENGTH = 36;
const DASHES: ReadonlySet<number> = new Set([8, 13, 18, 23]);

export const uuid: ValueCheck = (bytes, start, end) => {
  if (end - start !== UUID_LENGTH) return false;
  for (let i = 0; i < UUID_LENGTH; i++) {
    const byte = bytes[start + i]!;
    if (DASHES.has(i) ? byte !== MINUS_SIGN : !isHexDigit(byte) || (byte >= 0x41 && byte <= 0x46))
      return false;
  }
  return true;
};

/** A string of bits. @param typmod how many, -1 for any number @param varying whether fewer will do */
export const bits =
  (typmod: number, varying: boolean): ValueCheck =>
  (bytes, start, end) => {
    for (let at = start; at < end; at++) if ((bytes[at]! | 1) !== (ZERO | 1)) return false;
    return typmod < 0 || (varying ? end - start <= typmod : end - start === typmod);
  };

/** Any text: the input functions of these types change nothing. */
export const anyText: ValueCheck = () => true;

const VARHDRSZ = 4;
/** The longest character of any encoding, in bytes. */
const MAX_CHARACTER_BYTES = 4;

/** Text of limited length. @param typmod the number of characters, and 4 @param padded whether it has exactly so many @param utf8 the encoding */
export function limitedText(typmod: number, padded: boolean, utf8: boolean): ValueCheck {
  if (typmod < VARHDRSZ) return anyText;
  const most = typmod - VARHDRSZ;
  return (bytes, start, end) => {
    const length = end - start;
    // In other encodings where a character begins is not known here; so many bytes can be so many characters.
    if (!utf8) return length <= most * MAX_CHARACTER_BYTES && (!padded || length >= most);
    if (length > most * MAX_CHARACTER_BYTES) return false;
    let characters = 0;
    for (let at = start; at < end; at++) if ((bytes[at]! & 0xc0) !== 0x80) characters++;
    return padded ? characters === most : characters <= most;
  };
}
