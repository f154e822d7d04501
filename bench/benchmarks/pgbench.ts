import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { workspace } from '../../src/embedded/workspace.js';
import { parse } from '../../src/wire/messages.js';
import { type Contender, expect, type MeasureContext } from '../measure/benchmark.js';
import { bindAndExecute, type Connection, extendedQuery } from '../measure/connection.js';
import { percentile } from '../measure/statistics.js';
import { ACCOUNTS } from '../measure/tables.js';
import { cleanEnvironment } from '../rig/children.js';

export type QueryMode = 'simple' | 'extended' | 'prepared';

/** What sending small queries for a while gave. What happened while connections were new does not count. */
export interface Load {
  readonly perSecond: number;
  /** Of 99 of 100 statements at most, in milliseconds. */
  readonly p99Ms: number;
  readonly units: number;
  /** Of the program in the middle, for each query. */
  readonly processorSeconds: number | undefined;
}

export interface LoadOptions {
  readonly mode: QueryMode;
  readonly clients: number;
  /** So many queries per second of all clients together; without it each sends the next when it has its answer. */
  readonly rate?: number;
  /** Of each client, in place of a time: pgbench's begins with its first connection, and many connections take a while. */
  readonly transactions?: number;
}

/** What sends the small queries of the relay benchmarks: pgbench, or where it is not installed, this program. */
export interface Driver {
  readonly name: string;
  run(options: LoadOptions, contender: Contender, context: MeasureContext): Promise<Load>;
}

const execute = promisify(execFile);
/** How long connections count as new: a server process finds its tables, faults in their pages. */
const NEW_MS = 250;
/** Shares of the time between which processor time is measured, so that neither connecting nor ending is in it. */
const PROCESSOR_SPAN = [0.4, 0.9] as const;

/** @param builtIn do without pgbench even where it is installed */
export async function findDriver(builtIn: boolean): Promise<Driver> {
  if (builtIn) return builtInDriver;
  try {
    const { stdout } = await execute('pgbench', ['--version'], { env: cleanEnvironment() });
    return pgbench(`pgbench ${/\(PostgreSQL\) (\S+)/.exec(stdout)?.[1] ?? ''}`.trim());
  } catch {
    return builtInDriver;
  }
}

function pgbench(name: string): Driver {
  // pgbench's own select-only script, for a table that it need not have made.
  const script = join(workspace().directory, 'select.pgbench');
  writeFileSync(
    script,
    `\\set aid random(1, ${ACCOUNTS})\nSELECT abalance FROM accounts WHERE aid = :aid;\n`,
  );
  return {
    name,
    async run({ mode, clients, rate, transactions }, { host, port, meter }, { seconds, signal }) {
      const duration = Math.max(1, Math.round(seconds));
      const logs = workspace().makeDirectory(`pgbench-${performance.now()}`, 0o755);
      const used = transactions === undefined ? processorSpan(meter, duration * 1000) : undefined;
      try {
        await execute(
          'pgbench',
          [
            ...['-n', '-f', script, '-M', mode, '-c', String(clients), '-j', '1'],
            ...(transactions === undefined ? ['-T', String(duration)] : ['-t', String(transactions)]),
            ...['-l', '--log-prefix', join(logs, 'log')],
            ...(rate === undefined ? [] : ['-R', String(rate)]),
            ...['-h', host, '-p', String(port), '-U', 'postgres', 'postgres'],
          ],
          {
            env: cleanEnvironment({ PGSSLMODE: 'disable', PGGSSENCMODE: 'disable' }),
            signal,
          },
        );
        const lines = readdirSync(logs).flatMap((file) =>
          readFileSync(join(logs, file), 'latin1').split('\n').slice(0, -1),
        );
        return loadOf(lines.map(parseLogLine), await used);
      } finally {
        rmSync(logs, { recursive: true });
      }
    },
  };
}

/** A statement that was answered. */
interface Answered {
  /** When, in milliseconds since 1970. */
  readonly at: number;
  readonly tookMs: number;
}

/** client_id transaction_no time script_no time_epoch time_us, and more with -R. @throws Error for a transaction that failed */
export function parseLogLine(line: string): Answered {
  const [, , time, , epoch, microseconds] = line.split(' ');
  const answered = { at: Number(epoch) * 1000 + Number(microseconds) / 1000, tookMs: Number(time) / 1000 };
  if (!(Number.isFinite(answered.at) && Number.isFinite(answered.tookMs))) {
    throw new Error(`pgbench logged a transaction that failed: ${line}`);
  }
  return answered;
}

interface ProcessorSpan {
  /** Milliseconds since 1970. */
  readonly begin: number;
  readonly end: number;
  readonly seconds: number;
}

/** Processor time of the program in the middle, in a part of the time from now on. */
async function processorSpan(
  meter: Contender['meter'],
  durationMs: number,
): Promise<ProcessorSpan | undefined> {
  if (meter === undefined) return undefined;
  const look = async (afterMs: number) => {
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    return { at: performance.timeOrigin + performance.now(), seconds: meter.processorSeconds() };
  };
  const [from, to] = PROCESSOR_SPAN;
  const first = await look(durationMs * from);
  const second = await look(durationMs * (to - from));
  if (first.seconds === undefined || second.seconds === undefined) return undefined;
  return { begin: first.at, end: second.at, seconds: second.seconds - first.seconds };
}

/** @throws Error when too little was answered to say anything */
export function loadOf(answers: readonly Answered[], used: ProcessorSpan | undefined): Load {
  const first = answers.reduce((least, { at, tookMs }) => Math.min(least, at - tookMs), Infinity);
  const last = answers.reduce((most, { at }) => Math.max(most, at), -Infinity);
  const counted = answers.filter(({ at }) => at >= first + NEW_MS);
  if (counted.length < 2) throw new Error(`only ${answers.length} queries were answered`);
  const during = answers.filter(({ at }) => used !== undefined && at >= used.begin && at < used.end).length;
  return {
    perSecond: (counted.length * 1000) / (last - first - NEW_MS),
    p99Ms: percentile(
      counted.map(({ tookMs }) => tookMs),
      0.99,
    ),
    units: answers.length,
    processorSeconds: used === undefined || during === 0 ? undefined : used.seconds / during,
  };
}

const builtInDriver: Driver = {
  name: 'built-in',
  async run({ mode, clients, rate, transactions = Infinity }, contender, context) {
    const { signal } = context;
    const connections = await Promise.all(Array.from({ length: clients }, () => context.connect(contender)));
    const senders = await Promise.all(connections.map((connection) => sender(mode, connection)));
    const answers: Answered[] = [];
    const durationMs = Math.max(context.seconds * 1000, 2 * NEW_MS);
    const used = transactions === Infinity ? processorSpan(contender.meter, durationMs) : undefined;
    const end = transactions === Infinity ? performance.now() + durationMs : Infinity;
    const pauseMs = rate === undefined ? 0 : (clients * 1000) / rate;
    await Promise.all(
      senders.map(async (send) => {
        for (let n = 0; n < transactions && performance.now() < end; n++) {
          signal.throwIfAborted();
          const begin = performance.now();
          const { rows } = await send(1 + Math.floor(Math.random() * ACCOUNTS));
          expect(rows, 1);
          const now = performance.now();
          answers.push({ at: performance.timeOrigin + now, tookMs: now - begin });
          if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
        }
      }),
    );
    return loadOf(answers, await used);
  },
};

async function sender(mode: QueryMode, connection: Connection) {
  const sql = 'SELECT abalance FROM accounts WHERE aid = ';
  switch (mode) {
    case 'simple':
      return (aid: number) => connection.query(sql + aid);
    case 'extended':
      return (aid: number) => connection.request(extendedQuery(sql + aid));
    case 'prepared':
      await connection.request(Buffer.concat([parse('s', `${sql}$1`, []), bindAndExecute('s', ['1'])]));
      return (aid: number) => connection.request(bindAndExecute('s', [String(aid)]));
  }
}
