import { CATALOGUE } from '../../dblink/catalogue.js';
import { MARK, REQUEST_PREFIX, SERVICE_SCHEMA } from '../../primary/marks.js';
import { parseFields } from '../../wire/errors.js';
import { signatureOf } from '../installed/publicFunctions.js';

/**
 * Notices that are not for the client: what could be a request, and what the server says of the bridge's own doings at the levels
 * LOG and DEBUG. Those show statements with their values (debug_print_plan, auto_explain), so rows that the caller of a SECURITY
 * DEFINER function is not to see; the extension has them in no statement.
 */

const PREFIX = Buffer.from(`${REQUEST_PREFIX}:`, 'latin1');
const NAME = Buffer.from('dblink', 'latin1');

/** Whether a notice may be a request, judged by its head: the message comes before what can be long. */
export const mayBeRequest = (head: Buffer): boolean => head.includes(PREFIX);

/** The severity is the first field, or the second in a server that translates it. */
const OF_THE_SERVER = /(?:^|\0)[SV](?:LOG|DEBUG[1-5]?)\0/;
const SEVERITY_BYTES = 100;
const HEADER_BYTES = 5;

/** The frame of a function of the bridge. */
const OWN_FRAME = new RegExp(
  `${SERVICE_SCHEMA}\\.|\\b(?:${CATALOGUE.map((overload) => signatureOf(overload).replace(/[()[\]]/g, '\\$&')).join('|')})`,
);

/** What the server puts around the text of a statement, which a frame does not have. */
const QUOTES = /["\u00ab\u00bb\u201e\u201c]/;

/** @param cut only the head of one that is too long to be looked at whole */
export function showsBridge(message: Buffer, cut: boolean): boolean {
  const severity = message.toString('latin1', HEADER_BYTES, HEADER_BYTES + SEVERITY_BYTES);
  if (!OF_THE_SERVER.test(severity)) return false;
  if (cut) return true;
  if (!message.includes(NAME)) return false;
  const { context = '' } = parseFields(message);
  // Whatever is in front of the innermost function's frame, that function did.
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
