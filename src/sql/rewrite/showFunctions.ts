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
 * Finds calls of functions in FROM that a query can stand for: with one argument, and nothing around them that only functions have.
 * @param shown gives for a function's name what is put before and behind its call; undefined for a function to leave as it is
 */
export function calledIn(
  stmt: unknown,
  parsed: ParsedText,
  shown: (name: string) => ShownFunction | undefined,
): ReplacedPart[] {
  const found: ReplacedPart[] = [];
  const tokens = new Tokens(parsed);
  walk(stmt, (node) => {
    if (!('RangeFunction' in node)) return true;
    const range = node['RangeFunction'] as RangeFunctionNode;
    const call = onlyCall(range);
    const [name = '', schema] = nameParts(call?.funcname).toReversed();
    const query = schema === undefined || schema === 'pg_catalog' ? shown(name) : undefined;
    if (call === undefined || query === undefined) return true;
    const first = tokens.indexAt(parsed.byteOffset(call.location));
    // The schema, the dot and the name are a token each.
    const open = first + (schema === undefined ? 1 : 3);
    const close = tokens.textOf(open) === '(' ? tokens.closing(open) : -1;
    const [start, from, to] = [tokens.token(first), tokens.token(open), tokens.token(close)];
    if (start === undefined || from === undefined || to === undefined) return true;
    const { before, behind } = query(parsed.latin1.slice(from.end, to.start));
    const own = { start: start.start, end: to.end };
    const lateral = range.lateral === true ? '' : 'LATERAL ';
    const alias = range.alias === undefined ? ` AS ${name}` : '';
    found.push({ ...own, pieces: [`${lateral}(${before}`, own, `${behind})${alias}`] });
    return true;
  });
  return found;
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
  if (range.ordinality || range.is_rowsfrom || range.coldeflist !== undefined || functions.length !== 1)
    return undefined;
  const [item] = functions;
  const list = item !== undefined && 'List' in item ? (item.List.items ?? []) : [];
  const call = list[0] !== undefined && 'FuncCall' in list[0] ? list[0].FuncCall : undefined;
  if (call === undefined || Object.keys(call).some((key) => !PLAIN.has(key))) return undefined;
  const [argument, ...more] = call.args ?? [];
  if (argument === undefined || more.length > 0 || 'NamedArgExpr' in argument) return undefined;
  return call as FuncCallNode;
}
