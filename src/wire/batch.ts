import type { Duplex } from 'node:stream';

const batched = new WeakSet<Duplex>();

/**
 * Collects what is written to the socket in this turn of the event loop and sends it together: in one system call, and in
 * one packet where it fits. More calls in the same turn change nothing.
 */
export function batchWrites(socket: Duplex): void {
  if (batched.has(socket)) return;
  batched.add(socket);
  socket.cork();
  process.nextTick(() => {
    batched.delete(socket);
    socket.uncork();
  });
}
