import { onRemote, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/** Shorthand for the edge cases of the behaviour reference (section 12), which are played entry by entry. */

export const entry = (
  number: number,
  text: string,
  steps: Case['steps'],
  more: Omit<Case, 'name' | 'steps'> = {},
): Case => testCase(`reference 12.${number}: ${text}`, steps, more);

export const BRIDGED = { bridged: true } as const;
export const UNNAMED = "SELECT dblink_connect('{R}')";
/** `dblink()` on the unnamed connection. */
export const ask = (sql: string, columns = 'a int', more = ''): string =>
  `SELECT * FROM dblink($remote$${sql}$remote$${more}) AS t(${columns})`;
export const exec = (sql: string, more = ''): string =>
  `SELECT dblink_exec('c', $remote$${sql}$remote$${more})`;
export const MESSAGE = "SELECT dblink_error_message('c')";
/** A table that tells what reached the remote. */
export const X = { remote: 'CREATE TABLE x (a int)' };
export const COUNT_X = 'SELECT count(*) FROM x';

export const VICTIM = (name: string): string =>
  `SELECT dblink_connect('${name}', '{R} application_name=victim')`;
export const KILL = onRemote(
  "SELECT pg_terminate_backend(pid, 3000) FROM pg_stat_activity WHERE application_name = 'victim'",
);
