import { IS_EVIDENCE_QUERY } from './installed/roleProof.js';
import type { ServiceConnection } from './service/serviceConnection.js';

/** What somebody shows in order to prove a role (roleProof.ts). */
export interface Evidence {
  readonly nonce: string;
  /** A byte string. */
  readonly role: string;
  readonly evidence: string;
}

/** Whether it is the evidence for the question and the role. @throws PgError when the primary cannot be asked */
export async function isEvidence(
  connection: Pick<ServiceConnection, 'query'>,
  { nonce, role, evidence }: Evidence,
): Promise<boolean> {
  if (!/^[0-9a-f]{64}$/.test(evidence)) return false;
  const [row] = await connection.query(IS_EVIDENCE_QUERY, [nonce, role, evidence]);
  return row?.[0]?.toString() === 't';
}
