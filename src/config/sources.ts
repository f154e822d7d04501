import { isAlias, isMap, isNode, isPair, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import type { z } from 'zod';
import type { ConfigIssue } from './errors.js';
import { nearest, suggestion } from './nearest.js';
import { type SourceValues, schema } from './schema.js';
import { keysAt, nest, type Setting, settings } from './settings.js';

/** One place that values come from, checked. */
export interface Source {
  readonly values: SourceValues;
  readonly issues: readonly ConfigIssue[];
  /** Where a setting's value stands in this source, for issues that show only in combination with other values. */
  locate(path: readonly string[]): Pick<ConfigIssue, 'source' | 'line' | 'column'>;
}

/** Reads the text of a configuration file. @param name what messages call the file */
export function fileSource(name: string, text: string): Source {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true });
  const at = (offset: number | undefined) => {
    if (offset === undefined) return { source: name };
    const { line, col } = lines.linePos(offset);
    return { source: name, line, column: col };
  };
  const broken = [...document.errors, ...document.warnings];
  if (broken.length > 0) {
    const issues = broken.map((error) => ({
      ...at(error.pos[0]),
      key: '',
      problem: `is not valid YAML: ${error.message}`,
    }));
    return { values: {}, issues, locate: () => ({ source: name }) };
  }
  const root = document.contents;
  if (root !== null && !isMap(root)) {
    const issue = {
      ...at(root.range?.[0]),
      key: '',
      problem: `expected settings as "key: value"; ${validKeys([])}`,
    };
    return { values: {}, issues: [issue], locate: () => ({ source: name }) };
  }
  const locate = (path: readonly string[]) => at(offsetOf(root, path, 'value'));
  const value: unknown = root === null ? {} : document.toJS();
  return check(value, locate, (path) => at(offsetOf(root, path, 'key')));
}

/** Reads the variables of the environment that begin with DBLINK_PROXY_. An empty one counts as not set. */
export function environmentSource(env: Readonly<Record<string, string | undefined>>): Source {
  const given = new Map(
    Object.entries(env).filter(([name, value]) => name.startsWith(PREFIX) && value !== ''),
  );
  const locate = (path: readonly string[]) => ({
    source: `environment variable ${settingAt(path)?.env ?? ''}`,
  });
  const source = check(nest(settings.map(({ path, env: name }) => [path, given.get(name)])), locate, locate);
  const known = [...settings.map(({ env: name }) => name), CONFIG_VARIABLE];
  const unknown = [...given.keys()].filter((name) => !known.includes(name) && !SERVICE_LINK.test(name));
  const issues = unknown.map((name) => ({
    source: `environment variable ${name}`,
    key: '',
    problem: `unknown setting${suggestion(name, known, 'names')}`,
  }));
  return { ...source, issues: [...source.issues, ...issues] };
}

const PREFIX = 'DBLINK_PROXY_';
/** The variable that names the configuration file. */
export const CONFIG_VARIABLE = 'DBLINK_PROXY_CONFIG';
/** Kubernetes puts such variables into every container when a service's name begins with dblink-proxy. */
const SERVICE_LINK = /_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$/;

/** Reads options of the command line. @param flags by the name of the flag, without the dashes */
export function flagSource(flags: Readonly<Record<string, unknown>>): Source {
  const locate = (path: readonly string[]) => ({ source: `--${settingAt(path)?.flag ?? ''}` });
  const values = settings.flatMap(({ path, flag }) =>
    flag === undefined ? [] : [[path, flags[flag]] as const],
  );
  return check(nest(values), locate, locate);
}

function settingAt(path: readonly string[]): Setting | undefined {
  return settings.find(({ key }) => key === path.join('.'));
}

function check(
  value: unknown,
  locate: Source['locate'],
  locateKey: (path: readonly string[]) => Pick<ConfigIssue, 'source' | 'line' | 'column'>,
): Source {
  const result = schema.safeParse(emptyGroups(value));
  if (result.success) return { values: result.data, issues: [], locate };
  const issues = result.error.issues.flatMap((issue) => {
    const path = issue.path.map(String);
    const key = path.join('.');
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((name) => unknownKey([...path, name], locateKey([...path, name])));
    }
    return [{ ...locate(path), key, problem: problemOf(issue, path) }];
  });
  return { values: {}, issues, locate };
}

function problemOf(issue: z.core.$ZodIssue, path: readonly string[]): string {
  return issue.code === 'custom' ? issue.message : `expected settings as "key: value"; ${validKeys(path)}`;
}

function validKeys(path: readonly string[]): string {
  return `valid keys: ${keysAt(path).join(', ')}`;
}

/**
 * Takes out groups with nothing in them, as in `databases:` with nothing behind it. That is left when every line of a group has
 * been commented out.
 */
function emptyGroups(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const entries = Object.entries(value).filter(
    ([name, inner]) => inner !== null || keysAt([name]).length === 0,
  );
  return Object.fromEntries(entries);
}

function unknownKey(
  path: readonly string[],
  place: Pick<ConfigIssue, 'source' | 'line' | 'column'>,
): ConfigIssue {
  const name = path.at(-1) ?? '';
  const group = path.slice(0, -1);
  const key = path.join('.');
  if (group.join('.') === 'databases') {
    return { ...place, key, problem: 'only the entry "*", for every database, is supported so far' };
  }
  const siblings = keysAt(group);
  // A key of this group is looked for first, then one of another group that was written at the wrong level.
  const elsewhere = settings.filter(({ path: other }) => other.length > 1);
  const near =
    nearest(name, siblings) ??
    elsewhere.find(({ path: other }) => other.at(-1) === name)?.key ??
    nearest(
      key,
      elsewhere.map(({ key: other }) => other.replaceAll('.', '_')),
    )?.replace('_', '.');
  const hint = near === undefined ? `; ${validKeys(group)}` : `; did you mean ${JSON.stringify(near)}?`;
  return { ...place, key, problem: `unknown key${hint}` };
}

/** Offset of the key or value at `path`, or of the innermost thing on the way there that exists. */
function offsetOf(root: Node | null, path: readonly string[], part: 'key' | 'value'): number | undefined {
  let node: unknown = root;
  let offset = root?.range?.[0];
  for (const [index, name] of path.entries()) {
    if (isAlias(node)) break;
    if (isSeq(node)) {
      const item: unknown = node.items[Number(name)];
      if (!isNode(item) || !item.range) break;
      offset = item.range[0];
      node = item;
      continue;
    }
    if (!isMap(node)) break;
    const pair = node.items.find(
      (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === name,
    );
    if (pair === undefined) break;
    const last = index === path.length - 1;
    const chosen = last && part === 'key' ? pair.key : (pair.value ?? pair.key);
    // An empty value has the position of whatever follows it, so its key is shown instead.
    const shown = isScalar(chosen) && chosen.value === null ? pair.key : chosen;
    if (isNode(shown) && shown.range) offset = shown.range[0];
    node = pair.value;
  }
  return offset;
}
