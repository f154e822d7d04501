import type { FuncCall, Node, SelectStmt } from 'libpg-query';
import { nameParts, walk } from '../parse/parser.js';
import type { Assumption } from '../types.js';
import { isKnownAggregate, isKnownSetReturning } from './arguments.js';
import { isHarmless, isKnownFunction, isNeverNull, plainFunctionName, plainTypeName } from './harmless.js';

/**
 * Finds the calls in the target list of a SELECT without FROM that are certain to run exactly once, with nothing before
 * them that could fail or be noticed. Targets are evaluated from left to right, arguments before their function.
 *
 * Some expressions were seen to keep a call from running, or to run it twice. A call in one of these is never certain:
 * CASE, COALESCE, AND/OR (constants fold), NULLIF, GREATEST, IN and BETWEEN (copy their operand), a field of ROW(),
 * sub-selects, and a NULL constant beside the call under any strict function or operator (the planner folds the whole to
 * NULL, volatile or not).
 */
export class Evaluation {
  /** The calls that are certain. */
  readonly certain = new Set<FuncCall>();
  /** What `certain` takes for granted about other functions. */
  readonly assumptions: Assumption[] = [];
  readonly #isDblink: (call: FuncCall) => boolean;
  /** What is known of parts of the tree: whether a dblink call is in them. */
  readonly #containing = new Map<object, boolean>();
  /** Nothing that has been evaluated so far could fail or be noticed. */
  #nothingRisky = true;
  /** No dblink call has been evaluated yet. */
  #first = true;
  /** Something in the list decides about the whole row, as an aggregate does: then no call is certain. */
  #spoilt = false;

  constructor(isDblink: (call: FuncCall) => boolean) {
    this.#isDblink = isDblink;
  }

  /** @param targets the target list of a SELECT that has nothing else */
  run(targets: readonly Node[]): void {
    for (const target of targets) {
      const value = 'ResTarget' in target ? target.ResTarget.val : undefined;
      if (value === undefined) this.#spoilt = true;
      else this.#evaluate(value, true);
    }
    if (this.#spoilt) this.certain.clear();
  }

  #evaluate(node: Node, runs: boolean): void {
    if ('FuncCall' in node) {
      if (this.#isDblink(node.FuncCall)) this.#dblink(node.FuncCall, runs);
      else this.#function(node.FuncCall, runs, node);
    } else if ('A_Expr' in node && (node.A_Expr.kind === 'AEXPR_OP' || node.A_Expr.kind === 'AEXPR_LIKE')) {
      const operands = [node.A_Expr.lexpr, node.A_Expr.rexpr].filter((operand) => operand !== undefined);
      this.#operands(operands, runs);
      const operator = nameParts(node.A_Expr.name);
      if (operator.length !== 1 || !HARMLESS_OPERATORS.has(operator[0]!)) this.#nothingRisky = false;
    } else if ('TypeCast' in node && node.TypeCast.arg !== undefined && !isHarmless(node)) {
      this.#evaluate(node.TypeCast.arg, runs);
      const type = plainTypeName(node.TypeCast.typeName);
      if (type !== 'text' && type !== 'varchar') this.#nothingRisky = false;
    } else if ('CollateClause' in node && node.CollateClause.arg !== undefined) {
      this.#evaluate(node.CollateClause.arg, runs);
    } else if ('NullTest' in node && node.NullTest.arg !== undefined && 'FuncCall' in node.NullTest.arg) {
      this.#evaluate(node.NullTest.arg, runs);
    } else if ('A_ArrayExpr' in node) {
      for (const element of node.A_ArrayExpr.elements ?? []) this.#evaluate(element, runs);
    } else if (!isHarmless(node)) {
      this.#nothingRisky = false;
      // What is inside is not looked at more closely. But functions in it that are not known could return sets.
      walk(node, (value) => {
        if ('SubLink' in value) return false;
        if ('FuncCall' in value) this.#assume(value['FuncCall'] as FuncCall, true);
        return true;
      });
    }
  }

  #dblink(call: FuncCall, runs: boolean): void {
    // When the arguments of the first dblink call are evaluated, no other dblink call has run. So they may be anything.
    const ready = this.#first || (call.args ?? []).every((argument) => isHarmless(argument));
    this.#first = false;
    if (runs && ready && this.#nothingRisky) this.certain.add(call);
  }

  #function(call: FuncCall, runs: boolean, node: Node): void {
    const surrounds = this.#contains(call.args);
    if (plainFunctionName(call) === undefined && nameParts(call.funcname).length < 2) this.#spoilt = true;
    this.#operands(call.args ?? [], runs);
    if (isHarmless({ FuncCall: { ...call, args: [] } })) return;
    if (!surrounds && isHarmless(node)) return;
    if (!isKnownFunction(call)) this.#assume(call, surrounds);
    this.#nothingRisky = false;
  }

  #operands(operands: readonly Node[], runs: boolean): void {
    const nulls = operands.filter((operand) => !isNeverNull(operand) && !this.#contains(operand));
    for (const operand of operands) {
      const alone = nulls.length === 0 || (nulls.length === 1 && nulls[0] === operand);
      this.#evaluate(operand, runs && alone);
    }
  }

  #assume(call: FuncCall, surrounds: boolean): void {
    const parts = nameParts(call.funcname);
    const name = parts.at(-1) ?? '';
    if (this.#isDblink(call)) return;
    if (
      isKnownAggregate(name) ||
      isKnownSetReturning(name) ||
      call.over ||
      call.agg_star ||
      call.agg_within_group
    ) {
      this.#spoilt = true;
    }
    const schema = parts.length > 1 ? parts.at(-2) : undefined;
    this.assumptions.push({ ...(schema === undefined ? {} : { schema }), name, surrounds });
  }

  /** Whether a dblink call is in a part of the tree. This is found out only once for each part. */
  #contains(part: unknown): boolean {
    if (part === null || typeof part !== 'object') return false;
    const known = this.#containing.get(part);
    if (known !== undefined) return known;
    const found =
      ('FuncCall' in part && this.#isDblink(part.FuncCall as FuncCall)) ||
      Object.values(part).some((inner) => this.#contains(inner));
    this.#containing.set(part, found);
    return found;
  }
}

const HARMLESS_OPERATORS: ReadonlySet<string> = new Set(['||', '=', '<>', '<', '>', '<=', '>=', '~~']);

/** Whether a SELECT has a target list and nothing else. */
export function isTargetsOnly(select: SelectStmt): boolean {
  return (
    select.op === 'SETOP_NONE' &&
    (select.targetList?.length ?? 0) > 0 &&
    Object.keys(select).every((key) => ['op', 'targetList', 'limitOption'].includes(key))
  );
}

/**
 * Whether a SELECT whose only FROM item is a call is certain to read it, and evaluates nothing before it. It must have no
 * LIMIT 0, and no condition that the planner could find to be false or NULL without looking at a row.
 */
export function isCertainlyRead(select: SelectStmt): boolean {
  if (select.op !== 'SETOP_NONE' || select.withClause || select.intoClause || select.valuesLists?.length)
    return false;
  if (select.havingClause || select.lockingClause?.length) return false;
  // GROUP BY () without an aggregate gives one row whatever the source has, so the source is not read.
  if (select.groupClause?.some((item) => 'GroupingSet' in item)) return false;
  return isPositive(select.limitCount) && isNotNegative(select.limitOffset) && mustLook(select.whereClause);
}

const isPositive = (node: Node | undefined): boolean =>
  node === undefined ||
  ('A_Const' in node && (node.A_Const.isnull === true || (node.A_Const.ival?.ival ?? 0) > 0));

const isNotNegative = (node: Node | undefined): boolean =>
  node === undefined ||
  ('A_Const' in node &&
    (node.A_Const.isnull === true ||
      (node.A_Const.ival !== undefined && (node.A_Const.ival.ival ?? 0) >= 0)));

/**
 * Whether rows have to be looked at for a condition. That holds for conditions joined by AND, each of which compares a
 * column with a constant that is not NULL, or tests it for NULL. No column may be in two of them: with
 * constraint_exclusion = on the planner finds contradictions.
 */
function mustLook(where: Node | undefined): boolean {
  if (where === undefined) return true;
  const parts =
    'BoolExpr' in where && where.BoolExpr.boolop === 'AND_EXPR' ? (where.BoolExpr.args ?? []) : [where];
  const seen = new Set<string>();
  for (const part of parts) {
    const columns = new Set<string>();
    if (!looksAtColumn(part, columns)) return false;
    for (const column of columns) {
      if (seen.has(column)) return false;
      seen.add(column);
    }
  }
  return true;
}

/** Whether one condition is of this kind. @param columns takes the names of its columns */
function looksAtColumn(node: Node, columns: Set<string>): boolean {
  if ('ColumnRef' in node) {
    const name = nameParts(node.ColumnRef.fields).at(-1) ?? '';
    columns.add(name);
    return name !== '';
  }
  if ('NullTest' in node || 'BooleanTest' in node) {
    const { arg } = 'NullTest' in node ? node.NullTest : node.BooleanTest;
    return arg !== undefined && 'ColumnRef' in arg && looksAtColumn(arg, columns);
  }
  if ('BoolExpr' in node) {
    return (
      node.BoolExpr.boolop !== 'AND_EXPR' &&
      (node.BoolExpr.args ?? []).every((arg) => looksAtColumn(arg, columns))
    );
  }
  if (!('A_Expr' in node)) return false;
  const { kind, lexpr, rexpr } = node.A_Expr;
  if (kind !== 'AEXPR_OP' && kind !== 'AEXPR_LIKE' && kind !== 'AEXPR_ILIKE' && kind !== 'AEXPR_IN')
    return false;
  const right = rexpr !== undefined && 'List' in rexpr ? (rexpr.List.items ?? []) : [rexpr];
  const sides = [lexpr, ...right];
  const constant = (side: Node | undefined) => side !== undefined && isLiteral(side);
  const column = (side: Node | undefined) =>
    side !== undefined && 'ColumnRef' in side && looksAtColumn(side, columns);
  if (constant(lexpr)) return right.length === 1 && column(right[0]);
  return column(lexpr) && sides.slice(1).every(constant);
}

const isLiteral = (node: Node): boolean =>
  ('A_Const' in node && node.A_Const.isnull !== true) ||
  ('TypeCast' in node && isHarmless(node) && node.TypeCast.arg !== undefined && isLiteral(node.TypeCast.arg));
