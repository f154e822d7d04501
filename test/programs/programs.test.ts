import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PENDING } from './pending.js';
import { programs } from './program.js';
import { testPrograms } from './suite.js';

testPrograms(18);

test('PENDING names programs that there are', () => {
  const names = programs().map(({ name }) => name);
  assert.deepEqual(
    Object.keys(PENDING).filter((name) => !names.includes(name)),
    [],
  );
});
