import { CATALOGUE } from '../../dblink/catalogue.js';
import { PgError, parseFields } from '../../wire/errors.js';
import { MARK, SERVICE_SCHEMA } from './identifiers.js';
import { LOCAL_FUNCTIONS } from './localFunctions.js';
import { signatureOf } from './publicFunctions.js';

/**
 * The CONTEXT of an error or notice names, innermost first, what the server was doing. What the bridge's functions do
 * there is replaced by what the extension would say: the context lines of dblink itself, or nothing.
 */

const MARK_BYTES = Buffer.from(MARK, 'latin1');
/** In the names of the schema and of every function whose frame shows. */
const NAME_BYTES = Buffer.from('dblink_', 'latin1');
/** Where PL/pgSQL raises what a function tells it to. */
const RAISE_ROUTINE = 'exec_stmt_raise';

/**
 * tell()'s own frame, the statement that ran it with the lines in its comment, and the frame of the public function, or of
 * the two that stand for it in a select list.
 */
const TOLD = new RegExp(
  `(?:^|(?<=\\n))[^\\n]*dblink_proxy\\.tell\\(text\\[\\]\\)[^\\n]*\\n[^\\n]*/\\*${MARK} ([0-9a-f]*)\\*/[^\\n]*\\n(?:[^\\n]*dblink_proxy\\.listed\\([^\\n]*\\n)?[^\\n]*(?:\\n|$)`,
  'g',
);
/** A statement of a public function, whatever type names it contains, and the function's frame. */
const READING = new RegExp(
  `(?:^|(?<=\\n))[^\\n]*/\\*${MARK}\\*/(?:(?!/\\*${MARK}\\*/)[^])*/\\*${MARK}\\*/[^\\n]*\\n[^\\n]*(?:\\n|$)`,
  'g',
);
/** A statement of a function of the service schema; the function's frame is left for ASKED. */
const WITHIN = new RegExp(
  `(?:^|(?<=\\n))[^\\n]*/\\*${MARK}\\*/(?:(?!/\\*${MARK}\\*/)[^])*/\\*${MARK}\\*/[^\\n]*\\n(?=[^\\n]*dblink_proxy\\.)`,
  'g',
);
/** What was asked, and the frame of the public function. */
const ASKED =
  /(?:^|(?<=\n))[^\n]*dblink_proxy\.[a-z_]+\([^\n]*\n(?:[^\n]*dblink_proxy\.[^\n]*\n)*[^\n]*(?:\n|$)/g;
/**
 * Before PostgreSQL 14 a statement whose rows a function returns has no line of its own, so that nothing but the public
 * function's frame tells of it. The server translates what is between these words.
 */
const RETURNING = new RegExp(
  `(?:^|(?<=\\n))[^\\n]*PL/pgSQL[^\\n]*\\b(?:${CATALOGUE.filter(({ returns }) => returns.startsWith('setof'))
    .map((overload) => signatureOf(overload).replace(/[()]/g, '\\$&'))
    .join('|')})[^\\n]* RETURN QUERY\\b[^\\n]*(?:\\n|$)`,
  'g',
);

/** The frame of a function that needs no proxy. The server translates what is around the signature. */
const LOCAL = new RegExp(
  `(?:^|(?<=\\n))(?=[^\\n]*PL/pgSQL)[^\\n]*\\b(?:${Object.keys(LOCAL_FUNCTIONS)
    .map((signature) => signature.replace(/[()[\]]/g, '\\$&'))
    .join('|')})[^\\n]*\\d[^\\n]*(?:\\n|$)`,
  'g',
);

interface Replaced {
  /** undefined when nothing of it is left. */
  readonly context: string | undefined;
  /** The bridge raised the error itself, on behalf of the proxy. */
  readonly told: boolean;
}

/**
 * @param context byte string in the client's encoding
 * @param routine of the server's, which raised it
 * @param encode lines that the proxy wrote in the database's encoding, as the client is to get them
 * @param unmarked a frame of a public function alone may be the bridge's, see RETURNING
 */
function replaceFrames(
  context: string,
  routine: string | undefined,
  encode: (lines: string) => string,
  unmarked: boolean,
): Replaced {
  const untold = context.replace(TOLD, (_, hex: string) =>
    hex === '' ? '' : `${encode(Buffer.from(hex, 'hex').toString('latin1'))}\n`,
  );
  const marked = untold.replace(WITHIN, '').replace(READING, '').replace(ASKED, '').replace(LOCAL, '');
  const replaced = (unmarked ? marked.replace(RETURNING, '') : marked).replace(/\n$/, '');
  const raised = context.search(LOCAL) === 0 && routine === RAISE_ROUTINE;
  return { context: replaced === '' ? undefined : replaced, told: untold !== context || raised };
}

/**
 * A whole ErrorResponse or NoticeResponse as the extension's session would get it.
 * @param inClientEncoding an error of the proxy's as the client is to get it; 22P05 instead when that is not possible
 * @param unmarked a function of the bridge has asked for something in this statement, on a server before PostgreSQL 14
 * @returns undefined when nothing of the bridge's is in it
 */
export function withoutFrames(
  message: Buffer,
  inClientEncoding: (error: PgError) => PgError,
  unmarked: boolean,
): PgError | undefined {
  if (!unmarked && !message.includes(NAME_BYTES) && !message.includes(MARK_BYTES)) return undefined;
  const error = PgError.from(parseFields(message));
  const { context, internalQuery, routine } = error.fields;
  if (context === undefined) return undefined;
  let untranslatable: PgError | undefined;
  const encode = (lines: string): string => {
    const encoded = inClientEncoding(new PgError(error.sqlstate, '', { context: lines }));
    if (encoded.fields.context === undefined) untranslatable = encoded;
    return encoded.fields.context ?? '';
  };
  const replaced = replaceFrames(context, routine, encode, unmarked);
  if (untranslatable !== undefined) return untranslatable;
  if (replaced.context === context) return undefined;
  return error.with({
    context: replaced.context,
    // What PostgreSQL raises itself, a conversion above all, it raises in the same place for the extension.
    ...(replaced.told ? { file: undefined, line: undefined, routine: undefined } : {}),
    ...(internalQuery?.includes(MARK) || internalQuery?.includes(SERVICE_SCHEMA)
      ? { internalQuery: undefined, internalPosition: undefined }
      : {}),
  });
}
