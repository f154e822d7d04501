/** A chunk that is put together with its neighbour is no longer than this. */
const SMALL_BYTES = 4096;

/**
 * Appends bytes that wait. Small pieces are put together: a peer that sends byte by byte must not make an object of every
 * byte. Longer ones are kept without a copy.
 */
export function appendChunk(chunks: Buffer[], chunk: Buffer): void {
  const last = chunks.at(-1);
  if (last !== undefined && last.length + chunk.length <= SMALL_BYTES) {
    chunks[chunks.length - 1] = Buffer.concat([last, chunk]);
  } else chunks.push(chunk);
}
