import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * The ports to choose from. No kernel gives them out by itself: what it gives out begins at 32768 or above. So a connection of
 * somebody else's cannot take one between two starts of a server. These numbers are no SQLSTATE either, nor in the rows of a
 * test, which count to 20,000. So a text with such a number is not mistaken.
 */
const FIRST = 30_001;
const LAST = 32_767;
const ATTEMPTS = 100;

/** A TCP port on 127.0.0.1 on which nobody listens at the moment. @throws Error when there is none */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const port = randomInt(FIRST, LAST + 1);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free TCP port from ${FIRST} to ${LAST} on 127.0.0.1`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
