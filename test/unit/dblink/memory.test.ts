import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MemoryBudget } from '../../../src/dblink/memory.js';
import type { PgError } from '../../../src/wire/errors.js';

describe('the memory for results', () => {
  const refused = (act: () => void): string => {
    try {
      act();
    } catch (error) {
      const { sqlstate, message } = error as PgError;
      return `${sqlstate} ${message}`;
    }
    return assert.fail('it was given');
  };

  it('of one session ends before that of all', () => {
    const budget = new MemoryBudget(1000, 300);
    const [one, other] = [budget.session(), budget.session()];
    one.take(300);
    assert.equal(
      refused(() => one.take(1)),
      '53200 out of memory for results: the setting "limits.session_memory" of the proxy is 300 bytes',
    );
    assert.equal(one.tryTake(1), false);
    other.take(300);
    one.give(1);
    one.take(1);
    assert.equal(budget.used, 600);
  });

  it('of all keeps its last tenth for those that hold little', () => {
    const budget = new MemoryBudget(1000);
    const [one, other] = [budget.session(), budget.session()];
    one.take(900);
    assert.equal(
      refused(() => one.take(1)),
      '53200 out of memory for results: the setting "limits.memory" of the proxy is 1000 bytes',
    );
    other.take(100);
  });
});
