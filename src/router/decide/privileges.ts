import type { SessionFacts } from '../../primary/sessionFacts.js';
import type { DblinkCall, Statement } from '../../sql/index.js';
import { PgError } from '../../wire/errors.js';

/** The extension leaves dblink_connect_u to superusers, and to those whom one grants it (behaviour reference, section 1). */
const privileged = (statement: Statement, facts: SessionFacts): DblinkCall | undefined =>
  facts.superuser ? undefined : statement.calls.find((call) => call.name === 'dblink_connect_u');

/**
 * Whether the statement has to go by way of the bridge though another plan could serve it: that the role may execute a
 * function of that name says nothing, for it can be one that the role has made; the bridge looks at who has made it.
 */
export const needsVerification = (statement: Statement, facts: SessionFacts): boolean =>
  privileged(statement, facts) !== undefined;

/**
 * Whether the role may execute the functions of the statement where there is no bridge, on which EXECUTE could have been
 * granted.
 * @throws PgError 42501
 */
export function checkPrivileges(statement: Statement, facts: SessionFacts): void {
  const refused = privileged(statement, facts);
  if (refused !== undefined) throw new PgError('42501', `permission denied for function ${refused.name}`);
}
