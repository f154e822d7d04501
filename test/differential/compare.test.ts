import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Frame } from '../support/wire.js';
import { type CompareOptions, type Conversation, compare, type Difference } from './compare/compare.js';

/** The comparer on conversations made up here: what may differ, and only there. */

const ready: Frame = { type: 'Z', body: Buffer.from('I') };

function error(fields: Readonly<Record<string, string>>, type: 'E' | 'N' = 'E'): Frame {
  const parts = Object.entries(fields).map(([code, value]) => `${code}${value}\0`);
  return { type, body: Buffer.from(`${parts.join('')}\0`) };
}

function row(...values: readonly string[]): Frame {
  const parts: Buffer[] = [Buffer.from([0, values.length])];
  for (const value of values) parts.push(Buffer.from([0, 0, 0, value.length]), Buffer.from(value));
  return { type: 'D', body: Buffer.concat(parts) };
}

/** One int4 or user-defined column. */
function description(name: string, oid: number): Frame {
  const rest = Buffer.alloc(18);
  rest.writeInt32BE(oid, 6);
  rest.writeInt32BE(-1, 12);
  return { type: 'T', body: Buffer.concat([Buffer.from([0, 1]), Buffer.from(`${name}\0`), rest]) };
}

function conversation(
  frames: readonly Frame[],
  port = '11111',
  names: readonly (readonly [string, string])[] = [],
): Conversation {
  const facts = { ports: new Map([['remote', port]]), objectNames: new Map(names) };
  return { exchanges: [{ label: 'x', frames }], facts };
}

function difference(
  left: readonly Frame[],
  right: readonly Frame[],
  options: Partial<CompareOptions> = {},
): Difference | undefined {
  return compare(conversation(left), conversation(right, '22222'), {
    encoding: 'UTF8',
    major: 18,
    ...options,
  });
}

const DBLINK = { S: 'ERROR', C: '08003', M: 'gone', F: 'dblink.c', L: '1', R: 'dblink_x' };
const BARE = { S: 'ERROR', C: '08003', M: 'gone' };

test('ports are equal by what listens there', () => {
  const failed = (port: string): Frame[] => [error({ ...BARE, D: `port ${port} failed` }), ready];
  assert.equal(difference(failed('11111'), failed('22222')), undefined);
  assert.ok(difference(failed('11111'), failed('11111')), 'the port of the other side');
  assert.ok(difference(failed('11111'), failed('222220')), 'another number');
  const code = [error({ ...BARE, C: '11111', P: '11111' }), ready];
  assert.equal(difference(code, code), undefined, 'an SQLSTATE and a position');
  const hash = [row('a11111c')];
  assert.equal(difference(hash, hash), undefined, 'digits of a number in hexadecimal');
});

test('OIDs given out at run time are equal by name', () => {
  const options = { encoding: 'UTF8', major: 18 } as const;
  const left = conversation([description('a', 16400)], '1', [['16400', 'type mood']]);
  const right = (name: string): Conversation =>
    conversation([description('a', 16500)], '2', [['16500', name]]);
  assert.equal(compare(left, right('type mood'), options), undefined);
  assert.ok(compare(left, right('type pair'), options));
  assert.ok(compare(left, conversation([description('a', 23)]), options));
});

test('the order of connection names does not count, the names do', () => {
  const named = (list: string): Frame[] => [description('dblink_get_connections', 1009), row(list), ready];
  assert.equal(difference(named('{a,"b,c",d}'), named('{d,a,"b,c"}')), undefined);
  assert.ok(difference(named('{a,b}'), named('{a,c}')));
  assert.ok(difference(named('{a,b}'), named('{a,b,b}')));
  assert.ok(
    difference([description('other', 1009), row('{a,b}')], [description('other', 1009), row('{b,a}')]),
  );
});

test('the place in dblink.c may be left out, not made up', () => {
  assert.equal(difference([error(DBLINK)], [error(BARE)]), undefined);
  assert.equal(difference([error(DBLINK)], [error(DBLINK)]), undefined);
  assert.ok(difference([error(DBLINK)], [error({ ...DBLINK, L: '2' })]));
  assert.ok(difference([error(DBLINK)], [error({ ...BARE, R: 'dblink_x' })]));
  assert.ok(difference([error({ ...DBLINK, F: 'int.c' })], [error(BARE)]), 'an error of PostgreSQL itself');
  assert.ok(difference([error(DBLINK)], [error({ ...BARE, M: 'lost' })]));
});

test('rows before an error pass only in cases that say so', () => {
  const left = [description('a', 23), error(BARE), ready];
  const right = [description('a', 23), row('1'), row('2'), error(BARE), ready];
  assert.ok(difference(left, right));
  assert.equal(difference(left, right, { differs: 'streamed-rows' }), undefined);
  const complete = [description('a', 23), row('1'), ready];
  assert.ok(
    difference([description('a', 23), ready], complete, { differs: 'streamed-rows' }),
    'no error, no rows',
  );
});

test('reports of the two styles that pass are equal before 14, and no others', () => {
  const report = (name: string, value: string): Frame => ({
    type: 'S',
    body: Buffer.from(`${name}\0${value}\0`),
  });
  const startUp = [report('DateStyle', 'SQL, DMY'), report('TimeZone', 'UTC'), ready];
  const differs = (left: readonly Frame[], right: readonly Frame[], major = 13): boolean => {
    const [a, b] = [left, right].map((frames): Conversation => {
      const { facts } = conversation([]);
      return {
        facts,
        exchanges: [
          { label: 'start-up', frames: startUp },
          { label: 'x', frames },
        ],
      };
    }) as [Conversation, Conversation];
    return compare(a, b, { encoding: 'UTF8', major }) !== undefined;
  };
  const passing = [report('DateStyle', 'ISO, MDY'), report('DateStyle', 'SQL, DMY'), row('1'), ready];
  assert.ok(!differs(passing, [row('1'), ready]));
  assert.ok(differs(passing, [row('1'), ready], 14), 'later majors make no such reports');
  assert.ok(differs(passing.slice(1), [report('DateStyle', 'ISO, MDY'), row('1'), ready]), 'another value');
  assert.ok(differs([report('DateStyle', 'ISO, MDY'), ready], [ready]), 'a change that stays');
  assert.ok(differs([report('TimeZone', 'UTC'), ready], [ready]), 'another setting');
  const early = [report('DateStyle', 'ISO, MDY'), row('1'), ready];
  assert.ok(!differs(early, [row('1'), report('DateStyle', 'ISO, MDY'), ready]), 'when it comes');
  assert.ok(!differs([report('DateStyle', 'ISO, MDY'), error(BARE)], [error(BARE)]), 'not over yet');
});

test('the report shows both sides and marks the first difference', () => {
  const found = difference([row('same'), row('one'), ready], [row('same'), row('two'), ready]);
  assert.equal(found?.what, 'DataRow: value 1');
  assert.match(
    found?.report ?? '',
    /both: DataRow · value 1 "same"\n>>extension: DataRow · value 1 "one"\n>> {4}proxy: .*"two"/,
  );
});

test('silence and a lost connection are differences', () => {
  const silent: Frame = { type: '<timeout>', body: Buffer.alloc(0) };
  assert.ok(difference([row('1'), ready], [row('1'), silent]));
  assert.ok(difference([ready], [{ type: '<closed>', body: Buffer.alloc(0) }]));
});
