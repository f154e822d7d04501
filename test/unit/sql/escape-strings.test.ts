import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { asEscapeStrings } from '../../../src/sql/index.js';

const read = (sql: string) => asEscapeStrings(Buffer.from(sql, 'latin1'), (bytes) => bytes.length);
const textOf = (sql: string): string | undefined => read(sql)?.text.toString('latin1');

describe('literals of a session with standard_conforming_strings = off', () => {
  it('says so of every plain literal with a backslash in it', () => {
    assert.equal(textOf(String.raw`SELECT 'a\'b', 'c'`), String.raw`SELECT E'a\'b', 'c'`);
    assert.equal(textOf(String.raw`select'\\'`), String.raw`select E'\\'`);
    assert.equal(textOf(String.raw`x='it''s\n', E'\n', e'\\''x'`), String.raw`x=E'it''s\n', E'\n', e'\\''x'`);
    assert.equal(textOf("SELECT 'a'\n  'b\\n'"), "SELECT E'a'\n  'b\\n'");
  });

  it('passes over what only looks like a literal', () => {
    for (const sql of [
      String.raw`-- 'a\'b`,
      String.raw`/* '\' /* '\' */ ' */ SELECT 1`,
      String.raw`SELECT "a'\'" AS x`,
      String.raw`SELECT $$'\'$$, $t$'\' $$ $t$, a$b$c`,
    ]) {
      assert.equal(textOf(sql), sql);
    }
  });

  it('leaves alone what cannot be said otherwise, and what has no end', () => {
    for (const sql of [
      String.raw`SELECT N'\n'`,
      String.raw`SELECT U&'\0061'`,
      String.raw`SELECT 'a\'`,
      `SELECT "a`,
      `SELECT $$a`,
      `/* a`,
    ]) {
      assert.equal(read(sql), undefined, sql);
    }
  });

  it('maps positions back', () => {
    const sql = String.raw`SELECT '\n', x, '\t', y`;
    const made = read(sql);
    assert.ok(made !== undefined);
    const changed = made.text.toString('latin1');
    for (const name of ['x', 'y']) {
      assert.equal(made.mapPosition(changed.lastIndexOf(name) + 1), sql.lastIndexOf(name) + 1);
    }
    assert.equal(made.mapPosition(1), 1);
  });
});
