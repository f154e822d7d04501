import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { mayConcernDblink } from '../../../src/sql/index.js';

describe('mayConcernDblink', () => {
  it('finds the word at every place, in any case, from the start offset on', () => {
    for (let before = 0; before < 20; before++) {
      for (let after = 0; after < 8; after++) {
        for (const word of ['dblink', 'DBLINK', 'dBlInK']) {
          const bytes = Buffer.from(`${'d'.repeat(before)}${word}${'k'.repeat(after)}`);
          assert.equal(mayConcernDblink(bytes, 0), true);
          assert.equal(mayConcernDblink(bytes, before), true);
          assert.equal(mayConcernDblink(bytes, before + 1), false);
        }
      }
    }
    assert.equal(mayConcernDblink(Buffer.alloc(0), 0), false);
    assert.equal(mayConcernDblink(Buffer.from('dblink'), 9), false);
  });

  it('agrees with a search in lower case', () => {
    const letter = fc.constantFrom(...'dblinkDBLINK_extenEXTEN xD\0\xe4\xc4');
    const near = fc.constantFrom(
      'dblink',
      'dblin',
      'blink',
      'DBLINk',
      'd b',
      'inkdbl',
      '_exten',
      '_exte',
      'exten',
      '_EXTENsion',
      '__exten',
    );
    const text = fc.array(fc.oneof(letter, letter, near), { maxLength: 60 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(text, fc.nat(10), (sql, start) => {
        const expected = sql.slice(start).replace(/[A-Z]/g, (c) => c.toLowerCase());
        assert.equal(
          mayConcernDblink(Buffer.from(sql, 'latin1'), start),
          expected.includes('dblink') || expected.includes('_exten'),
        );
      }),
      { seed: 20260727, numRuns: 3000 },
    );
  });
});
