import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BenchmarkReport } from '../../../bench/report/benchmarkReport.js';
import { judge } from '../../../bench/report/figures.js';
import { picturesOf } from '../../../bench/report/pictures.js';
import type { Report } from '../../../bench/report/report.js';
import { resultsPage } from '../../../bench/report/resultsPage.js';
import { escapeXml, growthChart, logScale } from '../../../bench/report/svg.js';

/** Reads the little XML that the pictures are. @throws AssertionError where it is not well-formed */
function elementsOf(xml: string): string[] {
  const open: string[] = [];
  const seen: string[] = [];
  let at = 0;
  const token = /<(\/?)([a-z]+)((?: [a-zA-Z0-9:-]+="[^"<&]*(?:&(?:amp|lt|gt|quot);[^"<&]*)*")*)\s*(\/?)>/y;
  while (at < xml.length) {
    if (xml[at] !== '<') {
      const end = xml.indexOf('<', at);
      const content = xml.slice(at, end < 0 ? undefined : end);
      assert.ok(!/&(?!amp;|lt;|gt;|quot;)|>/.test(content), `text that is not escaped: ${content}`);
      at += content.length;
      continue;
    }
    token.lastIndex = at;
    const [whole = '', closing, name = '', attributes = '', single] = token.exec(xml) ?? [];
    assert.notEqual(whole, '', `not a tag: ${xml.slice(at, at + 80)}`);
    const names = [...attributes.matchAll(/ ([a-zA-Z0-9:-]+)=/g)].map(([, attribute]) => attribute);
    assert.equal(new Set(names).size, names.length, `an attribute twice: ${whole}`);
    if (closing === '/') assert.equal(open.pop(), name);
    else {
      seen.push(name);
      if (single !== '/') open.push(name);
    }
    at += whole.length;
  }
  assert.deepEqual(open, []);
  return seen;
}

const spread = (median: number) => ({ median, low: median * 0.9, high: median * 1.1 });

const benchmark = (id: string, more: Partial<BenchmarkReport>): BenchmarkReport => ({
  id,
  title: id,
  group: 'dblink',
  rounds: 1,
  metrics: [],
  memory: {},
  failures: {},
  samples: {},
  ...more,
});

const benchmarks: BenchmarkReport[] = [
  benchmark('dblink.one-row', {
    metrics: [{ name: 'time', baseline: 'native', figures: { proxy: spread(0.5) } }],
  }),
  benchmark('relay.simple-1', {
    metrics: [{ name: 'queries/s', baseline: 'pgbouncer', figures: { proxy: spread(0.9) } }],
  }),
  // Nothing at all, and a range that begins below zero, as where the garbage collector was quick.
  benchmark('memory.join', {
    metrics: [{ name: 'growth', baseline: null, figures: { proxy: { median: 0, low: -3, high: 2 } } }],
  }),
  benchmark('growth.rows-1000', { samples: { native: [[2], [3], [4]], proxy: [[1]] } }),
  benchmark('growth.rows-100000', { samples: { native: [[200]] } }),
  benchmark('growth.sessions-10', {
    samples: { proxy: [[1, 5]] },
    memory: { proxy: { before: 80, peak: 90, after: 85 } },
  }),
];

const report: Report = {
  note: '',
  setup: {
    date: '2026-01-02T03:04:05.678Z',
    commit: '0123456789abcdef',
    cpus: 2,
    model: 'A & B',
    memoryGiB: 4,
    platform: 'linux x64',
    node: 'v20',
    postgres: '18',
    pgbouncer: null,
    driver: 'built-in',
    seconds: 1,
    bulkRows: 1000,
  },
  benchmarks,
  figures: judge(benchmarks),
};

describe('pictures', () => {
  it('are well-formed, one for each kind of figure and of growth', () => {
    const pictures = picturesOf(report);
    assert.deepEqual(
      [...pictures.keys()],
      [
        'figures-time.svg',
        'figures-speed.svg',
        'figures-mib.svg',
        'growth-rows.svg',
        'growth-sessions.svg',
        'growth-sessions-memory.svg',
      ],
    );
    for (const [name, picture] of pictures) {
      assert.deepEqual(elementsOf(picture).slice(0, 2), ['svg', 'title'], name);
      assert.doesNotMatch(picture, /NaN|Infinity|undefined/, name);
    }
    assert.equal(elementsOf(pictures.get('growth-rows.svg')!).filter((name) => name === 'circle').length, 3);
  });

  it('escape what they are given', () => {
    assert.equal(escapeXml('<a & "b">'), '&lt;a &amp; &quot;b&quot;&gt;');
    const picture = growthChart({
      title: '<script> & "more"',
      along: 'a > b',
      unit: '<',
      lines: [{ name: '&', points: [] }],
    });
    assert.ok(!elementsOf(picture).includes('script'));
  });

  it('have scales from power to power', () => {
    const scale = logScale([3, 2000], [0, 400]);
    assert.deepEqual(scale.ticks, [1, 10, 100, 1000, 10000]);
    assert.equal(scale.at(100), 200);
    assert.deepEqual(logScale([10], [0, 1]).ticks, [10, 100]);
  });
});

describe('the page of results', () => {
  it('has a row for each figure and a column for each run', () => {
    const page = resultsPage([report, report], ['pictures/figures-time.svg']);
    assert.match(
      page,
      /^\| one row, named connection, texts that differ \| native \| time \| ≤ 1\.20 \| ≤ 0\.80 \| 2\.00 \(missed\) \| 2\.00 \(missed\) \| \*\*missed\*\* \|$/m,
    );
    assert.match(
      page,
      /^\| forwarding one row, simple, 1 client \| pgbouncer \| speed \| ≥ 0\.85 \| ≥ 1\.00 \| 0\.90 \| 0\.90 \| bar \|$/m,
    );
    assert.match(page, /^- Run 2, 2026-01-02 03:04 UTC: 2 × A & B, 4 GiB, .*commit 0123456789ab$/m);
    assert.match(page, /^\| 1,000 \| 3\.00 \| 1\.00 \|$/m);
    assert.match(page, /!\[figures-time\]\(pictures\/figures-time\.svg\)/);
  });
});
