import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CancelKeys } from '../../../src/wire/cancelKeys.js';

const target = () => ({ cancel() {} });

describe('cancel keys', () => {
  it('finds the session whose key it is, and no other', () => {
    const keys = new CancelKeys();
    const [one, two] = [target(), target()];
    const keyOne = keys.add(one, 7, 4);
    const keyTwo = keys.add(two, 8, 32);
    assert.equal(keys.find(keyOne.processId, keyOne.secret), one);
    assert.equal(keys.find(keyTwo.processId, keyTwo.secret), two);
    assert.equal(keys.find(keyOne.processId, keyTwo.secret), undefined);
    assert.equal(keys.find(keyTwo.processId, keyOne.secret), undefined);
    assert.equal(keys.find(9, keyOne.secret), undefined);
  });

  it('refuses every key that differs in one bit or in its length', () => {
    const keys = new CancelKeys();
    const { processId, secret } = keys.add(target(), 7, 4);
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
    assert.equal(keys.add(target(), 7, 4).secret.length, 4);
    assert.equal(keys.add(target(), 7, 256).secret.length, 256);
  });

  it('forgets a session that has ended', () => {
    const keys = new CancelKeys();
    const key = keys.add(target(), 7, 4);
    keys.remove(key);
    assert.equal(keys.find(key.processId, key.secret), undefined);
  });

  it('tells sessions apart to which the primary has given the same process id', () => {
    const keys = new CancelKeys();
    const [one, two] = [target(), target()];
    const [first, second] = [keys.add(one, 7, 4), keys.add(two, 7, 4)];
    assert.equal(keys.find(7, first.secret), one);
    assert.equal(keys.find(7, second.secret), two);
    keys.remove(first);
    assert.equal(keys.find(7, first.secret), undefined);
    assert.equal(keys.find(7, second.secret), two);
  });

  it('gives the process id that the primary has given, and no secret that repeats', () => {
    const keys = new CancelKeys();
    const secrets = new Set<string>();
    for (let count = 0; count < 20_000; count += 1) {
      const { processId, secret } = keys.add(target(), count, 16);
      assert.equal(processId, count);
      secrets.add(secret.toString('hex'));
    }
    assert.equal(secrets.size, 20_000);
  });
});
