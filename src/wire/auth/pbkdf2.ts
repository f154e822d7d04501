import { createHash, createHmac } from 'node:crypto';

/**
 * PBKDF2 (RFC 8018, section 5.2) for one block of SHA-256 or SHA-1, in JavaScript. The runtime's own function is three times
 * as fast, but a thread cannot be stopped while that function runs. A thread that runs this one can be stopped at any time.
 * @param bytes length of the key, at most that of the digest
 */
export function steppedPbkdf2(
  password: Uint8Array,
  salt: Uint8Array,
  iterations: number,
  bytes: number,
  digest: 'sha1' | 'sha256',
): Buffer {
  const first = createHmac(digest, password)
    .update(salt)
    .update(Uint8Array.of(0, 0, 0, 1))
    .digest();
  return (digest === 'sha256' ? iterateSha256 : iterateOthers)(password, first, iterations, digest).subarray(
    0,
    bytes,
  );
}

function iterateOthers(password: Uint8Array, first: Buffer, iterations: number, digest: string): Buffer {
  const sum = Buffer.from(first);
  let last = first;
  for (let iteration = 1; iteration < iterations; iteration++) {
    last = createHmac(digest, password).update(last).digest();
    for (let index = 0; index < sum.length; index++) sum[index]! ^= last[index]!;
  }
  return sum;
}

const BLOCK_BYTES = 64;

/**
 * HMAC (RFC 2104) begins each of its two hashes with a block made of the key. The states of SHA-256 after these blocks are the
 * same in all iterations, so they are computed once.
 */
function iterateSha256(password: Uint8Array, first: Buffer, iterations: number): Buffer {
  const key = Buffer.alloc(BLOCK_BYTES);
  key.set(password.length > BLOCK_BYTES ? createHash('sha256').update(password).digest() : password);
  const inner = stateAfter(key.map((byte) => byte ^ 0x36));
  const outer = stateAfter(key.map((byte) => byte ^ 0x5c));
  // The last block of a hash: a digest of 32 bytes, its padding, and the length in bits of the key's block and the digest.
  const block = new Int32Array(16);
  block[8] = 0x80 << 24;
  block[15] = (BLOCK_BYTES + 32) * 8;
  for (let word = 0; word < 8; word++) block[word] = first.readInt32BE(word * 4);
  const sum = block.slice(0, 8);
  for (let iteration = 1; iteration < iterations; iteration++) {
    compress(inner, block, block);
    compress(outer, block, block);
    for (let word = 0; word < 8; word++) sum[word]! ^= block[word]!;
  }
  const result = Buffer.alloc(32);
  for (let word = 0; word < 8; word++) result.writeInt32BE(sum[word]!, word * 4);
  return result;
}

function stateAfter(block: Uint8Array): Int32Array {
  const view = new DataView(block.buffer, block.byteOffset, BLOCK_BYTES);
  const state = INITIAL.slice();
  compress(
    INITIAL,
    Int32Array.from({ length: 16 }, (_, word) => view.getInt32(word * 4)),
    state,
  );
  return state;
}

const primes = (count: number): number[] => {
  const found: number[] = [];
  for (let n = 2; found.length < count; n++) if (found.every((prime) => n % prime !== 0)) found.push(n);
  return found;
};
/** The first 32 bits of the fractional part of a number. */
const fraction = (value: number): number => (value - Math.floor(value)) * 2 ** 32;

/** Constants of SHA-256 (FIPS 180-4, sections 4.2.2 and 5.3.3). */
const ROUNDS = Int32Array.from(primes(64), (prime) => fraction(Math.cbrt(prime)));
const INITIAL = Int32Array.from(primes(8), (prime) => fraction(Math.sqrt(prime)));

const schedule = new Int32Array(64);

/**
 * The hash computation of one block (FIPS 180-4, section 6.2.2).
 * @param result takes the new state in its first eight words; may be the block
 */
function compress(state: Int32Array, block: Int32Array, result: Int32Array): void {
  const w = schedule;
  for (let t = 0; t < 16; t++) w[t] = block[t]!;
  for (let t = 16; t < 64; t++) {
    const x = w[t - 15]!;
    const y = w[t - 2]!;
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[t] = (s0 + s1 + w[t - 7]! + w[t - 16]!) | 0;
  }
  let a = state[0]!;
  let b = state[1]!;
  let c = state[2]!;
  let d = state[3]!;
  let e = state[4]!;
  let f = state[5]!;
  let g = state[6]!;
  let h = state[7]!;
  for (let t = 0; t < 64; t++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + ROUNDS[t]! + w[t]!) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  result[0] = (state[0]! + a) | 0;
  result[1] = (state[1]! + b) | 0;
  result[2] = (state[2]! + c) | 0;
  result[3] = (state[3]! + d) | 0;
  result[4] = (state[4]! + e) | 0;
  result[5] = (state[5]! + f) | 0;
  result[6] = (state[6]! + g) | 0;
  result[7] = (state[7]! + h) | 0;
}
