import { open, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/** Shorthand for cases about functions. */

interface FunctionOptions {
  readonly name?: string;
  readonly args?: string;
  readonly returns?: string;
  readonly attributes?: string;
}

/** CREATE FUNCTION in PL/pgSQL, with a semicolon. */
export function plpgsql(body: string, options: FunctionOptions = {}): string {
  const { name = 'f', args = '', returns = 'text', attributes = '' } = options;
  return `CREATE FUNCTION ${name}(${args}) RETURNS ${returns} LANGUAGE plpgsql ${attributes} AS $body$ ${body} $body$;\n`;
}

/** The same in SQL. */
export function sql(body: string, options: FunctionOptions = {}): string {
  return plpgsql(body, options).replace('LANGUAGE plpgsql', 'LANGUAGE sql');
}

/** The case needs functions named like dblink's. */
export const bridged = (name: string, steps: Case['steps'], more: Omit<Case, 'name' | 'steps'> = {}): Case =>
  testCase(`functions: ${name}`, steps, { ...more, bridged: true });

/** What runs inside of a statement does not depend on whether others are sent behind it: for cases that are many. */
export const ONE_BY_ONE = ['simple', 'multi', 'extended', 'binary', 'describe-first', 'row-limit'] as const;

/** Functions are there before the session begins; `c` is open. */
export function calling(
  name: string,
  functions: string,
  statements: Case['steps'],
  more: Omit<Case, 'name' | 'steps'> = {},
): Case {
  return bridged(name, [open('c'), ...statements], { local: functions, transports: ONE_BY_ONE, ...more });
}

/** A table of the remote that functions write to. */
export const W = { remote: 'CREATE TABLE w (a int PRIMARY KEY, b text)' };
