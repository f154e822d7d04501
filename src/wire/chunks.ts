/** Two neighbouring chunks are joined if they are together no longer than this. */
const SMALL_BYTES = 4096;

/**
 * Appends a chunk to a list of bytes that wait to be handled. Small neighbours are joined: a peer that sends byte by byte
 * must not cause one object for each byte. Larger chunks are kept without a copy.
 */
export function appendChunk(chunks: Buffer[], chunk: Buffer): void {
  const last = chunks.at(-1);
  if (last !== undefined && last.length + chunk.length <= SMALL_BYTES) {
    chunks[chunks.length - 1] = Buffer.concat([last, chunk]);
  } else chunks.push(chunk);
}
