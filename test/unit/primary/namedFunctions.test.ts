import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FoundFunctions, type Grounds } from '../../../src/primary/functions/foundFunctions.js';
import { NamedFunctions } from '../../../src/primary/functions/namedFunctions.js';

const FINGERPRINT = { account: undefined, bodies: [] };

/** What a primary answers a session. */
interface Primary {
  /** The rights that the question for the functions sees. */
  readonly seen?: string;
  /** The circumstances behind that question. */
  readonly afterwards?: Grounds | Error;
  readonly otherVersion?: 't' | 'f';
  readonly functions?: number;
  readonly types?: string;
}

/** Whether one new session, in these circumstances, asked for the functions. */
async function asks(
  shared: FoundFunctions | undefined,
  grounds: Grounds,
  { seen = '1 t', afterwards = grounds, otherVersion = 'f', functions = 1, types = '25 25' }: Primary = {},
): Promise<boolean> {
  let asked = false;
  const session = new NamedFunctions(FINGERPRINT, shared);
  const ask = async (): Promise<readonly (readonly string[])[]> => {
    asked = true;
    return Array.from({ length: functions }, () => [
      ...['public', 'dblink', types, 't', seen.at(-1)!, 'bridged', otherVersion, seen],
    ]);
  };
  const again = async (): Promise<Grounds> => {
    if (afterwards instanceof Error) throw afterwards;
    return afterwards;
  };
  const beginning = session.begins ? { major: 18, rights: ['1 t'], grounds, again } : undefined;
  const found = await session.get('probe', beginning, ask);
  assert.deepEqual(
    found.map(({ schema, name, kind }) => [schema, name, kind]),
    Array.from({ length: functions }, () => ['public', 'dblink', 'bridged']),
  );
  if (!asked) assert.ok(found.every(({ executable }) => executable));
  assert.equal(session.begins, false);
  return asked;
}

test('a session that finds the same circumstances as another one does not ask for the functions', async () => {
  const shared = new FoundFunctions();
  assert.equal(await asks(shared, ['a', 'b']), true);
  assert.equal(await asks(shared, ['a', 'b']), false);
});

test('it asks when anything is different', async () => {
  const shared = new FoundFunctions();
  await asks(shared, ['a', 'b']);
  for (const others of [['a', 'c'], ['ab'], ['a b'], ['', 'a', 'b'], ['a', 'b', undefined], ['a', 'b', '']])
    assert.equal(await asks(shared, others), true, JSON.stringify(others));
  assert.equal(await asks(new FoundFunctions(), ['a', 'b']), true);
  assert.equal(await asks(undefined, ['a', 'b']), true);
});

test('an answer that saw rights which were given and taken away again is for its session alone', async () => {
  const shared = new FoundFunctions();
  await asks(shared, ['a'], { seen: '1 f' });
  assert.equal(await asks(shared, ['a']), true);
});

test('so is one behind which anything is different, or which cannot be told to belong to the circumstances', async () => {
  const shared = new FoundFunctions();
  for (const afterwards of [['b'], ['a', undefined], new Error('not permitted')]) {
    await asks(shared, ['a'], { afterwards });
    assert.equal(await asks(shared, ['a'], { afterwards: ['b'] }), true);
  }
});

test('functions of another version of the bridge are looked at by each session', async () => {
  const shared = new FoundFunctions();
  await asks(shared, ['a'], { otherVersion: 't' });
  assert.equal(await asks(shared, ['a']), true);
});

test('an answer is used for a minute, however often', async (t) => {
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const shared = new FoundFunctions();
  await asks(shared, ['a']);
  now = 59_999;
  assert.equal(await asks(shared, ['a']), false);
  now = 60_000;
  assert.equal(await asks(shared, ['a']), true);
});

test('what was not used for longest is dropped', async () => {
  const shared = new FoundFunctions();
  for (let i = 0; i < 200; i++) await asks(shared, [String(i)]);
  assert.equal(await asks(shared, ['0']), false);
  assert.equal(await asks(shared, ['200']), true);
  assert.equal(await asks(shared, ['0']), false);
  assert.equal(await asks(shared, ['1']), true);
});

test('an answer that takes much memory is not kept, nor is one under circumstances that do', async () => {
  const large = { functions: 101 };
  const wide = { functions: 100, types: '25 '.repeat(11).trim() };
  for (const [grounds, answer] of [
    [['a'], large],
    [['b'], wide],
    [['c', 'x'.repeat(65_536)], {}],
  ] as const) {
    const shared = new FoundFunctions();
    await asks(shared, grounds, answer);
    assert.equal(await asks(shared, grounds, answer), true);
  }
  const shared = new FoundFunctions();
  const small = { functions: 100, types: '25 '.repeat(10).trim() };
  await asks(shared, ['a', 'x'.repeat(65_528)], small);
  assert.equal(await asks(shared, ['a', 'x'.repeat(65_528)], small), false);
});
