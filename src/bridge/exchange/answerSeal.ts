import { createHash } from 'node:crypto';
import type { BridgeRequest } from './request.js';

/**
 * Who could write where an answer is handed over must not be able to make one. The UUID of a request is known to the function
 * that made it up and to the proxy, and is written nowhere: a digest of it is the handle by which the function finds the
 * answer, another one of it and the answer the seal by which it knows that the answer is the proxy's.
 */

const idOf = ({ id }: BridgeRequest): Buffer => Buffer.from(id.replaceAll('-', ''), 'hex');

const sha256 = (...parts: readonly Buffer[]): Buffer => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** What an answer is found by: 16 bytes. */
export const handleOf = (request: BridgeRequest): Buffer => sha256(idOf(request)).subarray(0, 16);

/** @param packed the answer (packAnswer) @returns 32 bytes */
export const sealOf = (request: BridgeRequest, packed: Buffer): Buffer => {
  const id = idOf(request);
  return sha256(id, sha256(id, packed));
};
