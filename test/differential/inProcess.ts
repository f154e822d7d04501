import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

/**
 * One differential run in a process of its own; `npm run test:differential -- --full` is the long one.
 *
 * @param options of run.ts
 */
export async function differentialRun(t: TestContext, options: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('run.js', import.meta.url)), ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  for (const line of output.trim().split('\n').slice(-2)) t.diagnostic(line);
  assert.match(output, /^\d+ passed, \d+ failed$/m, 'the run came to its end');
  assert.equal(code, 0, output);
}
