import { MessageChannel, type MessagePort } from 'node:worker_threads';

/** Less than this is left to the garbage collector. */
const LARGE_BYTES = 1 << 20;

let nowhere: MessagePort | undefined;

/**
 * Gives the memory of a large Buffer back to the system at once. The garbage collector would do so when it comes round, which
 * in a process that has nothing to do may be never. The Buffer is empty afterwards, and so is every view of its memory.
 *
 * Only for who made it, and only when nobody reads it any more, the system included: what was written to a socket must have
 * left.
 */
export function discard(buffer: Buffer): void {
  const memory = buffer.buffer;
  // A part of something larger is not all that there is of it: Node keeps small Buffers together.
  if (memory.byteLength < LARGE_BYTES || !(memory instanceof ArrayBuffer)) return;
  if (nowhere === undefined) {
    // What is sent to a port that is closed is dropped.
    const { port1, port2 } = new MessageChannel();
    port2.close();
    port1.unref();
    nowhere = port1;
  }
  nowhere.postMessage(undefined, [memory]);
}
