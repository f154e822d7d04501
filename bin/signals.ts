import type { Demo } from '../src/embedded/index.js';
import type { Logger } from '../src/server/log.js';
import { watchFaults } from '../src/server/processFaults.js';
import type { Reloader } from '../src/server/reload.js';
import type { RunningProxy } from '../src/server/server.js';
import { closeDebugger } from './early.js';

/** How much time there is to tell sessions of the end, when the process cannot go on. */
const LAST_WORDS_MS = 5000;

/**
 * Decides what ends the process, and what does not. The first SIGTERM or SIGINT lets running transactions finish. The second one
 * tells all clients 57P01 and ends at once. The third one ends without a word. Faults end the process only where it cannot be
 * trusted any more. SIGHUP has the configuration read again. SIGUSR2 starts a process that replaces this one.
 */
export function watchProcess(
  reloader: Reloader,
  log: Logger,
  proxy: RunningProxy,
  demo: Demo | undefined,
): void {
  let signals = 0;
  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    signals++;
    if (signals > 2) {
      log.warn({ signal }, 'third signal, ending without a word');
      process.exit(1);
    }
    if (signals === 2) {
      log.warn({ signal }, 'second signal, ending all sessions at once');
      // The call for the first signal is still waiting, and resolves when this has ended the sessions.
      void proxy.close(0);
      return;
    }
    const graceMs = reloader.inUse.timeouts.shutdown;
    log.info({ signal, graceMs }, 'shutting down');
    try {
      await proxy.close(graceMs);
      await demo?.stop();
    } catch (error) {
      log.error({ err: error }, 'the shutdown did not go in order');
      process.exit(1);
    }
    log.info('stopped');
    process.exit(0);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('SIGHUP', (signal) => {
    // The terminal of a person was closed, so nobody uses the sample servers any more.
    if (demo !== undefined && process.stdin.isTTY) void stop(signal);
    else {
      log.info({ signal }, 'reading the configuration again');
      // Whatever comes of that, the file may have been moved away.
      proxy.reopen();
      void reloader.reloadAndTell();
    }
  });
  process.on('SIGUSR1', (signal) => log.info({ signal }, 'signal ignored'));

  let replaced = false;
  const replace = async (signal: NodeJS.Signals): Promise<void> => {
    const isFirst = process.pid === 1;
    if (replaced || signals > 0 || demo !== undefined || isFirst) {
      const why =
        demo !== undefined
          ? 'the sample servers end with this process'
          : isFirst
            ? 'the container ends with this process'
            : 'this process is about to end';
      log.info({ signal }, `signal ignored: ${why}`);
      return;
    }
    replaced = true;
    log.info({ signal }, 'starting a process that replaces this one');
    try {
      const successor = await proxy.handOver();
      log.info({ successor }, 'another process has taken over; this one ends when its clients have left');
    } catch (error) {
      replaced = false;
      log.error({ err: (error as Error).message }, 'this process could not be replaced, and goes on');
      return;
    }
    try {
      const { shutdown, handover } = reloader.inUse.timeouts;
      await proxy.close(shutdown, handover);
    } catch (error) {
      log.error({ err: error }, 'the end did not go in order');
      process.exit(1);
    }
    log.info('stopped');
    process.exit(0);
  };
  process.on('SIGUSR2', replace);
  closeDebugger();

  let ending = false;
  watchFaults(log, () => {
    if (ending) return;
    ending = true;
    log.fatal('the state of the process cannot be trusted any more, ending it');
    setTimeout(() => process.exit(1), LAST_WORDS_MS);
    void proxy
      .close(0)
      .catch(() => undefined)
      .then(() => process.exit(1));
  });
}
