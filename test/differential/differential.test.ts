import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** The default differential run; `npm run test:differential -- --full` is the long one. */
test('the proxy answers like the extension', async (t) => {
  const child = spawn(process.execPath, [fileURLToPath(new URL('run.js', import.meta.url))], {
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
});
