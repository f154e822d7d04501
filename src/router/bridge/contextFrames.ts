import { CATALOGUE } from '../../dblink/catalogue.js';
import { PgError, parseFields } from '../../wire/errors.js';
import { MARK, SERVICE_SCHEMA } from './identifiers.js';
import { LOCAL_FUNCTIONS } from './localFunctions.js';
import { signatureOf } from './publicFunctions.js';

/**
 * The CONTEXT of an error or notice names, innermost first, what the server was doing. What the bridge's functions do
 * there is replaced by what the extension would say: the context lines of dblink itself, or nothing.
 */

/** In the names of the schema and of every function whose frame shows, and in the mark. */
const NAME_BYTES = Buffer.from('dblink', 'latin1');
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
/** The frame of the function in SQL that stands for the row of a command; its statement is left for READING. */
const STATUS = new RegExp(
  `^[^\\n]*\\bSQL\\b[^\\n]*\\bstatus\\b[^\\n]*\\n(?=[^\\n]*/\\*${MARK}\\*/ SELECT \\* FROM dblink_proxy\\.status\\()`,
);
/** What a function of the service schema was doing: none of them runs anything of the users'. Its frame is left for ASKED. */
const WITHIN = /^[\s\S]*?(?=(?:^|(?<=\n))[^\n]*PL\/pgSQL[^\n]*dblink_proxy\.[a-z_]+\()/;
/** What was asked, and the frame of the public function. */
const ASKED =
  /(?:^|(?<=\n))[^\n]*dblink_proxy\.[a-z_]+\([^\n]*\n(?:[^\n]*dblink_proxy\.[^\n]*\n)*[^\n]*(?:\n|$)/g;

const quotePattern = (signature: string): string => signature.replace(/[()[\]]/g, '\\$&');

/**
 * Before PostgreSQL 14 a statement whose rows a function returns has no line of its own, so that nothing but the public
 * function's frame tells of it. The server translates what is between these words.
 */
const RETURNING = new RegExp(
  `(?:^|(?<=\\n))[^\\n]*PL/pgSQL[^\\n]*\\b(?:${CATALOGUE.filter(({ returns }) => returns.startsWith('setof'))
    .map((overload) => quotePattern(signatureOf(overload)))
    .join('|')})[^\\n]* RETURN QUERY\\b[^\\n]*(?:\\n|$)`,
  'g',
);

/** The frame of a public function, and the function's signature; not an expression in which a request names it. */
const PUBLIC = new RegExp(
  `(?:^|(?<=\\n))[^\\n]*PL/pgSQL[^\\n]*\\b(?<!')(${CATALOGUE.map((overload) => quotePattern(signatureOf(overload))).join('|')})[^\\n]*(?:\\n|$)`,
);
/** In the frame of a function that needs no proxy: it runs what the extension would run, with whatever that calls. */
const EXECUTES = / EXECUTE\b/;
/** What can happen wherever the server is: an operator's or a client's intervention, and the depth of the stack. */
const ANYWHERE = /^57|^54001$/;

/** The frame of a function that needs no proxy. The server translates what is around the signature. */
const LOCAL = new RegExp(
  `(?:^|(?<=\\n))(?=[^\\n]*PL/pgSQL)[^\\n]*\\b(?:${Object.keys(LOCAL_FUNCTIONS)
    .map(quotePattern)
    .join('|')})[^\\n]*\\d[^\\n]*(?:\\n|$)`,
  'g',
);

interface Replaced {
  /** undefined when nothing of it is left. */
  readonly context: string | undefined;
  /** The bridge raised the error itself, on behalf of the proxy. */
  readonly told: boolean;
}

/** What is known of the session beyond the message. */
export interface FramesOf {
  /** Names of dblink's that users' own functions have as well: a frame without a mark may be theirs. */
  readonly shadowed: ReadonlySet<string>;
  /** A function of the bridge has asked for something in this statement, on a server before PostgreSQL 14: see RETURNING. */
  readonly unmarked: boolean;
}

/**
 * What interrupted a public function in the middle of its own doings: nothing of these is marked, and nobody else's is
 * within them but what READING knows.
 */
function withoutInterrupted(context: string, { shadowed }: FramesOf): string {
  const frame = PUBLIC.exec(context);
  if (frame === null) return context;
  const [line, signature = ''] = frame;
  if (shadowed.has(signature.slice(0, signature.indexOf('(')))) return context;
  if (signature in LOCAL_FUNCTIONS && EXECUTES.test(line)) return context;
  const inside = context.slice(0, frame.index);
  return inside.includes(MARK) || inside.includes(`${SERVICE_SCHEMA}.`)
    ? context
    : context.slice(frame.index + line.length);
}

/**
 * @param context byte string in the client's encoding
 * @param error whose it is
 * @param encode lines that the proxy wrote in the database's encoding, as the client is to get them
 */
function replaceFrames(
  context: string,
  { sqlstate, fields: { routine } }: PgError,
  encode: (lines: string) => string,
  of: FramesOf,
): Replaced {
  const raised = routine === RAISE_ROUTINE;
  const untold = context.replace(TOLD, (_, hex: string) =>
    hex === '' || !raised ? '' : `${encode(Buffer.from(hex, 'hex').toString('latin1'))}\n`,
  );
  const whole = ANYWHERE.test(sqlstate) ? withoutInterrupted(untold, of) : untold;
  const asked = whole
    .replace(STATUS, '')
    .replace(WITHIN, '')
    .replace(READING, '')
    .replace(ASKED, '')
    .replace(LOCAL, '');
  const replaced = (of.unmarked ? asked.replace(RETURNING, '') : asked).replace(/\n$/, '');
  return {
    context: replaced === '' ? undefined : replaced,
    told: raised && (untold !== context || context.search(LOCAL) === 0),
  };
}

/**
 * A whole ErrorResponse or NoticeResponse as the extension's session would get it.
 * @param inClientEncoding an error of the proxy's as the client is to get it; 22P05 instead when that is not possible
 * @returns undefined when nothing of the bridge's is in it
 */
export function withoutFrames(
  message: Buffer,
  inClientEncoding: (error: PgError) => PgError,
  of: FramesOf,
): PgError | undefined {
  if (!message.includes(NAME_BYTES)) return undefined;
  const error = PgError.from(parseFields(message));
  const { context, internalQuery } = error.fields;
  if (context === undefined) return undefined;
  let untranslatable: PgError | undefined;
  const encode = (lines: string): string => {
    const encoded = inClientEncoding(new PgError(error.sqlstate, '', { context: lines }));
    if (encoded.fields.context === undefined) untranslatable = encoded;
    return encoded.fields.context ?? '';
  };
  const replaced = replaceFrames(context, error, encode, of);
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
