/**
 * Names of types as PostgreSQL prints them, for columns of a side table. They come from the session, which may have made
 * them up, and become part of SQL that the service account runs: so nothing but names from this list gets there.
 */
export const PORTABLE_NAMES: readonly string[] = [
  'boolean',
  'smallint',
  'integer',
  'bigint',
  'real',
  'double precision',
  'numeric',
  'text',
  'character varying',
  'character',
  'bpchar',
  '"char"',
  'name',
  'bytea',
  'date',
  'uuid',
  'json',
  'jsonb',
  'inet',
  'cidr',
  'macaddr',
  'macaddr8',
  'bit',
  'bit varying',
  'oid',
  'xid',
  'cid',
  'tid',
  'point',
  'lseg',
  'path',
  'box',
  'polygon',
  'line',
  'circle',
  'tsvector',
  'tsquery',
  'pg_lsn',
  'timestamp with time zone',
  'timestamp without time zone',
  'time with time zone',
  'time without time zone',
  'interval',
];
const PRECISE = /^(?:timestamp|time)(?:\(\d\))? (?:with|without) time zone$/;
const INTERVAL =
  /^interval(?: (?:year|month|day|hour|minute|second|year to month|day to hour|day to minute|day to second|hour to minute|hour to second|minute to second))?(?:\(\d\))?$/;
const KNOWN: ReadonlySet<string> = new Set(PORTABLE_NAMES);

/** Whether this is the name of such a type, with or without a modifier, or of an array of it. */
export function isPortableType(name: string): boolean {
  const element = name.replace(/(?:\[\])$/, '');
  if (PRECISE.test(element) || INTERVAL.test(element)) return true;
  return KNOWN.has(element.replace(/\(\d{1,9}(?:,-?\d{1,4})?\)$/, ''));
}
