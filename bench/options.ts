import { Command, InvalidArgumentError, Option } from 'commander';

/** What the command line chose. */
export interface BenchOptions {
  /** Parts of the ids of the benchmarks to run; none: all. */
  readonly only: readonly string[];
  readonly list: boolean;
  readonly short: boolean;
  readonly rounds: number;
  readonly seconds: number;
  readonly rows: number;
  readonly minutes: number;
  readonly major: number;
  readonly json: string | undefined;
  /** Exit code 1 when a bar is missed. */
  readonly check: boolean;
  readonly svg: string | undefined;
  readonly profile: string | undefined;
  readonly builtIn: boolean;
}

const DEFAULTS = { rounds: 7, seconds: 0.5, rows: 1_000_000, minutes: 12 };
const SHORT_DEFAULTS = { rounds: 2, seconds: 0.3, rows: 200_000, minutes: 1 };
/** Fewer would not fill the joins and inserts. */
const LEAST_ROWS = 100_000;

/** @throws CommanderError after it has said what was wrong, or after --help */
export function parseOptions(args: readonly string[]): BenchOptions {
  const number = (least: number) => (text: string) => {
    const value = Number(text);
    if (!(value >= least)) throw new InvalidArgumentError(`A number of at least ${least} is needed.`);
    return value;
  };
  const whole = (least: number) => (text: string) => {
    const value = number(least)(text);
    if (!Number.isInteger(value)) throw new InvalidArgumentError('A whole number is needed.');
    return value;
  };
  const program = new Command('npm run bench --')
    .description(
      'Measures the proxy against a direct connection, PgBouncer, the dblink extension and postgres_fdw.',
    )
    .argument('[only...]', 'parts of the ids of the benchmarks to run: relay, dblink.join, copy …')
    .option('--list', 'list the benchmarks and exit', false)
    .option('--short', 'a smoke test: fewer benchmarks, rounds and rows, at most a minute', false)
    .option(
      '--rounds <n>',
      `how often each contender has its turn (${DEFAULTS.rounds}; short ${SHORT_DEFAULTS.rounds})`,
      whole(1),
    )
    .option(
      '--seconds <s>',
      `how long a short operation is repeated in a turn (${DEFAULTS.seconds}; short ${SHORT_DEFAULTS.seconds}; pgbench: at least 1, in whole seconds)`,
      number(0.05),
    )
    .option(
      '--rows <n>',
      `rows of the large tables (${DEFAULTS.rows}; short ${SHORT_DEFAULTS.rows})`,
      whole(LEAST_ROWS),
    )
    .option(
      '--minutes <m>',
      `limit of the whole run; benchmarks get fewer rounds to keep it (${DEFAULTS.minutes}; short ${SHORT_DEFAULTS.minutes})`,
      number(0.1),
    )
    .addOption(new Option('--major <n>', 'major version of PostgreSQL').default(18).argParser(whole(1)))
    .option('--json <file>', 'write the report to this file as well')
    .option('--check', 'exit with 1 when a figure misses its bar or was not measured', false)
    .option('--svg <directory>', 'write pictures of the results to this directory')
    .option(
      '--profile <directory>',
      'run the proxy alone, with a processor profile of each benchmark; no ratios',
    )
    .option('--built-in', 'send small queries from this program even if pgbench is installed', false)
    .exitOverride();
  program.parse([...args], { from: 'user' });
  const given = program.opts<Partial<BenchOptions> & Pick<BenchOptions, 'short'>>();
  const defaults = given.short ? SHORT_DEFAULTS : DEFAULTS;
  return { ...defaults, ...given, only: program.args } as BenchOptions;
}
