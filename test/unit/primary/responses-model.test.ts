import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Expected, type RequestKind, ResponseQueue } from '../../../src/primary/responseQueue.js';
import { Backend } from '../../../src/wire/protocol.js';

/**
 * The queue against a model of PostgreSQL's message loop (postgres.c, PostgresMain and SocketBackend; copyfromparse.c,
 * CopyGetData): any sequence of requests with any outcomes, sent, processed and answered with any delay.
 */

type Kind = RequestKind | 'copyData';
type Outcome = 'ok' | 'error' | 'copy in' | 'suspended' | 'no data' | 'two results';

interface Request {
  readonly kind: Kind;
  readonly outcome: Outcome;
}

/** A message of the model server, and the request that it answers. */
interface Reply {
  readonly type: number;
  readonly owner: number;
  readonly last: boolean;
  /** The request whose data made a COPY fail. */
  readonly failedAt?: number | undefined;
}

const COPY_KINDS: ReadonlySet<Kind> = new Set(['copyData', 'copyEnd', 'sync', 'flush']);

class ModelServer {
  #skipping = false;
  #copy: number | undefined;
  /** A request of another kind came during COPY: PostgreSQL gives the connection up. */
  lost = false;

  constructor(readonly requests: readonly Request[]) {}

  process(index: number): Reply[] {
    const { kind, outcome } = this.requests[index]!;
    if (this.#copy !== undefined) return this.#duringCopy(index, kind, outcome);
    if (kind === 'sync') this.#skipping = false;
    if (this.#skipping || kind === 'copyData' || kind === 'copyEnd') return [];
    const reply = (type: number, last = false): Reply => ({ type, owner: index, last });
    const ready = reply(Backend.readyForQuery, true);
    switch (kind) {
      case 'query': {
        if (outcome === 'error') return [reply(Backend.errorResponse), ready];
        if (outcome === 'copy in') return this.#beginCopy(index);
        const result = [
          reply(Backend.rowDescription),
          reply(Backend.dataRow),
          reply(Backend.commandComplete),
        ];
        return outcome === 'two results' ? [...result, ...result, ready] : [...result, ready];
      }
      case 'functionCall':
        return [reply(outcome === 'error' ? Backend.errorResponse : Backend.functionCallResponse), ready];
      case 'sync':
        return outcome === 'error' ? [reply(Backend.errorResponse), ready] : [ready];
    }
    if (outcome === 'error' || kind === 'flush') {
      this.#skipping = true;
      return [reply(Backend.errorResponse, true)];
    }
    switch (kind) {
      case 'parse':
        return [reply(Backend.parseComplete, true)];
      case 'bind':
        return [reply(Backend.bindComplete, true)];
      case 'close':
        return [reply(Backend.closeComplete, true)];
      case 'describe':
        return [
          reply(Backend.parameterDescription),
          reply(outcome === 'no data' ? Backend.noData : Backend.rowDescription, true),
        ];
      case 'execute': {
        if (outcome === 'copy in') return this.#beginCopy(index);
        const end = outcome === 'suspended' ? Backend.portalSuspended : Backend.commandComplete;
        return [reply(Backend.dataRow), reply(end, true)];
      }
    }
  }

  #beginCopy(index: number): Reply[] {
    this.#copy = index;
    return [{ type: Backend.copyInResponse, owner: index, last: false }];
  }

  #duringCopy(index: number, kind: Kind, outcome: Outcome): Reply[] {
    const owner = this.#copy!;
    if (!COPY_KINDS.has(kind)) {
      this.lost = true;
      return [];
    }
    if (kind === 'sync' || kind === 'flush' || (kind === 'copyData' && outcome !== 'error')) return [];
    this.#copy = undefined;
    const extended = this.requests[owner]!.kind === 'execute';
    const failed = outcome === 'error';
    const ready: Reply = { type: Backend.readyForQuery, owner, last: true };
    if (failed && extended) this.#skipping = true;
    const end: Reply = {
      type: failed ? Backend.errorResponse : Backend.commandComplete,
      owner,
      last: extended,
      failedAt: kind === 'copyData' ? index : undefined,
    };
    return extended ? [end] : [end, ready];
  }
}

/** Requests on their way to the server, replies on their way back, and how far each has come. */
class Exchange {
  readonly queue = new ResponseQueue();
  readonly server: ModelServer;
  readonly entries: readonly Expected[];
  /** What became of each request, as the queue told it. */
  readonly fates: string[];
  readonly expectedFates: string[];
  #sent = 0;
  #processed = 0;
  #replies: Reply[] = [];

  constructor(requests: readonly Request[]) {
    this.server = new ModelServer(requests);
    this.fates = requests.map(() => '');
    this.expectedFates = requests.map(() => '');
    this.entries = requests.map(({ kind }, index) => ({
      kind: kind === 'copyData' ? 'copyEnd' : kind,
      sink: {
        passRows: false,
        message: () => true,
        skipped: () => {
          this.fates[index] += 'skipped';
        },
      },
    }));
  }

  /**
   * A Sync, or a Flush with something in it, was sent between failing data and the end of the data, before the error was known. PostgreSQL answers it,
   * while it swallows one before the failing data, and the frontend cannot know where the error occurred. The queue takes
   * both for swallowed; no client sends one there.
   */
  ambiguous = false;

  #syncBehind(index: number): boolean {
    const behind = this.server.requests.slice(index + 1, this.#sent);
    const end = behind.findIndex(({ kind }) => kind === 'copyEnd');
    return behind.slice(0, end < 0 ? undefined : end).some(({ kind }) => kind === 'sync' || kind === 'flush');
  }

  send(): boolean {
    const request = this.server.requests[this.#sent];
    if (request === undefined) return false;
    // CopyData passes without an entry.
    if (request.kind !== 'copyData') this.queue.push(this.entries[this.#sent]!);
    this.#sent += 1;
    return true;
  }

  process(): boolean {
    if (this.#processed >= this.#sent) return false;
    this.#replies.push(...this.server.process(this.#processed));
    this.#processed += 1;
    return true;
  }

  answer(): boolean {
    const reply = this.#replies.shift();
    if (reply === undefined) return false;
    if (reply.failedAt !== undefined && this.#syncBehind(reply.failedAt)) {
      this.ambiguous = true;
      return true;
    }
    const { expected, last } = this.queue.take(reply.type);
    const owner = expected === undefined ? -1 : this.entries.indexOf(expected);
    assert.deepEqual({ owner, last }, { owner: reply.owner, last: reply.last }, `reply ${reply.type}`);
    if (last) this.fates[owner] += 'answered';
    return true;
  }
}

const anyRequest: fc.Arbitrary<Request> = fc.oneof(
  { weight: 3, arbitrary: outcomes('query', 'ok', 'error', 'copy in', 'two results') },
  { weight: 1, arbitrary: outcomes('functionCall', 'ok', 'error') },
  { weight: 2, arbitrary: outcomes('parse', 'ok', 'ok', 'error') },
  { weight: 2, arbitrary: outcomes('bind', 'ok', 'ok', 'error') },
  { weight: 2, arbitrary: outcomes('describe', 'ok', 'no data', 'error') },
  { weight: 4, arbitrary: outcomes('execute', 'ok', 'suspended', 'error', 'copy in', 'copy in') },
  { weight: 1, arbitrary: outcomes('close', 'ok', 'error') },
  { weight: 6, arbitrary: outcomes('sync', 'ok', 'ok', 'ok', 'error') },
  { weight: 2, arbitrary: outcomes('flush', 'error') },
  { weight: 4, arbitrary: outcomes('copyData', 'ok', 'ok', 'error') },
  { weight: 5, arbitrary: outcomes('copyEnd', 'ok', 'error') },
);

function outcomes(kind: Kind, ...choices: readonly Outcome[]): fc.Arbitrary<Request> {
  return fc.constantFrom(...choices).map((outcome) => ({ kind, outcome }));
}

describe('queue of expected responses against a model of the server', () => {
  it('attributes every answer, whatever is sent and however late it is processed and answered', () => {
    let checked = 0;
    let copies = 0;
    let swallowed = 0;
    fc.assert(
      fc.property(
        fc.array(anyRequest, { maxLength: 25 }),
        fc.array(fc.constantFrom('send', 'process', 'answer'), { maxLength: 120 }),
        (requests, schedule) => {
          const exchange = new Exchange(requests);
          const { queue, server } = exchange;
          const steps = function* () {
            for (const step of schedule) yield exchange[step as 'send' | 'process' | 'answer']();
            while (exchange.send()) yield;
            while (exchange.process()) yield;
            while (exchange.answer()) yield;
          };
          for (const _ of steps()) if (server.lost || exchange.ambiguous) return;
          checked += 1;
          copies += requests.filter(({ outcome }) => outcome === 'copy in').length;
          const open = exchange.fates.filter((fate, index) => fate === '' && isAnswerable(requests[index]!));
          // What is open at the end is a COPY that waits for data, and nothing behind it.
          assert.ok(open.length <= 1, JSON.stringify(exchange.fates));
          assert.equal(queue.length >= open.length, true);
          assert.ok(
            !exchange.fates.some((fate) => /answered.*skipped|skipped.*(answered|skipped)/.test(fate)),
          );
          swallowed += exchange.fates.filter(
            (fate, i) => fate === 'skipped' && requests[i]!.kind === 'sync',
          ).length;
          if (open.length === 0) assert.equal(queue.length, 0);
        },
      ),
      { numRuns: 20_000, seed: 7 },
    );
    assert.ok(checked > 5000, `only ${checked} sequences were fit to be checked`);
    assert.ok(copies > 1000, `only ${copies} COPYs`);
    assert.ok(swallowed > 100, `only ${swallowed} swallowed Syncs`);
  });
});

/** CopyData and CopyDone are not answered themselves. */
const isAnswerable = ({ kind }: Request): boolean => kind !== 'copyData' && kind !== 'copyEnd';
