import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BELIEVED_MS, Fitness, unfitFor } from '../../../src/server/fitness.js';

/** What libpq says of servers with target_session_attrs: a primary, one that is read-only by default, and a standby. */
describe('what a server has to be like', () => {
  const kinds = [
    [false, false],
    [false, true],
    [true, true],
  ] as const;
  const expected = {
    'read-write': [undefined, 'session is read-only', 'session is read-only'],
    'read-only': ['session is not read-only', undefined, undefined],
    primary: [undefined, undefined, 'server is in hot standby mode'],
    standby: ['server is not in hot standby mode', 'server is not in hot standby mode', undefined],
    'prefer-standby': ['server is not in hot standby mode', 'server is not in hot standby mode', undefined],
  } as const;
  for (const wanted of Object.keys(expected) as (keyof typeof expected)[])
    it(wanted, () => {
      assert.deepEqual(
        kinds.map(([standby, readOnly]) => unfitFor(wanted, standby, readOnly)),
        expected[wanted],
      );
    });
});

describe('the answer of a server', () => {
  const ACCOUNT = {
    address: { host: 'db.example', port: 5432 },
    tls: { mode: 'disable', serverName: 'db.example' },
    user: 'proxy',
    password: undefined,
    database: 'app',
  } as const;

  it('counts for a while, and is asked for once by all who want it', async (t) => {
    let now = 0;
    t.mock.method(performance, 'now', () => now);
    let asked = 0;
    const fitness = new Fitness(ACCOUNT, 'primary', async () => {
      asked++;
      return undefined;
    });
    await Promise.all([fitness.unfit(), fitness.unfit()]);
    now = BELIEVED_MS - 1;
    assert.equal(await fitness.unfit(), undefined);
    assert.equal(asked, 1);
    now = BELIEVED_MS;
    await fitness.unfit();
    assert.equal(asked, 2);
  });

  it('that does not come keeps nobody from the next server, and is not asked for again', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let asked = 0;
    let answer: (unfit: string | undefined) => void = () => {};
    const fitness = new Fitness(ACCOUNT, 'primary', () => {
      asked++;
      return new Promise((resolve) => {
        answer = resolve;
      });
    });
    for (let i = 0; i < 3; i++) {
      const unfit = fitness.unfit();
      t.mock.timers.tick(10_000);
      assert.match((await unfit) ?? '', /^connection to .*db\.example.* failed: timeout expired$/);
    }
    assert.equal(asked, 1);
    answer(undefined);
    await new Promise(setImmediate);
    assert.equal(await fitness.unfit(), undefined);
    assert.equal(asked, 1);
  });
});
