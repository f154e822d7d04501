import { parentPort } from 'node:worker_threads';
import { analyze } from './analyze.js';
import { loadParser, parserIsBroken } from './parser.js';
import type { Analysis, AnalyzeOptions } from './types.js';

/** A text to analyse. */
export interface WorkRequest {
  readonly text: Uint8Array;
  readonly options: AnalyzeOptions;
}

/** Its analysis; `broken` when the worker's parser must not be used again. */
export interface WorkAnswer {
  readonly analysis: Analysis;
  readonly broken: boolean;
}

await loadParser();
parentPort?.on('message', ({ text, options }: WorkRequest) => {
  const analysis = analyze(Buffer.from(text.buffer, text.byteOffset, text.byteLength), options);
  const answer: WorkAnswer = { analysis, broken: parserIsBroken() };
  parentPort?.postMessage(answer);
});
