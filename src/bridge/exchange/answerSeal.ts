import { hash } from 'node:crypto';
import type { BridgeRequest } from './request.js';

/**
 * Somebody who can write to the place where an answer is handed over must not be able to forge one
 * (docs/decisions/011-sealed-answers.md).
 *
 * The UUID of a request is known only to the function that made it up and to the proxy. It is written nowhere. The handle is a
 * digest of it, by which the function finds the answer. The seal is a digest of it and the answer, by which the function knows
 * that the answer is the proxy's.
 */

const idOf = ({ id }: BridgeRequest): Buffer => Buffer.from(id.replaceAll('-', ''), 'hex');

/** As hexadecimal digits: of all forms the one that is made fastest. */
const sha256 = (bytes: Buffer): string => hash('sha256', bytes, 'hex');

const HANDLE_DIGITS = 32;

/** By what the function finds its answer: 32 hexadecimal digits. */
export const handleOf = (request: BridgeRequest): string => sha256(idOf(request)).slice(0, HANDLE_DIGITS);

/**
 * By what the function knows that the answer is the proxy's.
 * @param packed the answer (packAnswer)
 * @returns 64 hexadecimal digits
 */
export const sealOf = (request: BridgeRequest, packed: Buffer): string =>
  sha256(Buffer.concat([idOf(request), Buffer.from(sha256(packed), 'hex')]));
