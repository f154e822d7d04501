import type { ByteString } from './bytes.js';
import { conninfoError, plain } from './error.js';

/**
 * The value of an option that has a fixed set of values, compared exactly as libpq compares.
 *
 * @param fallback used if the option is not set. An option set to '' is set, to a wrong value.
 * @throws ConninfoError `invalid <option> value: "<value>"`.
 */
export function chooseOption<Value extends string>(
  options: ReadonlyMap<string, ByteString>,
  option: string,
  allowed: readonly Value[],
  fallback: Value,
): Value {
  const given = options.get(option);
  if (given === undefined) return fallback;
  const value = allowed.find((candidate) => candidate === given);
  if (value === undefined) throw conninfoError`invalid ${plain(option)} value: "${given}"`;
  return value;
}
