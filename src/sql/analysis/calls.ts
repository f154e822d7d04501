import type { FuncCall, Node, RangeFunction } from 'libpg-query';
import { nameParts, type ParsedText, walk } from '../parse/parser.js';
import { identifier, type Tokens } from '../parse/tokens.js';
import type { Argument, DblinkCall, DblinkFunction, ScalarUse, SourceUse, Span } from '../types.js';
import {
  type ArgumentObstacle,
  obstacleOf,
  readArgument,
  readBoolean,
  readInteger,
  type Surroundings,
} from './arguments.js';
import {
  type DeclaredType,
  declaredTypes,
  FUNCTION_FACTS,
  isDblinkFunction,
  resolutionFor,
} from './functions.js';

/**
 * A call before it becomes a DblinkCall: what the text and the tree say, while it is not known how certain the call is.
 */
export interface FoundCall extends Omit<DblinkCall, 'certain' | 'pure'> {
  readonly node: FuncCall;
  readonly obstacle: ArgumentObstacle;
  readonly inRowsFrom: boolean;
  /** A COLLATE in an argument decides about the collation of the result. */
  readonly collated: boolean;
}

/** The statement is to pass as it is: it contains a call that PostgreSQL itself refuses, or that was not understood. */
export class LeaveAlone extends Error {}

/** The statement contains a call that fits several overloads equally well (42725). */
export class Ambiguous extends LeaveAlone {}

/** Recognises the calls of dblink functions and reads them from the text. */
export class CallReader {
  readonly #parsed: ParsedText;
  readonly #tokens: Tokens;
  readonly #schemas: readonly string[];

  constructor(parsed: ParsedText, tokens: Tokens, schemas: readonly string[]) {
    this.#parsed = parsed;
    this.#tokens = tokens;
    this.#schemas = schemas;
  }

  /** The dblink function that a call means, by name and known schemas; undefined if it means none. */
  functionOf(call: FuncCall): { readonly name: DblinkFunction; readonly schema?: string } | undefined {
    const parts = nameParts(call.funcname);
    const name = parts.at(-1) ?? '';
    if (!isDblinkFunction(name)) return undefined;
    if (parts.length === 1) return { name };
    const [schema] = parts;
    return parts.length === 2 && this.#schemas.includes(schema!) ? { name, schema: schema! } : undefined;
  }

  /**
   * Reads a call that stands where a value is expected.
   * @param namesColumn whether an output column takes its name from it
   * @throws LeaveAlone
   */
  scalar(call: FuncCall, around: Surroundings, namesColumn: boolean): FoundCall {
    const use: ScalarUse = { kind: 'scalar', aliasGiven: false, namesColumn };
    return this.#read(call, around, use);
  }

  /**
   * Reads a call that is an item of a FROM list, or one of the functions of a ROWS FROM.
   * @param ownColumns the columns that a ROWS FROM gives this function
   * @throws LeaveAlone
   */
  fromItem(
    call: FuncCall,
    item: RangeFunction,
    ownColumns: readonly Node[],
    around: Surroundings,
  ): FoundCall {
    const { close } = this.#parentheses(call);
    const first = this.#tokens.indexAt(this.#parsed.byteOffset(call.location));
    const rowsFrom = item.is_rowsfrom === true;
    const name = nameParts(call.funcname).at(-1) ?? '';
    let last = close;
    let aliasAt = this.#tokens.token(close)!.end;
    let alias = item.alias?.aliasname;
    const names = (rowsFrom ? ownColumns : (item.coldeflist ?? [])).map((column) =>
      'ColumnDef' in column ? (column.ColumnDef.colname ?? '') : '',
    );
    let columns: SourceUse['columns'] = [];
    const ordinality = !rowsFrom && item.ordinality === true;
    if (ordinality) last += 2;
    if (!rowsFrom || names.length > 0) {
      if (this.#tokens.isWord(last + 1, 'as')) last++;
      if (!rowsFrom && alias !== undefined) {
        last++;
        alias = identifier(alias, this.#tokens.textOf(last)).text;
      }
      const listed = names.length > 0 || (!rowsFrom && (item.alias?.colnames?.length ?? 0) > 0);
      if (listed) {
        const list = last + 1;
        if (this.#tokens.textOf(list) !== '(') throw new LeaveAlone();
        aliasAt = this.#tokens.token(list)!.start;
        if (names.length > 0) {
          const read = this.#tokens.columns(list, names);
          if (read === undefined) throw new LeaveAlone();
          columns = read;
        }
        last = this.#tokens.closing(list);
      } else if (alias === undefined) aliasAt = this.#tokens.token(last)!.end;
    }
    const before = first > 0 && !rowsFrom && this.#tokens.isWord(first - 1, 'lateral') ? first - 1 : first;
    const span = this.#tokens.span(before, last);
    const aliasGiven = alias !== undefined;
    if (FUNCTION_FACTS[name as DblinkFunction].returns !== 'rows') {
      return this.#read(
        call,
        around,
        { kind: 'scalar', item: span, aliasGiven: aliasGiven || names.length > 0, namesColumn: false },
        rowsFrom,
      );
    }
    const use: SourceUse = {
      kind: 'source',
      item: span,
      alias: alias ?? name,
      aliasGiven,
      columns,
      rowsFrom,
      ordinality,
      aliasAt,
    };
    return this.#read(call, around, use, rowsFrom);
  }

  #read(call: FuncCall, around: Surroundings, use: ScalarUse | SourceUse, inRowsFrom = false): FoundCall {
    const { open, close } = this.#parentheses(call);
    const { name, schema } = this.functionOf(call)!;
    const nodes = call.args ?? [];
    const odd =
      call.agg_order?.length ||
      call.agg_filter ||
      call.over ||
      call.agg_within_group ||
      call.agg_star ||
      call.agg_distinct ||
      call.func_variadic ||
      nodes.some((node) => 'NamedArgExpr' in node);
    const items = this.#tokens.items(open, close);
    if (odd || items.length !== nodes.length) throw new LeaveAlone();
    const args = nodes.map((node, i) => {
      const span = this.#tokens.span(items[i]!.first, items[i]!.last);
      return readArgument(node, span, this.#tokens.slice(span), around);
    });
    const types = args.map((argument) => argument.type);
    const resolution = resolutionFor(name, types);
    if (resolution === 'ambiguous') throw new Ambiguous();
    if (resolution === 'none') throw new LeaveAlone();
    const declared = declaredTypes(name, types);
    const start = this.#parsed.byteOffset(call.location);
    const obstacles = nodes
      .map((node) => obstacleOf(node, around))
      .filter((obstacle) => obstacle !== undefined);
    return {
      node: call,
      name,
      ...(schema === undefined ? {} : { schema }),
      span: { start, end: this.#tokens.token(close)!.end },
      args: args.map((argument, i) => asDeclared(argument, declared[i])),
      use,
      obstacle: obstacles[0],
      inRowsFrom,
      collated: nodes.some(hasCollate),
    };
  }

  /** Token indexes of a call's parentheses. */
  #parentheses(call: FuncCall): { readonly open: number; readonly close: number } {
    let open = this.#tokens.indexAt(this.#parsed.byteOffset(call.location));
    const start: Span | undefined = this.#tokens.token(open);
    while (this.#tokens.token(open) !== undefined && this.#tokens.textOf(open) !== '(') open++;
    const close = this.#tokens.closing(open);
    if (start === undefined || close < 0) throw new LeaveAlone();
    return { open, close };
  }
}

function hasCollate(node: Node): boolean {
  let found = false;
  walk(node, (value) => {
    if ('CollateClause' in value) found = true;
    return !found;
  });
  return found;
}

/**
 * PostgreSQL reads a literal in the place of a boolean or an integer while it parses the statement. A literal that cannot
 * be read is left without a value here: PostgreSQL has to raise 22P02 (rewrite/spliceCalls.ts keeps the literal in the
 * statement).
 */
function asDeclared(argument: Argument, type: DeclaredType | undefined): Argument {
  if (argument.constant?.kind !== 'string' || (type !== 'boolean' && type !== 'integer')) return argument;
  const { constant, ...rest } = argument;
  const value = type === 'boolean' ? readBoolean(constant.value) : readInteger(constant.value);
  if (value === undefined) return { ...rest, harmless: false };
  return {
    ...rest,
    constant: typeof value === 'boolean' ? { kind: 'boolean', value } : { kind: 'integer', value },
  };
}
