import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { unfitFor } from '../../../src/server/fitness.js';

/** What libpq says of servers with target_session_attrs: a primary, one that is read-only by default, and a standby. */
describe('what a server has to be like', () => {
  const kinds = [
    [false, false],
    [false, true],
    [true, true],
  ] as const;
  const expected = {
    'read-write': [undefined, 'session is read-only', 'session is read-only'],
    'read-only': ['session is not read-only', undefined, undefined],
    primary: [undefined, undefined, 'server is in hot standby mode'],
    standby: ['server is not in hot standby mode', 'server is not in hot standby mode', undefined],
    'prefer-standby': ['server is not in hot standby mode', 'server is not in hot standby mode', undefined],
  } as const;
  for (const wanted of Object.keys(expected) as (keyof typeof expected)[])
    it(wanted, () => {
      assert.deepEqual(
        kinds.map(([standby, readOnly]) => unfitFor(wanted, standby, readOnly)),
        expected[wanted],
      );
    });
});
