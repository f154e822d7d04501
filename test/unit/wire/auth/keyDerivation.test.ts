import assert from 'node:assert/strict';
import { pbkdf2Sync, randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { deriveKey } from '../../../../src/wire/auth/keyDerivation.js';
import { steppedPbkdf2 } from '../../../../src/wire/auth/pbkdf2.js';

const request = (iterations: number, digest: 'sha1' | 'sha256' = 'sha256') => ({
  password: Buffer.from('pencil'),
  salt: Buffer.from('salt'),
  iterations,
  bytes: 32,
  digest,
});

describe('keys of passwords', () => {
  it('are those of PBKDF2, computed step by step', () => {
    for (let round = 0; round < 200; round++) {
      const password = randomBytes(round);
      const salt = randomBytes((round * 7) % 90);
      const iterations = 1 + ((round * 13) % 40);
      assert.deepEqual(
        steppedPbkdf2(password, salt, iterations, 32, 'sha256'),
        pbkdf2Sync(password, salt, iterations, 32, 'sha256'),
      );
      assert.deepEqual(
        steppedPbkdf2(password, salt, iterations, 20, 'sha1'),
        pbkdf2Sync(password, salt, iterations, 20, 'sha1'),
      );
    }
  });

  it('are derived in threads, however many iterations there are', async () => {
    for (const iterations of [1, 4096, 20_001, 100_001]) {
      const { password, salt } = request(iterations);
      assert.deepEqual(
        await deriveKey(request(iterations)),
        pbkdf2Sync(password, salt, iterations, 32, 'sha256'),
        String(iterations),
      );
    }
    const { password, salt } = request(10_000);
    assert.deepEqual(
      await deriveKey(request(10_000, 'sha1')),
      pbkdf2Sync(password, salt, 10_000, 32, 'sha1'),
    );
  });

  it('are stopped when nobody waits for them any more, and the next one is derived', async () => {
    const stop = new AbortController();
    const endless = deriveKey(request(2_000_000_000), { owner: {}, signal: stop.signal });
    const behind = deriveKey(request(2_000_000_000), { owner: {}, signal: stop.signal });
    await deriveKey(request(4096));
    stop.abort(new Error('enough'));
    await assert.rejects(endless, /^Error: enough$/);
    await assert.rejects(behind, /^Error: enough$/);
    await deriveKey(request(30_000));
    await assert.rejects(deriveKey(request(1), { signal: stop.signal }), /^Error: enough$/);
  });

  it('of one owner wait for each other, and let those of others go first', async () => {
    const [many, one] = [{}, {}];
    const order: string[] = [];
    const derive = (owner: object, name: string): Promise<unknown> =>
      deriveKey(request(1000), { owner }).then(() => order.push(name));
    await Promise.all([
      ...Array.from({ length: 10 }, (_, number) => derive(many, `many ${number}`)),
      derive(one, 'one'),
    ]);
    assert.ok(order.indexOf('one') <= 2, order.join());
    assert.deepEqual(
      order.filter((name) => name !== 'one'),
      Array.from({ length: 10 }, (_, number) => `many ${number}`),
    );
  });
});
