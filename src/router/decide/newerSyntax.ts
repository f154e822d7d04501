import { PrimaryRaised } from '../../primary/raised.js';
import type { SessionContext } from '../../session/context.js';
import type { Statement } from '../../sql/index.js';

/** The major version of PostgreSQL whose grammar the analysis knows. */
const PARSER_MAJOR = 18;

/**
 * Turns a query into a command. A server parses a command without looking at what the names in it mean. That is needed because
 * the tables may be made only by a statement in front of the query.
 */
const UNANALYSED = 'PREPARE dblink_proxy AS ';
/** Statements that PREPARE takes. */
const QUERIES: ReadonlySet<string> = new Set([
  'SelectStmt',
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
]);

/** Commands with a query in them. A server analyses it as soon as it parses the command, and PREPARE does not take them. */
const ANALYSED: ReadonlySet<string> = new Set([
  'CallStmt',
  'CreateTableAsStmt',
  'DeclareCursorStmt',
  'ExplainStmt',
]);

/**
 * Has the primary parse the several statements of one Query, if the primary's grammar is older than the analysis's. A server finds a
 * syntax error anywhere in a Query before it runs the first statement. Nothing is run here, and only a syntax error is raised.
 * @throws PrimaryRaised 42601
 */
export async function refuseNewerSyntax(
  context: SessionContext,
  text: Buffer,
  statements: readonly Statement[],
): Promise<void> {
  const { primary } = context;
  if (primary.majorVersion >= PARSER_MAJOR) return;
  const parsed = statements
    .filter(({ tag }) => !ANALYSED.has(tag))
    .map(async ({ tag, span }) => {
      const prefix = QUERIES.has(tag) ? UNANALYSED : '';
      const sql = Buffer.concat([Buffer.from(prefix), text.subarray(span.start, span.end)]);
      const { error } = await primary.run({ sql }, 'sync', 'parse');
      // Another error, such as 25P02, is raised when it is the statement's turn.
      if (error?.sqlstate !== '42601' || error.fields.position === undefined) return undefined;
      const before = context.encodings.countCharacters(text.subarray(0, span.start)) - prefix.length;
      return error.with({ position: String(Number(error.fields.position) + before) });
    });
  const first = (await Promise.all(parsed)).find((error) => error !== undefined);
  if (first !== undefined) throw new PrimaryRaised(first);
}
