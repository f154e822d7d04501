import { CATALOGUE } from '../../dblink/catalogue.js';
import { MARK, REQUEST_PREFIX, SERVICE_SCHEMA } from '../../primary/marks.js';
import { fieldBytes } from '../../wire/errors.js';
import { EXTENSION_MARK } from '../installed/objectQueries.js';
import { signatureOf } from '../installed/publicFunctions.js';
import { contentOf, findLine, lineFrom } from './contextLines.js';

/**
 * Notices that are not for the client. These are messages that could be requests, and what the server says at the levels LOG and
 * DEBUG about the bridge's own work. The latter show statements with their values (debug_print_plan, auto_explain), and so they
 * would show rows that the caller of a SECURITY DEFINER function is not to see. The extension has them in no statement.
 */

const PREFIX = Buffer.from(`${REQUEST_PREFIX}:`, 'latin1');
const NAME = Buffer.from('dblink', 'latin1');

/** What the server says when it is to make an extension that is there. */
const EXISTS = '42710';

/** Whether a notice is what the server says to the command that event triggers are shown for CREATE EXTENSION (extensionSql.ts). */
export function isSkipping(message: Buffer): boolean {
  if (fieldBytes(message, 'sqlstate')?.toString('latin1') !== EXISTS) return false;
  const context = fieldBytes(message, 'context')?.toString('latin1') ?? '';
  return contentOf(context, lineFrom(context, 0)).includes(EXTENSION_MARK);
}

/** Whether a notice may be a request. Its head is enough to tell: the prefix comes before whatever can be long. */
export const mayBeRequest = (head: Buffer): boolean => head.includes(PREFIX);

/** A severity of LOG or DEBUG. It is in the first field, or in the second one where the server translates the first. */
const OF_THE_SERVER = /(?:^|\0)[SV](?:LOG|DEBUG[1-5]?)\0/;
/** How much of a message is searched for the severity. */
const SEVERITY_BYTES = 100;
const HEADER_BYTES = 5;
/** Of how many lines it is asked whether they are the innermost function's frame. A notice with more of them counts as the bridge's. */
const MAX_LINES = 500;

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
  const bytes = fieldBytes(message, 'context');
  if (bytes === undefined || !bytes.includes(NAME)) return false;
  const context = bytes.toString('latin1');
  // Whatever is in front of the innermost function's frame was done by that function.
  const marked = context.indexOf(`/*${MARK}`);
  let lines = 0;
  const frame = findLine(context, 'PL/pgSQL', 0, (line) => ++lines > MAX_LINES || !QUOTES.test(line));
  if (frame === undefined) return marked >= 0;
  return (
    lines > MAX_LINES || (marked >= 0 && marked < frame.end) || OWN_FRAME.test(contentOf(context, frame))
  );
}
