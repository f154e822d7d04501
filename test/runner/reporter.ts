import type { TestEvent } from 'node:test/reporters';

/** What the runner is told of one test, as a line of JSON. */
export interface TestLine {
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** Names from the outermost suite to the test. */
  readonly path: readonly string[];
  readonly suite: boolean;
  readonly ms: number;
  /** Why it was skipped, or how it failed. */
  readonly reason: string;
}

interface Ended {
  readonly name: string;
  readonly nesting: number;
  readonly skip?: string | boolean;
  readonly todo?: string | boolean;
  readonly details: {
    readonly duration_ms?: number;
    readonly type?: string;
    readonly error?: Error & { readonly cause?: unknown; readonly failureType?: string };
  };
}

/**
 * A reporter of node's test runner that writes a line of JSON for each test that has ended. Suites end behind their tests,
 * so a test's suites are known by the events that begin them.
 */
// biome-ignore lint/style/noDefaultExport: what node's test runner asks for
export default async function* lines(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const open: string[] = [];
  for await (const { type, data } of source) {
    if (type === 'test:start') {
      const { name, nesting } = data as unknown as Ended;
      open.length = nesting;
      open[nesting] = name;
    } else if (type === 'test:pass' || type === 'test:fail') {
      leaveLast();
      yield `${JSON.stringify(describe(type === 'test:pass', data as unknown as Ended, open))}\n`;
    }
  }
}

/**
 * Has a process that has nothing left to do end at once, behind everybody else who listens for that: where a socket was given up while
 * it connected, Node 20 may turn for ever when it takes itself down. One that has something left still hangs, which is a failure.
 */
function leaveLast(): void {
  process.off('exit', leave);
  process.on('exit', leave);
}

const leave = (): void => process.exit();

function describe(passed: boolean, ended: Ended, open: readonly string[]): TestLine {
  const { name, nesting, skip, todo, details } = ended;
  const left =
    skip !== undefined && skip !== false ? skip : todo !== undefined && todo !== false ? todo : undefined;
  return {
    outcome: !passed ? 'failed' : left === undefined ? 'passed' : 'skipped',
    path: [...open.slice(0, nesting), name],
    suite: details.type === 'suite',
    ms: Math.round(details.duration_ms ?? 0),
    reason: passed
      ? typeof left === 'string'
        ? left
        : left === undefined
          ? ''
          : 'no reason given'
      : failure(details),
  };
}

function failure({ error }: Ended['details']): string {
  if (error === undefined) return 'failed';
  // A suite fails because a test in it does, which has a line of its own.
  if (error.failureType === 'subtestsFailed') return '';
  const cause = error.cause instanceof Error ? error.cause : error;
  const inner = cause.cause === undefined ? '' : `\ncause: ${text(cause.cause)}`;
  return `${text(cause)}${inner}`;
}

const text = (value: unknown): string =>
  value instanceof Error
    ? (value.stack ?? value.message)
    : typeof value === 'string'
      ? value
      : JSON.stringify(value);
