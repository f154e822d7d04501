import { MessageChannel, type MessagePort } from 'node:worker_threads';

/** Memory smaller than this is left to the garbage collector. */
const LARGE_BYTES = 1 << 20;

let nowhere: MessagePort | undefined;

/**
 * Gives the memory of a large Buffer back to the system at once. The garbage collector would do that later, and in a process
 * that has nothing to do perhaps never. Afterwards the Buffer is empty, and so is every view of its memory.
 *
 * Only the code that made the Buffer may call this, and only when nobody reads it any more. That includes the system: what was
 * written to a socket must have left.
 */
export function discard(buffer: Buffer): void {
  const memory = buffer.buffer;
  // Node keeps several small Buffers in one piece of memory. To give it away would empty other Buffers, too.
  if (memory.byteLength < LARGE_BYTES || !(memory instanceof ArrayBuffer)) return;
  if (nowhere === undefined) {
    // The other end is closed, so everything that is sent to it is dropped.
    const { port1, port2 } = new MessageChannel();
    port2.close();
    port1.unref();
    nowhere = port1;
  }
  nowhere.postMessage(undefined, [memory]);
}
