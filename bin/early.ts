import inspector from 'node:inspector';
import { hidePasswords } from '../src/config/commandLine.js';

/*
 * What cannot wait until the program has been loaded.
 *
 * SIGUSR1 makes Node open a debugger, by which whoever may signal the process, or connect to its port of 127.0.0.1, reads
 * everything that it knows. A listener takes the signal's place; a debugger that was opened before it was there is closed,
 * unless it was asked for. SIGHUP would end the process.
 */
for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGHUP'] as const) process.on(signal, () => undefined);

const asked = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].some((text) =>
  /--inspect(?:-brk|-wait)?(?:[=\s]|$)/.test(text),
);

/** Closes a debugger that a signal has opened. */
export function closeDebugger(): void {
  if (!asked && inspector.url() !== undefined) inspector.close();
}

closeDebugger();
// The signal is answered by another thread, which may have been about to open it.
setImmediate(closeDebugger);

const args = process.argv.slice(2);
const shown = hidePasswords(args);
if (shown.some((argument, i) => argument !== args[i])) process.title = ['dblink-proxy', ...shown].join(' ');
