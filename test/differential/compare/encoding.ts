/**
 * The client encodings of the matrix. A case is written in Unicode; each session sends it in its own encoding and skips
 * it if it cannot be written there. Answers are compared as bytes, decoded only for display.
 */
export type ClientEncoding = 'UTF8' | 'LATIN1' | 'EUC_JP';

/** What `{text}` in a case stands for: something beyond ASCII that the encoding can express. */
export const SAMPLE_TEXT: Readonly<Record<ClientEncoding, string>> = {
  UTF8: 'é€日本\u{1F600}',
  LATIN1: 'éÿß½',
  EUC_JP: '日本語テキスト',
};

let eucJp: Map<string, Buffer> | undefined;

/** Node decodes EUC-JP but does not encode it: the table is made by decoding every character there is. */
function eucJpTable(): Map<string, Buffer> {
  const decoder = new TextDecoder('euc-jp', { fatal: true });
  const table = new Map<string, Buffer>();
  for (let high = 0xa1; high <= 0xfe; high += 1) {
    for (let low = 0xa1; low <= 0xfe; low += 1) {
      const bytes = Buffer.from([high, low]);
      try {
        const character = decoder.decode(bytes);
        if (!table.has(character)) table.set(character, bytes);
      } catch {
        // Not assigned.
      }
    }
  }
  return table;
}

/** Bytes of `text` in an encoding, or undefined if it has a character that is not in there. */
export function encode(text: string, encoding: ClientEncoding): Buffer | undefined {
  if (encoding === 'UTF8') return Buffer.from(text);
  const parts: Buffer[] = [];
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    if (code < 0x80 || (encoding === 'LATIN1' && code < 0x100)) {
      parts.push(Buffer.from([code]));
    } else {
      if (encoding === 'EUC_JP') eucJp ??= eucJpTable();
      const bytes = encoding === 'EUC_JP' ? eucJp?.get(character) : undefined;
      if (bytes === undefined) return undefined;
      parts.push(bytes);
    }
  }
  return Buffer.concat(parts);
}

const DECODER_LABELS: Readonly<Record<ClientEncoding, string>> = {
  UTF8: 'utf-8',
  LATIN1: 'latin1',
  EUC_JP: 'euc-jp',
};

/** For people to read: control characters and undecodable bytes are escaped. */
export function display(latin1: string, encoding: ClientEncoding): string {
  let text: string;
  try {
    text = new TextDecoder(DECODER_LABELS[encoding], { fatal: true }).decode(Buffer.from(latin1, 'latin1'));
  } catch {
    text = latin1.replace(/[\x80-\xff]/g, (c) => `\\x${c.charCodeAt(0).toString(16)}`);
  }
  return text.replace(/[\x00-\x1f\x7f]/g, (c) =>
    c === '\n' ? '\\n' : c === '\t' ? '\\t' : `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}
