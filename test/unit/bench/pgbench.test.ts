import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadOf, parseLogLine } from '../../../bench/benchmarks/pgbench.js';

describe('what pgbench logs', () => {
  it('is read as times in milliseconds', () => {
    assert.deepEqual(parseLogLine('3 17 1500 0 1700000000 250000'), { at: 1_700_000_000_250, tookMs: 1.5 });
    // With -R there is one column more.
    assert.deepEqual(parseLogLine('3 17 1500 0 1700000000 250000 12'), {
      at: 1_700_000_000_250,
      tookMs: 1.5,
    });
  });

  it('is an error where a transaction failed', () => {
    assert.throws(() => parseLogLine('0 1 failed 0 1700000000 250000'), /failed/);
    assert.throws(() => parseLogLine(''), /failed/);
  });
});

describe('a load', () => {
  /** An answer every ten milliseconds for a second; while connections are new each takes longer than later. */
  const answers = Array.from({ length: 100 }, (_, i) => ({
    at: 1000 + 10 * (i + 1),
    tookMs: i < 20 ? 10 : 2,
  }));

  it('leaves out what happened while connections were new', () => {
    const { perSecond, p99Ms, units } = loadOf(answers, undefined);
    assert.equal(Math.round(perSecond), 101);
    assert.equal(p99Ms, 2);
    assert.equal(units, 100);
  });

  it('relates processor time to the queries of its span', () => {
    const { processorSeconds } = loadOf(answers, { begin: 1500, end: 1700, seconds: 0.1 });
    assert.equal(processorSeconds, 0.1 / 20);
    assert.equal(loadOf(answers, { begin: 5000, end: 6000, seconds: 0.1 }).processorSeconds, undefined);
  });

  it('is an error with hardly an answer', () => {
    assert.throws(() => loadOf(answers.slice(0, 5), undefined), /only 5/);
  });
});
