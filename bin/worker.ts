// One process of a proxy that has several (`workers`). The proxy starts it; it is of no use by itself. What is imported first
// acts on what is loaded after it.
import './early.js';
import './v8.js';

import { watchFaults } from '../src/server/processFaults.js';
import { runWorker } from '../src/server/workers/worker.js';
import { closeDebugger } from './early.js';

/** How much time there is to tell sessions of the end, when the process cannot go on. */
const LAST_WORDS_MS = 5000;

// A terminal sends these to all processes of the proxy. The first process decides what becomes of them.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => undefined);

runWorker(({ log, close }) => {
  closeDebugger();
  watchFaults(log, () => {
    log.fatal('the state of the process cannot be trusted any more, ending it');
    setTimeout(() => process.exit(1), LAST_WORDS_MS);
    void close(0)
      .catch(() => undefined)
      .then(() => process.exit(1));
  });
});
