import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** One differential run in a process of its own; `npm run test:differential -- --full` is the long one. */
async function run(t: TestContext, options: readonly string[]): Promise<void> {
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

/** Each case in one core variant; in all of them, and another one each, with `npm run test:differential`. */
test('the proxy answers like the extension', (t) =>
  run(t, ['--major', '18', '--core', '1', '--others', '0', '--generated', '300', '--lanes', '3']));

/** An older major answers otherwise in places. */
test('the proxy answers like the extension of an older server', (t) =>
  run(t, ['--major', '15', '--sample', '400', '--generated', '100']));

/** The faster plans are right as far as the bridge is: a sample of all cases goes through that instead. */
test('the bridge answers like the extension', (t) =>
  run(t, ['--forced', '--major', '18', '--sample', '300', '--generated', '50']));
