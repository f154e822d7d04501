import type { PrimaryLink } from '../../primary/primaryLink.js';
import { PrimaryRaised } from '../../primary/raised.js';
import type { ColumnDefinition } from '../../sql/index.js';
import { parseRowDescription } from '../../wire/rows.js';

/** A declared column of a dblink source, as the primary understands its type. */
export interface ColumnType {
  /** The declared type; a domain's own OID. */
  readonly declaredOid: number;
  /** What a client is told: the base type of a domain. */
  readonly oid: number;
  readonly typmod: number;
}

const JSON_OID = 114;
const JSONB_OID = 3802;

/** Values of these types are not JSON strings for json_to_recordset; they travel as text and are cast outside. */
export const needsJsonText = (type: ColumnType): boolean => type.oid === JSON_OID || type.oid === JSONB_OID;

/**
 * Asks the primary what the types of a column definition list are. The outer join makes one row of NULLs without
 * running an input function, so a NOT NULL domain does not complain.
 * @returns undefined when the primary refuses the list; the statement itself will raise the error, at its position
 * @param end see PrimaryLink.run; after an error with `flush` the primary skips to the next Sync
 * @throws PrimaryRaised with `flush`, and for a cancel or time limit
 */
export async function describeColumns(
  primary: PrimaryLink,
  columns: readonly ColumnDefinition[],
  end: 'flush' | 'sync',
): Promise<readonly ColumnType[] | undefined> {
  const definitions = columns.map((column, i) => `"c${i}" ${column.definition}`).join(', ');
  const types = columns.map((_, i) => `pg_catalog.pg_typeof(t."c${i}")::pg_catalog.oid`).join(', ');
  const sql = `SELECT t.*, ARRAY[${types}]::pg_catalog.oid[] FROM (SELECT 1) AS o LEFT JOIN pg_catalog.json_to_recordset('[]') AS t(${definitions}) ON true`;
  const result = await primary.run({ sql: Buffer.from(sql, 'latin1') }, end);
  const { error } = result;
  // What follows in the batch is skipped, so the statement cannot raise it again; a time limit is no refusal.
  if (error !== undefined && (end === 'flush' || error.sqlstate === '57014')) throw new PrimaryRaised(error);
  if (error !== undefined || result.description === undefined) return undefined;
  const fields = parseRowDescription(result.description);
  const declared = result.rows[0]?.at(-1)?.toString('latin1').slice(1, -1).split(',').map(Number) ?? [];
  return columns.map((_, i) => ({
    declaredOid: declared[i] ?? 0,
    oid: fields[i]!.typeOid,
    typmod: fields[i]!.typmod,
  }));
}
