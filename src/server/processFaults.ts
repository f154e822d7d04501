import type { Logger } from './log.js';

/** Codes of errors that are thrown where Node, or V8, has found its own state broken. */
const BROKEN: ReadonlySet<string> = new Set(['ERR_INTERNAL_ASSERTION']);

/**
 * Logs and counts what nobody has handled, and decides whether the process can go on.
 *
 * A rejected promise that nobody waited for has left its own work undone, and nothing else. An exception that came out of
 * an event may have left anything half done, unless it is the operating system's answer for one socket or file. An error of
 * WebAssembly means that the parser's memory may be damaged. Then the parser answers wrongly from then on.
 *
 * @param untrusted called when the process is to end
 */
export function watchFaults(log: Logger, untrusted: () => void): void {
  let rejections = 0;
  let exceptions = 0;
  process.on('unhandledRejection', (reason) => {
    const count = ++rejections;
    log.error({ err: asError(reason), count }, 'unhandled rejection');
    if (isBroken(reason)) untrusted();
  });
  process.on('uncaughtException', (error) => {
    const count = ++exceptions;
    const goesOn = isOfSystem(error) && !isBroken(error);
    log[goesOn ? 'error' : 'fatal']({ err: error, count }, 'uncaught exception');
    if (!goesOn) untrusted();
  });
}

const asError = (reason: unknown): Error => (reason instanceof Error ? reason : new Error(String(reason)));

const isOfSystem = (error: Error): boolean => typeof (error as NodeJS.ErrnoException).syscall === 'string';

/** A WebAssembly.RuntimeError is known by its name: the declarations of Node do not have its class. */
const isBroken = (reason: unknown): boolean =>
  (reason as Error | null)?.name === 'RuntimeError' ||
  BROKEN.has((reason as { code?: string } | null)?.code ?? '');
