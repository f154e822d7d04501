import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import {
  type Claim,
  type Leave,
  Places,
  placeOf,
  TOLD_AFTER_MS,
} from '../../../src/dblink/connections/places.js';
import { PgError } from '../../../src/wire/errors.js';

/** Places of a server, by a clock that the test moves. */

const WAIT_MS = 30_000;

interface Who {
  readonly claim: Claim;
  readonly notices: string[];
  abort(): void;
}

function who(owner: object, more: Partial<Claim> = {}): Who {
  const controller = new AbortController();
  const notices: string[] = [];
  const notice = ({ sqlstate, message }: PgError): void => void notices.push(`${sqlstate} ${message}`);
  const claim = { owner, session: owner, lasting: true, signal: controller.signal, notice, ...more };
  return { claim, notices, abort: () => controller.abort(new PgError('57014', 'cancelled')) };
}

/** How a claim stands, once all that is due has happened. */
async function stateOf(taken: Promise<Leave>): Promise<string> {
  const settled = taken.then(
    () => 'taken',
    ({ sqlstate, message }: PgError) => `${sqlstate} ${message}`,
  );
  return Promise.race([settled, new Promise<string>((resolve) => setImmediate(() => resolve('waits')))]);
}

const TOO_MANY =
  '53300 too many dblink connections: the setting "limits.remote_connections_per_server" of the proxy is 2';

describe('places for connections to a server', () => {
  beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }));
  afterEach(() => mock.timers.reset());

  const make = (limit = 2, waitMs = WAIT_MS): Places =>
    new Places('remote_connections_per_server', limit, waitMs);
  const [a, b, c] = [{}, {}, {}];

  it('are so many for each, and without a limit any number', async () => {
    const places = make();
    for (let i = 0; i < 2; i++) await places.take('s', who(a).claim);
    assert.equal(places.tryTake('s', who(b).claim), undefined);
    assert.ok(places.tryTake('t', who(b).claim));
    const free = make(0);
    for (let i = 0; i < 100; i++) assert.ok(free.tryTake('s', who(a).claim));
  });

  it('are waited for until the time is up, and the client is told before', async () => {
    const places = make();
    for (const owner of [a, b]) await places.take('s', who(owner).claim);
    const late = who(c);
    const taken = places.take('s', late.claim);
    mock.timers.tick(TOLD_AFTER_MS - 1);
    assert.deepEqual([await stateOf(taken), late.notices], ['waits', []]);
    mock.timers.tick(1);
    assert.deepEqual(late.notices, [
      '00000 waiting for a dblink connection: the setting "limits.remote_connections_per_server" of the proxy is 2',
    ]);
    mock.timers.tick(WAIT_MS - TOLD_AFTER_MS - 1);
    assert.equal(await stateOf(taken), 'waits');
    mock.timers.tick(1);
    assert.equal(await stateOf(taken), TOO_MANY);
    assert.equal(places.awaited('s'), false);
    mock.timers.tick(10 * WAIT_MS);
    assert.equal(late.notices.length, 1);
  });

  it('are waited for without an end where none is set, until the call is given up', async () => {
    const places = make(2, 0);
    for (const owner of [a, b]) await places.take('s', who(owner).claim);
    const patient = who(c);
    const taken = places.take('s', patient.claim);
    mock.timers.tick(2 ** 31 - 1);
    assert.equal(await stateOf(taken), 'waits');
    patient.abort();
    assert.equal(await stateOf(taken), '57014 cancelled');
  });

  it('are given in turns: who wants many does not delay who wants one', async () => {
    const places = make();
    const held = [await places.take('s', who(a).claim), await places.take('s', who(b).claim)];
    const order: string[] = [];
    const want = (owner: object, name: string): void => {
      void places.take('s', who(owner).claim).then((leave) => {
        order.push(name);
        held.push(leave);
      });
    };
    for (const name of ['a1', 'a2', 'a3']) want(a, name);
    want(c, 'c1');
    for (let i = 0; i < 4; i++) {
      held.shift()!();
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(order.indexOf('c1') < 2, true, order.join());
    assert.deepEqual([...order].sort(), ['a1', 'a2', 'a3', 'c1']);
  });

  it('of its own alone are not waited for', async () => {
    const places = make();
    for (let i = 0; i < 2; i++) await places.take('s', who(a).claim);
    // Also in a session that is nested in it.
    assert.equal(await stateOf(places.take('s', who(a, { session: {} }).claim)), TOO_MANY);
  });

  it('of other calls of the statement are waited for however long those take', async () => {
    const places = make();
    const first = await places.take('s', who(a, { lasting: false }).claim);
    await places.take('s', who(a).claim);
    const second = places.take('s', who(a, { lasting: false }).claim);
    mock.timers.tick(3 * WAIT_MS);
    assert.equal(await stateOf(second), 'waits');
    first();
    assert.equal(await stateOf(second), 'taken');
  });

  it('of calls around it, which wait for it, are waited for until the time is up', async () => {
    const places = make(1);
    await places.take('s', who(a, { lasting: false }).claim);
    const inner = places.take('s', who(a, { session: {}, lasting: false }).claim);
    mock.timers.tick(WAIT_MS);
    assert.match(await stateOf(inner), /^53300/);
  });

  it('of who is gone go to the next one, and an end is noticed once', async () => {
    const places = make(1);
    const leave = await places.take('s', who(a).claim);
    const [gone, next, third] = [who(b), who(c), who({})];
    const lost = places.take('s', gone.claim);
    const taken = places.take('s', next.claim);
    const last = places.take('s', third.claim);
    gone.abort();
    assert.equal(await stateOf(lost), '57014 cancelled');
    leave();
    leave();
    assert.deepEqual([await stateOf(taken), await stateOf(last)], ['taken', 'waits']);
    (await taken)();
    assert.equal(await stateOf(last), 'taken');
  });

  it('are asked for from those that nobody uses, by who is in the line', async () => {
    const places = make(1);
    const idle = await places.take('s', who(a, { lasting: false }).claim);
    let awaited = false;
    const taken = places.take('s', who(b).claim, (key) => {
      awaited = places.awaited(key);
      idle();
    });
    assert.deepEqual([await stateOf(taken), awaited], ['taken', true]);
  });

  it('are those of an address and a port, however they are written', () => {
    const of = (host: string): string => placeOf({ host, port: 5432 });
    assert.equal(of('::1'), of('0:0:0:0:0:0:0:1'));
    for (const host of ['::ffff:127.0.0.1', '::FFFF:7F00:1']) assert.equal(of(host), of('127.0.0.1'));
    assert.notEqual(of('127.0.0.1'), placeOf({ host: '127.0.0.1', port: 5433 }));
    assert.equal(of('fe80::1%lo'), 'fe80::1%lo 5432');
    assert.equal(placeOf({ path: '/run/.s.PGSQL.5432' }), '/run/.s.PGSQL.5432');
  });
});
