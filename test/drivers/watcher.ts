import { createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';

/** Tells the drivers' programs, in whatever language, that the remote has got as far as they want it to. */
export interface Watcher {
  readonly port: number;
  close(): Promise<void>;
}

/** After this long something hangs. */
const HANGS_AFTER_MS = 120_000;
const AGAIN_MS = 10;

/**
 * A program connects, sends a line `<database> <condition>`, and gets the line `yes` as soon as the remote has a session of that
 * database for which the condition, in SQL about pg_stat_activity, holds. What it has been told of once it is not told of again:
 * with the extension a statement goes on at the remote when the program has cancelled it.
 */
export async function watch(remoteUrl: string): Promise<Watcher> {
  const remote = new Client({ connectionString: remoteUrl, application_name: 'watcher' });
  remote.on('error', () => {}); // The server ends with the tests.
  await remote.connect();
  const told = new Set<string>();

  const appears = async (database: string, condition: string, socket: Socket): Promise<boolean> => {
    const deadline = performance.now() + HANGS_AFTER_MS;
    while (!socket.destroyed && performance.now() < deadline) {
      const { rows } = await remote.query<{ key: string }>(
        `SELECT pid || ' ' || query_start AS key FROM pg_stat_activity WHERE datname = $1 AND (${condition})`,
        [database],
      );
      const found = rows.find(({ key }) => !told.has(key));
      if (found !== undefined) {
        told.add(found.key);
        return true;
      }
      await delay(AGAIN_MS);
    }
    return false;
  };

  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    let line = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      line += text;
      const [, database, condition] = /^(\S+) (.*)\n/.exec(line) ?? [];
      if (database === undefined || condition === undefined) return;
      socket.removeAllListeners('data');
      appears(database, condition, socket).then(
        (yes) => socket.end(yes ? 'yes\n' : 'no\n'),
        (error: Error) => socket.end(`${error.message}\n`),
      );
      socket.resume();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      await remote.end().catch(() => {});
    },
  };
}
