import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runExample } from '../../../src/embedded/example.js';
import { LIVENESS_MS } from '../../support/pace.js';
import { execute } from '../../support/postgres.js';

const program = fileURLToPath(new URL('../../../../bin/dblink-proxy', import.meta.url));

interface Running {
  readonly child: ChildProcess;
  readonly output: { text: string };
  readonly ended: Promise<number | null>;
}

function launch(args: readonly string[]): Running {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('DBLINK_PROXY_'));
  const child = spawn(process.execPath, [program, ...args], {
    env: Object.fromEntries(inherited),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { text: '' };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => (output.text += chunk));
  }
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return { child, output, ended };
}

/** Waits for output that matches, or fails with what there was when the program ended. */
async function untilPrinted({ child, output, ended }: Running, pattern: RegExp): Promise<RegExpExecArray> {
  for (;;) {
    const found = pattern.exec(output.text);
    if (found !== null) return found;
    const over = await Promise.race([ended.then(() => true), once(child.stdout!, 'data').then(() => false)]);
    if (over && !pattern.test(output.text)) assert.fail(`the program ended:\n${output.text}`);
  }
}

describe('dblink-proxy start --embedded', () => {
  it('runs the example and removes everything at SIGINT', { timeout: LIVENESS_MS }, async () => {
    const running = launch(['start', '--embedded', '--listen', '127.0.0.1:0']);
    try {
      const [, url = ''] = await untilPrinted(running, /Connection string\s+(postgres:\S+)[\s\S]*Ctrl-C/);
      const printed: string[] = [];
      await runExample(url, (text) => printed.push(text));
      assert.match(printed.join(''), /Ada Lovelace \| London\s+\|\s+2 \| 5119\.99/);
      assert.match(printed.join(''), /INSERT 0 2/);
      const [[conninfo]] = (await execute(url, 'SELECT conninfo FROM remotes')) as [[string]];
      const remote = `postgres://postgres@127.0.0.1:${/port=(\d+)/.exec(conninfo)?.[1]}/sales`;
      const identity = () => execute(remote, 'SELECT system_identifier FROM pg_control_system()');
      const [[before]] = (await identity()) as [[string]];
      running.child.kill('SIGINT');
      assert.equal(await running.ended, 0);
      // Its port is free again, so that somebody else's server may have got it.
      const after = await identity().catch((error: NodeJS.ErrnoException) => error.code ?? error.message);
      if (typeof after === 'string') assert.doesNotMatch(after, /^57P/, 'it is still going down');
      else assert.notEqual(after[0]?.[0], before);
    } finally {
      running.child.kill('SIGKILL');
    }
  });

  it('says what is wrong with an address that is taken, and ends with 1', {
    timeout: LIVENESS_MS,
  }, async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    try {
      const { port } = other.address() as { port: number };
      const { output, ended } = launch([
        '--primary',
        'postgres://127.0.0.1:1',
        '--listen',
        `127.0.0.1:${port}`,
      ]);
      assert.equal(await ended, 1);
      assert.match(
        output.text,
        new RegExp(`cannot listen on 127\\.0\\.0\\.1:${port}: another program is listening there`),
      );
    } finally {
      other.close();
    }
  });
});
