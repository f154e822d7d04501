import { setFlagsFromString } from 'node:v8';

/*
 * Tells V8 to keep the process small. The reasons and the figures are in docs/decisions/005-v8-settings.md. This has to be
 * imported before everything else: V8 acts on these flags when it compiles the parser and when its heap would grow.
 */
const FLAGS = [
  '--no-wasm-tier-up',
  '--no-wasm-dynamic-tiering',
  '--semi-space-growth-factor=1',
  '--no-parallel-scavenge',
];
for (const flag of FLAGS) setFlagsFromString(flag);
