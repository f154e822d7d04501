import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { MemoryBudget } from '../../../../src/dblink/memory.js';
import { ClientAdmission } from '../../../../src/session/clientAdmission.js';
import { Descriptors } from '../../../../src/wire/host/descriptors.js';
import { MemoryCeiling } from '../../../../src/wire/host/memoryCeiling.js';

/** A ceiling of 1,000 bytes, with memory that the test decides about and a clock that it moves. */
function made(t: TestContext, bytes = 1000) {
  const state = { resident: 500, garbage: 0, collections: 0, now: 0 };
  t.mock.method(performance, 'now', () => state.now);
  const changes: boolean[] = [];
  const ceiling = new MemoryCeiling(bytes, (exceeded) => changes.push(exceeded), {
    resident: () => state.resident + state.garbage,
    collectGarbage() {
      state.garbage = 0;
      state.collections++;
    },
  });
  const at = (resident: number): boolean => {
    state.resident = resident;
    state.now += 1_000;
    return ceiling.exceeded;
  };
  return { ceiling, state, changes, at };
}

describe('the ceiling of memory', () => {
  it('is exceeded above it, until there is less than nine tenths of it', (t) => {
    const { at, changes } = made(t);
    assert.deepEqual([1000, 1001, 950, 901, 899, 950, 1000, 1001].map(at), [
      ...[false, true, true, true],
      ...[false, false, false, true],
    ]);
    assert.deepEqual(changes, [true, false, true]);
  });

  it('is none with 0, and can be changed', (t) => {
    const { at, ceiling, state } = made(t, 0);
    assert.equal(at(1e12), false);
    ceiling.limit(1000);
    assert.equal(ceiling.exceeded, true);
    ceiling.limit(0);
    assert.equal(ceiling.exceeded, false);
    assert.ok(state.collections > 0);
  });

  it('does not count garbage, which is not collected all the time', (t) => {
    const { at, state } = made(t);
    state.garbage = 800;
    assert.equal(at(900), false);
    assert.equal(state.collections, 1);
    state.garbage = 800;
    assert.equal(at(900), true);
    assert.equal(state.collections, 1);
    state.now += 10_000;
    assert.equal(at(890), false);
    assert.equal(state.collections, 2);
  });

  it('is not measured for each who asks', (t) => {
    const { ceiling, state, at } = made(t);
    at(500);
    state.resident = 2000;
    assert.equal(ceiling.exceeded, false);
    state.now += 200;
    assert.equal(ceiling.exceeded, true);
  });

  it('measures the process itself', () => {
    assert.equal(new MemoryCeiling(1024, () => undefined).exceeded, true);
    assert.equal(new MemoryCeiling(2 ** 50, () => undefined).exceeded, false);
  });

  it('refuses new sessions and large results, and nothing else', (t) => {
    const { ceiling, at } = made(t);
    const clients = new ClientAdmission(
      {
        ...{ clients: 10, clientsPerUser: 0, clientsPerDatabase: 0, clientsPerAddress: 0 },
        ...{ reservedClients: 0, reservedUsers: [], waitingClients: 0 },
      },
      new Descriptors(1000, 10, 10, () => undefined),
      ceiling,
    );
    const budget = new MemoryBudget(0, 0, ceiling);
    const [before, small] = [budget.session(), budget.session()];
    at(500);
    const leave = clients.admit();
    before.take(5_000_000);
    at(1001);
    assert.throws(() => clients.admit(), { sqlstate: '53200', message: /limits\.memory_high/ });
    small.take(1_000_000);
    assert.throws(() => small.take(100_000), { sqlstate: '53200', message: /limits\.memory_high/ });
    assert.equal(small.tryTake(100_000), false);
    assert.equal(budget.used, 6_000_000);
    before.give(5_000_000);
    leave();
    at(500);
    small.take(100_000);
    clients.admit()();
  });
});
