import type { Figure, Verdict } from './figures.js';
import { brief, table } from './table.js';

const SENSES = {
  speed: 'speed',
  time: 'time',
  MiB: 'MiB',
} as const;

/** Each figure with what it is held to, for people. */
export function renderCheck(verdicts: readonly Verdict[]): string {
  const lines = verdicts.map((verdict) => [
    verdict.title,
    verdict.against ?? '',
    SENSES[verdict.sense],
    limit(verdict, verdict.bar),
    limit(verdict, verdict.goal),
    ...(verdict.value === null
      ? [`not measured: ${verdict.why}`]
      : [
          brief(verdict.value.median),
          `(${brief(verdict.value.low)}–${brief(verdict.value.high)})`,
          other(verdict),
          String(verdict.rounds),
          WORDS[verdict.verdict],
        ]),
  ]);
  const heading = [
    'figure',
    'against',
    'ratio of',
    'bar',
    'goal',
    'value',
    '(range)',
    'that is',
    'rounds',
    '',
  ];
  return `${EXPLANATION}\n\n${table([heading, ...lines])}\n\n${summary(verdicts)}`;
}

const EXPLANATION =
  'Figures with bars and goals. A ratio of time is the proxy’s time divided by the other’s: lower is better. A ratio of\n' +
  'speed is the proxy’s rate divided by the other’s: higher is better. Each is the median over the rounds.';

const WORDS: Readonly<Record<Verdict['verdict'], string>> = {
  goal: 'goal',
  bar: 'ok',
  missed: 'MISSED',
  'not measured': 'NOT MEASURED',
};

/** A bar or goal as it is written: ≥ 0.85, ≤ 1.20. */
export const limit = ({ sense }: Pick<Figure, 'sense'>, value: number | null): string =>
  value === null ? '' : `${sense === 'speed' ? '≥' : '≤'} ${sense === 'MiB' ? value : brief(value)}`;

/** The same in the other sense, so that nobody has to ask which is meant. */
function other({ sense, value }: Verdict): string {
  if (value === null || sense === 'MiB') return '';
  const inverse = brief(1 / value.median);
  return sense === 'time' ? `${inverse} × the speed` : `${inverse} × the time`;
}

function summary(verdicts: readonly Verdict[]): string {
  const count = (word: Verdict['verdict']): number =>
    verdicts.filter(({ verdict }) => verdict === word).length;
  const unmeasured = count('not measured');
  return (
    `${verdicts.length} figures: ${count('goal')} reach their goals, ${count('bar')} more their bars, ` +
    `${count('missed')} miss their bars${unmeasured === 0 ? '' : `, ${unmeasured} were not measured`}`
  );
}

/** Whether nothing is missing. */
export const passes = (verdicts: readonly Verdict[]): boolean =>
  verdicts.every(({ verdict }) => verdict === 'goal' || verdict === 'bar');
