import { clipName } from '../clipName.js';
import type { RemoteConnection } from '../remote/remote.js';

interface Entry {
  readonly connection: RemoteConnection;
  /** The name as it was given, before it was cut. */
  readonly given: string;
}

/** The connections of one session: the unnamed one and the named ones (behaviour reference, section 2). */
export class ConnectionRegistry {
  unnamed: RemoteConnection | undefined;
  readonly #named = new Map<string, Entry>();
  /** Names whose connection is being opened. */
  readonly #reserved = new Set<string>();

  /**
   * A named connection. The name is cut in the same way as when the connection was created.
   * @param encoding the database's
   */
  get(name: string, encoding: string): RemoteConnection | undefined {
    return this.#named.get(clipName(name, encoding))?.connection;
  }

  /**
   * The named connection that the first argument of dblink or dblink_exec means, if it is not a connection string.
   *
   * A text that is too long for a name means a connection only if the connection was given exactly this name, or if the
   * text cannot be a connection string. The extension differs: there a connection string is captured by any name that
   * shares its first 63 bytes.
   */
  find(text: string, encoding: string, isConninfo: (text: string) => boolean): RemoteConnection | undefined {
    const key = clipName(text, encoding);
    const entry = this.#named.get(key);
    if (entry === undefined) return undefined;
    if (key === text || entry.given === text || !isConninfo(text)) return entry.connection;
    return undefined;
  }

  /** Whether a connection of this name is open or being opened. */
  has(name: string, encoding: string): boolean {
    const key = clipName(name, encoding);
    return this.#named.has(key) || this.#reserved.has(key);
  }

  /** Takes a name while its connection is being opened. @returns the function that gives it back */
  reserve(name: string, encoding: string): () => void {
    const key = clipName(name, encoding);
    this.#reserved.add(key);
    return () => this.#reserved.delete(key);
  }

  add(name: string, encoding: string, connection: RemoteConnection): void {
    this.#named.set(clipName(name, encoding), { connection, given: name });
  }

  remove(name: string, encoding: string): void {
    this.#named.delete(clipName(name, encoding));
  }

  /** How many connections are open. */
  get size(): number {
    return this.#named.size + (this.unnamed === undefined ? 0 : 1);
  }

  /** The names of the named connections, as they were cut. */
  names(): readonly string[] {
    return [...this.#named.keys()];
  }

  closeAll(): void {
    this.unnamed?.close();
    this.unnamed = undefined;
    for (const { connection } of this.#named.values()) connection.close();
    this.#named.clear();
  }
}
