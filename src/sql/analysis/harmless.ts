import type { A_Expr, FuncCall, Node, SelectStmt, TypeName } from 'libpg-query';
import { nameParts } from '../parse/parser.js';

/**
 * An expression is harmless if its evaluation can neither fail nor be noticed, so that it does not matter whether and
 * when it happens. Harmless are constants, parameters, columns where there are any, and calls of a list of PostgreSQL's
 * own functions. Not harmless are a user's function, an arithmetic operator (overflow, division by zero), and a cast that
 * reads text (22P02).
 *
 * These options say where the expression stands.
 */
export interface Harmlessness {
  /** Column references are values that are at hand (inside a sub-select over tables). */
  readonly columns?: boolean;
}

/** Functions of pg_catalog that cannot fail for any arguments that they accept. */
const SAFE_FUNCTIONS: ReadonlySet<string> = new Set(
  `concat concat_ws quote_literal quote_ident quote_nullable lower upper initcap replace translate btrim ltrim rtrim
  left right reverse length char_length character_length octet_length strpos position md5 current_database
  current_schema current_schemas version pg_backend_pid pg_client_encoding
  getdatabaseencoding inet_client_addr inet_client_port inet_server_addr inet_server_port host family masklen
  now transaction_timestamp statement_timestamp clock_timestamp timeofday pg_postmaster_start_time pg_is_in_recovery
  array_to_string cardinality array_length pg_typeof isfinite`.split(/\s+/),
);

/** Of those, the ones that never give NULL unless an argument is NULL. */
const NEVER_NULL: ReadonlySet<string> = new Set(
  `concat quote_literal quote_ident quote_nullable lower upper initcap replace translate btrim ltrim rtrim left right
  reverse length md5 current_database version pg_backend_pid now clock_timestamp transaction_timestamp
  statement_timestamp`.split(/\s+/),
);

/** Settings that every session has and everybody may read. */
const READABLE_SETTINGS: ReadonlySet<string> = new Set(
  `application_name block_size bytea_output client_encoding client_min_messages cluster_name datestyle
  default_transaction_isolation extra_float_digits intervalstyle is_superuser lc_messages lc_monetary lc_numeric lc_time
  listen_addresses lock_timeout max_connections port role search_path server_encoding server_version
  server_version_num session_authorization standard_conforming_strings statement_timeout timezone
  transaction_isolation work_mem`.split(/\s+/),
);

/** Types whose literals are read while the statement is parsed. A bad one fails there already. */
const LITERAL_TYPES: ReadonlySet<string> = new Set(
  `text varchar bpchar name bool int2 int4 int8 float4 float8 numeric date time timetz timestamp timestamptz interval
  uuid json jsonb inet cidr oid`.split(/\s+/),
);

const COMPARISONS: ReadonlySet<string> = new Set(['=', '<>', '!=', '<', '>', '<=', '>=']);
const CLOCKS: ReadonlySet<string> = new Set([
  'now',
  'transaction_timestamp',
  'statement_timestamp',
  'clock_timestamp',
]);
const NEVER_FAILING_AGGREGATES: ReadonlySet<string> = new Set([
  'count',
  'min',
  'max',
  'string_agg',
  'bool_and',
  'bool_or',
]);

/** The unqualified name of a type of pg_catalog without modifier or dimensions; undefined for any other. */
export function plainTypeName(type: TypeName | undefined): string | undefined {
  if (type === undefined || type.typmods?.length || type.arrayBounds?.length || type.setof || type.pct_type) {
    return undefined;
  }
  const parts = nameParts(type.names);
  if (parts.length === 1) return parts[0];
  return parts.length === 2 && parts[0] === 'pg_catalog' ? parts[1] : undefined;
}

/** The name of a function of pg_catalog as it is called plainly; undefined for any other kind of call. */
export function plainFunctionName(call: FuncCall): string | undefined {
  const extras =
    call.agg_order?.length ||
    call.agg_filter ||
    call.over ||
    call.agg_within_group ||
    call.agg_star ||
    call.agg_distinct;
  if (extras || call.func_variadic) return undefined;
  const parts = nameParts(call.funcname);
  if (parts.length === 1) return parts[0];
  return parts.length === 2 && parts[0] === 'pg_catalog' ? parts[1] : undefined;
}

/** The value of a bare string literal; undefined for anything else. */
function literalText(node: Node | undefined): string | undefined {
  if (node === undefined || !('A_Const' in node) || node.A_Const.sval === undefined) return undefined;
  return node.A_Const.sval.sval ?? '';
}

/** Whether an expression is the literal NULL. */
const isNullLiteral = (node: Node): boolean => 'A_Const' in node && node.A_Const.isnull === true;

/** Whether a call means a function of pg_catalog that is known to be no SQL function and to return no set. */
export function isKnownFunction(call: FuncCall): boolean {
  const name = plainFunctionName(call) ?? '';
  return SAFE_FUNCTIONS.has(name) || name === 'format' || name === 'to_char' || name === 'current_setting';
}

/**
 * What was found out about parts of syntax trees. It is remembered, because the same part is asked about again and again.
 * So all questions together take linear time.
 */
const harmless = new WeakMap<Node, boolean>();
const harmlessWithColumns = new WeakMap<Node, boolean>();
const neverNull = new WeakMap<Node, boolean>();

function remembered(known: WeakMap<Node, boolean>, node: Node, ask: () => boolean): boolean {
  let value = known.get(node);
  if (value === undefined) {
    value = ask();
    known.set(node, value);
  }
  return value;
}

/** Whether an expression is harmless (see Harmlessness). @param where the expression stands */
export const isHarmless = (node: Node, where: Harmlessness = {}): boolean =>
  remembered(where.columns === true ? harmlessWithColumns : harmless, node, () => findHarmless(node, where));

function findHarmless(node: Node, where: Harmlessness): boolean {
  const all = (nodes: readonly Node[] | undefined): boolean =>
    (nodes ?? []).every((item) => isHarmless(item, where));
  if ('A_Const' in node || 'ParamRef' in node || 'SQLValueFunction' in node) return true;
  if ('ColumnRef' in node) return where.columns === true;
  if ('TypeCast' in node) {
    const { arg, typeName } = node.TypeCast;
    const type = plainTypeName(typeName);
    if (arg === undefined || type === undefined) return false;
    if (literalText(arg) !== undefined || isNullLiteral(arg)) return LITERAL_TYPES.has(type);
    return (type === 'text' || type === 'varchar') && isHarmless(arg, where);
  }
  if ('A_Expr' in node) return isHarmlessOperator(node.A_Expr, where);
  if ('FuncCall' in node) return isHarmlessCall(node.FuncCall, where);
  if ('BoolExpr' in node) return all(node.BoolExpr.args);
  if ('NullTest' in node) return node.NullTest.arg !== undefined && isHarmless(node.NullTest.arg, where);
  if ('CoalesceExpr' in node) return all(node.CoalesceExpr.args);
  if ('CaseExpr' in node) {
    const { arg, args, defresult } = node.CaseExpr;
    return all([...(arg ? [arg] : []), ...(args ?? []), ...(defresult ? [defresult] : [])]);
  }
  if ('CaseWhen' in node) {
    const { expr, result } = node.CaseWhen;
    return expr !== undefined && result !== undefined && all([expr, result]);
  }
  if ('SubLink' in node) {
    const { subLinkType, subselect, testexpr } = node.SubLink;
    if (testexpr !== undefined || subselect === undefined || !('SelectStmt' in subselect)) return false;
    if (subLinkType === 'EXISTS_SUBLINK' || subLinkType === 'ARRAY_SUBLINK') {
      return isHarmlessSelect(subselect.SelectStmt, 'rows');
    }
    return subLinkType === 'EXPR_SUBLINK' && isHarmlessSelect(subselect.SelectStmt, 'row');
  }
  return false;
}

function isHarmlessOperator(expression: A_Expr, where: Harmlessness): boolean {
  const { kind, name, lexpr, rexpr } = expression;
  const operator = nameParts(name);
  const operands = [lexpr, rexpr].filter((operand) => operand !== undefined);
  if (operator.length !== 1 || operands.length !== 2) return false;
  if (kind === 'AEXPR_IN') {
    const list = rexpr !== undefined && 'List' in rexpr ? (rexpr.List.items ?? []) : [];
    return [lexpr!, ...list].every((item) => isHarmless(item, where));
  }
  if (!operands.every((operand) => isHarmless(operand, where))) return false;
  switch (kind) {
    case 'AEXPR_OP':
      if (operator[0] === '||' || COMPARISONS.has(operator[0]!)) return true;
      // A clock plus or minus a literal interval, such as now() - interval '1 day'.
      return (operator[0] === '+' || operator[0] === '-') && isClock(lexpr!) && isInterval(rexpr!);
    case 'AEXPR_DISTINCT':
    case 'AEXPR_NOT_DISTINCT':
    case 'AEXPR_NULLIF':
      return true;
    case 'AEXPR_LIKE':
    case 'AEXPR_ILIKE':
      // A pattern that ends in its escape character fails.
      return literalText(rexpr)?.includes('\\') === false;
    default:
      return false;
  }
}

const isClock = (node: Node): boolean =>
  'SQLValueFunction' in node
    ? ['SVFOP_CURRENT_TIMESTAMP', 'SVFOP_LOCALTIMESTAMP', 'SVFOP_CURRENT_DATE'].includes(
        node.SQLValueFunction.op ?? '',
      )
    : 'FuncCall' in node && CLOCKS.has(plainFunctionName(node.FuncCall) ?? '');

function isInterval(node: Node): boolean {
  if (!('TypeCast' in node)) return false;
  const { arg, typeName } = node.TypeCast;
  const text = literalText(arg);
  return plainTypeName(typeName) === 'interval' && text !== undefined && /^[\w .:+-]{1,32}$/.test(text);
}

function isHarmlessCall(call: FuncCall, where: Harmlessness): boolean {
  const name = plainFunctionName(call);
  const args = call.args ?? [];
  if (name === undefined || !args.every((arg) => isHarmless(arg, where))) return false;
  switch (name) {
    case 'format':
      return isSafeFormat(args);
    case 'current_setting': {
      const setting = literalText(args[0])?.toLowerCase();
      return setting !== undefined && (READABLE_SETTINGS.has(setting) || isTrue(args[1]));
    }
    case 'to_char':
      return args.length === 2 && isClock(args[0]!) && literalText(args[1]) !== undefined;
    default:
      return SAFE_FUNCTIONS.has(name);
  }
}

const isTrue = (node: Node | undefined): boolean =>
  node !== undefined && 'A_Const' in node && node.A_Const.boolval?.boolval === true;

/**
 * Whether a call of format() cannot fail. Its first argument must be a literal whose specifiers are simple, and not more
 * than the other arguments. An argument for %I must never be NULL.
 */
function isSafeFormat(args: readonly Node[]): boolean {
  const text = literalText(args[0]);
  if (text === undefined) return false;
  let next = 1;
  for (let i = text.indexOf('%'); i >= 0; i = text.indexOf('%', i + 2)) {
    const specifier = text[i + 1];
    if (specifier === '%') continue;
    const argument = args[next++];
    if (argument === undefined) return false;
    if (specifier === 'I' ? !isNeverNull(argument) : specifier !== 's' && specifier !== 'L') return false;
  }
  return true;
}

/** Whether an expression is certain not to be NULL, at planning time or later. */
export const isNeverNull = (node: Node): boolean => remembered(neverNull, node, () => findNeverNull(node));

function findNeverNull(node: Node): boolean {
  if ('A_Const' in node) return !isNullLiteral(node);
  if ('SQLValueFunction' in node) return node.SQLValueFunction.op !== 'SVFOP_CURRENT_SCHEMA';
  if ('TypeCast' in node) return node.TypeCast.arg !== undefined && isNeverNull(node.TypeCast.arg);
  if ('FuncCall' in node) {
    const name = plainFunctionName(node.FuncCall) ?? '';
    const args = node.FuncCall.args ?? [];
    if (name === 'format') return literalText(args[0]) !== undefined;
    return (
      NEVER_NULL.has(name) &&
      (name === 'concat' || name === 'quote_nullable' || args.every((arg) => isNeverNull(arg)))
    );
  }
  if ('A_Expr' in node) {
    const { kind, name, lexpr, rexpr } = node.A_Expr;
    return (
      kind === 'AEXPR_OP' &&
      nameParts(name).join('.') === '||' &&
      [lexpr, rexpr].every((operand) => operand !== undefined && isNeverNull(operand))
    );
  }
  return false;
}

/**
 * Whether a sub-select cannot fail: plain tables, harmless conditions and targets. As a scalar (`row`) it must have one
 * target, and for certain at most one row (an aggregate, LIMIT 1 or no table), since a second row is an error (21000).
 */
function isHarmlessSelect(select: SelectStmt, result: 'row' | 'rows'): boolean {
  const from = select.fromClause ?? [];
  const targets = select.targetList ?? [];
  const unusual =
    select.op !== 'SETOP_NONE' ||
    select.withClause ||
    select.intoClause ||
    select.valuesLists?.length ||
    select.groupClause?.length ||
    select.havingClause ||
    select.windowClause?.length ||
    select.lockingClause?.length ||
    select.limitOffset ||
    select.distinctClause?.length;
  if (unusual || (result === 'row' && targets.length !== 1)) return false;
  if (!from.every((item) => 'RangeVar' in item)) return false;
  const inside: Harmlessness = { columns: true };
  const sorted = (select.sortClause ?? []).map((item) => ('SortBy' in item ? item.SortBy.node : undefined));
  const rest = [
    ...(select.whereClause ? [select.whereClause] : []),
    ...sorted.filter((node) => node !== undefined),
  ];
  if (!rest.every((node) => isHarmless(node, inside))) return false;
  if (select.limitCount !== undefined && !('A_Const' in select.limitCount)) return false;
  const values = targets.map((target) => ('ResTarget' in target ? target.ResTarget.val : undefined));
  if (values.every((value) => value !== undefined && isHarmless(value, inside))) {
    const limit = select.limitCount;
    const one = limit !== undefined && 'A_Const' in limit && (limit.A_Const.ival?.ival ?? 2) <= 1;
    return result === 'rows' || from.length === 0 || (one && (limit.A_Const.ival?.ival ?? 0) >= 0);
  }
  return values.every(
    (value) => value !== undefined && 'FuncCall' in value && isHarmlessAggregate(value.FuncCall, inside),
  );
}

function isHarmlessAggregate(call: FuncCall, where: Harmlessness): boolean {
  const parts = nameParts(call.funcname);
  const plain = !call.over && !call.agg_filter && !call.agg_within_group && !call.agg_order?.length;
  return (
    plain &&
    parts.length === 1 &&
    NEVER_FAILING_AGGREGATES.has(parts[0]!) &&
    (call.args ?? []).every((arg) => isHarmless(arg, where))
  );
}
