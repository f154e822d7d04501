import iconv from 'iconv-lite';
import { isAscii } from './encoding.js';

/** What the conversion library calls PostgreSQL's encodings, where more than case and underscores differ. */
const LIBRARY_NAMES: Readonly<Record<string, string>> = {
  LATIN1: 'iso88591',
  LATIN2: 'iso88592',
  LATIN3: 'iso88593',
  LATIN4: 'iso88594',
  LATIN5: 'iso88599',
  LATIN6: 'iso885910',
  LATIN7: 'iso885913',
  LATIN8: 'iso885914',
  LATIN9: 'iso885915',
  LATIN10: 'iso885916',
  ISO_8859_5: 'iso88595',
  ISO_8859_6: 'iso88596',
  ISO_8859_7: 'iso88597',
  ISO_8859_8: 'iso88598',
  WIN866: 'cp866',
  WIN874: 'windows874',
  UHC: 'cp949',
  EUC_CN: 'gbk',
};

const libraryName = (encoding: string): string =>
  LIBRARY_NAMES[encoding] ??
  encoding
    .toLowerCase()
    .replace(/^win(?=125)/, 'windows')
    .replace(/_/g, '');

/** A character that the target encoding lacks. */
export class Untranslatable {
  /** @param bytes of the character in the source encoding */
  constructor(readonly bytes: Buffer) {}
}

/**
 * Converts the text of a message to another encoding. Text stays as it is if one of the encodings is not known or is
 * SQL_ASCII, which is no encoding.
 * @param text byte string in the encoding `from`
 * @returns byte string in the encoding `to`, or the first character that it lacks
 */
export function transcode(text: string, from: string, to: string): string | Untranslatable {
  if (from === to || from === 'SQL_ASCII' || to === 'SQL_ASCII') return text;
  const bytes = Buffer.from(text, 'latin1');
  if (isAscii(bytes)) return text;
  const [source, target] = [libraryName(from), libraryName(to)];
  if (!iconv.encodingExists(source) || !iconv.encodingExists(target)) return text;
  const characters = iconv.decode(bytes, source);
  const encoded = iconv.encode(characters, target);
  if (iconv.decode(encoded, target) === characters) return encoded.toString('latin1');
  const lacking = [...characters].find((c) => iconv.decode(iconv.encode(c, target), target) !== c);
  return lacking === undefined
    ? encoded.toString('latin1')
    : new Untranslatable(iconv.encode(lacking, source));
}

/** A name as text; one that cannot be read stays as its bytes are. @param name byte string in an encoding of PostgreSQL's */
export function asText(name: string, encoding: string): string {
  const changed = transcode(name, encoding, 'UTF8');
  return typeof changed === 'string' ? Buffer.from(changed, 'latin1').toString('utf8') : name;
}
