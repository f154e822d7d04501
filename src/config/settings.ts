import { z } from 'zod';
import { schema } from './schema.js';
import type { SettingInfo } from './sections/leaf.js';

/** A setting and its names. */
export interface Setting extends SettingInfo {
  /** Path in the file, for example `['log', 'level']`. */
  readonly path: readonly string[];
  /** Path in dotted form, as messages show it. */
  readonly key: string;
  /** Environment variable. */
  readonly env: string;
}

/** Every setting, in the schema's order. */
export const settings: readonly Setting[] = leaves(schema, []);

function leaves(object: z.ZodObject, path: readonly string[]): readonly Setting[] {
  return Object.entries(object.shape).flatMap(([name, inner]) => {
    const here = [...path, name];
    const group = groupOf(inner);
    if (group !== undefined) return leaves(group, here);
    const info = (inner as z.ZodType).meta() as unknown as SettingInfo;
    const env = info.env ?? `DBLINK_PROXY_${here.join('_').toUpperCase()}`;
    return [{ ...info, env, path: here, key: here.join('.') }];
  });
}

/** The object inside an optional group of settings, or undefined for a single setting. */
function groupOf(type: unknown): z.ZodObject | undefined {
  const inner = type instanceof z.ZodOptional ? type.unwrap() : type;
  return inner instanceof z.ZodObject ? inner : undefined;
}

/** The names that are valid inside the group at `path`; empty if there is no such group. */
export function keysAt(path: readonly string[]): readonly string[] {
  let group: z.ZodObject | undefined = schema;
  for (const name of path) group = group && groupOf(group.shape[name]);
  return group === undefined ? [] : Object.keys(group.shape);
}

/** Value at a path of nested objects, or undefined. */
export function valueAt(values: unknown, path: readonly string[]): unknown {
  let here = values;
  for (const name of path) {
    if (typeof here !== 'object' || here === null) return undefined;
    here = (here as Record<string, unknown>)[name];
  }
  return here;
}

/** Nested objects out of values by path; undefined values are left out. */
export function nest(
  entries: Iterable<readonly [path: readonly string[], value: unknown]>,
): Record<string, unknown> {
  const root: Record<string, unknown> = {};
  for (const [path, value] of entries) {
    if (value === undefined) continue;
    let here = root;
    for (const name of path.slice(0, -1)) here = (here[name] ??= {}) as Record<string, unknown>;
    here[path.at(-1) ?? ''] = value;
  }
  return root;
}
