import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { containsDblink } from '../../../src/sql/index.js';

describe('containsDblink', () => {
  it('finds the word at every place, in any case, from the start offset on', () => {
    for (let before = 0; before < 20; before++) {
      for (let after = 0; after < 8; after++) {
        for (const word of ['dblink', 'DBLINK', 'dBlInK']) {
          const bytes = Buffer.from(`${'d'.repeat(before)}${word}${'k'.repeat(after)}`);
          assert.equal(containsDblink(bytes, 0), true);
          assert.equal(containsDblink(bytes, before), true);
          assert.equal(containsDblink(bytes, before + 1), false);
        }
      }
    }
    assert.equal(containsDblink(Buffer.alloc(0), 0), false);
    assert.equal(containsDblink(Buffer.from('dblink'), 9), false);
  });

  it('agrees with a search in lower case', () => {
    const letter = fc.constantFrom(...'dblinkDBLINK xD\0\xe4\xc4');
    const near = fc.constantFrom('dblink', 'dblin', 'blink', 'DBLINk', 'd b', 'inkdbl');
    const text = fc.array(fc.oneof(letter, letter, near), { maxLength: 60 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(text, fc.nat(10), (sql, start) => {
        const expected = sql
          .slice(start)
          .replace(/[A-Z]/g, (c) => c.toLowerCase())
          .includes('dblink');
        assert.equal(containsDblink(Buffer.from(sql, 'latin1'), start), expected);
      }),
      { seed: 20260727, numRuns: 3000 },
    );
  });
});
