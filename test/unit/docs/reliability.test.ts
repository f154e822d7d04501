import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

/** docs/reliability.md names tests: those that there are, and nothing else. */

// This file runs in dist/test/unit/docs.
const ROOT = new URL('../../../../', import.meta.url);
const page = readFileSync(new URL('docs/reliability.md', ROOT), 'utf8');

/** The rows of the tables that have a number: its cells, from the number on. */
const rows = page
  .split('\n')
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .filter(([, number]) => /^\d+$/.test(number ?? ''))
  .map((cells) => cells.slice(1, -1));

/** A test, or the cases that one plays: its source. */
function sourceOf(path: string): string | undefined {
  const found = [`test/${path}.test.ts`, `test/${path}.ts`]
    .map((name) => new URL(name, ROOT))
    .find((url) => existsSync(url));
  return found && readFileSync(found, 'utf8');
}

/** What is wrong with the third cell of a row, which names files in backticks, each with names of cases behind it. */
function wrongIn(cell: string): string[] {
  // What is left when all that can be read has been taken away is something else.
  const form = /^(?:`[^`]+`(?: "[^"]+"(?:, "[^"]+")*)?(?:; |$))*$/;
  if (!form.test(cell)) return [`not in the form of the others: ${cell}`];
  return [...cell.matchAll(/`([^`]+)`([^`]*)/g)].flatMap(([, path = '', names = '']) => {
    const source = sourceOf(path);
    if (source === undefined) return [`no file: ${path}`];
    return [...names.matchAll(/"([^"]+)"/g)]
      .filter(([, name = '']) => !source.includes(name))
      .map(([, name]) => `no case in ${path}: ${name}`);
  });
}

describe('the page on reliability', () => {
  it('has every line once, in order', () => {
    const numbers = rows.map(([number]) => Number(number));
    assert.deepEqual(
      numbers,
      Array.from({ length: 36 }, (_, index) => index + 1),
    );
    for (const cells of rows) assert.equal(cells.length, 5, cells[0]);
  });

  it('names tests and cases that there are', () => {
    assert.deepEqual(
      rows.flatMap(([number, , tests = '']) => wrongIn(tests).map((text) => `${number}: ${text}`)),
      [],
    );
  });

  it('says what is missing where it names no test', () => {
    for (const [number, , tests, , missing = ''] of rows)
      if (tests === '') assert.match(missing, /^not there yet: /, number);
  });

  it('is told when a file or a case is not there', () => {
    assert.deepEqual(wrongIn('`no/such`; `relay/cancel` "no such case"'), [
      'no file: no/such',
      'no case in relay/cancel: no such case',
    ]);
    assert.equal(wrongIn('see `relay/cancel`').length, 1);
  });
});
