import type { Node } from 'libpg-query';
import { nameParts, walk } from '../parse/parser.js';
import type { Argument, ArgumentType, ConstantValue, Span } from '../types.js';
import { isHarmless, plainTypeName } from './harmless.js';

/** What surrounds a call: what its arguments could refer to. */
export interface Surroundings {
  /** Another FROM item or an outer query has columns that the arguments could mean. */
  readonly outerColumns: boolean;
  /** Names of the CTEs in scope. */
  readonly ctes: ReadonlySet<string>;
}

/**
 * Why a call cannot be carried out before the statement: an argument refers to a column outside, reads a CTE, or has an
 * aggregate (or window function) or a set-returning function in it. undefined: nothing stands in the way.
 */
export type ArgumentObstacle = 'column' | 'cte' | 'aggregate' | 'set' | undefined;

const AGGREGATES: ReadonlySet<string> = new Set(
  `count sum avg min max string_agg array_agg json_agg jsonb_agg json_object_agg jsonb_object_agg xmlagg bool_and bool_or
  every bit_and bit_or bit_xor stddev variance stddev_pop stddev_samp var_pop var_samp corr covar_pop covar_samp
  any_value range_agg`.split(/\s+/),
);

const SET_RETURNING: ReadonlySet<string> = new Set(
  `generate_series generate_subscripts unnest regexp_matches regexp_split_to_table string_to_table json_array_elements
  json_array_elements_text jsonb_array_elements jsonb_array_elements_text json_each json_each_text jsonb_each
  jsonb_each_text json_object_keys jsonb_object_keys json_populate_recordset jsonb_populate_recordset json_to_recordset
  jsonb_to_recordset jsonb_path_query pg_get_keywords`.split(/\s+/),
);

/** Whether a function of that name, without its schema, is an aggregate of PostgreSQL's. */
export const isKnownAggregate = (name: string): boolean => AGGREGATES.has(name);
/** Whether a function of that name, without its schema, is one of PostgreSQL's that return a set. */
export const isKnownSetReturning = (name: string): boolean => SET_RETURNING.has(name);

/** What can be said about an argument without PostgreSQL. @param raw its text as written */
export function readArgument(node: Node, span: Span, raw: string, around: Surroundings): Argument {
  const constant = constantOf(node, raw);
  const outer = outerReferences(node, around);
  return {
    span,
    ...(constant === undefined ? {} : { constant }),
    type: typeOf(node),
    parameters: parametersOf(node),
    harmless: isHarmless(node),
    perhapsOuter: outer.perhaps,
  };
}

/** Numbers of the $n in a part of the syntax tree, ascending. */
export function parametersOf(part: unknown): readonly number[] {
  const found = new Set<number>();
  walk(part, (value) => {
    if ('ParamRef' in value) found.add((value['ParamRef'] as { number?: number }).number ?? 0);
    return true;
  });
  return [...found].sort((a, b) => a - b);
}

function typeOf(node: Node): ArgumentType {
  if ('A_Const' in node) {
    const { sval, isnull, boolval, ival, fval } = node.A_Const;
    if (sval !== undefined || isnull === true) return 'unknown';
    if (boolval !== undefined) return 'boolean';
    if (ival !== undefined) return 'integer';
    return fval === undefined ? 'expression' : 'number';
  }
  if ('ParamRef' in node) return 'parameter';
  if ('TypeCast' in node) {
    const type = plainTypeName(node.TypeCast.typeName);
    if (type === 'text' || type === 'varchar') return 'text';
    if (type === 'bool') return 'boolean';
    if (type === 'int2' || type === 'int4') return 'integer';
    if (type === 'int8') return 'number';
    return 'expression';
  }
  if ('BoolExpr' in node || 'NullTest' in node || 'BooleanTest' in node) return 'boolean';
  return 'expression';
}

function constantOf(node: Node, raw: string): ConstantValue | undefined {
  if ('A_Const' in node) {
    const { sval, isnull, boolval, ival } = node.A_Const;
    if (isnull === true) return { kind: 'null' };
    if (boolval !== undefined) return { kind: 'boolean', value: boolval.boolval === true };
    if (ival !== undefined) return { kind: 'integer', value: ival.ival ?? 0 };
    if (sval === undefined || hasCodeEscapes(raw)) return undefined;
    return { kind: 'string', value: sval.sval ?? '' };
  }
  if (!('TypeCast' in node) || node.TypeCast.arg === undefined) return undefined;
  const type = plainTypeName(node.TypeCast.typeName);
  const inner = constantOf(node.TypeCast.arg, raw);
  if (inner === undefined || type === undefined) return undefined;
  const target =
    type === 'varchar' || type === 'text'
      ? 'string'
      : type === 'bool'
        ? 'boolean'
        : type === 'int4'
          ? 'integer'
          : undefined;
  if (inner.kind === 'null') return target === undefined ? undefined : inner;
  if (inner.kind === target) return inner;
  if (target === 'boolean' && inner.kind === 'string') {
    const value = readBoolean(inner.value);
    return value === undefined ? undefined : { kind: 'boolean', value };
  }
  return undefined;
}

/**
 * Whether a literal has escapes that stand for bytes or code points: E'\xE9', E'\351', E'\u00e9', U&'\00e9'. What they
 * mean depends on the server's encoding, so such literals are left to PostgreSQL.
 */
export function hasCodeEscapes(raw: string): boolean {
  if (/\bu&'/i.test(raw)) return true;
  return /\be'/i.test(raw) && /\\[0-7xu]/i.test(raw.replaceAll('\\\\', ''));
}

const BLANKS = ' \t\n\v\f\r';
const LONGEST_BOOLEAN = 'false'.length;

/**
 * Reads a boolean as PostgreSQL's input function does (parse_bool_with_len): unique beginnings of the words count, and
 * blanks around them are ignored.
 * @returns undefined for anything else
 */
export function readBoolean(text: string): boolean | undefined {
  let start = 0;
  let end = text.length;
  while (start < end && BLANKS.includes(text[start]!)) start++;
  while (end > start && BLANKS.includes(text[end - 1]!)) end--;
  if (end - start > LONGEST_BOOLEAN) return undefined;
  const word = text.slice(start, end).toLowerCase();
  if (word === '') return undefined;
  if ('true'.startsWith(word) || 'yes'.startsWith(word) || word === 'on' || word === '1') return true;
  if ('false'.startsWith(word) || 'no'.startsWith(word) || word === 'of' || word === 'off' || word === '0')
    return false;
  return undefined;
}

/**
 * Reads a plain decimal integer as PostgreSQL does. Other notations, which newer versions read, are left to the server.
 * @returns undefined for these, and for what is no integer of 32 bits
 */
export function readInteger(text: string): number | undefined {
  if (!/^[ \t\n\v\f\r]*[-+]?\d{1,10}[ \t\n\v\f\r]*$/.test(text)) return undefined;
  const value = Number(text);
  return value >= -(2 ** 31) && value < 2 ** 31 ? value : undefined;
}

/** What makes it impossible to evaluate an argument by itself. */
export function obstacleOf(node: Node, around: Surroundings): ArgumentObstacle {
  if (outerReferences(node, around).certain) return 'column';
  let obstacle: ArgumentObstacle;
  walk(node, (value) => {
    if ('RangeVar' in value) {
      const { relname, schemaname } = value['RangeVar'] as { relname?: string; schemaname?: string };
      if (schemaname === undefined && around.ctes.has(relname ?? '')) obstacle ??= 'cte';
    }
    return true;
  });
  walk(node, (value) => {
    if ('SubLink' in value) return false;
    if ('FuncCall' in value) {
      const { funcname, over, agg_within_group, agg_star, agg_distinct, agg_filter, agg_order } = value[
        'FuncCall'
      ] as {
        [key: string]: unknown;
        funcname?: Node[];
      };
      const name = nameParts(funcname).at(-1) ?? '';
      if (
        over ||
        agg_within_group ||
        agg_star ||
        agg_distinct ||
        agg_filter ||
        agg_order ||
        isKnownAggregate(name)
      ) {
        obstacle ??= 'aggregate';
      } else if (isKnownSetReturning(name)) obstacle ??= 'set';
    }
    return true;
  });
  return obstacle;
}

/**
 * Whether an argument refers to columns of the surrounding query. Outside a sub-select any column does. In a sub-select,
 * `x.y` does if no table of the sub-select is called x. Of a bare `y` only PostgreSQL knows (`perhaps`).
 */
function outerReferences(
  node: Node,
  around: Surroundings,
): { readonly certain: boolean; readonly perhaps: boolean } {
  let certain = false;
  let perhaps = false;
  if (!around.outerColumns) return { certain, perhaps };
  const search = (part: unknown, tables: ReadonlySet<string>, depth: number): void => {
    walk(part, (value) => {
      if ('ColumnRef' in value) {
        const { fields } = value['ColumnRef'] as { fields?: Node[] };
        const names = nameParts(fields);
        // A bare name can be that of a table of the sub-select. But a column of that name outside would win.
        const inner = names.length > 1 ? tables.has(names.at(-2)!) : !tables.has(names[0] ?? '');
        if (depth === 0 || !inner) certain = true;
        else if (names.length === 1 && fields?.[0] !== undefined && 'String' in fields[0]) perhaps = true;
        return false;
      }
      // Every select has this field, also one that no node wraps: the arms of a set operation are not wrapped.
      if ('limitOption' in value && value !== part) {
        search(value, new Set([...tables, ...tableNames(value['fromClause'])]), depth + 1);
        return false;
      }
      return true;
    });
  };
  search(node, new Set(), 0);
  return { certain, perhaps: perhaps && !certain };
}

/** The names by which a column reference can name the items of a FROM list. */
function tableNames(fromClause: unknown): readonly string[] {
  const names: string[] = [];
  walk(fromClause, (value) => {
    if ('limitOption' in value) return false;
    const alias = value['alias'] as { aliasname?: string } | undefined;
    if (alias?.aliasname !== undefined) names.push(alias.aliasname);
    else if (typeof value['relname'] === 'string') names.push(value['relname']);
    return true;
  });
  return names;
}
