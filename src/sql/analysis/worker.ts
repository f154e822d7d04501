import { parentPort } from 'node:worker_threads';
import { loadParser, parserIsBroken } from '../parse/parser.js';
import type { Analysis, AnalyzeOptions } from '../types.js';
import { analyze } from './analyze.js';
import { readsOnly } from './readOnly.js';

/** A text to analyse; without options, SQL for a remote of which is asked whether it only reads. */
export interface WorkRequest {
  readonly text: Uint8Array;
  readonly options?: AnalyzeOptions;
}

/** What was asked for; `broken` when the worker's parser must not be used again. */
export interface WorkAnswer {
  readonly result: Analysis | boolean;
  readonly broken: boolean;
}

/** The worker's first message: it can begin. */
export const READY = 'ready';

/** What is found in a text is for everybody's thread to take over. */
const MAX_FOUND = 10_000;
const OF_A_CALL = 10;

/** Nothing of a text in which more is found than anybody would write: it goes to the primary untouched. */
function withinBounds(analysis: Analysis): Analysis {
  let found = 0;
  for (const { calls, assumptions } of analysis?.statements ?? []) {
    found += 1 + assumptions.length;
    for (const { use } of calls) found += OF_A_CALL + (use.kind === 'source' ? use.columns.length : 0);
    if (found > MAX_FOUND) return undefined;
  }
  return analysis;
}

await loadParser();
parentPort?.postMessage(READY);
parentPort?.on('message', ({ text, options }: WorkRequest) => {
  const bytes = Buffer.from(text.buffer, text.byteOffset, text.byteLength);
  const result = options === undefined ? readsOnly(bytes) : withinBounds(analyze(bytes, options));
  const answer: WorkAnswer = { result, broken: parserIsBroken() };
  parentPort?.postMessage(answer);
});
