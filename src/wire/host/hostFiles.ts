import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, opendir, stat } from 'node:fs/promises';
import { abortable } from '../pace/abortable.js';
import { Turns } from '../pace/turns.js';

/** The largest file that is read. Certificates, keys, lists and password files are far smaller. */
const MAX_FILE_BYTES = 1024 * 1024;

/** How many entries of a directory are looked at, and how many bytes of all its files together are read. */
const MAX_DIRECTORY_ENTRIES = 1000;
const MAX_DIRECTORY_BYTES = MAX_FILE_BYTES;

/**
 * With O_NONBLOCK a FIFO does not wait for its writer, nor a file of the kernel for its next line. With O_NOCTTY no terminal
 * becomes the proxy's own.
 */
const OPEN_FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOCTTY ?? 0);

/** A file that exists but must not be read. The message is what an error message says after the file's name. */
export class UnfitFile extends Error {
  override readonly name = 'UnfitFile';
}

/** The bytes of a regular file, its permissions (`mode`) and its owner (`uid`). */
export interface HostFile {
  readonly content: Buffer;
  readonly mode: number;
  readonly uid: number;
}

/**
 * Reads files of the proxy's host: regular files of 1 MiB at most, opened without blocking.
 *
 * The runtime reads files in a few threads that it has for everything. A file system that does not answer keeps its thread
 * occupied, and nothing can free it. So only a limited number of threads is used at a time. Other calls wait for their turn,
 * and a call that waits can be aborted.
 */
export class HostFiles {
  readonly #turns: Turns;

  /** @param maxAtOnce threads that are used at a time */
  constructor(maxAtOnce: number) {
    this.#turns = new Turns({ total: maxAtOnce, perOwner: maxAtOnce });
  }

  /** Reads a regular file. @throws UnfitFile, the file system's error, the signal's reason */
  read(path: string, signal?: AbortSignal): Promise<HostFile> {
    return this.#inTurn(() => readRegular(path), signal);
  }

  /** A file's kind and permissions; symbolic links are followed. @throws the file system's error, the signal's reason */
  stat(path: string, signal?: AbortSignal): Promise<Stats> {
    return this.#inTurn(() => stat(path), signal);
  }

  /**
   * The contents of a directory's files, ordered by name. Files that cannot be read are left out, and so is everything after
   * the first 1000 entries or 1 MiB in all.
   * @throws the file system's error if it is no directory; the signal's reason
   */
  async readDirectory(path: string, signal?: AbortSignal): Promise<readonly Buffer[]> {
    const names = await this.#inTurn(() => entries(path), signal);
    const contents: Buffer[] = [];
    let bytes = 0;
    for (const name of names) {
      signal?.throwIfAborted();
      const file = await this.read(`${path}/${name}`, signal).catch(() => undefined);
      if (file === undefined) continue;
      bytes += file.content.length;
      if (bytes > MAX_DIRECTORY_BYTES) break;
      contents.push(file.content);
    }
    signal?.throwIfAborted();
    return contents;
  }

  async #inTurn<T>(act: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const release = await this.#turns.take(this, signal);
    // The turn is over when the thread is free again, even if the caller has stopped waiting before.
    const done = act().finally(release);
    return signal === undefined ? done : abortable(done, signal);
  }
}

async function readRegular(path: string): Promise<HostFile> {
  // Opening a device can have an effect on it, so the file's kind is checked before. It is checked again once the file is open
  // and can no longer be replaced by another.
  refuseIrregular(await stat(path));
  const handle = await open(path, OPEN_FLAGS);
  try {
    const found = await handle.stat();
    refuseIrregular(found);
    if (found.size > MAX_FILE_BYTES) throw tooLarge();
    return { content: await readAll(handle), mode: found.mode, uid: found.uid };
  } finally {
    await handle.close().catch(() => undefined);
  }
}

/** Reads up to the end, not up to the size that the file reports: files of the kernel have no size, and others grow. */
async function readAll(handle: FileHandle): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for (;;) {
    const chunk = Buffer.allocUnsafe(64 * 1024);
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, null);
    if (bytesRead === 0) return Buffer.concat(chunks);
    bytes += bytesRead;
    if (bytes > MAX_FILE_BYTES) throw tooLarge();
    chunks.push(chunk.subarray(0, bytesRead));
  }
}

async function entries(path: string): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const { name } of await opendir(path)) {
    names.push(name);
    if (names.length >= MAX_DIRECTORY_ENTRIES) break;
  }
  return names.sort();
}

function refuseIrregular(found: Stats): void {
  if (found.isDirectory()) throw new UnfitFile('Is a directory');
  if (!found.isFile()) throw new UnfitFile('not a regular file');
}

const tooLarge = (): UnfitFile => new UnfitFile(`larger than ${MAX_FILE_BYTES / 1024 / 1024} MiB`);

/** For files that the proxy's administrator has named. */
export const configuredFiles = new HostFiles(Number.POSITIVE_INFINITY);

/** For files that connection strings name. It uses half of the runtime's threads, so that the others work on in any case. */
export const namedFiles = new HostFiles(2);
