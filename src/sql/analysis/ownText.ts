import type { Statement } from '../index.js';

/**
 * Whether a statement asks PostgreSQL for its own text (current_query). That text changes when calls in the statement are
 * replaced. Only the bridge leaves the statement as it was sent.
 * @param text the whole text that the client sent
 */
export function asksForOwnText(text: Buffer, { span }: Statement): boolean {
  return /(?<![\w$])current_query"?\s*\(/i.test(text.toString('latin1', span.start, span.end));
}
