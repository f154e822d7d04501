import type { PrimaryLink } from '../primary/primaryLink.js';
import { byteCounter } from '../wire/encoding/encoding.js';
import { transcode, type Untranslatable } from '../wire/encoding/transcode.js';
import { PgError } from '../wire/errors.js';

/** The encodings of a session, as PostgreSQL names them. */
export class Encodings {
  constructor(private readonly primary: PrimaryLink) {}

  get database(): string {
    return this.primary.parameters.get('server_encoding') ?? 'UTF8';
  }

  get client(): string {
    return this.primary.parameters.get('client_encoding') ?? 'UTF8';
  }

  /** Whether bytes of the database's encoding are what the client reads. */
  get same(): boolean {
    return this.client === this.database;
  }

  /** Counts the characters in a part of the client's SQL text, as PostgreSQL counts them for error positions. */
  get countCharacters(): (bytes: Buffer) => number {
    return byteCounter(this.client);
  }

  /**
   * Translates a dblink error or notice from the database's encoding to the client's. As in PostgreSQL, it becomes another error
   * (22P05) when it has a character that the client's encoding lacks.
   */
  inClient(error: PgError): PgError {
    const { database, client } = this;
    if (database === client) return error;
    let lacking: Untranslatable | undefined;
    const changed = error.mapText((text) => {
      const result = transcode(text, database, client);
      if (typeof result === 'string') return result;
      lacking ??= result;
      return '?';
    });
    if (lacking === undefined) return changed;
    const bytes = [...lacking.bytes].map((byte) => `0x${byte.toString(16).padStart(2, '0')}`).join(' ');
    return new PgError(
      '22P05',
      `character with byte sequence ${bytes} in encoding "${database}" has no equivalent in encoding "${client}"`,
    );
  }
}
