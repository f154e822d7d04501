import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { ErrorFields } from '../../../src/wire/errors.js';
import { errorPosition, isFatal, renderError } from '../../../src/wire/outbound/index.js';

interface Recorded {
  readonly encoding: string;
  readonly sql: string;
  readonly fields: ErrorFields;
  readonly rendered: string;
}

/** What psql 15 printed for these statements; texts are byte strings in the connection's encoding. */
const recorded: readonly Recorded[] = readFileSync(
  new URL('../../../../test/unit/wire/client-error-text.jsonl', import.meta.url),
  'utf8',
)
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line) as Recorded);

test(`errors are rendered as libpq renders them (${recorded.length} recorded cases)`, () => {
  assert.ok(recorded.length > 60);
  for (const { encoding, sql, fields, rendered } of recorded) {
    assert.equal(
      renderError(fields, { sql: Buffer.from(sql, 'latin1'), encoding, libpqMajor: 15 }),
      rendered,
    );
  }
});

test('the records exercise what they are for', () => {
  const all = recorded.map(({ rendered }) => rendered).join('\n');
  for (const part of [
    'LINE 2: ',
    'LINE 1: ...',
    '...\n ',
    '\nDETAIL:  ',
    '\nHINT:  ',
    '\nQUERY:  ',
    '\nCONTEXT:  ',
  ]) {
    assert.ok(all.includes(part), part);
  }
  assert.ok(new Set(recorded.map(({ encoding }) => encoding)).size >= 5);
});

test('a position without its statement is told in words', () => {
  const fields = { severity: 'ERROR', sqlstate: '42601', message: 'oops', position: '7' };
  assert.equal(renderError(fields), 'ERROR:  oops at character 7');
});

test('the context of a notice is not shown, its other parts are', () => {
  const fields = { severity: 'NOTICE', sqlstate: '00000', message: 'm', detail: 'd', context: 'c' };
  assert.equal(renderError(fields), 'NOTICE:  m\nDETAIL:  d');
  assert.equal(
    renderError({ ...fields, severity: 'FEHLER', severityNonLocalized: 'ERROR' }),
    'FEHLER:  m\nDETAIL:  d\nCONTEXT:  c',
  );
});

test('positions outside the statement, and nonsense for a position, give no excerpt', () => {
  const query = { sql: Buffer.from('select'), encoding: 'UTF8', libpqMajor: 18 };
  assert.equal(errorPosition(query, 1), 'LINE 1: select\n        ^\n');
  assert.equal(errorPosition(query, 7), 'LINE 1: select\n              ^\n');
  for (const position of [8, 0, -3, Number.NaN, 1e12]) assert.equal(errorPosition(query, position), '');
  assert.equal(
    errorPosition({ sql: Buffer.alloc(0), encoding: 'UTF8', libpqMajor: 18 }, 1),
    'LINE 1: \n        ^\n',
  );
});

test('bytes that are cut off in the middle of a character end the excerpt', () => {
  const query = { sql: Buffer.from([0x61, 0xe2, 0x82]), encoding: 'UTF8', libpqMajor: 18 };
  assert.equal(errorPosition(query, 3), 'LINE 1: a\xe2\x82\n          ^\n');
});

test('only FATAL and PANIC end a connection, in whatever language they are told', () => {
  const fields = { severity: 'FATAL', sqlstate: '57P01', message: '' };
  assert.equal(isFatal(fields), true);
  assert.equal(isFatal({ ...fields, severity: 'SCHWER', severityNonLocalized: 'FATAL' }), true);
  assert.equal(isFatal({ ...fields, severity: 'PANIC' }), true);
  assert.equal(isFatal({ ...fields, severity: 'ERROR' }), false);
});

/** How far libpq's caret is from the character's own place, as the majors named answered for these characters. */
const WIDTHS = [
  { character: 'é', majors: [13, 14, 15, 16, 17, 18], columns: 1 },
  { character: '日', majors: [13, 14, 15, 16, 17, 18], columns: 2 },
  { character: '\u{20005}', majors: [13, 14, 15, 16, 17, 18], columns: 2 },
  { character: '\u300a', majors: [13, 14], columns: 1 },
  { character: '\u300a', majors: [15, 16, 17, 18], columns: 2 },
  { character: '😀', majors: [13, 14], columns: 1 },
  { character: '😀', majors: [15, 16, 17, 18], columns: 2 },
  { character: '\uff00', majors: [13, 14], columns: 2 },
  { character: '\uff00', majors: [15, 16, 17, 18], columns: 1 },
  { character: '\u{1f6dc}', majors: [13, 14, 15], columns: 1 },
  { character: '\u{1f6dc}', majors: [16, 17, 18], columns: 2 },
  { character: '\u31ef', majors: [15, 16], columns: 1 },
  { character: '\u31ef', majors: [13, 14, 17, 18], columns: 2 },
  { character: '\u4dc0', majors: [15, 16, 17], columns: 1 },
  { character: '\u4dc0', majors: [13, 14, 18], columns: 2 },
];

test('the width of a character is that of the major', () => {
  for (const { character, majors, columns } of WIDTHS) {
    for (const libpqMajor of majors) {
      const query = { sql: Buffer.from(`${character}x`), encoding: 'UTF8', libpqMajor };
      const [, caret] = errorPosition(query, 2).split('\n');
      assert.equal(caret?.length, 'LINE 1: '.length + columns + 1, `${character}, ${libpqMajor}`);
    }
  }
});
