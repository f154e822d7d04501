import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type Expected,
  FORWARD,
  type RequestKind,
  ResponseQueue,
} from '../../../src/primary/responseQueue.js';
import { Backend } from '../../../src/wire/protocol.js';
import { isLinear } from '../../support/pace.js';

/** A request whose fate is recorded. */
interface Tracked extends Expected {
  readonly name: string;
  skips: number;
}

function request(kind: RequestKind, name: string = kind): Tracked {
  const tracked: Tracked = {
    kind,
    name,
    skips: 0,
    sink: {
      passRows: false,
      message: () => true,
      skipped: () => {
        tracked.skips += 1;
      },
    },
  };
  return tracked;
}

/** Takes messages and tells for each whose answer it is; `!` marks the last message of an answer. */
function attribute(queue: ResponseQueue, ...types: readonly number[]): string[] {
  return types.map((type) => {
    const { expected, last } = queue.take(type);
    return `${(expected as Tracked | undefined)?.name ?? 'nobody'}${last ? '!' : ''}`;
  });
}

function queueOf(...entries: readonly Expected[]): ResponseQueue {
  const queue = new ResponseQueue();
  for (const entry of entries) queue.push(entry);
  return queue;
}

const B = Backend;

describe('queue of expected responses', () => {
  it('expects nothing for a Flush that COPY data swallows, and an error for any other that is expected', () => {
    const flush = request('flush', 'in front');
    const queue = queueOf(request('query', 'copy'), flush);
    assert.deepEqual(attribute(queue, B.copyInResponse), ['copy']);
    assert.equal(flush.skips, 1);
    const late = request('flush', 'behind');
    queue.push(late);
    assert.equal(late.skips, 1);
    queue.push(request('copyEnd'));
    queue.push(request('query', 'next'));
    assert.deepEqual(
      attribute(queue, B.commandComplete, B.readyForQuery, B.commandComplete, B.readyForQuery),
      ['copy', 'copy!', 'next', 'next!'],
    );
    const alone = queueOf(request('flush'), request('sync'));
    assert.deepEqual(attribute(alone, B.errorResponse, B.readyForQuery), ['flush!', 'sync!']);
  });

  it('gives every message of a simple query to it, up to ReadyForQuery', () => {
    const queue = queueOf(request('query', 'first'), request('query', 'second'));
    assert.deepEqual(
      attribute(queue, B.rowDescription, B.dataRow, B.commandComplete, B.commandComplete, B.readyForQuery),
      ['first', 'first', 'first', 'first', 'first!'],
    );
    assert.equal(queue.length, 1);
    assert.deepEqual(attribute(queue, B.errorResponse, B.readyForQuery), ['second', 'second!']);
    assert.equal(queue.length, 0);
    assert.equal(queue.skipping, false);
  });

  it('follows a pipeline of the extended protocol', () => {
    const queue = queueOf(
      request('parse'),
      request('describe', 'describe statement'),
      request('bind'),
      request('describe', 'describe portal'),
      request('execute', 'execute some'),
      request('execute', 'execute rest'),
      request('close'),
      request('sync'),
    );
    assert.deepEqual(
      attribute(
        queue,
        B.parseComplete,
        B.parameterDescription,
        B.rowDescription,
        B.bindComplete,
        B.noData,
        B.dataRow,
        B.portalSuspended,
        B.dataRow,
        B.commandComplete,
        B.closeComplete,
        B.readyForQuery,
      ),
      [
        'parse!',
        'describe statement',
        'describe statement!',
        'bind!',
        'describe portal!',
        'execute some',
        'execute some!',
        'execute rest',
        'execute rest!',
        'close!',
        'sync!',
      ],
    );
    assert.equal(queue.length, 0);
  });

  it('ends an Execute of an empty query and a FunctionCall', () => {
    const queue = queueOf(request('execute'), request('functionCall'));
    assert.deepEqual(attribute(queue, B.emptyQueryResponse), ['execute!']);
    assert.deepEqual(attribute(queue, B.functionCallResponse, B.readyForQuery), [
      'functionCall',
      'functionCall!',
    ]);
  });

  it('skips to the Sync after an error in a pipeline, also what is sent later', () => {
    const first = [request('parse', 'bad'), request('bind'), request('execute')];
    const sync = request('sync');
    const queue = queueOf(...first, sync, request('parse', 'next'));
    assert.deepEqual(attribute(queue, B.errorResponse), ['bad!']);
    assert.deepEqual(
      first.map(({ skips }) => skips),
      [0, 1, 1],
    );
    assert.deepEqual(attribute(queue, B.readyForQuery, B.parseComplete), ['sync!', 'next!']);

    const late = [request('bind', 'bad'), request('query'), request('functionCall'), request('copyEnd')];
    queue.push(late[0]!);
    assert.deepEqual(attribute(queue, B.errorResponse), ['bad!']);
    assert.equal(queue.skipping, true);
    for (const entry of late.slice(1)) queue.push(entry);
    assert.deepEqual(
      late.map(({ skips }) => skips),
      [0, 1, 1, 1],
    );
    assert.equal(queue.length, 0);
    queue.push(request('sync', 'end'));
    assert.equal(queue.skipping, false);
    assert.deepEqual(attribute(queue, B.readyForQuery), ['end!']);
  });

  it('does not skip after errors of Query, FunctionCall and Sync, which ReadyForQuery follows', () => {
    for (const kind of ['query', 'functionCall', 'sync'] as const) {
      const queue = queueOf(request(kind, 'failing'), request('parse'));
      assert.deepEqual(attribute(queue, B.errorResponse, B.readyForQuery, B.parseComplete), [
        'failing',
        'failing!',
        'parse!',
      ]);
    }
  });

  it('says when a Flush is needed for the outstanding answers', () => {
    const queue = new ResponseQueue();
    assert.equal(queue.unsynced, false);
    queue.push(request('parse'));
    assert.equal(queue.unsynced, true);
    queue.push(request('sync'));
    assert.equal(queue.unsynced, false);
    queue.push(request('execute'));
    assert.equal(queue.unsynced, true);
  });

  it('counts the outstanding requests that end with a ReadyForQuery', () => {
    const queue = queueOf(
      request('parse'),
      request('execute'),
      request('sync'),
      request('query'),
      request('functionCall'),
      request('bind'),
    );
    assert.equal(queue.boundaries, 3);
    attribute(queue, B.errorResponse);
    assert.equal(queue.boundaries, 3);
    attribute(queue, B.readyForQuery, B.commandComplete);
    assert.equal(queue.boundaries, 2);
    attribute(queue, B.readyForQuery, B.readyForQuery);
    assert.equal(queue.boundaries, 0);
  });

  describe('COPY FROM STDIN', () => {
    it('expects no answer to a Sync that the server swallows, whether it is sent before or after CopyInResponse', () => {
      const early = request('sync', 'early');
      const queue = queueOf(request('execute'), early);
      assert.deepEqual(attribute(queue, B.copyInResponse), ['execute']);
      assert.equal(early.skips, 1);
      assert.equal(queue.copyIn, true);
      const late = request('sync', 'late');
      queue.push(late);
      assert.equal(late.skips, 1);
      queue.push(request('copyEnd'));
      assert.equal(queue.copyIn, false);
      queue.push(request('sync', 'answered'));
      assert.deepEqual(attribute(queue, B.commandComplete, B.readyForQuery), ['execute!', 'answered!']);
    });

    it('finds the end of the data among requests that were all sent before CopyInResponse', () => {
      const swallowed = request('sync', 'swallowed');
      const queue = queueOf(
        request('execute'),
        swallowed,
        request('copyEnd'),
        request('sync', 'answered'),
        request('query'),
      );
      attribute(queue, B.copyInResponse);
      assert.equal(swallowed.skips, 1);
      assert.equal(queue.copyIn, false);
      assert.deepEqual(
        attribute(queue, B.commandComplete, B.readyForQuery, B.commandComplete, B.readyForQuery),
        ['execute!', 'answered!', 'query', 'query!'],
      );
    });

    it('ends with an error: a simple query is ready again, the extended protocol skips to Sync', () => {
      const simple = queueOf(request('query'));
      attribute(simple, B.copyInResponse);
      assert.deepEqual(attribute(simple, B.errorResponse), ['query']);
      assert.equal(simple.copyIn, false);
      simple.push(request('copyEnd'));
      simple.push(request('query', 'next'));
      assert.deepEqual(attribute(simple, B.readyForQuery, B.readyForQuery), ['query!', 'next!']);

      const extended = queueOf(request('execute'));
      attribute(extended, B.copyInResponse, B.errorResponse);
      extended.push(request('copyEnd'));
      assert.equal(extended.length, 0);
      extended.push(request('sync'));
      assert.deepEqual(attribute(extended, B.readyForQuery), ['sync!']);
    });

    it('occurs twice in one Query, the data of both sent at once', () => {
      const queue = queueOf(
        request('query'),
        request('copyEnd'),
        request('copyEnd'),
        request('query', 'next'),
      );
      assert.deepEqual(
        attribute(
          queue,
          B.copyInResponse,
          B.commandComplete,
          B.copyInResponse,
          B.commandComplete,
          B.readyForQuery,
          B.readyForQuery,
        ),
        ['query', 'query', 'query', 'query', 'query!', 'next!'],
      );
      assert.equal(queue.length, 0);
    });

    it('that failed before it began leaves CopyDone and CopyFail without meaning', () => {
      const queue = queueOf(
        request('query'),
        request('copyEnd'),
        request('query', 'next'),
        request('copyEnd'),
      );
      assert.deepEqual(
        attribute(queue, B.errorResponse, B.readyForQuery, B.commandComplete, B.readyForQuery),
        ['query', 'query!', 'next', 'next!'],
      );
      assert.equal(queue.length, 0);
      queue.push(request('copyEnd'));
      assert.equal(queue.length, 0, 'nothing is outstanding that it could belong to');
    });
  });

  it('does not say whose a forwarded answer is until it is complete, and allocates nothing for it', () => {
    const queue = queueOf(FORWARD.query, FORWARD.parse);
    const between = queue.take(B.dataRow);
    assert.deepEqual(between, { expected: undefined, last: false });
    assert.equal(queue.take(B.commandComplete), between);
    assert.deepEqual(queue.take(B.readyForQuery), { expected: FORWARD.query, last: true });
    assert.deepEqual(queue.take(B.parseComplete), { expected: FORWARD.parse, last: true });
  });

  it('takes what nobody asked for as nobody’s', () => {
    assert.deepEqual(new ResponseQueue().take(B.errorResponse), { expected: undefined, last: true });
  });

  it('skips everything outstanding when the connection is lost', () => {
    const entries = [request('parse'), request('execute'), request('sync')];
    const queue = queueOf(request('query'), ...entries);
    attribute(queue, B.readyForQuery);
    queue.abandon();
    assert.deepEqual(
      entries.map(({ skips }) => skips),
      [1, 1, 1],
    );
    assert.equal(queue.length, 0);
  });

  it('keeps its place in a pipeline that never empties', () => {
    const queue = queueOf(request('parse', 'parse 0'), request('sync', 'sync 0'));
    for (let round = 1; round < 5000; round += 1) {
      queue.push(request('parse', `parse ${round}`));
      queue.push(request('sync', `sync ${round}`));
      assert.deepEqual(attribute(queue, B.parseComplete, B.readyForQuery), [
        `parse ${round - 1}!`,
        `sync ${round - 1}!`,
      ]);
      assert.equal(queue.length, 2);
    }
  });

  it('is linear in what is outstanding, whatever comes', () => {
    const ask = (count: number): void => {
      const queue = new ResponseQueue();
      const syncs = Array.from({ length: count }, () => request('sync'));
      for (const entry of [request('query', 'copy'), ...syncs]) queue.push(entry);
      queue.push(request('copyEnd'));
      for (let i = 0; i < count; i++) {
        queue.push(request('execute'));
        assert.ok(queue.boundaries > 0);
        // A server that says so again and again.
        queue.take(B.copyInResponse);
      }
      queue.push(request('sync', 'end'));
      queue.take(B.commandComplete);
      queue.take(B.readyForQuery);
      queue.take(B.errorResponse);
      assert.equal(queue.next?.kind, 'sync');
    };
    isLinear('a pipeline', ask, 4000, 10);
  });
});
