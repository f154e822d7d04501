import type { FuncCall, Node, RangeFunction, SelectStmt, WithClause } from 'libpg-query';
import { nameParts, unwrap, walk } from '../parse/parser.js';
import type { Surroundings } from './arguments.js';
import { type CallReader, type FoundCall, LeaveAlone } from './calls.js';

/** Where in a statement a part of it stands. */
export interface Place extends Surroundings {
  /** The query is the statement itself, not a part of something else. */
  readonly top: boolean;
  /** In the recursive term of WITH RECURSIVE: runs again and again. */
  readonly recursive: boolean;
  /** In a clause where an expression is matched with another by its form: GROUP BY, ORDER BY, DISTINCT ON, WINDOW. */
  readonly matched: boolean;
  /** How many dblink calls it is nested in, in their arguments. */
  readonly nested: number;
}

/**
 * How deep calls may be nested in the arguments of others. Each call is read with all that is in its arguments, so more
 * would take too long.
 */
const MAX_NESTED = 8;

/** A call with its place. */
export interface PlacedCall extends FoundCall {
  readonly place: Place;
  /** The call is the only FROM item of its query. */
  readonly alone: boolean;
}

const DATA_MODIFYING: ReadonlySet<string> = new Set(['InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt']);
const FROM_LISTS: ReadonlySet<string> = new Set(['fromClause', 'usingClause', 'sourceRelation']);
const MATCHED_LISTS: ReadonlySet<string> = new Set([
  'groupClause',
  'sortClause',
  'distinctClause',
  'windowClause',
]);

/** Whether a node with this tag is a data-modifying statement. */
const isDataModifying = (tag: string): boolean => DATA_MODIFYING.has(tag);

/** Walks a query or a data-modifying statement and finds the dblink calls in it, each with its place. */
export class StatementWalker {
  readonly calls: PlacedCall[] = [];
  /** A data-modifying statement is there, at the top or in a CTE. */
  modifiesData = false;
  readonly #reader: CallReader;

  constructor(reader: CallReader) {
    this.#reader = reader;
  }

  /** @throws LeaveAlone when a call is one that PostgreSQL itself refuses, or whose text is not understood */
  walk(tag: string, body: Record<string, unknown>): void {
    const place = {
      top: true,
      recursive: false,
      matched: false,
      nested: 0,
      outerColumns: false,
      ctes: new Set<string>(),
    };
    if (tag === 'SelectStmt') this.#select(body as SelectStmt, place);
    else if (isDataModifying(tag)) this.#modification(body, place);
    else this.#expression(body, { ...place, top: false });
  }

  #select(select: SelectStmt, outer: Place): void {
    const place = this.#with(select.withClause, outer);
    if (select.larg !== undefined && select.rarg !== undefined) {
      const arm = { ...place, top: false };
      this.#select(select.larg, arm);
      this.#select(select.rarg, arm);
    }
    const from = select.fromClause ?? [];
    const items = from.reduce((sum, item) => sum + countItems(item), 0);
    const inside = { ...place, outerColumns: place.outerColumns || items > 0 };
    for (const [key, value] of Object.entries(select)) {
      if (key === 'withClause' || key === 'larg' || key === 'rarg') continue;
      if (key === 'fromClause') this.#fromList(from, place, false);
      else if (key === 'targetList') this.#targets(value as Node[], inside);
      else this.#expression(value, MATCHED_LISTS.has(key) ? { ...inside, matched: true } : inside);
    }
  }

  #modification(body: Record<string, unknown>, outer: Place): void {
    this.modifiesData = true;
    const place = { ...this.#with(body['withClause'] as WithClause | undefined, outer), top: false };
    const inside = { ...place, outerColumns: true };
    for (const [key, value] of Object.entries(body)) {
      if (key === 'withClause') continue;
      if (FROM_LISTS.has(key)) {
        this.#fromList(Array.isArray(value) ? (value as Node[]) : [value as Node], place, true);
      } else if (key === 'selectStmt') {
        // The source of an INSERT sees no columns of the surrounding statement.
        const { body: select } = unwrap(value as Node);
        this.#select(select as SelectStmt, place);
      } else if (key === 'returningClause') {
        this.#targets(((value as { exprs?: Node[] }).exprs ?? []) as Node[], inside);
      } else this.#expression(value, inside);
    }
  }

  /** Visits the CTEs. @returns the place of the query that they belong to */
  #with(clause: WithClause | undefined, outer: Place): Place {
    if (clause === undefined) return outer;
    const ctes = new Set(outer.ctes);
    const expressions = (clause.ctes ?? []).map((cte) =>
      'CommonTableExpr' in cte ? cte.CommonTableExpr : {},
    );
    for (const cte of expressions) ctes.add(cte.ctename ?? '');
    const place = { ...outer, ctes };
    const inside = { ...place, top: false };
    for (const { ctequery, ctename } of expressions) {
      if (ctequery === undefined) continue;
      const { tag, body } = unwrap(ctequery);
      if (tag !== 'SelectStmt') {
        this.#modification(body, inside);
        continue;
      }
      const select = body as SelectStmt;
      const recursive =
        clause.recursive === true && select.rarg !== undefined && reads(select.rarg, ctename ?? '');
      if (recursive && select.larg !== undefined) {
        this.#select(select.larg, inside);
        this.#select(select.rarg!, { ...inside, recursive: true });
        this.#with(select.withClause, inside);
      } else this.#select(select, inside);
    }
    return place;
  }

  /**
   * The items of a FROM list. A function, or a sub-select that is LATERAL, sees the columns of the items to its left.
   * @param joined with the table of a data-modifying statement
   */
  #fromList(items: readonly Node[], place: Place, joined: boolean): void {
    const alone = !joined && items.length === 1;
    for (const [i, item] of items.entries()) this.#fromItem(item, place, joined || i > 0, alone);
  }

  #fromItem(item: Node, place: Place, hasLeft: boolean, alone: boolean): void {
    const lateral = { ...place, outerColumns: place.outerColumns || hasLeft };
    if ('RangeFunction' in item) {
      this.#rangeFunction(item.RangeFunction, lateral, alone);
    } else if ('JoinExpr' in item) {
      const { larg, rarg, quals } = item.JoinExpr;
      if (larg !== undefined) this.#fromItem(larg, place, hasLeft, false);
      if (rarg !== undefined) this.#fromItem(rarg, place, true, false);
      this.#expression(quals, { ...place, outerColumns: true });
    } else if ('RangeSubselect' in item && item.RangeSubselect.lateral !== true) {
      this.#expression(item, place);
    } else this.#expression(item, lateral);
  }

  #rangeFunction(item: RangeFunction, place: Place, alone: boolean): void {
    for (const entry of item.functions ?? []) {
      const [call, columns] = 'List' in entry ? (entry.List.items ?? []) : [];
      if (call !== undefined && 'FuncCall' in call && this.#reader.functionOf(call.FuncCall) !== undefined) {
        const own = columns !== undefined && 'List' in columns ? (columns.List.items ?? []) : [];
        const found = this.#reader.fromItem(call.FuncCall, item, own, place);
        this.calls.push({ ...found, place, alone: alone && item.is_rowsfrom !== true });
        this.#expression(call.FuncCall.args, within(place));
      } else this.#expression(call, { ...place, top: false });
    }
  }

  #targets(list: readonly Node[], place: Place): void {
    for (const target of list) {
      if (!('ResTarget' in target)) continue;
      const { name, val } = target.ResTarget;
      this.#expression(val, place, name === undefined ? namingCall(val) : undefined);
    }
  }

  /** @param naming the call, if there is one, that the output column with this expression is named after */
  #expression(part: unknown, place: Place, naming?: FuncCall): void {
    if (Array.isArray(part)) {
      for (const item of part) this.#expression(item, place, naming);
      return;
    }
    if (part === null || typeof part !== 'object') return;
    for (const [key, value] of Object.entries(part)) {
      if (typeof value !== 'object') continue;
      if (key === 'SelectStmt') {
        this.#select(value as SelectStmt, { ...place, top: false, matched: false });
      } else if (key === 'FuncCall' && this.#reader.functionOf(value as FuncCall) !== undefined) {
        const call = value as FuncCall;
        this.calls.push({ ...this.#reader.scalar(call, place, call === naming), place, alone: false });
        this.#expression(call.args, within(place));
      } else if (DATA_MODIFYING.has(key)) {
        this.#modification(value as Record<string, unknown>, place);
      } else this.#expression(value, place, naming);
    }
  }
}

/** The place of a call's arguments. @throws LeaveAlone when calls are nested deeper than anybody would nest them */
function within(place: Place): Place {
  if (place.nested >= MAX_NESTED) throw new LeaveAlone();
  return { ...place, top: false, nested: place.nested + 1 };
}

/** How many row sources a FROM item joins. */
function countItems(item: Node): number {
  if (!('JoinExpr' in item)) return 1;
  const { larg, rarg } = item.JoinExpr;
  return (larg === undefined ? 0 : countItems(larg)) + (rarg === undefined ? 0 : countItems(rarg));
}

/** Whether a query reads a table of this name, written without a schema. */
function reads(part: unknown, name: string): boolean {
  let found = false;
  walk(part, (value) => {
    const table = value['RangeVar'] as { relname?: string; schemaname?: string } | undefined;
    if (table?.relname === name && table.schemaname === undefined) found = true;
    return !found;
  });
  return found;
}

/**
 * The function call that an output column without alias is named after. FigureColname in PostgreSQL's parser finds it
 * through casts, COLLATE, subscripts and the ELSE of a CASE. A sub-select has a name of its own.
 */
function namingCall(node: Node | undefined): FuncCall | undefined {
  if (node === undefined) return undefined;
  if ('FuncCall' in node) return node.FuncCall;
  if ('TypeCast' in node) return namingCall(node.TypeCast.arg);
  if ('CollateClause' in node) return namingCall(node.CollateClause.arg);
  if ('CaseExpr' in node) return namingCall(node.CaseExpr.defresult);
  if ('A_Indirection' in node) {
    const { arg, indirection } = node.A_Indirection;
    return nameParts(indirection).some((name) => name !== '') ? undefined : namingCall(arg);
  }
  return undefined;
}

/** How many dblink calls are in a part of the syntax tree. */
export function countCalls(part: unknown, reader: CallReader): number {
  let count = 0;
  walk(part, (value) => {
    if ('FuncCall' in value && reader.functionOf(value['FuncCall'] as FuncCall) !== undefined) count++;
    return true;
  });
  return count;
}
