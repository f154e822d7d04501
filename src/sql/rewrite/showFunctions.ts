import type { Node } from 'libpg-query';
import { nameParts, type ParsedText, walk } from '../parse/parser.js';
import { Tokens } from '../parse/tokens.js';
import type { Span } from '../types.js';

/** A part of a text, and what takes its place: new SQL, and parts of the text. */
export interface ReplacedPart extends Span {
  readonly pieces: readonly (string | Span)[];
}

/**
 * What a query has to be that stands for a function of one argument that returns rows.
 * @param call the client's call @param argument its argument as a byte string
 */
export type ShownFunction = (argument: string) => { readonly before: string; readonly behind: string };

interface RangeFunctionNode {
  readonly lateral?: boolean;
  readonly ordinality?: boolean;
  readonly is_rowsfrom?: boolean;
  readonly functions?: readonly Node[];
  readonly alias?: unknown;
  readonly coldeflist?: readonly Node[];
}

/**
 * Finds calls of functions that a query can stand for: with one argument, in FROM or as a column of a select list.
 * @param shown gives for a function's name what is put before and behind its call; undefined for a function to leave as it is
 */
export function calledIn(
  stmt: unknown,
  parsed: ParsedText,
  shown: (name: string) => ShownFunction | undefined,
): ReplacedPart[] {
  const found: ReplacedPart[] = [];
  const tokens = new Tokens(parsed);
  /** @param range undefined for a column */
  const add = (call: FuncCallNode | undefined, alias: boolean, range?: RangeFunctionNode): void => {
    const [name = '', schema] = nameParts(call?.funcname).toReversed();
    const query = schema === undefined || schema === 'pg_catalog' ? shown(name) : undefined;
    if (call === undefined || query === undefined) return;
    const first = tokens.indexAt(parsed.byteOffset(call.location));
    // The schema, the dot and the name are a token each.
    const open = first + (schema === undefined ? 1 : 3);
    const close = tokens.textOf(open) === '(' ? tokens.closing(open) : -1;
    // WITH ORDINALITY
    const last = close + (range?.ordinality === true ? 2 : 0);
    const [start, from, to, end] = [first, open, close, last].map((i) => tokens.token(i));
    if (start === undefined || from === undefined || to === undefined || end === undefined) return;
    const { before, behind } = query(parsed.latin1.slice(from.end, to.start));
    const own = { start: start.start, end: to.end };
    const [opening, closing] = range === undefined ? COLUMN : asTable(range);
    const named = alias ? '' : ` AS ${name}`;
    found.push({
      start: own.start,
      end: end.end,
      pieces: [`${opening}${before}`, own, `${behind}${closing}${named}`],
    });
  };
  walk(stmt, (node) => {
    if ('RangeFunction' in node) {
      const range = node['RangeFunction'] as RangeFunctionNode;
      add(onlyCall(range), range.alias !== undefined, range);
    } else if ('targetList' in node) {
      for (const target of node['targetList'] as readonly Node[]) {
        const { name, val } = 'ResTarget' in target ? target.ResTarget : {};
        if (val !== undefined) add(plainCall(val), name !== undefined);
      }
    }
    return true;
  });
  return found;
}

/** What stands around a query in the place of a column: a row for each of its rows. */
const COLUMN = [
  'pg_catalog.unnest(ARRAY(SELECT ROW(own_q.*) FROM (',
  ') AS own_q))',
] as const satisfies readonly [string, string];

/** What stands around a query in the place of a function in FROM. */
function asTable({ lateral, ordinality }: RangeFunctionNode): readonly [string, string] {
  const own = lateral === true ? '' : 'LATERAL ';
  return ordinality === true
    ? [`${own}(SELECT own_q.*, pg_catalog.row_number() OVER () AS ordinality FROM (`, ') AS own_q)']
    : [`${own}(`, ')'];
}

interface FuncCallNode {
  readonly funcname?: Node[];
  readonly args?: readonly Node[];
  readonly location?: number;
}

/** What a plain call has in the syntax tree. */
const PLAIN: ReadonlySet<string> = new Set(['funcname', 'args', 'funcformat', 'location']);

/** The one plain call of one argument, if there is nothing else. */
function onlyCall({ functions = [], ...range }: RangeFunctionNode): FuncCallNode | undefined {
  if (range.is_rowsfrom || range.coldeflist !== undefined || functions.length !== 1) return undefined;
  const [item] = functions;
  const [called] = item !== undefined && 'List' in item ? (item.List.items ?? []) : [];
  return called && plainCall(called);
}

/** A plain call of one argument. */
function plainCall(node: Node): FuncCallNode | undefined {
  const call = 'FuncCall' in node ? node.FuncCall : undefined;
  if (call === undefined || Object.keys(call).some((key) => !PLAIN.has(key))) return undefined;
  const [argument, ...more] = call.args ?? [];
  if (argument === undefined || more.length > 0 || 'NamedArgExpr' in argument) return undefined;
  return call as FuncCallNode;
}
