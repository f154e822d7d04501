import { PgError, parseFields } from '../../wire/errors.js';
import { MARK, SERVICE_SCHEMA } from './serviceSchema.js';

/**
 * The CONTEXT of an error or notice names, innermost first, what the server was doing. What the bridge's functions do
 * there is replaced by what the extension would say: the context lines of dblink itself, or nothing.
 */

const MARK_BYTES = Buffer.from(MARK, 'latin1');
const SCHEMA_BYTES = Buffer.from(`${SERVICE_SCHEMA}.`, 'latin1');

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
/** What was asked, and the frame of the public function. */
const ASKED =
  /(?:^|(?<=\n))[^\n]*dblink_proxy\.[a-z_]+\([^\n]*\n(?:[^\n]*dblink_proxy\.[^\n]*\n)*[^\n]*(?:\n|$)/g;

interface Replaced {
  /** undefined when nothing of it is left. */
  readonly context: string | undefined;
  /** The bridge raised the error itself, on behalf of the proxy. */
  readonly told: boolean;
}

/**
 * @param context byte string in the client's encoding
 * @param encode lines that the proxy wrote in the database's encoding, as the client is to get them
 */
export function replaceFrames(context: string, encode: (lines: string) => string): Replaced {
  const untold = context.replace(TOLD, (_, hex: string) =>
    hex === '' ? '' : `${encode(Buffer.from(hex, 'hex').toString('latin1'))}\n`,
  );
  const replaced = untold.replace(READING, '').replace(ASKED, '').replace(/\n$/, '');
  return { context: replaced === '' ? undefined : replaced, told: untold !== context };
}

/**
 * A whole ErrorResponse or NoticeResponse as the extension's session would get it.
 * @param inClientEncoding an error of the proxy's as the client is to get it; 22P05 instead when that is not possible
 * @returns undefined when nothing of the bridge's is in it
 */
export function withoutFrames(
  message: Buffer,
  inClientEncoding: (error: PgError) => PgError,
): PgError | undefined {
  if (!message.includes(SCHEMA_BYTES) && !message.includes(MARK_BYTES)) return undefined;
  const error = PgError.from(parseFields(message));
  const { context, internalQuery } = error.fields;
  if (context === undefined) return undefined;
  let untranslatable: PgError | undefined;
  const replaced = replaceFrames(context, (lines) => {
    const encoded = inClientEncoding(new PgError(error.sqlstate, '', { context: lines }));
    if (encoded.fields.context === undefined) untranslatable = encoded;
    return encoded.fields.context ?? '';
  });
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
