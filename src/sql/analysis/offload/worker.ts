import { parentPort } from 'node:worker_threads';
import { loadParser, parserIsBroken } from '../../parse/parser.js';
import type { Analysis, AnalyzeOptions } from '../../types.js';
import { analyze } from '../analyze.js';
import { type AuditText, readAuditText } from '../auditText.js';
import { type RemoteText, readRemoteText } from '../readOnly.js';

/** What is wanted to be known of a text: its calls; for SQL for a remote what it may do; for the audit what it is told of it. */
export type Question =
  | { readonly kind: 'calls'; readonly options: AnalyzeOptions }
  | { readonly kind: 'effect' }
  | { readonly kind: 'audit'; readonly withText: boolean };

export interface WorkRequest {
  readonly text: Uint8Array;
  readonly question: Question;
}

/** What was asked for. `broken`: the worker's parser must not be used again. */
export interface WorkAnswer {
  readonly result: Analysis | RemoteText | AuditText | undefined;
  readonly broken: boolean;
}

/** The worker's first message: its parser is loaded. */
export const READY = 'ready';

/** How much may be found in a text. The thread that serves all sessions has to take over whatever is found. */
const MAX_FOUND = 10_000;
/** For how much a call counts, without its columns. */
const OF_A_CALL = 10;

/** undefined for a text in which more was found than anybody would write: it goes to the primary untouched. */
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
parentPort?.on('message', ({ text, question }: WorkRequest) => {
  const bytes = Buffer.from(text.buffer, text.byteOffset, text.byteLength);
  const answer: WorkAnswer = { result: read(bytes, question), broken: parserIsBroken() };
  parentPort?.postMessage(answer);
});

function read(text: Buffer, question: Question): WorkAnswer['result'] {
  switch (question.kind) {
    case 'calls':
      return withinBounds(analyze(text, question.options));
    case 'effect':
      return readRemoteText(text);
    case 'audit':
      return readAuditText(text, question.withText);
  }
}
