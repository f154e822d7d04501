import { PgError } from '../wire/errors.js';
import type { ArgumentRole } from './functions.js';

/**
 * The arguments of a call, sorted by what they are for. Text is byte strings in the database's encoding. Kind `null`: one
 * of the arguments is SQL's NULL.
 */
export type CallArguments =
  | { readonly kind: 'null' }
  | {
      readonly kind: 'call';
      /**
       * Name of a connection; for dblink() and dblink_exec() it can also be a connection string. undefined: the unnamed
       * connection.
       */
      readonly connection: string | undefined;
      readonly conninfo: string | undefined;
      readonly sql: Buffer | undefined;
      /** True where the signature has no such argument. */
      readonly failOnError: boolean;
      readonly cursor: string | undefined;
      /** Number of rows; 0 where the signature has no such argument. */
      readonly howMany: number;
    };

/**
 * Sorts the values of a call's arguments by their roles.
 * @param roles of the arguments of the signature
 * @param values one for each role, as PostgreSQL writes them as text; null for SQL's NULL
 * @throws PgError 22P02 for a boolean that cannot be read
 */
export function argumentsOf(
  roles: readonly ArgumentRole[],
  values: readonly (Buffer | null)[],
): CallArguments {
  // All functions with arguments are STRICT: if one argument is NULL, nothing is done.
  if (values.includes(null)) return { kind: 'null' };
  const of = (role: ArgumentRole): Buffer | undefined => {
    const index = roles.indexOf(role);
    return index < 0 ? undefined : (values[index] ?? undefined);
  };
  const text = (role: ArgumentRole): string | undefined => of(role)?.toString('latin1');
  const flag = text('failOnError');
  return {
    kind: 'call',
    connection: text('connection'),
    conninfo: text('conninfo'),
    sql: of('sql'),
    failOnError: flag === undefined ? true : parseBoolean(flag),
    cursor: text('cursor'),
    howMany: Number(text('howMany') ?? 0),
  };
}

/**
 * Reads a boolean as PostgreSQL does: any unambiguous beginning of the words counts, in upper or lower case. Blanks
 * around it are ignored.
 * @throws PgError 22P02
 */
function parseBoolean(text: string): boolean {
  const word = text.trim().toLowerCase();
  const isPrefix = (of: string, atLeast = 1) => word.length >= atLeast && of.startsWith(word);
  if (isPrefix('true') || isPrefix('yes') || isPrefix('on', 2) || word === '1') return true;
  if (isPrefix('false') || isPrefix('no') || isPrefix('off', 2) || word === '0') return false;
  throw new PgError('22P02', `invalid input syntax for type boolean: "${text}"`);
}
