import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compare, median, percentile } from '../../../bench/measure/statistics.js';
import type { BenchmarkReport } from '../../../bench/report/benchmarkReport.js';
import { passes, renderCheck } from '../../../bench/report/check.js';
import { FIGURES, judge } from '../../../bench/report/figures.js';

const report = (id: string, more: Partial<BenchmarkReport>): BenchmarkReport => ({
  id,
  title: id,
  group: 'dblink',
  rounds: 3,
  metrics: [],
  memory: {},
  failures: {},
  samples: {},
  ...more,
});

const spread = (median: number) => ({ median, low: median / 2, high: median * 2 });

const timed = (id: string, speed: number): BenchmarkReport =>
  report(id, { metrics: [{ name: 'time', baseline: 'native', figures: { proxy: spread(speed) } }] });

describe('bars and goals', () => {
  it('are each for another measurement', () => {
    const keys = FIGURES.map(({ benchmark, metric, against }) => `${benchmark} ${metric} ${against}`);
    assert.equal(new Set(keys).size, FIGURES.length);
  });

  it('are not stricter than their goals', () => {
    for (const { title, sense, bar, goal } of FIGURES) {
      if (bar !== null) assert.ok(sense === 'speed' ? bar <= goal : bar >= goal, title);
    }
  });

  it('compare times as time, with the range turned over', () => {
    // dblink.one-row: at most 1.2 of the extension's time, 0.8 wished for.
    const [verdict] = judge([timed('dblink.one-row', 0.5)]);
    assert.deepEqual(verdict?.value, { median: 2, low: 1, high: 4 });
    assert.equal(verdict?.verdict, 'missed');
    assert.equal(judge([timed('dblink.one-row', 1)])[0]?.verdict, 'bar');
    assert.equal(judge([timed('dblink.one-row', 1 / 0.79)])[0]?.verdict, 'goal');
  });

  it('compare rates as speed, and memory by itself', () => {
    const forwarding = (speed: number) =>
      judge([
        report('relay.simple-1', {
          metrics: [
            { name: 'queries/s', baseline: 'direct', figures: { proxy: spread(0.1) } },
            { name: 'queries/s', baseline: 'pgbouncer', figures: { proxy: spread(speed) } },
          ],
        }),
      ]).find(({ metric }) => metric === 'queries/s')?.verdict;
    assert.deepEqual([0.84, 0.85, 1].map(forwarding), ['missed', 'bar', 'goal']);
    const memory = (MiB: number) =>
      judge([
        report('memory.join', {
          metrics: [{ name: 'growth', baseline: null, figures: { proxy: spread(MiB) } }],
        }),
      ])[0]?.verdict;
    assert.deepEqual([65, 64, 32].map(memory), ['missed', 'bar', 'goal']);
  });

  it('are missed by what failed or could not be compared', () => {
    const verdicts = judge([
      report('dblink.one-row', { failures: { proxy: 'no answer' } }),
      report('relay.crowd', { skipped: 'no time was left' }),
    ]);
    assert.deepEqual(
      verdicts.map(({ verdict, why }) => [verdict, why]),
      [
        ['not measured', 'proxy: no answer'],
        ['not measured', 'no time was left'],
      ],
    );
    assert.equal(passes(verdicts), false);
    assert.match(renderCheck(verdicts), /not measured: proxy: no answer/);
  });

  it('pass when none is missed, whether goals are reached or not', () => {
    assert.equal(passes(judge([timed('dblink.one-row', 1), timed('dblink.exec', 2)])), true);
    assert.equal(passes(judge([timed('dblink.one-row', 1), timed('dblink.exec', 0.5)])), false);
    assert.match(
      renderCheck(judge([timed('dblink.exec', 0.5)])),
      /2\.00 +\(1\.00–4\.00\) +0\.50 × the speed +3 +MISSED/,
    );
  });
});

describe('statistics', () => {
  it('compare round by round', () => {
    // The second round was slow for both.
    assert.deepEqual(compare([10, 100, 10], [20, 200, 20], 'lower'), { median: 2, low: 2, high: 2 });
    assert.deepEqual(compare([10, 30, 20], [20, 20, 20], 'higher'), { median: 1, low: 0.5, high: 1.5 });
  });

  it('know the middle and the upper end', () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([4, 1, 2, 3]), 2.5);
    assert.equal(
      percentile(
        Array.from({ length: 200 }, (_, i) => 200 - i),
        0.99,
      ),
      198,
    );
    assert.equal(percentile([5], 0.99), 5);
    assert.throws(() => percentile([], 0.5), RangeError);
  });
});
