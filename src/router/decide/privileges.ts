import type { SessionFacts } from '../../primary/sessionFacts.js';
import type { SessionContext } from '../../session/context.js';
import type { Statement } from '../../sql/index.js';
import { PgError } from '../../wire/errors.js';
import { abortable } from '../../wire/pace/abortable.js';

/**
 * The function of the statement that the role may execute only if it has been granted EXECUTE. The extension leaves
 * dblink_connect_u to superusers and to those to whom a superuser grants it (behaviour reference, section 1).
 * @returns undefined when there is no such function
 */
export const privileged = (
  { calls }: Statement,
  { superuser, unproven = false }: SessionFacts,
): string | undefined =>
  superuser && !unproven ? undefined : calls.find(({ name }) => name === 'dblink_connect_u')?.name;

/**
 * The facts about a nested session, with the proof that its role is a superuser where only that lets the statement run.
 * @throws PgError what stands in the way of a proof
 */
export async function proven(
  statement: Statement,
  facts: SessionFacts,
  context: SessionContext,
): Promise<SessionFacts> {
  const { superuser, unproven, bridged } = facts;
  // Where functions are installed, theirs is what is proven.
  if (!superuser || unproven !== true || bridged.length > 0 || privileged(statement, facts) === undefined)
    return facts;
  const isProven = await context.remotely(facts, ({ facts: { confirmSuperuser }, signal }) =>
    abortable(confirmSuperuser(), signal),
  );
  return { ...facts, unproven: !isProven };
}

/** PostgreSQL's error for a function that the role may not execute (42501). */
export const notPrivileged = (name: string): PgError =>
  new PgError('42501', `permission denied for function ${name}`);

/**
 * Checks that the role may execute the functions of the statement, where there is no bridge on whose functions EXECUTE could have
 * been granted.
 * @throws PgError 42501
 */
export function checkPrivileges(statement: Statement, facts: SessionFacts): void {
  const refused = privileged(statement, facts);
  if (refused !== undefined) throw notPrivileged(refused);
}
