import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ROOT } from '../runner/jobs.js';

/**
 * A program that people install and that uses dblink, and what is done with it: a file of SQL. What should come back is written
 * nowhere, since the extension says it.
 */
export interface Program {
  /** The name of its file. */
  readonly name: string;
  readonly steps: readonly ProgramStep[];
}

export interface ProgramStep {
  readonly title: string;
  readonly sql: string;
  /** Which of the client's sessions runs it. */
  readonly session: string;
  /** Where and as whom that session logs in, if it is not there yet. */
  readonly database: string;
  readonly user: string;
  /** With any, the step goes by the extended protocol. */
  readonly parameters: readonly string[];
  /** The session ends with this step, which sends nothing. */
  readonly ends: boolean;
}

/** The database of a program: it is empty at first, and has no extension. */
export const DATABASE = 'program';

const FOLDER = join(ROOT, 'test', 'programs', 'sql');

/** All programs, by name. */
export function programs(): readonly Program[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith('.sql'))
    .sort()
    .map((file) => parseProgram(basename(file, '.sql'), readFileSync(join(FOLDER, file), 'utf8')));
}

const STEP = /^--# /m;
const OPTION = /^--: (\w+)(?: (.*))?\n/gm;

/**
 * Reads a file: each step begins with a line `--# title`, under which lines `--: option value` may follow.
 *
 * | option | value |
 * |---|---|
 * | `session` | a name; `main` otherwise |
 * | `database`, `user` | for the first step of a session |
 * | `parameters` | values as JSON |
 * | `ends` | nothing: the session ends |
 */
function parseProgram(name: string, text: string): Program {
  const steps = text
    .split(STEP)
    .slice(1)
    .map((part): ProgramStep => {
      const end = part.indexOf('\n');
      const body = part.slice(end + 1);
      const options = new Map(
        [...body.matchAll(OPTION)].map(([, option = '', value = '']) => [option, value]),
      );
      return {
        title: part.slice(0, end),
        sql: body.replaceAll(OPTION, '').trim(),
        session: options.get('session') ?? 'main',
        database: options.get('database') ?? DATABASE,
        user: options.get('user') ?? 'postgres',
        parameters: JSON.parse(options.get('parameters') ?? '[]') as readonly string[],
        ends: options.has('ends'),
      };
    });
  const titles = new Set(steps.map(({ title }) => title));
  if (titles.size < steps.length) throw new Error(`${name}.sql has two steps of one title`);
  return { name, steps };
}
