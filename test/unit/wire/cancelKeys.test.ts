import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CancelKeys } from '../../../src/wire/cancelKeys.js';

const target = () => ({ cancel() {} });

describe('cancel keys', () => {
  it('finds the session whose key it is, and no other', () => {
    const keys = new CancelKeys();
    const [one, two] = [target(), target()];
    const keyOne = keys.add(one, 4);
    const keyTwo = keys.add(two, 32);
    assert.equal(keys.find(keyOne.processId, keyOne.secret), one);
    assert.equal(keys.find(keyTwo.processId, keyTwo.secret), two);
    assert.equal(keys.find(keyOne.processId, keyTwo.secret), undefined);
    assert.equal(keys.find(keyTwo.processId, keyOne.secret), undefined);
    assert.equal(keys.find(keyOne.processId + 1, keyOne.secret), undefined);
  });

  it('refuses every key that differs in one bit or in its length', () => {
    const keys = new CancelKeys();
    const { processId, secret } = keys.add(target(), 4);
    for (let bit = 0; bit < 32; bit += 1) {
      const wrong = Buffer.from(secret);
      wrong[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal(keys.find(processId, wrong), undefined);
    }
    for (const wrong of [secret.subarray(0, 3), Buffer.concat([secret, Buffer.from([0])]), Buffer.alloc(0)]) {
      assert.equal(keys.find(processId, wrong), undefined);
    }
  });

  it('makes keys of the length that the protocol version has', () => {
    const keys = new CancelKeys();
    assert.equal(keys.add(target(), 4).secret.length, 4);
    assert.equal(keys.add(target(), 256).secret.length, 256);
  });

  it('forgets a session that has ended', () => {
    const keys = new CancelKeys();
    const key = keys.add(target(), 4);
    keys.remove(key);
    assert.equal(keys.find(key.processId, key.secret), undefined);
  });

  it('gives no process id twice, never 0, and no secret that repeats', () => {
    const keys = new CancelKeys();
    const ids = new Set<number>();
    const secrets = new Set<string>();
    for (let count = 0; count < 20_000; count += 1) {
      const { processId, secret } = keys.add(target(), 16);
      assert.ok(processId > 0);
      ids.add(processId);
      secrets.add(secret.toString('hex'));
    }
    assert.equal(ids.size, 20_000);
    assert.equal(secrets.size, 20_000);
  });

  it('carries the number of the worker in the process id, in 32 bits', () => {
    for (const worker of [0, 1, 127]) {
      const { processId } = new CancelKeys(worker).add(target(), 4);
      assert.equal(processId >>> 24, worker);
      const bytes = Buffer.alloc(4);
      bytes.writeInt32BE(processId);
      assert.equal(bytes.readInt32BE(), processId);
    }
  });
});
