import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { deriveKey, type KeyOwner } from './keyDerivation.js';
import { saslprep } from './saslprep.js';

/** The largest number of iterations that a server may ask for unless another is configured. PostgreSQL's default is 4096. */
export const DEFAULT_MAX_SCRAM_ITERATIONS = 100_000;

const HASH = 'sha256';
const KEY_BYTES = 32;
/** Length of a nonce before it is written in base64, as in PostgreSQL (SCRAM_RAW_NONCE_LEN). */
const NONCE_BYTES = 18;

/** The exchange failed. The message is libpq's. */
export class ScramError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ScramError';
  }
}

/**
 * The client's side of channel binding (RFC 5802 section 6). 'n': the client does not support it. 'y': the client supports it
 * but the server did not offer it. 'p': it is used, with the data of tls-server-end-point (RFC 5929 section 4).
 */
export type ChannelBindingFlag =
  | { readonly flag: 'n' }
  | { readonly flag: 'y' }
  | { readonly flag: 'p'; readonly data: Buffer };

/** The keys that a password yields with one salt and iteration count (RFC 5802, section 3). 32 bytes each. */
export interface ScramKeys {
  readonly clientKey: Buffer;
  readonly serverKey: Buffer;
}

/** What the client's side of a SCRAM exchange needs. */
export interface ScramOptions {
  /** The password, or keys in its place. Keys only fit a server's verifier with the same salt and iteration count. */
  readonly secret: Buffer | ScramKeys;
  readonly binding: ChannelBindingFlag;
  /** The largest number of iterations that the server may ask for. Default: DEFAULT_MAX_SCRAM_ITERATIONS. */
  readonly maxIterations?: number | undefined;
  /** For whom the keys are derived. */
  readonly owner?: KeyOwner | undefined;
  /** The client's nonce in base64. Random unless a test fixes it. */
  readonly nonce?: string;
  /** The user name to send. PostgreSQL ignores it and uses that of the startup packet, so libpq sends none. */
  readonly user?: string;
}

const hmac = (key: Buffer, data: Buffer | string): Buffer => createHmac(HASH, key).update(data).digest();
const sha256 = (data: Buffer): Buffer => createHash(HASH).update(data).digest();

async function keysOf(
  password: Buffer,
  salt: Buffer,
  iterations: number,
  owner: KeyOwner | undefined,
): Promise<ScramKeys> {
  const request = { password: saslprep(password), salt, iterations, bytes: KEY_BYTES, digest: HASH } as const;
  const saltedPassword = await deriveKey(request, owner);
  return { clientKey: hmac(saltedPassword, 'Client Key'), serverKey: hmac(saltedPassword, 'Server Key') };
}

/** Reads the attributes of a server's message (RFC 5802 section 5.1), strictly in order. */
class Attributes {
  #rest: string;

  constructor(message: Buffer) {
    if (message.length === 0) throw new ScramError('malformed SCRAM message (empty message)');
    if (message.includes(0)) throw new ScramError('malformed SCRAM message (length mismatch)');
    this.#rest = message.toString('latin1');
  }

  get rest(): string {
    return this.#rest;
  }

  read(name: string): string {
    if (this.#rest[0] !== name)
      throw new ScramError(`malformed SCRAM message (attribute "${name}" expected)`);
    if (this.#rest[1] !== '=') {
      throw new ScramError(`malformed SCRAM message (expected character "=" for attribute "${name}")`);
    }
    const comma = this.#rest.indexOf(',');
    const end = comma < 0 ? this.#rest.length : comma;
    const value = this.#rest.slice(2, end);
    this.#rest = this.#rest.slice(end + 1);
    return value;
  }
}

/** Decodes base64 strictly: undefined if it is not valid. The platform's decoder skips over what it does not understand. */
function base64(text: string): Buffer | undefined {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  return Buffer.from(text, 'base64');
}

/**
 * The client's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677). The steps must be taken in order.
 * Left out: authorization identities and extensions (the "m" attribute is refused, RFC 5802 section 5.1).
 */
export class ScramClient {
  readonly #options: ScramOptions;
  readonly #nonce: string;
  readonly #gs2Header: string;
  readonly #firstBare: string;
  #keys: ScramKeys | undefined;
  #serverSignature: Buffer | undefined;
  #answered = false;
  #verified = false;

  constructor(options: ScramOptions) {
    this.#options = options;
    this.#nonce = options.nonce ?? randomBytes(NONCE_BYTES).toString('base64');
    const { flag } = options.binding;
    this.#gs2Header = flag === 'p' ? 'p=tls-server-end-point,,' : `${flag},,`;
    this.#firstBare = `n=${options.user ?? ''},r=${this.#nonce}`;
  }

  /** Whether the server has proved that it has the password's verifier. */
  get verified(): boolean {
    return this.#verified;
  }

  /** The keys that the proof was made with, once the server is `verified`. */
  get keys(): ScramKeys | undefined {
    return this.#verified ? this.#keys : undefined;
  }

  /** client-first-message (RFC 5802 section 7). */
  first(): Buffer {
    return Buffer.from(this.#gs2Header + this.#firstBare, 'latin1');
  }

  /**
   * client-final-message for a server-first-message. The key is derived outside of the event loop.
   * @throws ScramError for a message that is malformed, has another nonce or asks for too many iterations, and for a second
   *   message; the reason of the owner's signal
   */
  async final(serverFirst: Buffer): Promise<Buffer> {
    const attributes = new Attributes(serverFirst);
    // A login has one proof. Otherwise a server could ask for any number of proofs, each with a salt that it has chosen.
    if (this.#answered) throw new ScramError('malformed SCRAM message (attribute "v" expected)');
    this.#answered = true;
    const nonce = attributes.read('r');
    // Section 5.1, "r": the server must append to the client's nonce, and the client must verify that it did.
    if (nonce.length <= this.#nonce.length || !nonce.startsWith(this.#nonce)) {
      throw new ScramError('invalid SCRAM response (nonce mismatch)');
    }
    const salt = base64(attributes.read('s'));
    if (salt === undefined) throw new ScramError('malformed SCRAM message (invalid salt)');
    const iterations = this.#iterations(attributes.read('i'));
    if (attributes.rest !== '') {
      throw new ScramError('malformed SCRAM message (garbage at end of server-first-message)');
    }

    const { binding, secret, owner } = this.#options;
    const header = Buffer.from(this.#gs2Header, 'latin1');
    const bound = binding.flag === 'p' ? Buffer.concat([header, binding.data]) : header;
    const withoutProof = `c=${bound.toString('base64')},r=${nonce}`;
    const authMessage = Buffer.from(
      `${this.#firstBare},${serverFirst.toString('latin1')},${withoutProof}`,
      'latin1',
    );

    // Section 3, "SCRAM Algorithm Overview".
    this.#keys = Buffer.isBuffer(secret) ? await keysOf(secret, salt, iterations, owner) : secret;
    const { clientKey, serverKey } = this.#keys;
    const clientSignature = hmac(sha256(clientKey), authMessage);
    const proof = Buffer.from(clientKey.map((byte, index) => byte ^ clientSignature[index]!));
    this.#serverSignature = hmac(serverKey, authMessage);
    return Buffer.from(`${withoutProof},p=${proof.toString('base64')}`, 'latin1');
  }

  /**
   * Checks the server-final-message. Afterwards the server is known to have the password's verifier.
   * @throws ScramError when the server does not have it, or reports an error of its own
   */
  verify(serverFinal: Buffer): void {
    const attributes = new Attributes(serverFinal);
    if (attributes.rest.startsWith('e')) {
      throw new ScramError(`error received from server in SCRAM exchange: ${attributes.read('e')}`);
    }
    const signature = base64(attributes.read('v'));
    if (attributes.rest !== '') {
      throw new ScramError('malformed SCRAM message (garbage at end of server-final-message)');
    }
    if (signature?.length !== KEY_BYTES) {
      throw new ScramError('malformed SCRAM message (invalid server signature)');
    }
    if (this.#serverSignature === undefined || !timingSafeEqual(signature, this.#serverSignature)) {
      throw new ScramError('incorrect server signature');
    }
    this.#verified = true;
  }

  #iterations(text: string): number {
    const iterations = /^\d{1,10}$/.test(text) ? Number(text) : 0;
    if (iterations < 1) throw new ScramError('malformed SCRAM message (invalid iteration count)');
    const limit = this.#options.maxIterations ?? DEFAULT_MAX_SCRAM_ITERATIONS;
    if (iterations > limit) {
      throw new ScramError(
        `server requested ${iterations} SCRAM iterations, more than the ${limit} that the setting "dblink.max_scram_iterations" allows`,
      );
    }
    return iterations;
  }
}
