import { median } from '../measure/statistics.js';
import type { BenchmarkReport } from './benchmarkReport.js';
import type { Report } from './report.js';
import type { Growth } from './svg.js';
import { brief, table } from './table.js';

/** What grows in each family of the growth benchmarks, whose ids are `growth.FAMILY-SIZE`. */
const FAMILIES = {
  rows: { title: 'Remote rows, sent to the client', along: 'rows', unit: 'ms' },
  counted: { title: 'Remote rows, counted by the primary', along: 'rows', unit: 'ms' },
  texts: { title: 'A call’s text for the remote', along: 'bytes of the text', unit: 'ms' },
  sessions: {
    title: 'Sessions, ten of them busy: p99 of a forwarded statement',
    along: 'sessions',
    unit: 'ms',
  },
} as const;

/** The lines of a picture for each family that was measured, by its name. */
export function growthsOf({ benchmarks }: Pick<Report, 'benchmarks'>): ReadonlyMap<string, Growth> {
  const growths = new Map<string, Growth>();
  for (const [family, words] of Object.entries(FAMILIES)) {
    const sizes = sizesOf(family, benchmarks);
    const names = [...new Set(sizes.flatMap(({ report }) => Object.keys(report.samples)))];
    const lines = names.map((name) => ({
      name,
      points: sizes.flatMap(({ size, report }) => {
        const samples = report.samples[name] ?? [];
        return samples.length === 0 ? [] : [[size, median(samples.map(([first]) => first!))] as const];
      }),
    }));
    if (lines.length > 0) growths.set(family, { ...words, lines });
    const memory = sizes.flatMap(({ size, report }) => {
      const used = report.memory['proxy'];
      return used === undefined ? [] : [[size, used.peak] as const];
    });
    if (family === 'sessions' && memory.length > 0) {
      growths.set('sessions-memory', {
        title: 'Sessions: the proxy’s memory',
        along: 'sessions',
        unit: 'MiB, peak',
        lines: [{ name: 'proxy', points: memory }],
      });
    }
  }
  return growths;
}

const sizesOf = (family: string, benchmarks: readonly BenchmarkReport[]) =>
  benchmarks
    .flatMap((report) => {
      const [, name, size] = /^growth\.(\w+)-(\d+)$/.exec(report.id) ?? [];
      return name === family ? [{ size: Number(size), report }] : [];
    })
    .sort((a, b) => a.size - b.size);

/** The same as tables. */
export const renderGrowth = (growths: ReadonlyMap<string, Growth>): string =>
  [...growths.values()].map((growth) => `${growth.title}\n\n${table(growthLines(growth))}`).join('\n\n');

/** A line for each size, with the heading first. */
export function growthLines({ along, unit, lines }: Growth): string[][] {
  const sizes = [...new Set(lines.flatMap(({ points }) => points.map(([size]) => size)))].sort(
    (a, b) => a - b,
  );
  return [
    [along, ...lines.map(({ name }) => `${name}, ${unit}`)],
    ...sizes.map((size) => [
      size.toLocaleString('en'),
      ...lines.map(({ points }) => {
        const found = points.find(([at]) => at === size);
        return found === undefined ? '' : brief(found[1]);
      }),
    ]),
  ];
}
