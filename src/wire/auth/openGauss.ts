import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { Frontend } from '../protocol.js';
import { MessageReader } from '../reader.js';
import { MessageWriter } from '../writer.js';
import { deriveKey, type KeyOwner } from './keyDerivation.js';
import { type AuthenticationContext, AuthenticationError, type AuthenticationMethod } from './methods.js';
import { DEFAULT_MAX_SCRAM_ITERATIONS } from './scram.js';

/**
 * Authentication as openGauss and GaussDB ask for it. The stored password is like that of SCRAM, but made with
 * PBKDF2-HMAC-SHA1. The exchange is one request and one answer. Sources: the published code of the server and of the client
 * library; the request with a signature was seen on openGauss 5.0.
 */

/** Codes of openGauss's requests. PostgreSQL later gave the same codes to SASL. */
const SHA256_REQUEST = 10;
const MD5_SHA256_REQUEST = 11;

/** How the server stores the password. The request says so in an int32 before the salt. */
const STORED_PLAIN = 0;
const STORED_SHA256 = 2;

/** Lengths in hexadecimal digits. */
const SALT_DIGITS = 64;
const TOKEN_DIGITS = 8;
const SIGNATURE_DIGITS = 64;
const MD5_SALT_BYTES = 4;
const KEY_BYTES = 32;

/** The lower bound of the server's setting auth_iteration_count. A server that asks for less wants to guess passwords. */
const MIN_ITERATIONS = 2048;
/** The default of auth_iteration_count. */
const DEFAULT_ITERATIONS = 10_000;
/** A server does not tell a client of protocol 3.0 its iteration count, so the usual counts are tried. */
const USUAL_ITERATIONS = [DEFAULT_ITERATIONS, MIN_ITERATIONS] as const;

const sha256 = (data: Buffer): Buffer => createHash('sha256').update(data).digest();
const hmac = (key: Buffer, data: Buffer | string): Buffer => createHmac('sha256', key).update(data).digest();

interface Keys {
  readonly client: Buffer;
  readonly stored: Buffer;
  readonly server: Buffer;
}

/**
 * SCRAM's keys (RFC 5802 section 3), with SHA-1 as the hash for the password and with openGauss's own spelling of one label
 * (`Sever Key`).
 */
async function deriveKeys(
  password: Buffer,
  salt: Buffer,
  iterations: number,
  owner: KeyOwner | undefined,
): Promise<Keys> {
  const request = { password, salt, iterations, bytes: KEY_BYTES, digest: 'sha1' } as const;
  const salted = await deriveKey(request, owner);
  const client = hmac(salted, 'Client Key');
  return { client, stored: sha256(client), server: hmac(salted, 'Sever Key') };
}

const invalidRequest = (): AuthenticationError =>
  new AuthenticationError('received invalid authentication request');

function hexadecimal(reader: MessageReader, digits: number): string {
  const text = reader.bytes(digits).toString('latin1');
  if (!/^[0-9a-fA-F]+$/.test(text)) throw invalidRequest();
  return text;
}

/**
 * Takes the password for the one answer that an exchange has. A server that could repeat its request would get a proof for
 * each salt that it chooses.
 * @throws AuthenticationError for a second request, or when there is no password
 */
function begin(context: AuthenticationContext): Buffer {
  if (context.openGauss) throw new AuthenticationError('duplicate authentication request');
  const password = context.password();
  context.openGauss = true;
  return password;
}

function reply(text: string, context: AuthenticationContext): Buffer {
  context.usedPassword();
  context.finished();
  return new MessageWriter(Frontend.password).cstring(text, 'latin1').end();
}

/**
 * The method SHA256. Its request: an int32 with the stored method, 64 digits of salt, 8 digits of token. Then a client of
 * protocol 3.0 gets the server's signature of the token, 64 digits. A client of protocol 3.51 gets the iteration count, an
 * int32, instead.
 */
const openGaussSha256: AuthenticationMethod = {
  name: 'opengauss-sha256',
  description: 'server requested openGauss SHA256 authentication',
  async respond(body, context) {
    const reader = new MessageReader(body, 0);
    const stored = reader.int32();
    if (stored !== STORED_SHA256 && stored !== STORED_PLAIN) {
      throw new AuthenticationError(
        `openGauss SHA256 authentication with stored password method ${stored} not supported`,
      );
    }
    const lengthWith = (rest: number): boolean => reader.remaining === SALT_DIGITS + TOKEN_DIGITS + rest;
    const signed = lengthWith(SIGNATURE_DIGITS);
    if (!signed && !lengthWith(4)) throw invalidRequest();
    const salt = Buffer.from(hexadecimal(reader, SALT_DIGITS), 'hex');
    const token = Buffer.from(hexadecimal(reader, TOKEN_DIGITS), 'hex');
    const signature = signed ? Buffer.from(hexadecimal(reader, SIGNATURE_DIGITS), 'hex') : undefined;
    const iterations = signed ? undefined : permitted(reader.int32(), context);

    const password = begin(context);
    const keys =
      iterations === undefined
        ? await keysOfSignature(password, salt, token, signature!, context.options.keyOwner)
        : await deriveKeys(password, salt, iterations, context.options.keyOwner);
    const mask = hmac(keys.stored, token);
    const proof = Buffer.from(keys.client.map((byte, index) => byte ^ mask[index]!));
    return reply(proof.toString('hex'), context);
  },
};

/** @throws AuthenticationError for a count so low that it gives the password away, or so high that it costs too much */
function permitted(iterations: number, context: AuthenticationContext): number {
  if (iterations < MIN_ITERATIONS) {
    throw new AuthenticationError(
      `server requested ${iterations} iterations, fewer than the ${MIN_ITERATIONS} that openGauss uses at least`,
    );
  }
  const limit = context.options.maxScramIterations ?? DEFAULT_MAX_SCRAM_ITERATIONS;
  if (iterations > limit) {
    throw new AuthenticationError(
      `server requested ${iterations} iterations, more than the ${limit} that the setting "dblink.max_scram_iterations" allows`,
    );
  }
  return iterations;
}

/**
 * Tries the usual iteration counts and returns the keys that fit the server's signature. If none fit, nothing is sent. So a
 * stranger gets no proof, and a wrong guess does not count as a failed login.
 * @throws AuthenticationError when no count fits
 */
async function keysOfSignature(
  password: Buffer,
  salt: Buffer,
  token: Buffer,
  signature: Buffer,
  owner: KeyOwner | undefined,
): Promise<Keys> {
  for (const iterations of USUAL_ITERATIONS) {
    const keys = await deriveKeys(password, salt, iterations, owner);
    if (timingSafeEqual(hmac(keys.server, token), signature)) return keys;
  }
  throw new AuthenticationError(
    'incorrect server signature: the password is wrong, ' +
      `or its iteration count is neither ${USUAL_ITERATIONS.join(' nor ')}`,
  );
}

/** What the server appends to a stored password: these letters with the count's digits, the last one first, added to them. */
function iterationSuffix(iterations: number): string {
  const digits = [...String(iterations)].reverse();
  return [...'ecdfdcefade']
    .map((letter, index) => String.fromCharCode(letter.charCodeAt(0) + Number(digits[index] ?? 0)))
    .join('');
}

/**
 * The method MD5_SHA256, for a role with a SHA256 password and a line `md5` in pg_hba.conf. Its request: 64 digits of salt,
 * then four bytes as in AuthenticationMD5Password. The server hashes the whole stored password, which contains the iteration
 * count. The request does not tell the count, so the default is assumed.
 */
const openGaussMd5: AuthenticationMethod = {
  // For require_auth it counts as md5, because that is what it is to an observer: a hash that MD5 protects.
  name: 'md5',
  description: 'server requested a hashed password',
  async respond(body, context) {
    const reader = new MessageReader(body, 0);
    const salt = hexadecimal(reader, SALT_DIGITS);
    const md5Salt = reader.bytes(MD5_SALT_BYTES);
    const password = begin(context);
    const keys = await deriveKeys(
      password,
      Buffer.from(salt, 'hex'),
      DEFAULT_ITERATIONS,
      context.options.keyOwner,
    );
    const stored = [
      salt,
      keys.server.toString('hex'),
      keys.stored.toString('hex'),
      iterationSuffix(DEFAULT_ITERATIONS),
    ].join('');
    const digest = createHash('md5').update(stored, 'latin1').update(md5Salt).digest('hex');
    return reply(`md5${digest}`, context);
  },
};

/**
 * The method of a request that only openGauss sends, or undefined for another request. SASL's requests have the same codes
 * and are told apart by their shape: an AuthenticationSASL begins with a mechanism's name, and an AuthenticationSASLContinue
 * comes during a SASL exchange and with `r=`.
 * @param body of the request after its code
 * @param inSasl a SASL exchange is going on
 */
export function openGaussMethod(
  code: number,
  body: Buffer,
  inSasl: boolean,
): AuthenticationMethod | undefined {
  if (code === SHA256_REQUEST && body.length > 4 && body.readUIntBE(0, 3) === 0) return openGaussSha256;
  const digits = /^[0-9a-fA-F]{64}$/;
  if (
    code === MD5_SHA256_REQUEST &&
    !inSasl &&
    body.length === SALT_DIGITS + MD5_SALT_BYTES &&
    digits.test(body.toString('latin1', 0, SALT_DIGITS))
  ) {
    return openGaussMd5;
  }
  return undefined;
}
