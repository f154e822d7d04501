import type { Socket } from 'node:net';

const batched = new WeakSet<Socket>();

/** Sends what is written in this turn of the event loop together: one system call, one packet where it fits. */
export function batchWrites(socket: Socket): void {
  if (batched.has(socket)) return;
  batched.add(socket);
  socket.cork();
  process.nextTick(() => {
    batched.delete(socket);
    socket.uncork();
  });
}
