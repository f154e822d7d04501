import { z } from 'zod';
import { ValueError } from '../errors.js';
import { parseChoice, parseDuration, parseInteger, parseSize } from '../values.js';

/** What is known about one setting apart from how its value is checked. */
export interface SettingInfo {
  /** What the setting does: whole sentences, in Markdown. */
  readonly description: string;
  /** The form of the value, for the documentation. */
  readonly type: string;
  /** Written as in the file; absent when nothing is set by default. */
  readonly default?: string | number | boolean | readonly string[];
  /** Unit of a plain number, where the value is a quantity. */
  readonly unit?: 'ms' | 'bytes';
  /** Command-line option without the dashes. */
  readonly flag?: string;
  /** How the help text shows the option's value, and what it says about the option. */
  readonly help?: readonly [placeholder: string, summary: string];
  /** The option can be given several times. */
  readonly repeatable?: boolean;
  /** Environment variable, if it is not the key's path in capitals behind `DBLINK_PROXY_`. */
  readonly env?: string;
  /** When a change of it takes effect: `live` for sessions that are open, too. */
  readonly reload: 'live' | 'new sessions' | 'restart';
}

/** Makes a leaf of the schema from a parser of this folder. The parser's ValueError becomes an issue of zod's. */
export function setting<T>(parse: (value: unknown) => T, info: SettingInfo) {
  return z
    .unknown()
    .transform((value, context): T => {
      try {
        return parse(value);
      } catch (error) {
        if (!(error instanceof ValueError)) throw error;
        context.addIssue({ code: 'custom', message: error.message });
        return z.NEVER;
      }
    })
    .optional()
    .meta({ ...info });
}

/** A duration in ms. */
export const duration = (info: Omit<SettingInfo, 'type' | 'unit'>) =>
  setting(parseDuration, { type: 'duration', unit: 'ms', ...info });

/** A size in bytes. */
export const size = (info: Omit<SettingInfo, 'type' | 'unit'>) =>
  setting(parseSize, { type: 'size', unit: 'bytes', ...info });

/** A whole number between two others. */
export const wholeNumber = (min: number, max: number, info: Omit<SettingInfo, 'type'>) =>
  setting((value) => parseInteger(value, min, max), { type: 'whole number', ...info });
/** How many of something there may be. */
export const count = (info: Omit<SettingInfo, 'type'>) =>
  setting((value) => parseInteger(value, 0, 1_000_000), { type: 'number', ...info });

/** One of several words. */
export const choice = <const T extends string>(choices: readonly T[], info: Omit<SettingInfo, 'type'>) =>
  setting((value) => parseChoice(value, choices), {
    type: choices.map((word) => `\`${word}\``).join(', '),
    ...info,
  });
