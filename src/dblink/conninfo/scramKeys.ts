import type { ByteString } from './bytes.js';
import { conninfoError, plain } from './error.js';

const SCRAM_KEY_BYTES = 32;

/**
 * A key of SCRAM pass-through (RFC 5802 ClientKey or ServerKey), 32 bytes in base64.
 *
 * @throws ConninfoError `invalid SCRAM client key` or `invalid SCRAM client key length: %d`.
 */
export function decodeScramKey(value: ByteString | undefined, side: 'client' | 'server'): Buffer | undefined {
  if (value === undefined) return undefined;
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(value)) {
    throw conninfoError`invalid SCRAM ${plain(side)} key`;
  }
  const key = Buffer.from(value, 'base64');
  if (key.length !== SCRAM_KEY_BYTES) {
    throw conninfoError`invalid SCRAM ${plain(side)} key length: ${key.length}`;
  }
  return key;
}
