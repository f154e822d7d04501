import type { CodePointSet } from '../encoding/codePoints.js';
import {
  LEFT_TO_RIGHT,
  MAPPED_TO_NOTHING,
  NON_ASCII_SPACE,
  PROHIBITED,
  RIGHT_TO_LEFT,
  UNASSIGNED,
} from './saslprepTables.js';

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decode(password: Buffer): string | undefined {
  try {
    return decoder.decode(password);
  } catch {
    return undefined;
  }
}

/**
 * A password in the form that SCRAM hashes. It is normalised by SASLprep (RFC 4013) if it is valid UTF-8 and SASLprep allows
 * it. Otherwise its bytes are used as they are. PostgreSQL's servers and clients do the same, so that passwords in other
 * encodings work. A pure ASCII password is never changed, even with control characters in it.
 */
export function saslprep(password: Buffer): Buffer {
  if (password.every((byte) => byte < 0x80)) return password;
  const text = decode(password);
  if (text === undefined) return password;

  // Section 2.1, mapping.
  let mapped = '';
  for (const character of text) {
    const codePoint = character.codePointAt(0)!;
    if (NON_ASCII_SPACE.has(codePoint)) mapped += ' ';
    else if (!MAPPED_TO_NOTHING.has(codePoint)) mapped += character;
  }
  // Section 2.2, normalisation.
  const output = mapped.normalize('NFKC');
  const codePoints = Array.from(output, (character) => character.codePointAt(0)!);
  const some = (set: CodePointSet): boolean => codePoints.some((codePoint) => set.has(codePoint));
  // Sections 2.3 to 2.5: prohibited output, bidirectional characters, unassigned code points.
  if (codePoints.length === 0 || some(PROHIBITED) || some(UNASSIGNED)) return password;
  if (some(RIGHT_TO_LEFT)) {
    const ends = RIGHT_TO_LEFT.has(codePoints[0]!) && RIGHT_TO_LEFT.has(codePoints.at(-1)!);
    if (!ends || some(LEFT_TO_RIGHT)) return password;
  }
  return Buffer.from(output, 'utf8');
}
