import { PrimaryRaised } from '../../primary/raised.js';
import type { SessionContext } from '../../session/context.js';
import type { Statement } from '../../sql/index.js';

/** The major version whose grammar the analysis knows. */
const PARSER_MAJOR = 18;

/**
 * Makes a query a command, which a server parses without looking at what its names mean: tables may be made only by a
 * statement in front of it.
 */
const UNANALYSED = 'PREPARE dblink_proxy AS ';
const QUERIES: ReadonlySet<string> = new Set([
  'SelectStmt',
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
]);

/** Commands with a query in them, which is analysed as soon as it is parsed, and which PREPARE does not take. */
const ANALYSED: ReadonlySet<string> = new Set([
  'CallStmt',
  'CreateTableAsStmt',
  'DeclareCursorStmt',
  'ExplainStmt',
]);

/**
 * Has the primary parse the statements of one Query, if its grammar is older than the analysis's: a server finds an error
 * of syntax anywhere in a Query before it runs the first statement. Nothing is run, and nothing but such an error fails.
 * @throws PrimaryRaised 42601
 */
export async function refuseNewerSyntax(
  context: SessionContext,
  text: Buffer,
  statements: readonly Statement[],
): Promise<void> {
  const { primary } = context;
  if (primary.majorVersion >= PARSER_MAJOR || statements.length === 1) return;
  const parsed = statements
    .filter(({ tag }) => !ANALYSED.has(tag))
    .map(async ({ tag, span }) => {
      const prefix = QUERIES.has(tag) ? UNANALYSED : '';
      const sql = Buffer.concat([Buffer.from(prefix), text.subarray(span.start, span.end)]);
      const { error } = await primary.run({ sql }, 'sync', 'parse');
      // 25P02, say: the statement's own turn is the time for it.
      if (error?.sqlstate !== '42601' || error.fields.position === undefined) return undefined;
      const before = context.encodings.countCharacters(text.subarray(0, span.start)) - prefix.length;
      return error.with({ position: String(Number(error.fields.position) + before) });
    });
  const first = (await Promise.all(parsed)).find((error) => error !== undefined);
  if (first !== undefined) throw new PrimaryRaised(first);
}
