import { readFileSync } from 'node:fs';

/** The program's version, as package.json has it. */
export function version(): string {
  // This file runs in dist/src/server/observe.
  const text = readFileSync(new URL('../../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
