import { CATALOGUE } from '../../dblink/catalogue.js';
import { MARK, SERVICE_SCHEMA } from '../../primary/marks.js';
import { PgError, parseFields } from '../../wire/errors.js';
import { LOCAL_FUNCTIONS } from '../installed/localFunctions.js';
import { signatureOf } from '../installed/publicFunctions.js';
import { contentOf, findLine, isFollowed, lineAt, lineFrom, withoutLines } from './contextLines.js';

/**
 * The CONTEXT of an error or notice names, innermost first, what the server was doing. What the bridge's functions do
 * there is replaced by what the extension would say: the context lines of dblink itself, or nothing.
 */

/** In the names of the schema and of every function whose frame shows, and in the mark. */
const NAME = 'dblink';
const NAME_BYTES = Buffer.from(NAME, 'latin1');
/** No stack is deep enough for so many of them: what is behind is something else, which would only take time. */
const MAX_NAMES = 5_000;
/** Where PL/pgSQL raises what a function tells it to. */
const RAISE_ROUTINE = 'exec_stmt_raise';

const PLPGSQL = 'PL/pgSQL';
const SERVICE_PREFIX = `${SERVICE_SCHEMA}.`;
const READING_MARK = `/*${MARK}*/`;
const TOLD_MARK = `/*${MARK} `;
const TELL = `${SERVICE_SCHEMA}.tell(text[])`;
const LISTED = `${SERVICE_SCHEMA}.listed(`;
const STATUS_STATEMENT = `${READING_MARK} SELECT * FROM ${SERVICE_SCHEMA}.status(`;

/** A function of the service schema in a frame, or the call of one. */
const SERVICE_CALL = /dblink_proxy\.[a-z_]+\(/;
/** In the frame of a function that needs no proxy: it runs what the extension would run, with whatever that calls. */
const EXECUTES = / EXECUTE\b/;
const RETURNS_QUERY = / RETURN QUERY\b/;
/** What can happen wherever the server is: an operator's or a client's intervention, and the depth of the stack. */
const ANYWHERE = /^57|^54001$/;

const anyOf = (signatures: readonly string[]): string =>
  signatures.map((signature) => signature.replace(/[()[\]]/g, '\\$&')).join('|');
const SIGNATURES = CATALOGUE.map(signatureOf);
const SET_SIGNATURE = new RegExp(
  `\\b(?:${anyOf(CATALOGUE.filter(({ returns }) => returns.startsWith('setof')).map(signatureOf))})`,
);
const LOCAL_SIGNATURE = new RegExp(`\\b(?:${anyOf(Object.keys(LOCAL_FUNCTIONS))})`);
/** Not an expression in which a request names the function. */
const PUBLIC_SIGNATURE = new RegExp(`\\b(?<!')(?:${anyOf(SIGNATURES)})`, 'g');

/** What is behind the first place where the pattern matches. */
function behind(text: string, pattern: RegExp): string | undefined {
  const at = text.search(pattern);
  return at < 0 ? undefined : text.slice(at + 1);
}

const behindLanguage = (line: string): string | undefined => {
  const at = line.indexOf(PLPGSQL);
  return at < 0 ? undefined : line.slice(at + PLPGSQL.length);
};

/** The comment of the statement that runs tell(), with lines in hexadecimal. */
const TOLD_LINES = new RegExp(`/\\*${MARK} ([0-9a-f]*)\\*/`, 'g');

/**
 * tell()'s own frame, the statement that ran it with the lines in its comment, and the frame of the public function, or of
 * the two that stand for it in a select list.
 * @param instead what takes their place
 */
function withoutTold(context: string, instead: (hex: string) => string): string {
  let hex: string | undefined;
  const frame = findLine(context, TELL, 0, (_, line) => {
    const statement = lineFrom(context, line.end);
    const content = contentOf(context, statement);
    if (!content.includes(TOLD_MARK) || !isFollowed(context, statement)) return false;
    hex = [...content.matchAll(TOLD_LINES)].at(-1)?.[1];
    return hex !== undefined;
  });
  // There is no other: it is the innermost one.
  if (frame === undefined || hex === undefined) return context;
  let last = lineFrom(context, lineFrom(context, frame.end).end);
  if (isFollowed(context, last) && contentOf(context, last).includes(LISTED))
    last = lineFrom(context, last.end);
  return context.slice(0, frame.start) + instead(hex) + context.slice(last.end);
}

/** A statement of a public function, whatever type names it contains, between two marks, and the function's frame. */
const withoutReading = (context: string): string =>
  withoutLines(context, (start) => {
    const opening = context.indexOf(READING_MARK, start);
    let closing = opening < 0 ? -1 : context.indexOf(READING_MARK, opening + READING_MARK.length);
    if (closing < 0) return undefined;
    let line = lineAt(context, closing);
    // An expression can have several pairs of them.
    for (;;) {
      const next = context.indexOf(READING_MARK, closing + READING_MARK.length);
      if (next < 0 || next >= line.end) break;
      closing = context.indexOf(READING_MARK, next + READING_MARK.length);
      if (closing < 0) break;
      line = lineAt(context, closing);
    }
    if (!isFollowed(context, line)) return undefined;
    return { start: lineAt(context, opening).start, end: lineFrom(context, line.end).end };
  });

/** The frame of the function in SQL that stands for the row of a command; its statement is left for withoutReading(). */
function withoutStatus(context: string): string {
  const frame = lineFrom(context, 0);
  if (!contentOf(context, lineFrom(context, frame.end)).includes(STATUS_STATEMENT)) return context;
  const rest = behind(contentOf(context, frame), /\bSQL\b/);
  return rest !== undefined && /\bstatus\b/.test(rest) ? context.slice(frame.end) : context;
}

/** What a function of the service schema was doing: none of them runs anything of the users'. Its frame is left for withoutAsked(). */
function withoutWithin(context: string): string {
  const frame = findLine(context, SERVICE_PREFIX, 0, (line) => SERVICE_CALL.test(behindLanguage(line) ?? ''));
  return frame === undefined ? context : context.slice(frame.start);
}

/** What was asked, and the frame of the public function. */
const withoutAsked = (context: string): string =>
  withoutLines(context, (start) => {
    const frame = findLine(context, SERVICE_PREFIX, start, (content) => SERVICE_CALL.test(content));
    if (frame === undefined || !isFollowed(context, frame)) return undefined;
    let next = lineFrom(context, frame.end);
    while (isFollowed(context, next) && contentOf(context, next).includes(SERVICE_PREFIX))
      next = lineFrom(context, next.end);
    return { start: frame.start, end: next.end };
  });

/** The frame of a function that needs no proxy. The server translates what is around the signature. */
function isLocal(line: string): boolean {
  if (!line.includes(PLPGSQL)) return false;
  const rest = behind(line, LOCAL_SIGNATURE);
  // The signature's own name has no digit but that of int2vector, which it ends behind.
  return rest !== undefined && /\d/.test(rest.slice(rest.indexOf(')')));
}

const withoutLocal = (context: string): string =>
  withoutLines(context, (start) => findLine(context, NAME, start, isLocal));

/**
 * Before PostgreSQL 14 a statement whose rows a function returns has no line of its own, so that nothing but the public
 * function's frame tells of it. The server translates what is between these words.
 */
const withoutReturning = (context: string): string =>
  withoutLines(context, (start) =>
    findLine(context, NAME, start, (line) =>
      RETURNS_QUERY.test(behind(behindLanguage(line) ?? '', SET_SIGNATURE) ?? ''),
    ),
  );

/** The signature of the public function whose frame it is. */
function publicIn(line: string): string | undefined {
  const rest = behindLanguage(line);
  return rest === undefined ? undefined : rest.match(PUBLIC_SIGNATURE)?.at(-1);
}

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
  let signature = '';
  const frame = findLine(context, NAME, 0, (line) => {
    signature = publicIn(line) ?? '';
    return signature !== '';
  });
  if (frame === undefined) return context;
  if (shadowed.has(signature.slice(0, signature.indexOf('(')))) return context;
  if (signature in LOCAL_FUNCTIONS && EXECUTES.test(contentOf(context, frame))) return context;
  const inside = context.slice(0, frame.start);
  return inside.includes(MARK) || inside.includes(SERVICE_PREFIX) ? context : context.slice(frame.end);
}

/** Where the lines end that are looked at. */
function lookedAt(context: string): number {
  let at = -1;
  for (let i = 0; i <= MAX_NAMES; i++) {
    at = context.indexOf(NAME, at + 1);
    if (at < 0) return context.length;
  }
  return lineAt(context, at).start;
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
  const untold = withoutTold(context, (hex) =>
    hex === '' || !raised ? '' : `${encode(Buffer.from(hex, 'hex').toString('latin1'))}\n`,
  );
  const whole = ANYWHERE.test(sqlstate) ? withoutInterrupted(untold, of) : untold;
  const asked = withoutLocal(withoutAsked(withoutReading(withoutWithin(withoutStatus(whole)))));
  const left = of.unmarked ? withoutReturning(asked) : asked;
  const replaced = left.endsWith('\n') ? left.slice(0, -1) : left;
  return {
    context: replaced === '' ? undefined : replaced,
    told: raised && (untold !== context || isLocal(contentOf(context, lineFrom(context, 0)))),
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
  const end = lookedAt(context);
  const replaced = replaceFrames(context.slice(0, end), error, encode, of);
  if (untranslatable !== undefined) return untranslatable;
  const rest = end === context.length ? [] : [context.slice(end)];
  const lines = [...(replaced.context === undefined ? [] : [replaced.context]), ...rest];
  const left = lines.length === 0 ? undefined : lines.join('\n');
  if (left === context) return undefined;
  return error.with({
    context: left,
    // What PostgreSQL raises itself, a conversion above all, it raises in the same place for the extension.
    ...(replaced.told ? { file: undefined, line: undefined, routine: undefined } : {}),
    ...(internalQuery?.includes(MARK) || internalQuery?.includes(SERVICE_SCHEMA)
      ? { internalQuery: undefined, internalPosition: undefined }
      : {}),
  });
}
