import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { CASES } from './cases/index.js';
import { type Conversation, compare } from './compare/compare.js';
import { mutations } from './compare/mutation.js';
import { type Environment, startEnvironment } from './play/environment.js';
import { record } from './play/harness.js';
import type { Variant } from './play/types.js';

/** Cases that together have every kind of message and every field of errors and notices. */
const RICH: readonly (readonly [name: string, Variant])[] = [
  ['all rows and types of a table', { transport: 'simple', context: 'autocommit', session: 'utf8' }],
  ['remote error: all fields', { transport: 'simple', context: 'savepoint', session: 'utf8' }],
  ['with local tables: a trigger fires', { transport: 'binary', context: 'block', session: 'styles' }],
  [
    'with local tables: INSERT that violates a constraint',
    { transport: 'pipeline-syncs', context: 'autocommit', session: 'utf8' },
  ],
  [
    'protocol: describe before bind, parameters',
    { transport: 'extended', context: 'autocommit', session: 'utf8' },
  ],
  ['untouched: notices', { transport: 'simple', context: 'autocommit', session: 'latin1' }],
  ['untouched: ParameterStatus', { transport: 'simple', context: 'autocommit', session: 'utf8' }],
  ['untouched: COPY to the client', { transport: 'simple', context: 'autocommit', session: 'utf8' }],
  ['untouched: NOTIFY', { transport: 'simple', context: 'autocommit', session: 'utf8' }],
];

/** What normalisations and known differences deliberately let pass; everything else must be caught. */
const LET_PASS: readonly RegExp[] = [/^start-up: message \d+ \(K\): (?!a byte)/];

let environment: Environment;

before(async () => {
  environment = await startEnvironment(18, 'proxy');
});

after(() => environment?.stop());

for (const [name, variant] of RICH) {
  test(`every change of the conversation of "${name}" is caught`, async (t) => {
    const testCase = CASES.find((each) => each.name === name);
    assert.ok(testCase, 'there is no such case');
    const both = await record(environment, testCase, variant);
    assert.ok(both !== 'skipped');
    const [extension, proxy] = both;
    const options = { encoding: 'UTF8', major: environment.major } as const;
    assert.equal(compare(extension, proxy, options)?.report, undefined, 'unchanged, the sides agree');
    const missed: string[] = [];
    let count = 0;
    for (const mutation of mutations(proxy)) {
      if (LET_PASS.some((pattern) => pattern.test(mutation.name))) continue;
      count += 1;
      if (compare(extension, mutation.conversation, options) === undefined) missed.push(mutation.name);
    }
    t.diagnostic(`${count} mutations`);
    assert.ok(count > 50, `only ${count} mutations`);
    assert.deepEqual(missed, []);
  });
}

test('a conversation that ends early or goes on is caught', async () => {
  const testCase = CASES[0];
  assert.ok(testCase);
  const both = await record(environment, testCase, {
    transport: 'simple',
    context: 'autocommit',
    session: 'utf8',
  });
  assert.ok(both !== 'skipped');
  const [extension, proxy] = both;
  const shorter: Conversation = { ...proxy, exchanges: proxy.exchanges.slice(0, -1) };
  const longer: Conversation = { ...proxy, exchanges: [...proxy.exchanges, { label: 'more', frames: [] }] };
  const options = { encoding: 'UTF8', major: environment.major } as const;
  assert.ok(compare(extension, shorter, options));
  assert.ok(compare(extension, longer, options));
});
