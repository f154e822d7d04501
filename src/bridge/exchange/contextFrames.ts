import { CATALOGUE } from '../../dblink/catalogue.js';
import { MARK, SERVICE_SCHEMA } from '../../primary/marks.js';
import { fieldBytes, PgError, parseFields } from '../../wire/errors.js';
import { LOCAL_FUNCTIONS } from '../installed/localFunctions.js';
import { signatureOf } from '../installed/publicFunctions.js';
import { contentOf, findLine, isFollowed, lineAt, lineFrom, withoutLines } from './contextLines.js';

/**
 * The CONTEXT of an error or notice says what the server was doing, innermost first. The lines about one call of a function are
 * its frame. Frames of the bridge's functions are replaced by what the extension would say: the context lines of dblink itself,
 * or nothing.
 */

/** Part of the schema's name, of the name of every function that has a frame, and of the mark. */
const NAME = 'dblink';
const NAME_BYTES = Buffer.from(NAME, 'latin1');
/**
 * How many times that name is looked for, from the innermost frame on. The bridge's functions run nobody's code but that of
 * domains and of types, when rows are converted. So these are dozens of dblink calls inside of one another; what comes after
 * is something else, which would only take time.
 */
const MAX_NAMES = 500;
const NOTHING = Buffer.alloc(0);
const LINE_FEED = 10;
/** The routine of PL/pgSQL that carries out RAISE: errors that a function raises itself name it. */
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
/**
 * In the frame of a function that needs no proxy: the function was running the statement that the extension would run as well,
 * with whatever that calls.
 */
const EXECUTES = / EXECUTE\b/;
const RETURNS_QUERY = / RETURN QUERY\b/;
/** SQLSTATEs of what can happen at any moment: an operator's or a client's intervention (57), too deep a stack (54001). */
const ANYWHERE = /^57|^54001$/;

const anyOf = (signatures: readonly string[]): string =>
  signatures.map((signature) => signature.replace(/[()[\]]/g, '\\$&')).join('|');
const SIGNATURES = CATALOGUE.map(signatureOf);
const SET_SIGNATURE = new RegExp(
  `\\b(?:${anyOf(CATALOGUE.filter(({ returns }) => returns.startsWith('setof')).map(signatureOf))})`,
);
const LOCAL_SIGNATURE = new RegExp(`\\b(?:${anyOf(Object.keys(LOCAL_FUNCTIONS))})`);
/** Where it stands behind a quotation mark, it is not a frame: a request names the function in an expression. */
const PUBLIC_SIGNATURE = new RegExp(`\\b(?<!')(?:${anyOf(SIGNATURES)})`, 'g');

/** The text from the second character of the pattern's first match on. */
function behind(text: string, pattern: RegExp): string | undefined {
  const at = text.search(pattern);
  return at < 0 ? undefined : text.slice(at + 1);
}

const behindLanguage = (line: string): string | undefined => {
  const at = line.indexOf(PLPGSQL);
  return at < 0 ? undefined : line.slice(at + PLPGSQL.length);
};

/** The comment of the statement that runs tell(). It holds context lines in hexadecimal. */
const TOLD_LINES = new RegExp(`/\\*${MARK} ([0-9a-f]*)\\*/`, 'g');

/**
 * Replaces what shows of tell(): its own frame, the statement that ran it, and the frame of the public function. In a select
 * list two frames stand for the public function.
 * @param instead gives what takes their place, from the context lines in the statement's comment
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
  // There is only one such frame: it is the innermost one.
  if (frame === undefined || hex === undefined) return context;
  let last = lineFrom(context, lineFrom(context, frame.end).end);
  if (isFollowed(context, last) && contentOf(context, last).includes(LISTED))
    last = lineFrom(context, last.end);
  return context.slice(0, frame.start) + instead(hex) + context.slice(last.end);
}

/**
 * Takes out every statement of a public function together with the function's frame. Such a statement stands between two marks,
 * whatever type names it contains.
 */
const withoutReading = (context: string): string =>
  withoutLines(context, (start) => {
    const opening = context.indexOf(READING_MARK, start);
    let closing = opening < 0 ? -1 : context.indexOf(READING_MARK, opening + READING_MARK.length);
    if (closing < 0) return undefined;
    let line = lineAt(context, closing);
    // An expression can have several pairs of marks.
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

/**
 * Takes out the frame of dblink_proxy.status(), the function in SQL that stands for the row of a command. The statement that
 * called it is left for withoutReading().
 */
function withoutStatus(context: string): string {
  const frame = lineFrom(context, 0);
  if (!contentOf(context, lineFrom(context, frame.end)).includes(STATUS_STATEMENT)) return context;
  const rest = behind(contentOf(context, frame), /\bSQL\b/);
  return rest !== undefined && /\bstatus\b/.test(rest) ? context.slice(frame.end) : context;
}

/**
 * Takes out what a function of the service schema was doing. None of these functions runs anything of the users'. The
 * function's own frame is left for withoutAsked().
 */
function withoutWithin(context: string): string {
  const frame = findLine(context, SERVICE_PREFIX, 0, (line) => SERVICE_CALL.test(behindLanguage(line) ?? ''));
  return frame === undefined ? context : context.slice(frame.start);
}

/** Takes out the frames of functions of the service schema, and the frame of the public function that called them. */
const withoutAsked = (context: string): string =>
  withoutLines(context, (start) => {
    const frame = findLine(context, SERVICE_PREFIX, start, (content) => SERVICE_CALL.test(content));
    if (frame === undefined || !isFollowed(context, frame)) return undefined;
    let next = lineFrom(context, frame.end);
    while (isFollowed(context, next) && contentOf(context, next).includes(SERVICE_PREFIX))
      next = lineFrom(context, next.end);
    return { start: frame.start, end: next.end };
  });

/** Whether a line is the frame of a function that needs no proxy. The server translates the words around the signature. */
function isLocal(line: string): boolean {
  if (!line.includes(PLPGSQL)) return false;
  const rest = behind(line, LOCAL_SIGNATURE);
  // A frame has the number of a line of code behind the signature. The signature itself may have the digit of int2vector.
  return rest !== undefined && /\d/.test(rest.slice(rest.indexOf(')')));
}

const withoutLocal = (context: string): string =>
  withoutLines(context, (start) => findLine(context, NAME, start, isLocal));

/**
 * Takes out the frames of public functions that were returning a query's rows. Before PostgreSQL 14 such a query has no line of
 * its own with marks, so that only the public function's frame tells of it. The server translates what stands between the words
 * that are looked for here.
 */
const withoutReturning = (context: string): string =>
  withoutLines(context, (start) =>
    findLine(context, NAME, start, (line) =>
      RETURNS_QUERY.test(behind(behindLanguage(line) ?? '', SET_SIGNATURE) ?? ''),
    ),
  );

/** The signature of the public function that a line is the frame of; undefined for another line. */
function publicIn(line: string): string | undefined {
  const rest = behindLanguage(line);
  return rest === undefined ? undefined : rest.match(PUBLIC_SIGNATURE)?.at(-1);
}

interface Replaced {
  /** Undefined when nothing of it is left. */
  readonly context: string | undefined;
  /** The bridge raised the error itself, on behalf of the proxy. */
  readonly told: boolean;
}

/** What is known of the session beyond the message. */
export interface FramesOf {
  /** Names of dblink functions that users' own functions have as well. A frame without a mark may be one of theirs. */
  readonly shadowed: ReadonlySet<string>;
  /** A function of the bridge has made a request in this statement, before PostgreSQL 14: see withoutReturning(). */
  readonly unmarked: boolean;
}

/**
 * Takes out what a public function was doing when it was interrupted in the middle of its own work. That work has no marks.
 * Nobody else's code runs within it, except in the statements that withoutReading() knows.
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

/** The part of a context that is looked at (MAX_NAMES): whole lines. */
function lookedAt(context: Buffer): string {
  let at = -1;
  for (let i = 0; i <= MAX_NAMES; i++) {
    at = context.indexOf(NAME_BYTES, at + 1);
    if (at < 0) return i === 0 ? '' : context.toString('latin1');
  }
  return context.toString('latin1', 0, context.lastIndexOf(LINE_FEED, at) + 1);
}

/**
 * Replaces the frames in a context.
 * @param context byte string in the client's encoding
 * @param error the error or notice that it belongs to
 * @param encode turns lines that the proxy wrote in the database's encoding into what the client is to get
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
 * An ErrorResponse or NoticeResponse as a session with the extension would get it.
 * @param message the whole message
 * @param inClientEncoding gives an error of the proxy in the client's encoding, or a 22P05 when that is not possible
 * @returns undefined when nothing of the bridge is in it
 */
export function withoutFrames(
  message: Buffer,
  inClientEncoding: (error: PgError) => PgError,
  of: FramesOf,
): PgError | undefined {
  // Others decide how long a message is: what is not looked at is not made a string either.
  const innermost = lookedAt(fieldBytes(message, 'context') ?? NOTHING);
  if (innermost === '') return undefined;
  const error = PgError.from(parseFields(message));
  const { context = '', internalQuery } = error.fields;
  let untranslatable: PgError | undefined;
  const encode = (lines: string): string => {
    const encoded = inClientEncoding(new PgError(error.sqlstate, '', { context: lines }));
    if (encoded.fields.context === undefined) untranslatable = encoded;
    return encoded.fields.context ?? '';
  };
  const replaced = replaceFrames(innermost, error, encode, of);
  if (untranslatable !== undefined) return untranslatable;
  const rest = innermost.length === context.length ? [] : [context.slice(innermost.length)];
  const lines = [...(replaced.context === undefined ? [] : [replaced.context]), ...rest];
  const left = lines.length === 0 ? undefined : lines.join('\n');
  if (left === context) return undefined;
  return error.with({
    context: left,
    // These fields are removed only where the bridge raised the error. What PostgreSQL raises itself, above all in conversions,
    // it raises in the same place for the extension.
    ...(replaced.told ? { file: undefined, line: undefined, routine: undefined } : {}),
    ...(internalQuery?.includes(MARK) || internalQuery?.includes(SERVICE_SCHEMA)
      ? { internalQuery: undefined, internalPosition: undefined }
      : {}),
  });
}
