import { spawn } from 'node:child_process';
import { EmbeddedError } from './errors.js';
import { workspace } from './workspace.js';

/**
 * The environment of PostgreSQL's programs. It has none of the user's PG* variables, which libpq inside a server honours. And
 * messages are in English.
 */
export function programEnvironment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  const { PATH = '/usr/bin:/bin', TZ } = process.env;
  return { PATH, ...(TZ === undefined ? {} : { TZ }), LC_ALL: 'C', HOME: workspace().directory, ...extra };
}

/**
 * Runs a program to its end under the servers' account.
 *
 * @param what names the program in the error
 * @throws EmbeddedError with what the program printed, if it fails
 */
export function run(
  program: string,
  args: readonly string[],
  what: string,
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      ...workspace().runAs,
      cwd: '/',
      env: programEnvironment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
    child.once('error', (error) => reject(new EmbeddedError(`${what}: ${error.message}`)));
    child.once('close', (code, signal) => {
      if (code === 0) resolve({ stdout, stderr });
      else
        reject(
          new EmbeddedError(
            `${what} failed (${signal ?? `exit code ${code}`}): ${stderr.trim() || stdout.trim()}`,
          ),
        );
    });
  });
}
