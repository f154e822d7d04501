import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type FrameHandler, Framer, HEAD_BYTES } from '../../../src/wire/framer.js';

/** A message as the protocol writes it: type, length of what follows the type, body. */
function message(type: string, body: Uint8Array | number): Buffer {
  const content = typeof body === 'number' ? Buffer.alloc(body, type) : body;
  const header = Buffer.alloc(5);
  header.write(type, 0, 'latin1');
  header.writeInt32BE(content.length + 4, 1);
  return Buffer.concat([header, content]);
}

class BadLength extends Error {}

/** Records what a framer hands over. Types in upper case are asked for whole, those in `forwarded` go on as well. */
class Recorder implements FrameHandler {
  framer = new Framer(this);
  readonly heads: [string, number][] = [];
  readonly wholes: Buffer[] = [];
  /** Bytes that pass, those of whole messages that go on included, in order. */
  passed: Buffer = Buffer.alloc(0);
  /** Passed bytes at the time of each whole message: what came before a message must have passed before it. */
  readonly passedBefore: number[] = [];
  forwarded = '';
  onHead: () => void = () => {};
  onWhole: (type: string) => void = () => {};

  head(type: number, length: number): 'pass' | 'whole' {
    const letter = String.fromCharCode(type);
    this.onHead();
    this.heads.push([letter, length]);
    return letter === letter.toUpperCase() ? 'whole' : 'pass';
  }

  whole(type: number, bytes: Buffer): boolean {
    this.passedBefore.push(this.passed.length);
    this.wholes.push(Buffer.from(bytes));
    const letter = String.fromCharCode(type);
    this.onWhole(letter);
    return this.forwarded.includes(letter);
  }

  pass(bytes: Buffer): void {
    assert.ok(bytes.length > 0, 'nothing is passed as an empty piece');
    this.passed = Buffer.concat([this.passed, bytes]);
  }

  badLength(type: number, length: number): never {
    throw new BadLength(`${String.fromCharCode(type)} ${length}`);
  }
}

/** What must come out for a sequence of messages, however they are cut. */
function expected(messages: readonly Buffer[], forwarded: string) {
  const isWhole = (bytes: Buffer) => /[A-Z]/.test(bytes.toString('latin1', 0, 1));
  const goesOn = (bytes: Buffer) => !isWhole(bytes) || forwarded.includes(bytes.toString('latin1', 0, 1));
  let passed = 0;
  const passedBefore: number[] = [];
  for (const bytes of messages) {
    if (isWhole(bytes)) passedBefore.push(passed);
    if (goesOn(bytes)) passed += bytes.length;
  }
  return {
    heads: messages.map((bytes) => [bytes.toString('latin1', 0, 1), bytes.length]),
    wholes: messages.filter(isWhole),
    passed: Buffer.concat(messages.filter(goesOn)),
    passedBefore,
  };
}

function check(recorder: Recorder, messages: readonly Buffer[]): void {
  const { heads, wholes, passed, passedBefore } = recorder;
  assert.deepEqual({ heads, wholes, passed, passedBefore }, expected(messages, recorder.forwarded));
  assert.equal(recorder.framer.pending, false);
  assert.equal(recorder.framer.midMessage, false);
  assert.equal(recorder.framer.heldBytes, 0);
}

/** Cuts bytes after each of these lengths. */
function cut(bytes: Buffer, lengths: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  let offset = 0;
  for (const length of lengths) {
    if (offset >= bytes.length) break;
    pieces.push(bytes.subarray(offset, offset + length));
    offset += length;
  }
  if (offset < bytes.length) pieces.push(bytes.subarray(offset));
  return pieces;
}

const SAMPLE = [
  message('a', 0),
  message('A', 0),
  message('A', 7),
  message('b', 3),
  message('c', 100),
  message('B', 1),
  message('C', 60),
  message('C', 0),
  message('d', 0),
];

describe('framer', () => {
  it('gives the same messages with all of them in one chunk', () => {
    for (const forwarded of ['', 'A', 'ABC']) {
      const recorder = new Recorder();
      recorder.forwarded = forwarded;
      recorder.framer.push(Buffer.concat(SAMPLE));
      check(recorder, SAMPLE);
    }
  });

  it('gives the same messages when they are split at every byte', () => {
    const bytes = Buffer.concat(SAMPLE);
    for (const forwarded of ['', 'AC']) {
      for (let at = 0; at <= bytes.length; at += 1) {
        const recorder = new Recorder();
        recorder.forwarded = forwarded;
        for (const piece of cut(bytes, [at])) recorder.framer.push(piece);
        check(recorder, SAMPLE);
      }
    }
  });

  it('gives the same messages one byte at a time', () => {
    const recorder = new Recorder();
    recorder.forwarded = 'B';
    const bytes = Buffer.concat(SAMPLE);
    for (let at = 0; at < bytes.length; at += 1) recorder.framer.push(bytes.subarray(at, at + 1));
    check(recorder, SAMPLE);
  });

  it('does not copy bytes that pass, and hands on neighbours as one piece', () => {
    const pieces: Buffer[] = [];
    const recorder = new Recorder();
    recorder.pass = (bytes) => void pieces.push(bytes);
    const chunk = Buffer.concat([message('a', 10), message('b', 20), message('c', 0)]);
    recorder.framer.push(chunk);
    assert.equal(pieces.length, 1);
    assert.equal(pieces[0]?.buffer, chunk.buffer);
    assert.equal(pieces[0]?.length, chunk.length);
  });

  it('passes the first part of a long message without waiting for the rest', () => {
    const recorder = new Recorder();
    const bytes = message('a', 1000);
    recorder.framer.push(bytes.subarray(0, 500));
    assert.deepEqual(recorder.passed, bytes.subarray(0, 500));
    assert.equal(recorder.framer.midMessage, true);
    recorder.framer.push(bytes.subarray(500));
    check(recorder, [bytes]);
  });

  it('is in the middle of a message only when a part of it has passed', () => {
    const recorder = new Recorder();
    recorder.framer.push(message('a', 10).subarray(0, 4));
    assert.equal(recorder.framer.midMessage, false, 'half a header is kept back');
    assert.equal(recorder.framer.pending, true);
    recorder.framer.push(message('a', 10).subarray(4, 5));
    assert.equal(recorder.framer.midMessage, true);
    recorder.framer.push(message('a', 10).subarray(5));
    assert.equal(recorder.framer.midMessage, false);
    recorder.framer.push(message('A', 10).subarray(0, 12));
    assert.equal(recorder.framer.midMessage, false, 'a message asked for whole is kept back');
    assert.equal(recorder.framer.pending, true);
  });

  it('refuses the lengths 0 to 3 and negative ones, in one piece and byte by byte', () => {
    for (const length of [0, 1, 2, 3, -1, -4, -0x80000000]) {
      const bytes = message('q', 0);
      bytes.writeInt32BE(length, 1);
      const refusal = { name: 'Error', message: `q ${length}` };
      assert.throws(() => new Recorder().framer.push(bytes), refusal);
      const recorder = new Recorder();
      for (let at = 0; at < 4; at += 1) recorder.framer.push(bytes.subarray(at, at + 1));
      assert.throws(() => recorder.framer.push(bytes.subarray(4)), refusal);
      assert.equal(recorder.passed.length, 0);
    }
  });

  it('takes length 4, a message without a body', () => {
    const recorder = new Recorder();
    recorder.framer.push(message('S', 0));
    assert.deepEqual(recorder.heads, [['S', 5]]);
    check(recorder, [message('S', 0)]);
  });

  it('asks about the length at the header, before the body has come or memory is taken for it', () => {
    const recorder = new Recorder();
    const header = Buffer.from([0x41, 0x7f, 0xff, 0xff, 0xff]);
    const before = process.memoryUsage().arrayBuffers;
    recorder.framer.push(header);
    recorder.framer.push(Buffer.alloc(1000));
    assert.deepEqual(recorder.heads, [['A', 0x80000000]]);
    assert.ok(process.memoryUsage().arrayBuffers - before < 1_000_000, 'no buffer of the declared size');
    recorder.head = () => {
      throw new Error('over the cap');
    };
    const other = new Recorder();
    other.head = recorder.head;
    assert.throws(() => other.framer.push(header), /over the cap/);
  });

  it('collects a long message from many chunks', () => {
    const long = message('A', Buffer.from(Array.from({ length: 300_000 }, (_, index) => index & 0xff)));
    const recorder = new Recorder();
    for (const piece of cut(Buffer.concat([long, long]), new Array(100).fill(7001)))
      recorder.framer.push(piece);
    check(recorder, [long, long]);
  });

  it('holds what follows when it is stopped in a message, and goes on where it was', () => {
    const bytes = Buffer.concat(SAMPLE);
    const recorder = new Recorder();
    recorder.onWhole = () => recorder.framer.stop();
    recorder.framer.push(bytes);
    assert.deepEqual(recorder.heads, [
      ['a', 5],
      ['A', 5],
    ]);
    assert.equal(recorder.framer.heldBytes, bytes.length - 10);
    recorder.framer.push(message('e', 2));
    assert.equal(recorder.framer.heldBytes, bytes.length - 10 + 7);
    while (recorder.framer.stopped) recorder.framer.resume();
    check(recorder, [...SAMPLE, message('e', 2)]);
  });

  it('shows the beginning of what it holds, whoever cut it, and drops messages of that', () => {
    const [first, second, third] = [message('A', 3), message('B', 2000), message('C', 9000)] as const;
    const rest = Buffer.concat([second, third]);
    for (let cut = 1; cut < rest.length; cut += 7) {
      const recorder = new Recorder();
      const { framer } = recorder;
      recorder.onWhole = (type) => type === 'A' && framer.stop();
      framer.push(Buffer.concat([first, rest.subarray(0, cut)]));
      framer.push(rest.subarray(cut));
      assert.ok(framer.ahead.length >= 4096);
      assert.deepEqual(framer.ahead, rest.subarray(0, framer.ahead.length));
      framer.drop(second.length);
      assert.equal(framer.heldBytes, third.length);
      framer.resume();
      assert.deepEqual(recorder.wholes, [first, third]);
      assert.equal(framer.pending, false);
    }
    const empty = new Framer(new Recorder());
    assert.equal(empty.ahead.length, 0);
  });

  it('lets a message that goes on pass before it holds the next', () => {
    const recorder = new Recorder();
    recorder.forwarded = 'A';
    recorder.onWhole = () => recorder.framer.stop();
    recorder.framer.push(Buffer.concat([message('A', 3), message('b', 3)]));
    assert.deepEqual(recorder.passed, message('A', 3));
    recorder.framer.resume();
    check(recorder, [message('A', 3), message('b', 3)]);
  });

  it('holds what follows a message that passes when it is stopped at its header', () => {
    const recorder = new Recorder();
    recorder.onHead = () => recorder.framer.stop();
    recorder.framer.push(Buffer.concat([message('a', 3), message('b', 3)]));
    assert.deepEqual(recorder.passed, message('a', 3));
    recorder.framer.resume();
    check(recorder, [message('a', 3), message('b', 3)]);
  });

  it('can be stopped from outside in the middle of a message', () => {
    for (const type of ['a', 'A']) {
      const bytes = message(type, 50);
      const recorder = new Recorder();
      recorder.framer.push(bytes.subarray(0, 20));
      recorder.framer.stop();
      recorder.framer.push(bytes.subarray(20, 30));
      recorder.framer.push(Buffer.concat([bytes.subarray(30), message('z', 1)]));
      assert.equal(recorder.framer.heldBytes, 35 + 6);
      recorder.framer.resume();
      check(recorder, [bytes, message('z', 1)]);
    }
  });

  it('gives the same messages however they are cut and wherever it is stopped', () => {
    const anyMessage = fc
      .tuple(fc.constantFrom('a', 'b', 'A', 'B', 'C'), fc.uint8Array({ maxLength: 40 }))
      .map(([type, body]) => message(type, body));
    fc.assert(
      fc.property(
        fc.array(anyMessage, { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 40 }),
        fc.array(
          fc.constantFrom('go on', 'stop at a header', 'stop in a message', 'stop before a chunk', 'resume'),
          {
            maxLength: 40,
          },
        ),
        fc.constantFrom('', 'A', 'BC', 'ABC'),
        (messages, lengths, actions, forwarded) => {
          const recorder = new Recorder();
          recorder.forwarded = forwarded;
          const { framer } = recorder;
          let stopAtHeader = false;
          let stopInMessage = false;
          recorder.onHead = () => {
            if (stopAtHeader) framer.stop();
            stopAtHeader = false;
          };
          recorder.onWhole = () => {
            if (stopInMessage) framer.stop();
            stopInMessage = false;
          };
          const bytes = Buffer.concat(messages);
          cut(bytes, lengths).forEach((piece, index) => {
            const action = actions[index % Math.max(1, actions.length)];
            if (action === 'stop at a header') stopAtHeader = true;
            if (action === 'stop in a message') stopInMessage = true;
            if (action === 'stop before a chunk') framer.stop();
            if (action === 'resume') framer.resume();
            framer.push(piece);
          });
          stopAtHeader = false;
          stopInMessage = false;
          framer.resume();
          check(recorder, messages);
        },
      ),
      { numRuns: 2000, seed: 2024 },
    );
  });

  it('hands on the header of what is no message, behind what came before, and nothing else', () => {
    const bytes = Buffer.concat([message('a', 3), Buffer.from('x\0\0\0\0rest', 'latin1')]);
    for (let at = 0; at <= bytes.length; at += 1) {
      const passed: Buffer[] = [];
      const framer = new Framer({
        head: () => 'pass',
        whole: () => true,
        pass: (piece) => passed.push(Buffer.from(piece)),
        badLength: () => 'end',
      });
      framer.push(bytes.subarray(0, at));
      framer.push(bytes.subarray(at));
      framer.push(message('b', 1));
      assert.deepEqual(Buffer.concat(passed), bytes.subarray(0, -4), `cut at ${at}`);
    }
  });

  it('tells the type of a message at its first byte, before the header is complete', () => {
    const begun: number[] = [];
    const recorder = new Recorder();
    const framer = new Framer({
      begins: (type) => {
        if (type === 0) throw new BadLength('type 0');
        begun.push(type);
        return false;
      },
      head: (type, length) => recorder.head(type, length),
      whole: (type, bytes) => recorder.whole(type, bytes),
      pass: (bytes) => recorder.pass(bytes),
      badLength: (type, length) => recorder.badLength(type, length),
    });
    framer.push(message('a', 3));
    assert.equal(framer.collecting, undefined);
    framer.push(Buffer.concat([message('A', 2), Buffer.from('B')]));
    assert.equal(framer.collecting, 'B'.charCodeAt(0));
    framer.push(message('B', 9).subarray(1, 7));
    assert.equal(framer.collecting, 'B'.charCodeAt(0));
    framer.push(message('B', 9).subarray(7));
    assert.deepEqual([framer.collecting, begun], [undefined, ['B'.charCodeAt(0)]]);
    assert.throws(() => framer.push(Buffer.from([0])), BadLength);
  });
});

describe('a message of which only the head is wanted', () => {
  /** Sees the heads of messages of the types H (which go on) and D (which do not), everything else passes. */
  function deliver(bytes: Buffer, cuts: readonly number[]): { passed: Buffer; heads: Buffer[] } {
    const heads: Buffer[] = [];
    const passed: Buffer[] = [];
    const framer = new Framer({
      head: (type) => ('HD'.includes(String.fromCharCode(type)) ? 'head' : 'pass'),
      whole: (type, head) => {
        heads.push(Buffer.from(head));
        return type === 72;
      },
      pass: (piece) => void passed.push(Buffer.from(piece)),
      badLength: () => assert.fail('a bad length'),
    });
    let from = 0;
    for (const cut of [...cuts, bytes.length]) {
      if (cut > from) framer.push(Buffer.from(bytes.subarray(from, cut)));
      from = Math.max(from, cut);
    }
    assert.equal(framer.pending, false);
    return { passed: Buffer.concat(passed), heads };
  }

  it('has its rest go where the head goes, however it is cut', () => {
    const lengths = fc.constantFrom(0, 1, HEAD_BYTES - 5, HEAD_BYTES - 4, HEAD_BYTES + 1, 3 * HEAD_BYTES);
    const messages = fc.array(fc.tuple(fc.constantFrom('H', 'D', 'p'), lengths), { maxLength: 6 });
    fc.assert(
      fc.property(
        messages,
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 }),
        (parts, places) => {
          const all = parts.map(([type, length]) => message(type, length));
          const bytes = Buffer.concat(all);
          const cuts = places.map((place) => Math.trunc(place * bytes.length)).sort((a, b) => a - b);
          const { passed, heads } = deliver(bytes, cuts);
          const seen = all.filter((one) => one[0] !== 112);
          assert.ok(
            Buffer.concat(heads).equals(Buffer.concat(seen.map((one) => one.subarray(0, HEAD_BYTES)))),
          );
          assert.ok(passed.equals(Buffer.concat(all.filter((one) => one[0] !== 68))));
        },
      ),
    );
  });
});
