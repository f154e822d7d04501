import { limit } from './check.js';
import { FIGURES, type Figure, type Verdict } from './figures.js';
import { growthLines, growthsOf } from './growth.js';
import { type Report, renderSetup } from './report.js';
import { brief } from './table.js';

/**
 * The page of results in Markdown.
 * @param reports of runs, which need not have measured the same
 * @param pictures paths from the page
 */
export function resultsPage(reports: readonly Report[], pictures: readonly string[]): string {
  const runs = reports.filter(({ figures }) => figures.length > 0);
  const growths = reports.flatMap((report) => [...growthsOf(report).values()]);
  return [
    '# Results of the benchmarks',
    'Written by `node dist/bench/results.js` from the results of `npm run bench -- --json FILE`. ' +
      '[benchmarks.md](benchmarks.md) says how each figure is measured.',
    ...reports.map(
      (report, i) =>
        `- Run ${i + 1}, ${report.setup.date.slice(0, 16).replace('T', ' ')} UTC: ${renderSetup(report)}`,
    ),
    '## Bars and goals',
    'A ratio of time is the proxy’s time divided by the other’s (less is better), a ratio of speed the proxy’s rate divided by ' +
      'the other’s (more is better). Each value is the median over the rounds of a run.',
    markdown([
      ['figure', 'against', 'ratio of', 'bar', 'goal', ...runs.map((_, i) => `run ${i + 1}`), ''],
      ...FIGURES.map((figure) => figureRow(figure, runs)).filter((row) => row !== undefined),
    ]),
    ...(growths.length === 0 ? [] : ['## Growth']),
    ...growths.flatMap((growth) => [`### ${growth.title}`, markdown(growthLines(growth))]),
    ...(pictures.length === 0 ? [] : ['## Pictures']),
    ...pictures.map((path) => `![${path.replace(/^.*\//, '').replace('.svg', '')}](${path})`),
  ]
    .map((part, i, all) => part + (part.startsWith('- ') && all[i + 1]?.startsWith('- ') ? '\n' : '\n\n'))
    .join('')
    .replace(/\n+$/, '\n');
}

/** @returns undefined for a figure that no run has measured */
function figureRow(figure: Figure, runs: readonly Report[]): string[] | undefined {
  const found = runs.map(({ figures }) =>
    figures.find(({ benchmark, metric }) => benchmark === figure.benchmark && metric === figure.metric),
  );
  if (found.every((verdict) => verdict === undefined)) return undefined;
  return [
    figure.title,
    figure.against ?? '',
    figure.sense,
    limit(figure, figure.bar),
    limit(figure, figure.goal),
    ...found.map(cell),
    overall(found),
  ];
}

const cell = (verdict: Verdict | undefined): string => {
  if (verdict === undefined) return '';
  if (verdict.value === null) return 'not measured';
  return `${brief(verdict.value.median)}${verdict.verdict === 'missed' ? ' (missed)' : ''}`;
};

/** The worst of the runs decides. */
function overall(found: readonly (Verdict | undefined)[]): string {
  const verdicts = found.flatMap((one) => one?.verdict ?? []);
  if (verdicts.includes('missed')) return '**missed**';
  if (verdicts.includes('not measured')) return '**not measured**';
  return verdicts.every((verdict) => verdict === 'goal') ? 'goal' : 'bar';
}

function markdown(rows: readonly (readonly string[])[]): string {
  const [heading = [], ...lines] = rows;
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [row(heading), `|${'---|'.repeat(heading.length)}`, ...lines.map(row)].join('\n');
}
