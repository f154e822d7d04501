import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import type { Program } from './drivers.js';
import type { Side, Target } from './environment.js';
import type { Programme } from './flows/index.js';
import type { Flow, Value } from './flows/types.js';
import { type Line, parseTranscript } from './transcript.js';

/** A program that prints nothing for so long hangs. It is ended, and what it printed so far is compared. */
const HANGS_AFTER_MS = 180_000;

/** What a driver's program did on one side. */
export interface Played {
  readonly lines: readonly Line[];
  /** Why it did not end as it should, if it did not. */
  readonly failure: string | undefined;
}

/** Runs a driver's program on one side, in databases of its own. */
export async function play(
  program: Program,
  side: Side,
  database: string,
  { flows: unfilled, bridged }: Programme,
): Promise<Played> {
  const target = await side.prepare(database, bridged);
  const flows = unfilled.map((flow) => fill(flow, target));
  const { stdout, failure } = await execute(program, program.input(target, flows));
  return { lines: parseTranscript(stdout, side.ports, side.nap), failure };
}

/** Puts the side's connection string where the flows have placeholders. */
function fill(flow: Flow, target: Target): Flow {
  const text = (sql: string): string =>
    sql
      .replaceAll('{R}', target.remote)
      .replaceAll('{P}', String(target.remotePort))
      .replaceAll('{D}', target.database);
  const value = (given: Value): Value => (typeof given === 'string' ? text(given) : given);
  return {
    ...flow,
    steps: flow.steps.map(({ sql, values }) => ({ sql: text(sql), values: values.map(value) })),
  };
}

function execute(program: Program, input: string): Promise<{ stdout: string; failure: string | undefined }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program.command, program.args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      // Nothing of the user's: no files in a home directory, no PG* variables.
      env: {
        PATH: process.env['PATH'] ?? '/usr/bin:/bin',
        HOME: tmpdir(),
        LC_ALL: 'C.UTF-8',
        TZ: 'UTC',
        PGCONNECT_TIMEOUT: '20',
      },
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    const hangs = setTimeout(() => child.kill('SIGKILL'), HANGS_AFTER_MS);
    child.stdout.on('data', (chunk: Buffer) => {
      stdout.push(chunk);
      hangs.refresh();
    });
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.stdin.on('error', () => {}); // The exit code says why it did not read.
    child.stdin.end(input);
    child.on('error', (error) => {
      clearTimeout(hangs);
      reject(error);
    });
    child.on('close', (code, signal) => {
      clearTimeout(hangs);
      const end = code === null ? `was ended by ${signal ?? 'a signal'}` : `exited with code ${code}`;
      const text = Buffer.concat(stdout).toString('utf8');
      resolve({
        // A line that was being written when the program was ended is no line.
        stdout: text.slice(0, text.lastIndexOf('\n') + 1),
        failure: code === 0 ? undefined : `${end}: ${Buffer.concat(stderr).toString('utf8').slice(-2000)}`,
      });
    });
  });
}
