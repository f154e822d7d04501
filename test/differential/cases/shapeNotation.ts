import { testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/**
 * Shapes in which programs, migrations and reports are seen to call dblink, by their codes: T statements of the top level,
 * E expressions as arguments, J joins and CTEs, D what changes data here, V stored definitions, P prepared statements and
 * portals, F functions and triggers, S asynchronous queries, C cursors, W foreign servers, M migrations and tools.
 * The other files play them with the functions they are seen with most, `dblink`, `dblink_exec`, `dblink_connect`; the files
 * that use this one play them with the rest of the family, which all need the functions of the bridge in one place or another.
 */
export const shape = (
  codes: string,
  text: string,
  steps: Case['steps'],
  more: Omit<Case, 'name' | 'steps'> = {},
): Case => testCase(`shape ${codes}: ${text}`, steps, { bridged: true, ...more });

/** Several statements in one Query message, which the extended protocol has no way to send. */
export const ONE_QUERY = { transports: ['simple', 'multi'] } as const;

/** A local table to write to. */
export const L = {
  local: "CREATE TABLE l (id int PRIMARY KEY, v text); INSERT INTO l VALUES (1, 'one'), (9, 'nine')",
};
export const SHOW_L = 'SELECT * FROM l ORDER BY id';
