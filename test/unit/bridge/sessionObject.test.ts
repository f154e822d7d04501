import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { valueAnswer } from '../../../src/bridge/exchange/bridgeAnswer.js';
import type { HandOver } from '../../../src/bridge/exchange/handOver.js';
import { SessionObject } from '../../../src/bridge/exchange/sessionObject.js';
import type { ServiceConnection } from '../../../src/bridge/service/serviceConnection.js';

const HAND_OVER: HandOver = {
  request: {
    id: '01234567-89ab-4cde-8f01-23456789abcd',
    held: 'a',
    mode: 'object',
    readOnly: false,
    pid: 1,
    function: 'dblink(text)',
    role: 'postgres',
    args: [],
  },
  answer: valueAnswer('1'),
  held: 1n,
  next: 2n,
};

describe("a session's large object", () => {
  it('is no reason to connect when it has been removed before its time', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let connected = 0;
    let turn: Promise<void> | undefined;
    const connection = {
      closed: false,
      pipeline: async () => [[Buffer.from('t')]],
    } as unknown as ServiceConnection;
    const object = new SessionObject(7, (act) => {
      turn = act(async () => {
        connected++;
        return connection;
      });
      return turn;
    });
    assert.equal(await object.give(connection, HAND_OVER), true);
    object.removeLater();
    await object.remove(connection);
    t.mock.timers.tick(60_000);
    await turn;
    assert.equal(connected, 0);

    assert.equal(await object.give(connection, HAND_OVER), true);
    object.removeLater();
    t.mock.timers.tick(60_000);
    await turn;
    assert.equal(connected, 1);
  });
});
