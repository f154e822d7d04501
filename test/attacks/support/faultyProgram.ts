// As bin/dblink-proxy loads it.
import '../../../bin/early.js';

import { start } from '../../../bin/start.js';
import { loadConfig } from '../../../src/config/index.js';

/** The program as it is, but for faults that its parent asks for: what a bug of its own would do. */

const args = process.argv.slice(3);
const flag = (name: string): string => args[args.indexOf(`--${name}`) + 1] ?? '';
const config = loadConfig({
  flags: { listen: [flag('listen')], primary: flag('primary') },
  env: process.env,
});

const FAULTS: Readonly<Record<string, () => void>> = {
  rejection: () => void Promise.reject(new Error('nobody waits for this')),
  nothing: () => void Promise.reject(undefined),
  socket: () => {
    throw Object.assign(new Error('write EPIPE'), { code: 'EPIPE', syscall: 'write' });
  },
  parser: () => void Promise.reject(Object.assign(new Error('unreachable'), { name: 'RuntimeError' })),
  exception: () => {
    throw new TypeError('half done');
  },
};

process.on('message', (fault: string) => setImmediate(() => FAULTS[fault]?.()));
await start(() => config);
