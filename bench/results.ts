import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { growthsOf } from './report/growth.js';
import { writePictures } from './report/pictures.js';
import type { Report } from './report/report.js';
import { resultsPage } from './report/resultsPage.js';

const USAGE = `Usage: node dist/bench/results.js [--page FILE] [--svg DIRECTORY] RESULT.json…

Writes the page of results from what \`npm run bench -- --json FILE\` left, several runs beside each other.
  --page FILE       the page (docs/benchmark-results.md)
  --svg DIRECTORY   its pictures (docs/benchmark-results)`;

function main(args: readonly string[]): number {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      page: { type: 'string', default: 'docs/benchmark-results.md' },
      svg: { type: 'string', default: 'docs/benchmark-results' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help || positionals.length === 0) {
    console.error(USAGE);
    return values.help ? 0 : 2;
  }
  const reports = positionals.map((file) => JSON.parse(readFileSync(file, 'utf8')) as Report);
  const pictures = new Set<string>();
  // Of each kind of picture the last run's stays, which need not have measured everything.
  for (const report of reports) {
    if (report.figures.length > 0 || growthsOf(report).size > 0) {
      for (const name of writePictures(report, values.svg)) pictures.add(name);
    }
  }
  const folder = relative(dirname(values.page), values.svg);
  const page = resultsPage(
    reports,
    [...pictures].map((name) => join(folder, name)),
  );
  writeFileSync(values.page, page);
  return 0;
}

process.exitCode = main(process.argv.slice(2));
