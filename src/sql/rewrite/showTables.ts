import type { Node } from 'libpg-query';
import { QUERIES } from '../analysis/extension.js';
import { nameParts, type ParsedText, parseSql, unwrap, walk } from '../parse/parser.js';
import { calledIn, type ReplacedPart, type ShownFunction } from './showFunctions.js';
import { TextBuilder } from './textBuilder.js';

interface TableNode {
  readonly catalogname?: string;
  /** Not ONLY. */
  readonly inh?: boolean;
  readonly schemaname?: string;
  readonly relname?: string;
  readonly alias?: unknown;
  readonly location?: number;
}

/** SQL text in which queries take the place of catalogs. */
export interface ShownTables {
  readonly sql: Buffer;
  /** Where an error position in it (1-based, in characters) lies in the original text. */
  readonly mapPosition: (position: number) => number;
}

/** What is shown in a client's own statements. */
export interface Careful {
  /** See calledIn. */
  readonly functions: (name: string) => ShownFunction | undefined;
}

/**
 * Changes the queries of a text so that they read something else than the catalogs that they name.
 * @param text bytes in an encoding in which no byte below 128 is part of a longer character
 * @param shown gives for a catalog's name a query with its columns; undefined for a table to leave as it is
 * @param countCharacters as PostgreSQL counts error positions
 * @param careful leaves statements alone in which a query does not do in the place of the table
 * @returns undefined when there is nothing to change
 */
export function showTables(
  text: Buffer,
  shown: (name: string) => string | undefined,
  countCharacters: (bytes: Buffer) => number,
  careful?: Careful,
): ShownTables | undefined {
  const parsed = parseSql(text);
  if (parsed === undefined) return undefined;
  const found = parsed.statements.flatMap(({ stmt }) =>
    stmt !== undefined && QUERIES.has(unwrap(stmt).tag) && !(careful && isParticular(stmt, parsed, shown))
      ? [...tablesIn(stmt, parsed, shown), ...(careful ? calledIn(stmt, parsed, careful.functions) : [])]
      : [],
  );
  if (found.length === 0) return undefined;
  found.sort((a, b) => a.start - b.start);
  // A function's argument is repeated as it is.
  if (found.some(({ start }, i) => start < (found[i - 1]?.end ?? 0))) return undefined;
  const builder = new TextBuilder(text, countCharacters);
  let end = 0;
  for (const place of found) {
    builder.copy({ start: end, end: place.start });
    builder.anchor = place.start;
    for (const piece of place.pieces) {
      if (typeof piece === 'string') builder.insert(piece);
      else builder.copy(piece);
    }
    end = place.end;
  }
  builder.copy({ start: end, end: text.length });
  return { sql: builder.toBuffer(), mapPosition: builder.mapPosition() };
}

/** Columns that only tables have. */
const SYSTEM_COLUMNS: ReadonlySet<string> = new Set(['tableoid', 'xmin', 'cmin', 'xmax', 'cmax', 'ctid']);

/** Whether a statement asks something of the tables, or names something else like them, that a query cannot stand for. */
function isParticular(
  stmt: unknown,
  { latin1, tokens, byteOffset }: ParsedText,
  shown: (name: string) => string | undefined,
): boolean {
  const word = (i: number): string => {
    const token = tokens[i];
    return token === undefined
      ? ''
      : latin1.slice(token.start, Math.min(token.end, token.start + 10)).toLowerCase();
  };
  let found = false;
  walk(stmt, (node) => {
    if ('LockingClause' in node || 'RangeTableSample' in node) found = true;
    else if ('CommonTableExpr' in node) {
      const { ctename = '' } = node['CommonTableExpr'] as { ctename?: string };
      if (shown(ctename) !== undefined) found = true;
    } else if ('ColumnRef' in node) {
      const parts = nameParts((node['ColumnRef'] as { fields?: Node[] }).fields);
      if (parts.length > 2 || SYSTEM_COLUMNS.has(parts.at(-1) ?? '')) found = true;
    } else if ('RangeVar' in node) {
      const { catalogname, relname = '', inh, location } = node['RangeVar'] as TableNode;
      if (shown(relname) === undefined) return !found;
      const first = tokens.findIndex((token) => token.start === byteOffset(location));
      const last = first + ((node['RangeVar'] as TableNode).schemaname === undefined ? 0 : 2);
      if (catalogname !== undefined || inh !== true || word(first - 1) === 'table' || word(last + 1) === '*')
        found = true;
    }
    return !found;
  });
  return found;
}

function tablesIn(
  stmt: unknown,
  parsed: ParsedText,
  shown: (name: string) => string | undefined,
): ReplacedPart[] {
  const found: ReplacedPart[] = [];
  walk(stmt, (node) => {
    if (!('RangeVar' in node)) return true;
    const { schemaname, relname = '', alias, location } = node['RangeVar'] as TableNode;
    const sql = schemaname === undefined || schemaname === 'pg_catalog' ? shown(relname) : undefined;
    if (sql === undefined) return true;
    const start = parsed.byteOffset(location);
    const first = parsed.tokens.findIndex((token) => token.start === start);
    // The schema, the dot and the name are a token each.
    const last = parsed.tokens[first + (schemaname === undefined ? 0 : 2)];
    if (first >= 0 && last !== undefined) {
      const query = `(${sql})${alias === undefined ? ` AS ${relname}` : ''}`;
      found.push({ start, end: last.end, pieces: [query] });
    }
    return true;
  });
  return found;
}
