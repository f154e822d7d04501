import inspector from 'node:inspector';
import { hidePasswords } from '../src/config/commandLine.js';

/*
 * What cannot wait until the program has been loaded.
 *
 * SIGUSR1 makes Node open a debugger. Through it, whoever may signal the process, or connect to its port of 127.0.0.1, reads
 * everything that the process knows. A listener for the signal prevents that. A debugger that was opened before there was a
 * listener is closed, unless it was asked for. SIGHUP would end the process.
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
// Another thread answers the signal, and may have been about to open the debugger.
setImmediate(closeDebugger);

const args = process.argv.slice(2);
const shown = hidePasswords(args);
if (shown.some((argument, i) => argument !== args[i])) process.title = ['dblink-proxy', ...shown].join(' ');
