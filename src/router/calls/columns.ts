import type { PrimaryLink } from '../../primary/primaryLink.js';
import { PrimaryRaised } from '../../primary/raised.js';
import type { ColumnDefinition } from '../../sql/index.js';
import { parseRowDescription } from '../../wire/rows.js';

/** A declared column of a dblink source, as the primary understands its type. */
export interface ColumnType {
  /** OID of the declared type. For a domain, its own. */
  readonly declaredOid: number;
  /** OID of the type that a client is told. For a domain, that of its base type. */
  readonly oid: number;
  /** Type modifier, -1 for none. */
  readonly typmod: number;
}

/** The first OID that PostgreSQL gives to what users make (FirstNormalObjectId). */
const FIRST_USER_OID = 16_384;

/** Whether nothing but PostgreSQL's own code reads the type's values. What checks those of a domain may do anything. */
export const isBuiltIn = ({ declaredOid }: ColumnType): boolean =>
  declaredOid > 0 && declaredOid < FIRST_USER_OID;

const JSON_OID = 114;
const JSONB_OID = 3802;

/** Whether the type is json or jsonb. json_to_recordset does not take their values as JSON strings (SourceShape.asArray). */
export const needsJsonText = (type: ColumnType): boolean => type.oid === JSON_OID || type.oid === JSONB_OID;

/**
 * Asks the primary what the types of a column definition list are. The outer join makes one row of NULLs without running an input
 * function, so a NOT NULL domain does not complain.
 * @param end see PrimaryLink.run; after an error with `flush` the primary skips to the next Sync
 * @returns undefined when the primary refuses the list; the statement itself will raise the error then, at its position
 * @throws PrimaryRaised with `flush` for any error; with `sync` only for a cancel or time limit (57014)
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
  // With `flush` the rest of the batch is skipped, so the statement cannot raise the error again. A time limit is no refusal.
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
