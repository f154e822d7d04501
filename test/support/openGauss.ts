import assert from 'node:assert/strict';
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { backend } from './fakePrimary.js';

/**
 * The server's half of openGauss's authentication. It keeps what the server keeps, a stored password, and judges answers by
 * that alone, so it shares no step with the client that it tests.
 */
export class OpenGaussRole {
  readonly #stored: string;
  /** How the count of iterations is written behind the stored password. */
  readonly #suffix: string;

  /** @param salt 32 bytes; @param iterations the server's setting auth_iteration_count when the password was set */
  constructor(
    password: Buffer | string,
    readonly salt: Buffer = Buffer.alloc(32, 0xa5),
    iterations = 10_000,
  ) {
    const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha1');
    const clientKey = createHmac('sha256', salted).update('Client Key').digest();
    this.#stored = [
      salt,
      createHmac('sha256', salted).update('Sever Key').digest(),
      createHash('sha256').update(clientKey).digest(),
    ]
      .map((part) => part.toString('hex'))
      .join('');
    // The suffixes that the server writes for these two counts.
    const suffixes: Record<number, string> = { 10000: 'ecdfecefade', 2048: 'mgdhdcefade' };
    this.#suffix = suffixes[iterations] ?? '';
  }

  signature(token: Buffer): Buffer {
    return createHmac('sha256', Buffer.from(this.#stored.slice(64, 128), 'hex'))
      .update(token)
      .digest();
  }

  /** Whether this is the text of a PasswordMessage that the server lets in after a SHA256 request. */
  acceptsProof(proof: string, token: Buffer): boolean {
    const stored = Buffer.from(this.#stored.slice(128), 'hex');
    const mask = createHmac('sha256', stored).update(token).digest();
    const clientKey = Buffer.from(Buffer.from(proof, 'hex').map((byte, index) => byte ^ mask[index]!));
    return /^[0-9a-f]{64}$/.test(proof) && createHash('sha256').update(clientKey).digest().equals(stored);
  }

  /** Whether this is the text of a PasswordMessage that the server lets in after an MD5_SHA256 request. */
  acceptsMd5(answer: string, md5Salt: Buffer): boolean {
    const hash = createHash('md5').update(`${this.#stored}${this.#suffix}`).update(md5Salt);
    return answer === `md5${hash.digest('hex')}`;
  }
}

const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};

const hex = (bytes: Buffer): Buffer => Buffer.from(bytes.toString('hex'));

/** Authentication requests; each part can be replaced by something wrong. */
export const openGaussRequest = {
  /** SHA256 as to a client of protocol 3.0, with a signature, or, with a number as its end, as to one of 3.51. */
  sha256: (salt: Buffer, token: Buffer, end: Buffer | number, method = 2): Buffer =>
    backend(
      'R',
      Buffer.concat([
        int32(10),
        int32(method),
        hex(salt),
        hex(token),
        typeof end === 'number' ? int32(end) : hex(end),
      ]),
    ),
  md5Sha256: (salt: Buffer, md5Salt: Buffer): Buffer =>
    backend('R', Buffer.concat([int32(11), hex(salt), md5Salt])),
};

/** The text of a PasswordMessage. */
export function passwordText(message: Buffer | undefined): string {
  assert.ok(message !== undefined && message[0] === 0x70 && message.at(-1) === 0);
  assert.equal(message.readInt32BE(1), message.length - 1);
  return message.toString('latin1', 5, message.length - 1);
}
