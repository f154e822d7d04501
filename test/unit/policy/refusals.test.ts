import assert from 'node:assert/strict';
import { it } from 'node:test';
import { RefusalCounts, readPolicy } from '../../../src/policy/index.js';

it('counts refusals by what decides, and has no other counters', () => {
  const policy = readPolicy({
    rules: [
      { action: 'deny', conditions: { host: ['a'] }, readOnly: false, place: 'policy.rules[0]' },
      { action: 'allow', conditions: { host: ['b'] }, readOnly: false, place: 'policy.rules[1]' },
    ],
    fallback: 'deny',
    connectionStrings: true,
    remoteWritesInReadOnly: 'allow',
  });
  const counts = new RefusalCounts(policy);
  assert.deepEqual(
    [...counts.counts],
    [
      ['policy.rules[0]', 0],
      ['policy.default', 0],
      ['policy.connection_strings', 0],
      ['built in: metadata', 0],
      ['built in: link-local', 0],
      ['built in: self', 0],
    ],
  );
  assert.equal(counts.count('policy.rules[0]'), 1);
  assert.equal(counts.count('policy.rules[0]'), 2);
  assert.equal(counts.count('built in: self'), 1);
  assert.equal(counts.count('something else'), 0);
  assert.equal(counts.counts.size, 6);
  assert.equal(counts.counts.get('policy.rules[0]'), 2);
});
