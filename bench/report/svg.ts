import type { Sense, Verdict } from './figures.js';
import { brief } from './table.js';

/** Pictures of the results: plain SVG, readable on light and dark pages, with a title and text that can be selected. */

const FONT = 'font-family="system-ui, sans-serif" font-size="12"';
const COLORS = { goal: '#2a9d5c', bar: '#3b7dd8', missed: '#d2453d', 'not measured': '#888888' } as const;
const LINES = ['#3b7dd8', '#d2453d', '#2a9d5c', '#a05cc8', '#c98a1b', '#888888'] as const;
const INK = '#777777';

export const escapeXml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

interface Size {
  readonly width: number;
  readonly height: number;
}

const svg = (title: string, { width, height }: Size, parts: readonly string[]): string =>
  [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" ${FONT}>`,
    `<title>${escapeXml(title)}</title>`,
    text(10, 20, title, 'font-weight="bold"'),
    ...parts,
    '</svg>\n',
  ].join('\n');

const number = (value: number): string => value.toFixed(1);

const text = (x: number, y: number, content: string, more = ''): string =>
  `<text x="${number(x)}" y="${number(y)}" fill="${INK}" ${more}>${escapeXml(content)}</text>`;

const line = (from: readonly [number, number], to: readonly [number, number], color: string, more = '') =>
  `<line x1="${number(from[0])}" y1="${number(from[1])}" x2="${number(to[0])}" y2="${number(to[1])}" stroke="${color}" ${more}/>`;

/** A logarithmic scale. */
interface Scale {
  readonly ticks: readonly number[];
  at(value: number): number;
}

/** @param values the range that the scale has to show, all above 0 @param span coordinates of its ends */
export function logScale(values: readonly number[], [from, to]: readonly [number, number]): Scale {
  const low = Math.floor(Math.log10(Math.min(...values)) + 1e-9);
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values)) - 1e-9));
  return {
    ticks: Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)),
    at: (value) => from + ((Math.log10(value) - low) / (high - low)) * (to - from),
  };
}

const ROW = 22;
const LABELS = 330;
const WIDTH = 900;
const VALUES = 110;
const TOP = 56;

const AXES: Readonly<Record<Sense, string>> = {
  time: 'time in relation to the other’s: less is better',
  speed: 'speed in relation to the other’s: more is better',
  MiB: 'MiB beyond what the idle proxy has: less is better',
};

/** Figures of one sense as bars, each with its range, its bar (a stroke) and its goal (a dashed one). */
export function figuresChart(sense: Sense, verdicts: readonly Verdict[]): string {
  const own = verdicts.filter((verdict) => verdict.sense === sense && verdict.value !== null);
  const numbers = own.flatMap(({ value, bar, goal }) =>
    [value!.median, value!.low, value!.high, bar ?? goal, goal].filter((one) => one > 0),
  );
  const height = TOP + own.length * ROW + 30;
  const scale = logScale(numbers.length === 0 ? [1] : numbers, [LABELS, WIDTH - VALUES]);
  const bottom = height - 26;
  const parts = [
    text(10, 38, AXES[sense]),
    ...scale.ticks.flatMap((tick) => [
      line([scale.at(tick), TOP - 6], [scale.at(tick), bottom], INK, 'stroke-opacity="0.3"'),
      text(scale.at(tick), bottom + 16, String(Number(tick.toPrecision(2))), 'text-anchor="middle"'),
    ]),
  ];
  for (const [i, { title, against, value, bar, goal, verdict }] of own.entries()) {
    const y = TOP + i * ROW;
    const middle = y + ROW / 2 - 2;
    const clamped = (one: number): number => scale.at(Math.max(one, scale.ticks[0]!));
    const end = clamped(value!.median);
    parts.push(
      text(10, middle + 4, against === null ? title : `${title} (${against})`),
      `<rect x="${LABELS}" y="${number(y + 2)}" width="${number(Math.max(1, end - LABELS))}" height="${ROW - 8}" fill="${COLORS[verdict]}"/>`,
      line([clamped(value!.low), middle], [clamped(value!.high), middle], INK, 'stroke-width="1.5"'),
      line([clamped(goal), y], [clamped(goal), y + ROW - 4], INK, 'stroke-dasharray="3 2"'),
      ...(bar === null
        ? []
        : [line([clamped(bar), y], [clamped(bar), y + ROW - 4], INK, 'stroke-width="2"')]),
      text(
        WIDTH - VALUES + 10,
        middle + 4,
        `${brief(value!.median)} ${verdict === 'missed' ? 'missed' : ''}`,
      ),
    );
  }
  return svg('The proxy’s figures, with bars (strokes) and goals (dashed)', { width: WIDTH, height }, parts);
}

/** How something grows: lines over a logarithmic axis. */
export interface Growth {
  readonly title: string;
  /** What grows. */
  readonly along: string;
  /** What was measured, with its unit. */
  readonly unit: string;
  readonly lines: readonly {
    readonly name: string;
    readonly points: readonly (readonly [number, number])[];
  }[];
}

export function growthChart({ title, along, unit, lines }: Growth): string {
  const size = { width: 720, height: 420 };
  const points = lines.flatMap((one) => one.points).filter(([x, y]) => x > 0 && y > 0);
  const some = points.length === 0 ? [[1, 1] as const] : points;
  const horizontal = logScale(
    some.map(([x]) => x),
    [70, size.width - 150],
  );
  const vertical = logScale(
    some.map(([, y]) => y),
    [size.height - 50, TOP],
  );
  const [left, right] = [70, size.width - 150];
  const parts = [
    text(10, 38, unit),
    text((left + right) / 2, size.height - 10, along, 'text-anchor="middle"'),
    ...horizontal.ticks.flatMap((tick) => [
      line([horizontal.at(tick), TOP], [horizontal.at(tick), size.height - 50], INK, 'stroke-opacity="0.3"'),
      text(horizontal.at(tick), size.height - 32, short(tick), 'text-anchor="middle"'),
    ]),
    ...vertical.ticks.flatMap((tick) => [
      line([left, vertical.at(tick)], [right, vertical.at(tick)], INK, 'stroke-opacity="0.3"'),
      text(left - 6, vertical.at(tick) + 4, short(tick), 'text-anchor="end"'),
    ]),
  ];
  for (const [i, one] of lines.entries()) {
    const color = LINES[i % LINES.length]!;
    const places = one.points
      .filter(([x, y]) => x > 0 && y > 0)
      .map(([x, y]) => `${number(horizontal.at(x))},${number(vertical.at(y))}`);
    parts.push(
      `<polyline points="${places.join(' ')}" fill="none" stroke="${color}" stroke-width="2"/>`,
      ...places.map((place) => {
        const [x, y] = place.split(',');
        return `<circle cx="${x}" cy="${y}" r="3" fill="${color}"/>`;
      }),
      `<rect x="${right + 14}" y="${TOP + i * 20}" width="12" height="12" fill="${color}"/>`,
      text(right + 32, TOP + 10 + i * 20, one.name),
    );
  }
  return svg(title, size, parts);
}

/** 1,000,000 is 1M. */
function short(value: number): string {
  if (value >= 1e6) return `${value / 1e6}M`;
  return value >= 1e3 ? `${value / 1e3}k` : String(Number(value.toPrecision(2)));
}
