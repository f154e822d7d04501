import type { Node, SelectStmt } from 'libpg-query';
import { nameParts } from '../parse/parser.js';
import type { DblinkCall, DblinkFunction, Shape } from '../types.js';
import { FUNCTION_FACTS, returnsRows } from './functions.js';
import type { PlacedCall } from './walker.js';

/** What is known of a statement when its shape is decided. */
export interface ShapeFacts {
  readonly tag: string;
  readonly body: Record<string, unknown>;
  readonly found: readonly PlacedCall[];
  /** The same calls, finished. */
  readonly calls: readonly DblinkCall[];
  readonly modifiesData: boolean;
}

/** Functions that change which connections exist. */
const CHANGES_CONNECTIONS: ReadonlySet<DblinkFunction> = new Set([
  'dblink_connect',
  'dblink_connect_u',
  'dblink_disconnect',
]);

const bridge = (reason: string): Shape => ({ kind: 'bridge', reason });

/** How a statement with dblink calls in it can be served. */
export function shapeOf(facts: ShapeFacts): Shape {
  const { tag, body, found, calls, modifiesData } = facts;
  const obstacle = obstacleIn(facts);
  if (obstacle !== undefined) return bridge(obstacle);
  const allCertain = calls.every((call) => call.certain);
  if (tag === 'SelectStmt' && allCertain) {
    const columns = answerColumns(body as SelectStmt, found, calls);
    if (columns !== undefined) return { kind: 'answer', columns };
    if (isStream(body as SelectStmt, calls)) return { kind: 'stream' };
  }
  for (const [i, call] of calls.entries()) {
    const stopped = call.pure ? undefined : obstacleOfCall(call, found[i]!, modifiesData);
    if (stopped !== undefined) return bridge(stopped);
  }
  for (const call of calls) {
    if (call.pure && !call.certain && calls.some((other) => disturbs(other, call))) {
      return bridge(`${call.name}() beside a call that changes what it reads`);
    }
  }
  return { kind: 'splice' };
}

/** Why a call cannot be replaced, if it is not only a read of the session's state. undefined if it can. */
function obstacleOfCall(call: DblinkCall, found: PlacedCall, modifiesData: boolean): string | undefined {
  if (call.use.kind === 'scalar' && returnsRows(call)) {
    return `the rows of ${call.name}() outside a FROM list`;
  }
  if (call.certain) return undefined;
  if (call.use.kind === 'source') {
    if (call.args.every((argument) => argument.harmless)) return undefined;
    return 'an argument that has to be computed only when PostgreSQL reaches the dblink call';
  }
  if (modifiesData) return `${call.name}() inside a data-modifying statement`;
  if (found.place.outerColumns) return `${call.name}() for each row of a query`;
  return `${call.name}() where PostgreSQL may skip it, or evaluates something else before it`;
}

/** Why a statement needs a bridge, whatever its calls do. undefined if there is no such reason. */
function obstacleIn({ tag, body, found }: ShapeFacts): string | undefined {
  if (tag === 'SelectStmt' && found.length > 0 && intoTarget(body as SelectStmt)) return 'SELECT INTO';
  if (!SPLICEABLE.has(tag) || (tag === 'CreateTableAsStmt' && body['objtype'] !== 'OBJECT_TABLE')) {
    return `a dblink call inside ${COMMANDS[tag] ?? (tag === 'CreateTableAsStmt' ? 'CREATE MATERIALIZED VIEW' : 'this kind of command')}`;
  }
  const spans = found.map((call) => call.span);
  for (const call of found) {
    if (FUNCTION_FACTS[call.name].bridgeOnly) return `${call.name}()`;
    if (call.place.recursive) return 'a dblink call in the recursive term of WITH RECURSIVE';
    if (call.place.matched) return 'a dblink call in GROUP BY, ORDER BY, DISTINCT ON or WINDOW';
    if (spans.some((other) => other.start > call.span.start && other.end < call.span.end)) {
      return 'a dblink call in the arguments of another one';
    }
    switch (call.obstacle) {
      case 'column':
        return call.use.kind === 'source' || call.use.item !== undefined
          ? 'a dblink call that depends on another FROM item (LATERAL)'
          : `${call.name}() for each row of a query`;
      case 'cte':
        return 'an argument that reads a common table expression of the statement';
      case 'aggregate':
        return 'an aggregate or window function in an argument of a dblink call';
      case 'set':
        return 'a set-returning function in an argument of a dblink call';
    }
    if (call.use.kind === 'source' && call.use.rowsFrom) {
      if (!call.use.aliasGiven) return 'ROWS FROM with a dblink call and without an alias';
      if (call.use.columns.some((column) => !column.nameExact))
        return 'ROWS FROM with column names beyond ASCII';
    }
    if (call.use.kind === 'source' && lockedByName(body, call.use.alias))
      return 'FOR UPDATE OF a dblink call';
    if (call.inRowsFrom && call.use.kind === 'scalar') return `${call.name}() inside ROWS FROM`;
    if (call.use.kind === 'scalar' && call.collated) return 'COLLATE in an argument of a dblink call';
  }
  return undefined;
}

/** Statements in which calls may be replaced. */
const SPLICEABLE: ReadonlySet<string> = new Set([
  'SelectStmt',
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
  'CreateTableAsStmt',
]);

/** Other commands that people do send with dblink calls inside, by the names that they have in a HINT. */
const COMMANDS: Readonly<Record<string, string>> = {
  ViewStmt: 'CREATE VIEW',
  RuleStmt: 'CREATE RULE',
  PrepareStmt: 'PREPARE',
  ExecuteStmt: 'EXECUTE',
  DeclareCursorStmt: 'DECLARE CURSOR',
  ExplainStmt: 'EXPLAIN',
  CopyStmt: 'COPY',
  CreateFunctionStmt: 'CREATE FUNCTION',
  CallStmt: 'CALL',
  CreateStmt: 'CREATE TABLE',
  AlterTableStmt: 'ALTER TABLE',
  IndexStmt: 'CREATE INDEX',
  CreateTrigStmt: 'CREATE TRIGGER',
  CreatePolicyStmt: 'CREATE POLICY',
};

/** Whether a SELECT has INTO, which stands in the first arm of a set operation. */
function intoTarget(select: SelectStmt): boolean {
  return select.intoClause !== undefined || (select.larg !== undefined && intoTarget(select.larg));
}

/**
 * Whether FOR UPDATE OF and the like name this alias. For a function that is an error (0A000), which a sub-select in its
 * place would not give.
 */
function lockedByName(body: Record<string, unknown>, alias: string): boolean {
  const clauses = (body['lockingClause'] ?? []) as readonly Node[];
  return clauses.some(
    (clause) =>
      'LockingClause' in clause &&
      (clause.LockingClause.lockedRels ?? []).some(
        (table) => 'RangeVar' in table && table.RangeVar.relname === alias,
      ),
  );
}

/** Whether a call changes what a reading call sees. */
function disturbs(call: DblinkCall, reader: DblinkCall): boolean {
  if (call.pure || call === reader) return false;
  return reader.name === 'dblink_get_connections' ? CHANGES_CONNECTIONS.has(call.name) : true;
}

/** The column names of a SELECT of nothing but calls; undefined if it is something else. */
function answerColumns(
  select: SelectStmt,
  found: readonly PlacedCall[],
  calls: readonly DblinkCall[],
): readonly string[] | undefined {
  const targets = select.targetList ?? [];
  if (targets.length !== calls.length || select.fromClause?.length) return undefined;
  const rows = calls.filter(returnsRows);
  if (rows.length > 0 && (calls.length > 1 || rows[0]!.name !== 'dblink')) return undefined;
  const names: string[] = [];
  for (const [i, target] of targets.entries()) {
    if (!('ResTarget' in target)) return undefined;
    const { name, val } = target.ResTarget;
    if (val === undefined || !('FuncCall' in val) || val.FuncCall !== found[i]!.node) return undefined;
    // The primary has to fold and truncate a name beyond ASCII.
    if (name !== undefined && !/^[\x20-\x7e]*$/.test(name)) return undefined;
    names.push(name ?? calls[i]!.name);
  }
  return names;
}

/** Whether a SELECT returns all columns of one source, in their order. */
function isStream(select: SelectStmt, calls: readonly DblinkCall[]): boolean {
  const [call] = calls;
  if (calls.length !== 1 || call === undefined || call.use.kind !== 'source') return false;
  const { alias, columns, rowsFrom, ordinality } = call.use;
  if (rowsFrom || ordinality || columns.length === 0 || columns.some((column) => !column.nameExact))
    return false;
  const allowed = ['op', 'targetList', 'fromClause', 'limitOption'];
  if (select.op !== 'SETOP_NONE' || !Object.keys(select).every((key) => allowed.includes(key))) return false;
  const names = columns.map((column) => column.name);
  if (new Set(names).size !== names.length) return false;
  // The remote's rows go out as they are: the targets must be all columns, in their order.
  const wanted = (select.targetList ?? []).flatMap(
    (target): readonly (string | undefined)[] => plainColumns(target, alias, names) ?? [undefined],
  );
  return wanted.length === names.length && wanted.every((name, i) => name === names[i]);
}

/** The columns that a target stands for if it is `*`, `alias.*` or a plain column; undefined for any other. */
function plainColumns(target: Node, alias: string, names: readonly string[]): readonly string[] | undefined {
  const node = 'ResTarget' in target ? target.ResTarget.val : undefined;
  if (node === undefined || !('ColumnRef' in node)) return undefined;
  const fields = node.ColumnRef.fields ?? [];
  const last = fields.at(-1);
  if (last === undefined || fields.length > 2) return undefined;
  if (fields.length === 2 && nameParts(fields)[0] !== alias) return undefined;
  return 'A_Star' in last ? names : nameParts([last]).slice(0, 1);
}
