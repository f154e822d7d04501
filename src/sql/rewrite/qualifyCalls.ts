import type { PgError } from '../../wire/errors.js';
import type { DblinkCall, Statement } from '../index.js';

/** The text that the primary gets in the place of a statement of the client's. */
export interface ReplacedText {
  readonly sql: Buffer;
  /** Turns an error of that text into an error of the client's statement. */
  mapError(error: PgError): PgError;
  /** Turns a RowDescription of that text into one of the client's statement. Undefined where they are the same. */
  readonly mapDescription?: (message: Buffer) => Buffer;
}

/** Maps an error's position, if it has one. Positions begin at 1. */
export const movePosition = (error: PgError, map: (position: number) => number): PgError =>
  error.fields.position === undefined
    ? error
    : error.with({ position: String(map(Number(error.fields.position))) });

/** Statements that store no calls. A stored call would later name a function that is gone. */
const PASSING: ReadonlySet<string> = new Set([
  'SelectStmt',
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
  'ExplainStmt',
  'CopyStmt',
  'DeclareCursorStmt',
  'PrepareStmt',
]);

const NAME = String.raw`(?:"(?:[^"]|"")*"|[A-Za-z_\x80-\xff][\w$\x80-\xff]*)`;
/**
 * How many bytes may be read for a schema, a name and the blanks between them. That is limited because it is done for
 * each of many calls.
 */
const MAX_NAME_BYTES = 1024;
/** The name of a function in front of its arguments, with or without a schema. */
const CALLED = new RegExp(`^(?:${NAME}\\s*\\.\\s*)?(${NAME})\\s*\\(`);

/**
 * Rewrites calls of a statement so that they name functions of a certain schema.
 * @param countCharacters as PostgreSQL counts error positions
 * @param qualifier the schema's name with the dot
 * @param calls the calls of the statement that are to name it
 * @returns undefined for a statement that stores its calls, or in which they cannot be read
 */
export function qualifyCalls(
  text: Buffer,
  statement: Statement,
  countCharacters: (bytes: Buffer) => number,
  qualifier: string,
  calls: readonly DblinkCall[],
): ReplacedText | undefined {
  const isTable =
    statement.tag === 'CreateTableAsStmt' && /^\s*create\s+(?:\w+\s+)*table\b/i.test(head(text, statement));
  if (!PASSING.has(statement.tag) && !isTable) return undefined;
  const { start, end } = statement.span;
  const pieces: Buffer[] = [];
  /** Where text was replaced: in the client's statement, and by how many characters it grew. */
  const changes: { readonly at: number; readonly by: number }[] = [];
  let from = start;
  let characters = 0;
  let counted = start;
  for (const call of [...calls].sort((a, b) => a.span.start - b.span.start)) {
    const nameBytes = Math.min(call.span.end, call.span.start + MAX_NAME_BYTES);
    const match = CALLED.exec(text.toString('latin1', call.span.start, nameBytes));
    if (match === null) return undefined;
    const [whole, name] = match;
    const nameEnd = call.span.start + whole.trimEnd().length - 1;
    const replaced = Buffer.from(`${qualifier}${name}`, 'latin1');
    pieces.push(text.subarray(from, call.span.start), replaced);
    characters += countCharacters(text.subarray(counted, call.span.start));
    counted = call.span.start;
    changes.push({
      at: characters,
      by: replaced.length - countCharacters(text.subarray(call.span.start, nameEnd)),
    });
    from = nameEnd;
  }
  pieces.push(text.subarray(from, end));
  return {
    sql: Buffer.concat(pieces),
    mapError: (error) =>
      movePosition(error, (position) => {
        let before = position - 1;
        for (const { at, by } of changes) if (before > at) before = Math.max(at, before - by);
        return before + 1;
      }),
  };
}

const head = (text: Buffer, { span }: Statement): string =>
  text.toString('latin1', span.start, Math.min(span.end, span.start + 200));
