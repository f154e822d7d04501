import { execFile, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * PostgreSQL's own client programs, where the machine has them. The packages that the tests get their servers from
 * contain none.
 */
export interface ClientTools {
  readonly directory: string;
  /** Runs a program to its end. Rejects with what it said unless it exits with 0. */
  run(program: string, args: readonly string[], input?: string): Promise<{ stdout: string; stderr: string }>;
  /** Starts a program and leaves it running. */
  start(program: string, args: readonly string[]): ReturnType<typeof spawn>;
}

/** Finds a directory that has all of these programs, of at least this major version; says so if there is none. */
export async function findClientTools(
  programs: readonly string[],
  major: number,
): Promise<ClientTools | undefined> {
  for (const directory of candidates()) {
    if (!programs.every((program) => existsSync(join(directory, program)))) continue;
    const tools = toolsIn(directory);
    const { stdout } = await tools.run('psql', ['--version']);
    if (Number(/ (\d+)/.exec(stdout)?.[1] ?? 0) >= major) return tools;
  }
  console.warn(
    `SKIPPED: ${programs.join(', ')} of PostgreSQL ${major} or later are not on this machine; install PostgreSQL's client programs`,
  );
  return undefined;
}

function candidates(): string[] {
  const root = '/usr/lib/postgresql';
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : [];
  return [
    ...versions.map((version) => join(root, version, 'bin')),
    ...(process.env['PATH'] ?? '').split(delimiter),
  ];
}

function toolsIn(directory: string): ClientTools {
  // Nothing of PG* that is set for the person who runs the tests.
  const env = { PATH: process.env['PATH'], HOME: '/nonexistent', LC_ALL: 'C', TZ: 'UTC' };
  return {
    directory,
    run: (program, args, input) =>
      new Promise((resolve, reject) => {
        const child = execFile(
          join(directory, program),
          args,
          { env, maxBuffer: 1 << 28, timeout: 60_000 },
          (error, stdout, stderr) => {
            if (error === null) resolve({ stdout, stderr });
            else
              reject(
                new Error(`${program} ${args.join(' ')}: ${error.message}\n${stderr}${stdout.slice(-2000)}`),
              );
          },
        );
        child.stdin?.on('error', () => {});
        child.stdin?.end(input);
      }),
    start: (program, args) =>
      spawn(join(directory, program), args, { env, stdio: ['ignore', 'pipe', 'pipe'] }),
  };
}
