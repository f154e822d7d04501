import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type CancelKey, CancelKeys } from '../../../src/wire/cancelKeys.js';

/** Sessions by name, and those that have been cancelled since they were asked for. */
function sessions() {
  let cancelled: string[] = [];
  return {
    named: (name: string) => ({ cancel: () => void cancelled.push(name) }),
    async after(keys: CancelKeys, processId: number, secret: Buffer): Promise<readonly string[]> {
      cancelled = [];
      await keys.cancel({ processId, secret });
      return cancelled;
    },
  };
}

describe('cancel keys', () => {
  it('stop the session whose key it is, and no other', async () => {
    const keys = new CancelKeys();
    const { named, after } = sessions();
    const one = keys.add(named('one'), 7, 4);
    const two = keys.add(named('two'), 8, 32);
    assert.deepEqual(await after(keys, one.processId, one.secret), ['one']);
    assert.deepEqual(await after(keys, two.processId, two.secret), ['two']);
    assert.deepEqual(await after(keys, one.processId, two.secret), []);
    assert.deepEqual(await after(keys, two.processId, one.secret), []);
    assert.deepEqual(await after(keys, 9, one.secret), []);
  });

  it('refuse every key that differs in one bit or in its length', async () => {
    const keys = new CancelKeys();
    const { named, after } = sessions();
    const { processId, secret } = keys.add(named('one'), 7, 4);
    for (let bit = 0; bit < 32; bit += 1) {
      const wrong = Buffer.from(secret);
      wrong[bit >> 3]! ^= 1 << (bit & 7);
      assert.deepEqual(await after(keys, processId, wrong), []);
    }
    for (const wrong of [secret.subarray(0, 3), Buffer.concat([secret, Buffer.from([0])]), Buffer.alloc(0)]) {
      assert.deepEqual(await after(keys, processId, wrong), []);
    }
  });

  it('have the length that the protocol version has', () => {
    const keys = new CancelKeys();
    assert.equal(keys.add(sessions().named('one'), 7, 4).secret.length, 4);
    assert.equal(keys.add(sessions().named('two'), 7, 256).secret.length, 256);
  });

  it('of a session that has ended are forgotten', async () => {
    const keys = new CancelKeys();
    const { named, after } = sessions();
    const key = keys.add(named('one'), 7, 4);
    keys.remove(key);
    assert.deepEqual(await after(keys, key.processId, key.secret), []);
  });

  it('tell sessions apart to which the primary has given the same process id', async () => {
    const keys = new CancelKeys();
    const { named, after } = sessions();
    const [first, second] = [keys.add(named('one'), 7, 4), keys.add(named('two'), 7, 4)];
    assert.deepEqual(await after(keys, 7, first.secret), ['one']);
    assert.deepEqual(await after(keys, 7, second.secret), ['two']);
    keys.remove(first);
    assert.deepEqual(await after(keys, 7, first.secret), []);
    assert.deepEqual(await after(keys, 7, second.secret), ['two']);
  });

  it('have the process id that the primary has given, and a secret that never repeats', () => {
    const keys = new CancelKeys();
    const secrets = new Set<string>();
    for (let count = 0; count < 20_000; count += 1) {
      const { processId, secret } = keys.add(sessions().named('one'), count, 16);
      assert.equal(processId, count);
      secrets.add(secret.toString('hex'));
    }
    assert.equal(secrets.size, 20_000);
  });

  it('of another process of the proxy are passed on to that one, and to no other', async () => {
    const { named, after } = sessions();
    const all: CancelKeys[] = [];
    const passed: number[] = [];
    for (let index = 0; index < 3; index += 1) {
      all.push(
        new CancelKeys({
          index,
          count: 3,
          async passOn(owner: number, request: CancelKey) {
            passed.push(owner);
            await all[owner]!.cancel(request);
          },
          elsewhere: () => assert.fail('the key is that of a process that is there'),
        }),
      );
    }
    for (const [owner, keys] of all.entries()) {
      for (let i = 0; i < 50; i += 1) {
        const { processId, secret } = keys.add(named(`${owner}.${i}`), i, i % 2 === 0 ? 4 : 32);
        for (const [asked, others] of all.entries()) {
          passed.length = 0;
          assert.deepEqual(await after(others, processId, secret), [`${owner}.${i}`]);
          assert.deepEqual(passed, asked === owner ? [] : [owner]);
        }
      }
    }
  });

  it('that nobody here has made are passed on to the process before', async () => {
    const { named, after } = sessions();
    const before = new CancelKeys();
    const unknown: CancelKey[] = [];
    const now = new CancelKeys({
      index: 0,
      count: 1,
      passOn: async () => undefined,
      elsewhere: (key) => {
        unknown.push(key);
        void before.cancel(key);
      },
    });
    const old = before.add(named('before'), 7, 4);
    const own = now.add(named('now'), 7, 4);
    assert.deepEqual(await after(now, 7, old.secret), ['before']);
    assert.deepEqual(unknown, [{ processId: 7, secret: old.secret }]);
    assert.deepEqual(await after(now, 7, own.secret), ['now']);
    assert.equal(unknown.length, 1);
  });
});
