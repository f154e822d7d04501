import type { ByteString } from './bytes.js';
import { conninfoError } from './error.js';
import { findKeyword } from './keywords.js';

/** Options by keyword while a string is being read. */
export type OptionMap = Map<string, ByteString>;

/**
 * Stores one option; a repeated keyword replaces the earlier value. The pseudo keyword `requiressl`
 * becomes `sslmode`: `require` if its value begins with `1`, else `prefer`.
 *
 * @returns false if there is no such keyword.
 */
export function storeOption(options: OptionMap, keyword: ByteString, value: ByteString): boolean {
  if (keyword === 'requiressl') {
    options.set('sslmode', value.startsWith('1') ? 'require' : 'prefer');
    return true;
  }
  if (findKeyword(keyword) === undefined) return false;
  options.set(keyword, value);
  return true;
}

/**
 * Like `storeOption`, but throws for an unknown keyword, as the key=value form does.
 * @throws ConninfoError `invalid connection option "x"`.
 */
export function storeKnownOption(options: OptionMap, keyword: ByteString, value: ByteString): void {
  if (!storeOption(options, keyword, value)) throw conninfoError`invalid connection option "${keyword}"`;
}
