import { isDeepStrictEqual } from 'node:util';
import type { Config } from './config.js';
import { type Setting, settings } from './settings.js';

/** The settings whose values differ. */
export const changedSettings = (before: Config, after: Config): readonly Setting[] =>
  settings.filter(({ key }) => !isDeepStrictEqual(before.values[key], after.values[key]));

/** A configuration that has been loaded while another one is in use. */
export interface Reloaded {
  /** What the program can use from now on: settings that need a restart are as they were. */
  readonly config: Config;
  /** Keys of the settings that have changed, or whose files may have. */
  readonly changed: readonly string[];
  /** Keys of those among the changed ones that need a restart. */
  readonly pending: readonly string[];
}

/** Puts a configuration that has just been loaded in the place of one that is in use, as far as that can be done. */
export function reloaded(inUse: Config, loaded: Config): Reloaded {
  const changed = changedSettings(inUse, loaded);
  const pending = changed.filter(({ reload }) => reload === 'restart').map(({ key }) => key);
  const { listen, unixSocketMode, workers, embedded, http, audit } = inUse;
  return {
    config: {
      ...loaded,
      ...{ listen, unixSocketMode, workers, embedded, http, audit },
      log: { ...loaded.log, pretty: inUse.log.pretty },
      values: { ...loaded.values, ...Object.fromEntries(pending.map((key) => [key, inUse.values[key]])) },
    },
    changed: changed.map(({ key }) => key),
    pending,
  };
}
