/** Longest identifier in bytes (NAMEDATALEN − 1). */
const MAX_NAME_BYTES = 63;

/**
 * Cuts a connection name as PostgreSQL cuts identifiers: to at most 63 bytes, between two characters of the database's
 * encoding (behaviour reference, section 2). In an encoding that is not listed below every byte counts as a character.
 * @param name byte string
 * @param databaseEncoding by PostgreSQL's name
 */
export function clipName(name: string, databaseEncoding: string): string {
  if (name.length <= MAX_NAME_BYTES) return name;
  const step = CHARACTER_LENGTH[databaseEncoding];
  if (step === undefined) return name.slice(0, MAX_NAME_BYTES);
  let end = 0;
  for (;;) {
    const next = end + step(name, end);
    if (next > MAX_NAME_BYTES) return name.slice(0, end);
    end = next;
  }
}

/** The length in bytes of the character that begins at an offset. */
type CharacterLength = (text: string, offset: number) => number;

const utf8: CharacterLength = (text, offset) => {
  const byte = text.charCodeAt(offset);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
};
/** EUC encodings: the byte SS2 (0x8E) begins a character of 2 bytes (EUC_TW: 4), SS3 (0x8F) one of 3 bytes. */
const euc =
  (ss2: number): CharacterLength =>
  (text, offset) => {
    const byte = text.charCodeAt(offset);
    return byte === 0x8e ? ss2 : byte === 0x8f ? 3 : byte >= 0x80 ? 2 : 1;
  };

/** Server encodings with characters of several bytes. */
const CHARACTER_LENGTH: Readonly<Record<string, CharacterLength>> = {
  UTF8: utf8,
  EUC_JP: euc(2),
  EUC_JIS_2004: euc(2),
  EUC_CN: euc(2),
  EUC_KR: euc(2),
  EUC_TW: euc(4),
};
