/** Longest identifier in bytes (NAMEDATALEN − 1). */
const MAX_NAME_BYTES = 63;

/**
 * A connection name cut as PostgreSQL cuts identifiers: to 63 bytes, at a character boundary of the database's encoding
 * (behaviour reference, section 2).
 * @param name byte string
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

type CharacterLength = (text: string, offset: number) => number;

const utf8: CharacterLength = (text, offset) => {
  const byte = text.charCodeAt(offset);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
};
/** EUC encodings: SS2 and SS3 introduce characters of 2 (EUC_TW: 4) and 3 bytes. */
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
