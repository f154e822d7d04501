import { Client, type QueryArrayResult } from 'pg';
import { PRIMARY_DATABASE, sampleStatements } from './sample.js';

/** Where `--embedded` listens unless told otherwise. */
export const DEFAULT_URL = `postgres://postgres@127.0.0.1:6432/${PRIMARY_DATABASE}`;

/**
 * Runs the sample's statements in one session through a proxy that was started with `--embedded`, and prints what
 * they return.
 *
 * @param url the proxy's address
 * @throws the driver's error if the proxy cannot be reached or a statement fails
 */
export async function runExample(url: string, print: (text: string) => void): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ conninfo: string }>(
      "SELECT conninfo FROM remotes WHERE name = 'sales'",
    );
    const conninfo = rows[0]?.conninfo;
    if (conninfo === undefined)
      throw new Error('the primary has no sample data; start the proxy with --embedded');
    for (const { title, sql } of sampleStatements(conninfo)) {
      print(`-- ${title}\n${sql}\n`);
      print(`${formatResult(await client.query({ text: sql, rowMode: 'array', types: AS_TEXT }))}\n`);
    }
  } finally {
    await client.end();
  }
}

/** Values as PostgreSQL wrote them, not as JavaScript would show them. */
const AS_TEXT = { getTypeParser: () => (value: string) => value };

/** A result as psql shows it: a table with a count of rows, or the command tag where there are no columns. */
function formatResult({ fields, rows, command, rowCount }: QueryArrayResult): string {
  if (fields.length === 0) return `${command} ${command === 'INSERT' ? '0 ' : ''}${rowCount ?? ''}\n`;
  const cells = (rows as readonly (readonly (string | null)[])[]).map((row) =>
    row.map((value) => value ?? ''),
  );
  const widths = fields.map(({ name }, column) =>
    Math.max(...[name, ...cells.map((row) => row[column] ?? '')].map((text) => [...text].length)),
  );
  const line = (
    values: readonly string[],
    pad: (text: string, width: number, column: number) => string,
  ): string =>
    values
      .map((text, column) => ` ${pad(text, widths[column] ?? 0, column)} `)
      .join('|')
      .trimEnd();
  const padded = (text: string, width: number): string => ' '.repeat(width - [...text].length);
  const numeric = fields.map(({ dataTypeID }) => NUMERIC_TYPES.has(dataTypeID));
  return [
    line(
      fields.map(({ name }) => name),
      (text, width) => {
        const space = padded(text, width);
        const left = space.slice(0, Math.floor(space.length / 2));
        return left + text + space.slice(left.length);
      },
    ),
    widths.map((width) => '-'.repeat(width + 2)).join('+'),
    ...cells.map((row) =>
      line(row, (text, width, column) =>
        numeric[column] === true ? padded(text, width) + text : text + padded(text, width),
      ),
    ),
    `(${cells.length} ${cells.length === 1 ? 'row' : 'rows'})\n`,
  ].join('\n');
}

/** OIDs of int8, int2, int4, float4, float8 and numeric, which psql aligns to the right. */
const NUMERIC_TYPES: ReadonlySet<number> = new Set([20, 21, 23, 700, 701, 1700]);
