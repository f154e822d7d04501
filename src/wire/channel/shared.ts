const SHARED_BYTES = 65_536;

/**
 * What every socket whose handle is used directly reads into. What is read is dealt with before the next read, so one buffer is
 * enough for all of them, and it stays in the processor's cache.
 */
export const SHARED = Buffer.allocUnsafeSlow(SHARED_BYTES);

/** Bytes that stay as they are. What may have been read into the shared buffer is copied. */
export const owned = (bytes: Buffer): Buffer => (bytes.buffer === SHARED.buffer ? Buffer.from(bytes) : bytes);
