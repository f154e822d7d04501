import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { eventually } from '../../support/eventually.js';

export interface Question {
  readonly id: number;
  /** Whether to collect garbage first. */
  readonly collect: boolean;
}

/** What a proxy process says of itself. Memory in bytes. */
export interface ProxyState {
  readonly memory: {
    readonly rss: number;
    readonly external: number;
    readonly arrayBuffers: number;
    readonly heapUsed: number;
    /** Of rss + external, since garbage was last collected for a question. */
    readonly peak: number;
  };
  /** What keeps its event loop alive, by kind. */
  readonly resources: Readonly<Record<string, number>>;
  /** Unhandled rejections and exceptions. */
  readonly unhandled: readonly string[];
  /** How long the event loop stood still at most since the last question. */
  readonly longestPauseMs: number;
  /** The same without the time for which another program had the processor. */
  readonly longestOwnPauseMs: number;
}

export type ChildMessage =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'answer'; readonly id: number; readonly state: ProxyState };

/** A proxy in a process of its own. */
export interface ProxyProcess {
  readonly port: number;
  /** Everything that it has logged. */
  readonly log: () => string;
  state(collect?: boolean): Promise<ProxyState>;
  /** Waits until it has no more sockets and timers than when it started, and checks that nothing went unhandled. */
  assertClean(): Promise<void>;
  stop(): Promise<void>;
}

export interface ProxyProcessOptions {
  readonly primary: { readonly host: string; readonly port: number };
  readonly flags?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts a proxy, logging everything that it can, in front of a primary. */
export async function startProxyProcess(options: ProxyProcessOptions): Promise<ProxyProcess> {
  const flags = {
    listen: ['127.0.0.1:0'],
    primary: `postgres://${options.primary.host}:${options.primary.port}?sslmode=disable`,
    'log-level': 'trace',
    ...options.flags,
  };
  const child: ChildProcess = fork(
    fileURLToPath(new URL('./proxyChild.js', import.meta.url)),
    [JSON.stringify({ flags, env: options.env ?? {} })],
    { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] },
  );
  const log: string[] = [];
  child.stderr?.setEncoding('latin1').on('data', (text: string) => log.push(text));
  const waiting = new Map<number, (state: ProxyState) => void>();
  let asked = 0;

  const port = await new Promise<number>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the proxy ended with ${code}: ${log.join('')}`)));
    child.on('message', (message: ChildMessage) => {
      if (message.kind === 'listening') return resolve(message.port);
      waiting.get(message.id)?.(message.state);
      waiting.delete(message.id);
    });
  });

  const state = (collect = false): Promise<ProxyState> => {
    const question: Question = { id: ++asked, collect };
    assert.ok(child.connected, `the proxy process is gone: ${log.join('').slice(-2000)}`);
    child.send(question);
    return new Promise((resolve) => waiting.set(question.id, resolve));
  };
  const { resources: before } = await state();

  return {
    port,
    log: () => log.join(''),
    state,
    async assertClean() {
      assert.deepEqual((await state()).unhandled, []);
      await eventually('the proxy has let go of its sockets and timers', async () => {
        const { resources } = await state();
        for (const [kind, count] of Object.entries(resources)) {
          assert.ok(count <= (before[kind] ?? 0), `${count} of ${kind}, ${before[kind] ?? 0} at the start`);
        }
      });
      assert.doesNotMatch(log.join(''), /internal error/);
    },
    async stop() {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await exited;
    },
  };
}
