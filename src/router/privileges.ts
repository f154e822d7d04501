import { PgError } from '../wire/errors.js';
import type { Statement } from './analysis/index.js';
import type { SessionFacts } from './facts.js';

/**
 * Whether the role may execute the functions of the statement: the extension leaves dblink_connect_u to superusers
 * (behaviour reference, section 1).
 * @throws PgError 42501
 */
export function checkPrivileges(statement: Statement, facts: SessionFacts): void {
  if (facts.superuser) return;
  const refused = statement.calls.find((call) => call.name === 'dblink_connect_u');
  if (refused !== undefined) throw new PgError('42501', `permission denied for function ${refused.name}`);
}
