import {
  isNetwork,
  NETWORK_NAMES,
  PLACES,
  present,
  type WrittenAccess,
  type WrittenConditions,
  type WrittenRule,
} from '../../policy/index.js';
import { ValueError } from '../errors.js';
import { suggestion } from '../nearest.js';
import { parseBoolean, parseInteger, parseList, parseText, show } from '../values.js';

/** A rule as the setting `policy.rules` describes it. */
export type RuleSetting = Omit<WrittenRule, 'place'>;

const CONDITIONS: readonly string[] = [
  ...['address', 'host', 'port', 'database', 'user', 'server', 'roles', 'from', 'client', 'read_only'],
];

/** The rules of `policy.rules`. @throws ValueError that names the rule by its number, from 1 */
export const parseRules = (value: unknown): readonly RuleSetting[] =>
  eachRule(value, CONDITIONS, ({ action, given }) => {
    const readOnly = given['read_only'] !== undefined && parseBoolean(given['read_only']);
    if (readOnly && action === 'deny')
      throw new ValueError('"read_only" says how what is allowed is used; a denial has no use for it');
    return { action, readOnly, conditions: parseConditions(given) };
  });

/** The rules of `access`. @throws ValueError that names the rule by its number, from 1 */
export const parseAccess = (value: unknown): readonly WrittenAccess[] =>
  eachRule(value, ['client', 'user', 'database', 'tls'], ({ action, given }) => {
    const tls = given['tls'] === undefined ? undefined : parseBoolean(given['tls']);
    return { action, ...parseConditions(given), ...present({ tls }) };
  });

/** Reads the rules of a YAML list, or of a text with one. */
function eachRule<T>(
  value: unknown,
  conditions: readonly string[],
  read: (rule: { readonly action: 'allow' | 'deny'; readonly given: Given }) => T,
): readonly T[] {
  const rules = typeof value === 'string' ? fromJson(value) : value;
  if (!Array.isArray(rules))
    throw new ValueError('expected a list of rules, each "allow: { … }" or "deny: { … }"');
  return rules.map((rule: unknown, i) => {
    try {
      return read(checked(rule, conditions));
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      throw new ValueError(`rule ${i + 1}: ${error.message}`);
    }
  });
}

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ValueError('the text is not a list in JSON');
  }
}

type Given = Readonly<Record<string, unknown>>;

const isMap = (value: unknown): value is Given =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** @param conditions that a rule of this kind may have */
function checked(
  value: unknown,
  conditions: readonly string[],
): { readonly action: 'allow' | 'deny'; readonly given: Given } {
  const [entry, more] = isMap(value) ? Object.entries(value) : [];
  const [action, given] = entry ?? [];
  if ((action !== 'allow' && action !== 'deny') || more !== undefined || !isMap(given))
    throw new ValueError('expected one of "allow: { … }" and "deny: { … }"');
  const unknown = Object.keys(given).find((key) => !conditions.includes(key));
  if (unknown === undefined) return { action, given };
  throw new ValueError(
    `unknown condition ${JSON.stringify(unknown)}${suggestion(unknown, conditions, 'conditions')}`,
  );
}

function parseConditions(given: Given): WrittenConditions {
  const names = (key: string): readonly string[] | undefined => listOf(given[key], key, parseText);
  return present({
    address: listOf(given['address'], 'address', (member) => parseAddress(member, PLACES)),
    host: names('host'),
    port: listOf(given['port'], 'port', (port) => parseInteger(port, 1, 65535)),
    database: names('database'),
    user: names('user'),
    server: names('server'),
    from: names('from'),
    client: listOf(given['client'], 'client', (member) => parseAddress(member, [])),
    roles: names('roles'),
  });
}

function listOf<T>(value: unknown, key: string, entry: (value: unknown) => T): readonly T[] | undefined {
  if (value === undefined) return undefined;
  try {
    return parseList(typeof value === 'number' ? String(value) : value, entry);
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    throw new ValueError(`${key}: ${error.message}`);
  }
}

/** An address, a network, or a name of some. @param places further names @throws ValueError */
export function parseAddress(value: unknown, places: readonly string[]): string {
  const text = parseText(value);
  if (isNetwork(text) || NETWORK_NAMES.includes(text) || places.includes(text)) return text;
  const names = [...NETWORK_NAMES, ...places].join(', ');
  throw new ValueError(
    `${show(text)} is neither an address, nor a network such as 10.0.0.0/8, nor one of ${names}`,
  );
}
