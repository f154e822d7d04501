import { PgError } from '../wire/errors.js';
import type { Role } from './functions.js';

/** The arguments of a call by what they are for; text as byte strings in the database's encoding; null is SQL's NULL. */
export type CallArguments =
  | { readonly kind: 'null' }
  | {
      readonly kind: 'call';
      readonly connection: string | undefined;
      readonly conninfo: string | undefined;
      readonly sql: Buffer | undefined;
      readonly failOnError: boolean;
      readonly cursor: string | undefined;
      readonly howMany: number;
    };

/** A call from the values of its arguments: text as PostgreSQL writes it, null for SQL's NULL. */
export function argumentsOf(roles: readonly Role[], values: readonly (Buffer | null)[]): CallArguments {
  // All functions with arguments are STRICT: a NULL anywhere means that nothing is done.
  if (values.includes(null)) return { kind: 'null' };
  const of = (role: Role): Buffer | undefined => {
    const index = roles.indexOf(role);
    return index < 0 ? undefined : (values[index] ?? undefined);
  };
  const text = (role: Role): string | undefined => of(role)?.toString('latin1');
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

/** PostgreSQL's input of boolean: any unambiguous beginning of the words, in any case, blanks around them ignored. */
function parseBoolean(text: string): boolean {
  const word = text.trim().toLowerCase();
  const isPrefix = (of: string, atLeast = 1) => word.length >= atLeast && of.startsWith(word);
  if (isPrefix('true') || isPrefix('yes') || isPrefix('on', 2) || word === '1') return true;
  if (isPrefix('false') || isPrefix('no') || isPrefix('off', 2) || word === '0') return false;
  throw new PgError('22P02', `invalid input syntax for type boolean: "${text}"`);
}
