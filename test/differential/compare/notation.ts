import type { Case, FlowItem, FlowStep, OutsideStep, Parameter, StatementStep } from '../play/types.js';

/** Shorthand in which the cases are written. */

/** Several steps, or none, as one case; `more` is everything but name and steps. */
export function testCase(name: string, steps: Case['steps'], more: Omit<Case, 'name' | 'steps'> = {}): Case {
  return { name, steps, ...more };
}

/** Opens the named connection to the remote. */
export function open(name: string): string {
  return `SELECT dblink_connect('${name}', '{R}')`;
}

/** A statement with parameters. */
export function bound(sql: string, params: readonly Parameter[], types?: readonly number[]): StatementStep {
  return types === undefined ? { sql, params } : { sql, params, types };
}

/** Messages of the extended protocol as given. */
export function flow(...items: readonly FlowItem[]): FlowStep {
  return { flow: items };
}

/** Runs SQL on the remote, not through the session under test. */
export function onRemote(run: string): OutsideStep {
  return { on: 'remote', run };
}

/** Runs SQL on the local database, not through the session under test. */
export function onLocal(run: string): OutsideStep {
  return { on: 'local', run };
}

export const parse = (sql: string, name = '', types: readonly number[] = []): FlowItem => ({
  op: 'parse',
  name,
  sql,
  types,
});

export const bind = (
  options: {
    readonly portal?: string;
    readonly statement?: string;
    readonly params?: readonly Parameter[];
    readonly paramFormats?: readonly number[];
    readonly resultFormats?: readonly number[];
  } = {},
): FlowItem => ({
  op: 'bind',
  portal: options.portal ?? '',
  statement: options.statement ?? '',
  params: options.params ?? [],
  paramFormats: options.paramFormats ?? [],
  resultFormats: options.resultFormats ?? [],
});

export const describeStatement = (name = ''): FlowItem => ({ op: 'describe', kind: 'S', name });
export const describePortal = (name = ''): FlowItem => ({ op: 'describe', kind: 'P', name });
export const closeStatement = (name: string): FlowItem => ({ op: 'close', kind: 'S', name });
export const closePortal = (name: string): FlowItem => ({ op: 'close', kind: 'P', name });
export const execute = (maxRows = 0, portal = ''): FlowItem => ({ op: 'execute', portal, maxRows });
export const query = (sql: string): FlowItem => ({ op: 'query', sql });
export const sync: FlowItem = { op: 'sync' };
export const flush: FlowItem = { op: 'flush' };
export const flushAndWait: FlowItem = { op: 'flush-and-wait' };

/** `SELECT * FROM dblink(connection, sql) AS t(columns)`, the remote SQL in dollar quotes. */
export function fetch(sql: string, columns: string, connection = "'c', "): string {
  return `SELECT * FROM dblink(${connection}$remote$${sql}$remote$) AS t(${columns})`;
}
