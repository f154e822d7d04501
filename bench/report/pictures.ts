import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { growthsOf } from './growth.js';
import type { Report } from './report.js';
import { figuresChart, growthChart } from './svg.js';

/** Every picture of a report, by its file's name. */
export function picturesOf(report: Pick<Report, 'benchmarks' | 'figures'>): ReadonlyMap<string, string> {
  const pictures = new Map<string, string>();
  for (const sense of ['time', 'speed', 'MiB'] as const) {
    const measured = report.figures.some((figure) => figure.sense === sense && figure.value !== null);
    if (measured) pictures.set(`figures-${sense.toLowerCase()}.svg`, figuresChart(sense, report.figures));
  }
  for (const [family, growth] of growthsOf(report)) pictures.set(`growth-${family}.svg`, growthChart(growth));
  return pictures;
}

/** @returns the names of the files that were written */
export function writePictures(report: Pick<Report, 'benchmarks' | 'figures'>, directory: string): string[] {
  mkdirSync(directory, { recursive: true });
  const pictures = picturesOf(report);
  for (const [name, picture] of pictures) writeFileSync(join(directory, name), picture);
  return [...pictures.keys()];
}
