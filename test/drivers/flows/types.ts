/**
 * A flow is one session: its statements run in order on a connection of their own, and go on after an error, as in
 * psql. Every driver runs every flow, in each of its ways to run a statement; what they print is compared between the
 * extension and the proxy.
 *
 * `{R}` in a statement or a parameter stands for the connection string of the remote, `{P}` for the remote's port and
 * `{D}` for its database.
 */
export interface Flow {
  readonly name: string;
  readonly steps: readonly Step[];
  /** Several statements in one string: only for ways that use the simple protocol. */
  readonly simpleOnly: boolean;
}

/** A parameter's value; the driver gives it the type it finds natural. */
export type Value = Scalar | readonly Scalar[];

type Scalar = string | number | boolean | null;

/** One statement. `$1` … stand for the parameters, each is mentioned once and in order. */
export interface Step {
  readonly sql: string;
  readonly values: readonly Value[];
}

/** A statement with parameters. */
export function withValues(sql: string, ...values: readonly Value[]): Step {
  return { sql, values };
}

/** A session in which every statement is sent by itself. */
export function flow(name: string, ...steps: readonly (string | Step)[]): Flow {
  return {
    name,
    steps: steps.map((step) => (typeof step === 'string' ? { sql: step, values: [] } : step)),
    simpleOnly: false,
  };
}

/** A session whose statements may be strings of several statements, for the simple protocol only. */
export function stringsOfStatements(name: string, ...strings: readonly string[]): Flow {
  return { ...flow(name, ...strings), simpleOnly: true };
}

/** Opens the named connection `c`, as most flows begin. */
export const CONNECT = "SELECT dblink_connect('c', '{R}')";
