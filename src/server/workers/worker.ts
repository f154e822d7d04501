import type { Socket } from 'node:net';
import { ConnectionServer } from '../connectionServer.js';
import { createLogger, type Logger } from '../log.js';
import type { ToSupervisor, ToWorker } from './workerMessages.js';

/** How long the other processes may take for what this one asks of them. */
const PATIENCE_MS = 2_000;

/** A worker that has begun. */
export interface Worker {
  readonly log: Logger;
  /** Ends its sessions. */
  close(graceMs: number): Promise<void>;
}

/**
 * Serves the connections that a supervisor hands over (supervisor.ts), in a process of its own. The process ends when the
 * supervisor says so, or is gone.
 * @param begun called when there is a log
 */
export function runWorker(begun: (worker: Worker) => void): void {
  let server: ConnectionServer | undefined;
  let log: Logger | undefined;
  let starting: Promise<void> | undefined;
  const asked = new Map<number, () => void>();
  let number = 0;
  // A supervisor that has gone hears nothing. What was to be said is of no use then.
  const say = (message: ToSupervisor): void => {
    if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
  };
  /** Says something that is answered with its number. Resolves then, or when it has taken too long. */
  const ask = (message: (id: number) => ToSupervisor): Promise<void> =>
    new Promise((resolve) => {
      const id = ++number;
      const enough = setTimeout(() => asked.get(id)?.(), PATIENCE_MS).unref();
      asked.set(id, () => {
        clearTimeout(enough);
        asked.delete(id);
        resolve();
      });
      say(message(id));
    });
  const close = async (graceMs: number, leaveMs = 0): Promise<void> => server?.close(graceMs, leaveMs);

  async function start({ config, index, count }: ToWorker & { kind: 'start' }): Promise<void> {
    const made = createLogger(config.log).child({ worker: index });
    log = made;
    begun({ log: made, close });
    try {
      server = await ConnectionServer.open(config, made, {
        index,
        count,
        passOn: (owner, request) => ask((id) => ({ kind: 'cancel', id, owner, request })),
        elsewhere: (request) => say({ kind: 'elsewhere', request }),
        vacate: (databases) => ask((id) => ({ kind: 'vacate', id, databases })),
      });
      say({ kind: 'ready' });
    } catch (error) {
      say({ kind: 'failed', message: (error as Error).message });
    }
  }

  async function reload({ id, config }: ToWorker & { kind: 'reload' }): Promise<void> {
    try {
      await starting;
      await server?.reload(config);
      say({ kind: 'reloaded', id });
    } catch (error) {
      say({ kind: 'reloaded', id, problem: (error as Error).message });
    }
  }

  function serve(socket: Socket | undefined): void {
    // The client may have gone while its connection was on its way.
    if (socket === undefined || server === undefined) {
      socket?.destroy();
      say({ kind: 'left' });
      return;
    }
    socket.once('close', () => say({ kind: 'left' }));
    // As the listener has it (listener.ts): what a process is handed loses it.
    socket.allowHalfOpen = true;
    server.serve(socket);
  }

  process.on('message', (message: ToWorker, socket?: Socket) => {
    switch (message.kind) {
      case 'start':
        starting = start(message);
        return;
      case 'connection':
        serve(socket);
        return;
      case 'cancel':
        server?.cancel(message.request);
        return;
      case 'vacate':
        void (server?.vacate(message.databases) ?? Promise.resolve()).then(() =>
          say({ kind: 'vacated', id: message.id }),
        );
        return;
      case 'done':
        asked.get(message.id)?.();
        return;
      case 'metrics':
        void (server?.metrics() ?? Promise.resolve([])).then((metrics) =>
          say({ kind: 'metrics', id: message.id, metrics }),
        );
        return;
      case 'reload':
        void reload(message);
        return;
      case 'reopen':
        server?.reopen();
        return;
      case 'close':
        void close(message.graceMs, message.leaveMs).then(() => process.exit(0));
    }
  });
  process.once('disconnect', () => {
    log?.error('the supervisor is gone, ending all sessions');
    void close(0).then(() => process.exit(1));
  });
}
