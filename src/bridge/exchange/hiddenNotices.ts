import { CATALOGUE } from '../../dblink/catalogue.js';
import { MARK, REQUEST_PREFIX, SERVICE_SCHEMA } from '../../primary/marks.js';
import { parseFields } from '../../wire/errors.js';
import { signatureOf } from '../installed/publicFunctions.js';

/**
 * Notices that are not for the client. These are messages that could be requests, and what the server says at the levels LOG and
 * DEBUG about the bridge's own work. The latter show statements with their values (debug_print_plan, auto_explain), and so they
 * would show rows that the caller of a SECURITY DEFINER function is not to see. The extension has them in no statement.
 */

const PREFIX = Buffer.from(`${REQUEST_PREFIX}:`, 'latin1');
const NAME = Buffer.from('dblink', 'latin1');

/** Whether a notice may be a request. Its head is enough to tell: the prefix comes before whatever can be long. */
export const mayBeRequest = (head: Buffer): boolean => head.includes(PREFIX);

/** A severity of LOG or DEBUG. It is in the first field, or in the second one where the server translates the first. */
const OF_THE_SERVER = /(?:^|\0)[SV](?:LOG|DEBUG[1-5]?)\0/;
/** How much of a message is searched for the severity. */
const SEVERITY_BYTES = 100;
const HEADER_BYTES = 5;

/** The frame of a function of the bridge. */
const OWN_FRAME = new RegExp(
  `${SERVICE_SCHEMA}\\.|\\b(?:${CATALOGUE.map((overload) => signatureOf(overload).replace(/[()[\]]/g, '\\$&')).join('|')})`,
);

/** Quotation marks of several languages. The server puts them around the text of a statement; a frame has none. */
const QUOTES = /["\u00ab\u00bb\u201e\u201c]/;

/**
 * Whether a notice is about the bridge's own work, at a level of LOG or DEBUG.
 * @param cut it is only the head of a notice that is too long to be looked at whole: every LOG or DEBUG counts then
 */
export function showsBridge(message: Buffer, cut: boolean): boolean {
  const severity = message.toString('latin1', HEADER_BYTES, HEADER_BYTES + SEVERITY_BYTES);
  if (!OF_THE_SERVER.test(severity)) return false;
  if (cut) return true;
  if (!message.includes(NAME)) return false;
  const { context = '' } = parseFields(message);
  // Whatever is in front of the innermost function's frame was done by that function.
  for (let start = 0; start < context.length; ) {
    const newline = context.indexOf('\n', start);
    const end = newline < 0 ? context.length : newline;
    const line = context.slice(start, end);
    if (line.includes(`/*${MARK}`)) return true;
    if (line.includes('PL/pgSQL') && !QUOTES.test(line)) return OWN_FRAME.test(line);
    start = end + 1;
  }
  return false;
}
