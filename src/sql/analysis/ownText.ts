import type { Statement } from '../index.js';

/**
 * Whether a statement asks PostgreSQL for its own text, which is another one once calls in it have been replaced: only the
 * bridge leaves it as it was sent.
 * @param text the client's
 */
export function asksForOwnText(text: Buffer, { span }: Statement): boolean {
  return /(?<![\w$])current_query"?\s*\(/i.test(text.toString('latin1', span.start, span.end));
}
