import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Target } from './environment.js';
import type { Flow, Value } from './flows/types.js';

const run = promisify(execFile);

/** Programs in TypeScript stand beside this file's compiled form, the others in the sources. */
const COMPILED = join(import.meta.dirname, 'clients');
const SOURCES = resolve(import.meta.dirname, '../../../test/drivers/clients');

/** How to start a driver's program, which reads its input from standard input and prints a transcript. */
export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  readonly input: (target: Target, flows: readonly Flow[]) => string;
  /** Removes what was made for it. */
  readonly dispose?: () => void;
}

/** A way to reach PostgreSQL. */
export interface Driver {
  readonly name: string;
  /** Debian packages that have what it needs, for the message when something is missing. */
  readonly packages: string;
  /**
   * Finds the tools.
   *
   * @returns undefined if one is missing
   */
  readonly find: () => Promise<Program | undefined>;
}

const asJson: Program['input'] = (target, flows) => JSON.stringify({ target, flows });

/** Drivers of Node, installed with the other development dependencies. */
function node(file: string): () => Promise<Program> {
  return async () => ({ command: process.execPath, args: [join(COMPILED, file)], input: asJson });
}

/** True if a command can be started and says that all is well. */
async function works(command: string, ...args: readonly string[]): Promise<boolean> {
  return run(command, args).then(
    () => true,
    () => false,
  );
}

/** A Python that has the module; it need not be the first in the path. */
function python(module: string, file: string): () => Promise<Program | undefined> {
  return async () => {
    for (const command of ['python3', '/usr/bin/python3']) {
      if (await works(command, '-c', `import ${module}`)) {
        return { command, args: ['-B', join(SOURCES, file)], input: asJson };
      }
    }
    return undefined;
  };
}

const PGJDBC = [process.env['PGJDBC_JAR'], '/usr/share/java/postgresql.jar'];

async function jdbc(): Promise<Program | undefined> {
  const jar = PGJDBC.find((file) => file !== undefined && existsSync(file));
  // The program uses records and text formatting of release 17.
  const version = await run('javac', ['-version']).then(
    ({ stdout, stderr }) => Number(/javac (\d+)/.exec(stdout + stderr)?.[1] ?? 0),
    () => 0,
  );
  if (jar === undefined || version < 17 || !(await works('java', '-version'))) return undefined;
  const sources = join(SOURCES, 'jdbc');
  const files = readdirSync(sources).map((file) => join(sources, file));
  const classes = mkdtempSync(join(tmpdir(), 'jdbc-'));
  await run('javac', ['-encoding', 'UTF-8', '-cp', jar, '-d', classes, ...files]);
  return {
    command: 'java',
    args: [
      ...['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Duser.timezone=UTC', '-Duser.language=en'],
      ...['-cp', `${classes}:${jar}`, 'JdbcClient'],
    ],
    input: asLines,
    dispose: () => rmSync(classes, { recursive: true, force: true }),
  };
}

/** The input as lines of percent-encoded words, for a language without JSON in its library. */
function asLines(target: Target, flows: readonly Flow[]): string {
  const word = (value: Value): string => {
    if (Array.isArray(value)) return `array:${encodeURIComponent(value.map(word).join(' '))}`;
    return `${value === null ? 'null' : typeof value}:${encodeURIComponent(String(value))}`;
  };
  return [
    ...Object.entries(target).map(([name, value]) => `target ${name} ${encodeURIComponent(String(value))}`),
    ...flows.flatMap(({ name, simpleOnly, steps }) => [
      `flow ${encodeURIComponent(name)} ${simpleOnly ? 'simpleOnly' : 'any'}`,
      ...steps.map(({ sql, values }) => ['step', encodeURIComponent(sql), ...values.map(word)].join(' ')),
    ]),
    '',
  ].join('\n');
}

async function psql(): Promise<Program | undefined> {
  return (await works('psql', '--version')) ? node('psql.js')() : undefined;
}

async function perl(): Promise<Program | undefined> {
  if (!(await works('perl', '-MDBD::Pg', '-MJSON::PP', '-e', '1'))) return undefined;
  return { command: 'perl', args: [join(SOURCES, 'dbd_pg.pl')], input: asJson };
}

/** Every driver that is tested. */
export const DRIVERS: readonly Driver[] = [
  { name: 'psql', packages: 'postgresql-client', find: psql },
  { name: 'pg', packages: 'none', find: node('pg.js') },
  { name: 'postgres.js', packages: 'none', find: node('postgresjs.js') },
  { name: 'asyncpg', packages: 'python3-asyncpg', find: python('asyncpg', 'asyncpg_client.py') },
  { name: 'JDBC', packages: 'default-jdk-headless libpostgresql-jdbc-java', find: jdbc },
  { name: 'psycopg2', packages: 'python3-psycopg2', find: python('psycopg2', 'psycopg2_client.py') },
  { name: 'DBD::Pg', packages: 'libdbd-pg-perl', find: perl },
];
