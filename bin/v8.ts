import { setFlagsFromString } from 'node:v8';

/*
 * What V8 is told, for a process that stays small: docs/decisions/005-v8-settings.md has the reasons and the figures. To be
 * imported before everything else: V8 acts on these when it compiles the parser and when its heap would grow.
 */
for (const flag of ['--no-wasm-tier-up', '--no-wasm-dynamic-tiering', '--semi-space-growth-factor=1']) {
  setFlagsFromString(flag);
}
