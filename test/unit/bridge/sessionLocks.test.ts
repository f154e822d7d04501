import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { valueAnswer } from '../../../src/bridge/exchange/bridgeAnswer.js';
import type { BridgeRequest } from '../../../src/bridge/exchange/request.js';
import { makeSessionKeys, SessionLocks } from '../../../src/bridge/exchange/sessionLocks.js';
import type { ServiceConnection, Step } from '../../../src/bridge/service/serviceConnection.js';
import type { DatabaseServices, Membership } from '../../../src/bridge/service/services.js';
import { PgError } from '../../../src/wire/errors.js';
import { eventually } from '../../support/eventually.js';
import { LIVENESS_MS } from '../../support/pace.js';

/**
 * Which lock a function waits for when its answer is given, by what a service connection is told (docs/bridge.md): with the
 * primary itself, what happens between two looks of a function cannot be arranged.
 */

const ANSWER = valueAnswer('1');
const yes = (value: boolean): Buffer[][] => [[Buffer.from(value ? 't' : 'f')]];

const request = (held: BridgeRequest['held']): BridgeRequest => ({
  id: '01234567-89ab-4cde-8f01-23456789abcd',
  held,
  mode: 'row',
  readOnly: false,
  pid: 1,
  function: 'dblink(text)',
  role: 'postgres',
  args: [],
});

describe("a session's locks", { timeout: LIVENESS_MS }, () => {
  let log: string[];
  let locks: SessionLocks;
  /** Lets the answer that is being given arrive, or fail. */
  let finish: { arrive(taken?: boolean): void; fail(error: PgError): void } | undefined;
  /** How often a place was given up. */
  let left = 0;
  /** Ends the connection, as the server would. */
  let lose: () => void;
  /** What is found at the next looks whether the function waits, and then at all others. */
  let looks: boolean[];
  let atLast: boolean;

  beforeEach(() => {
    log = [];
    looks = [];
    atLast = true;
    finish = undefined;
    const make = () => ({
      closed: false,
      pipeline: (steps: readonly Step[]) => {
        assert.ok(steps.some(({ sql }) => sql.startsWith('INSERT INTO dblink_proxy.answer')));
        log.push('give');
        return new Promise<Buffer[][]>((resolve, reject) => {
          finish = { arrive: (taken = true) => resolve(yes(taken)), fail: reject };
        });
      },
      query: async (sql: string) => {
        if (sql.includes('dblink_proxy.hold($1)')) log.push('hold');
        if (!sql.includes('NOT l.granted')) return yes(true);
        log.push('look');
        return yes(looks.shift() ?? atLast);
      },
    });
    locks = new SessionLocks(makeSessionKeys(), async () => {
      const connection = make();
      const membership: Membership = {
        connection: connection as unknown as ServiceConnection,
        services: {} as DatabaseServices,
        onLost: undefined,
        leave: () => {
          left++;
        },
      };
      lose = () => {
        connection.closed = true;
        membership.onLost?.();
      };
      return membership;
    });
  });

  // Whoever still looks finds something.
  afterEach(() => {
    atLast = true;
  });

  const give = (asked: BridgeRequest, waits = (): boolean => true): Promise<void> =>
    locks.give(asked, ANSWER, waits, () => undefined);
  const given = (count: number): Promise<void> =>
    eventually(`${count} answers are on their way`, () =>
      assert.equal(log.filter((what) => what === 'give').length, count, String(log)),
    );

  /** A first call, whose answer is on its way: the lock that is held becomes b. */
  async function underWay(): Promise<{ readonly first: BridgeRequest; readonly done: Promise<void> }> {
    await locks.attach();
    log = [];
    const first = request('a');
    locks.expect(first);
    const done = give(first);
    await given(1);
    return { first, done };
  }

  /** A second one right behind it, which has seen this lock; the first answer has arrived then. */
  async function behind(
    seen: BridgeRequest['held'],
    waits?: () => boolean,
  ): Promise<{ readonly next: Promise<void> }> {
    const { done } = await underWay();
    const second = request(seen);
    locks.expect(second);
    const next = give(second, waits);
    finish!.arrive();
    await done;
    return { next };
  }

  it('a function that comes right behind is answered at once', async () => {
    const { next } = await behind('b');
    await given(2);
    finish!.arrive();
    await next;
    assert.deepEqual(log, ['give', 'give']);
  });

  it('one that has looked before the lock was let go of is answered when it waits for the other', async () => {
    looks = [false, false];
    const { next } = await behind('a');
    await given(2);
    finish!.arrive();
    await next;
    assert.deepEqual(log, ['give', 'look', 'look', 'look', 'give']);
  });

  it('one that waits no more is given nothing, and is not waited for', async () => {
    let waits = true;
    atLast = false;
    const { next } = await behind('a', () => waits);
    await eventually('it is looked for', () => assert.ok(log.includes('look')));
    waits = false;
    await next;
    await give(request('b'), () => false);
    assert.equal(log.filter((what) => what === 'give').length, 1, String(log));
  });

  it('one that may have seen a lock which was taken for nothing is answered when it waits again', async () => {
    const { first, done } = await underWay();
    finish!.fail(new PgError('22021', 'invalid byte sequence'));
    await assert.rejects(done, { sqlstate: '22021' });
    looks = [false];
    const again = give(first);
    await given(2);
    finish!.arrive();
    await again;
    assert.deepEqual(log, ['give', 'look', 'look', 'give']);
  });

  it('one that polls is answered at once, and needs no place until then', async () => {
    const { done } = await underWay();
    finish!.arrive();
    await done;
    const polling = { ...request('none'), function: 'poll' };
    locks.expect(polling);
    log = [];
    left = 0;
    lose();
    assert.deepEqual(log, []);
    await locks.attach();
    await locks.vacate();
    assert.equal(left, 2);
    const next = give(polling);
    await given(1);
    const vacated = locks.vacate();
    finish!.arrive();
    await next;
    await vacated;
    assert.deepEqual(log, ['hold', 'hold', 'give']);
    // The answer would go with the place, and it may not have been found yet.
    assert.equal(left, 2);
    locks.statementEnded();
    await locks.vacate();
    assert.equal(left, 3);
  });

  it('one that has seen no lock is answered when it waits for one', async () => {
    looks = [false];
    const first = request('none');
    locks.expect(first);
    const done = give(first);
    await given(1);
    finish!.arrive();
    await done;
    assert.deepEqual(log, ['hold', 'look', 'look', 'give']);
  });

  it('one that comes behind an answer for which no further lock could be taken finds one before it is answered', async () => {
    const { done } = await underWay();
    const second = request('a');
    locks.expect(second);
    finish!.arrive(false);
    await done;
    await eventually('a lock is held', () => assert.deepEqual(log, ['give', 'hold']));
    looks = [false];
    const next = give(second);
    await given(2);
    finish!.arrive();
    await next;
    assert.deepEqual(log, ['give', 'hold', 'look', 'look', 'give']);
  });

  it('one that waits when the connection is lost finds a lock of another one', async () => {
    const first = request('a');
    await locks.attach();
    locks.expect(first);
    lose();
    await eventually('a lock is held again', () => assert.deepEqual(log, ['hold', 'hold']));
    looks = [false];
    const done = give(first);
    await given(1);
    finish!.arrive();
    await done;
    assert.deepEqual(log, ['hold', 'hold', 'look', 'look', 'give']);
  });

  it('a session of which nothing waits opens no other connection for one that is lost', async () => {
    await locks.attach();
    locks.expect(request('a'));
    locks.statementEnded();
    lose();
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual(log, ['hold']);
  });

  it('a session that ends is not held up by one that does not come to waiting', async () => {
    atLast = false;
    const { next } = await behind('a');
    await eventually('it is looked for', () => assert.ok(log.includes('look')));
    await locks.release();
    await next;
  });
});
