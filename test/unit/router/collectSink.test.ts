import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HeldMemory, MemoryBudget } from '../../../src/dblink/memory.js';
import { CollectSink } from '../../../src/router/calls/collectSink.js';
import { PgError } from '../../../src/wire/errors.js';
import { dataRow } from '../../../src/wire/messages.js';

describe('what a remote sends is counted, in however many results it comes', () => {
  const shape = { keys: ['a'], asArray: [false], types: undefined };
  const MiB = 1 << 20;

  it('results of one row each', () => {
    const budget = new MemoryBudget(10 * MiB);
    const sink = new CollectSink(shape, MiB, new HeldMemory(budget.session()));
    const row = dataRow([Buffer.from('x')]);
    let results = 0;
    assert.throws(
      () => {
        for (; results < 100_000; results++) {
          sink.begin();
          sink.row(row);
        }
      },
      (error) => error instanceof PgError && error.sqlstate === '53200',
    );
    assert.ok(results > 5_000 && results <= 10_240, `${results} results of a kilobyte`);
    sink.release(true);
    assert.equal(budget.used, 0);
  });

  it('results without rows take nothing', () => {
    const budget = new MemoryBudget(MiB);
    const sink = new CollectSink(shape, MiB, new HeldMemory(budget.session()));
    const before = process.memoryUsage().arrayBuffers;
    for (let results = 0; results < 200_000; results++) sink.begin();
    assert.ok(process.memoryUsage().arrayBuffers - before < 16 * MiB);
    assert.equal(sink.json().toString(), '[]');
  });
});
