import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Presence } from '../../../src/bridge/service/presence.js';

describe('who is in which database', () => {
  const tenant = (events: string[], name: string) => ({
    closeWhenIdle: () => void events.push(`${name} looks`),
    vacate: async () => void events.push(`${name} leaves`),
  });

  it('is told to the service connections of a database when its last session has left', () => {
    const presence = new Presence();
    const events: string[] = [];
    presence.opened('a', tenant(events, 'one'));
    presence.opened('b', tenant(events, 'other'));
    const leave = [presence.enter('a'), presence.enter('a')];
    leave[0]!();
    assert.deepEqual([presence.has('a'), events], [true, []]);
    leave[1]!();
    assert.deepEqual([presence.has('a'), events], [false, ['one looks']]);
  });

  it('concerns only the databases that are named, and those who have connections', async () => {
    const presence = new Presence();
    const events: string[] = [];
    const gone = tenant(events, 'gone');
    presence.opened('a', tenant(events, 'one'));
    presence.opened('a', gone);
    presence.opened('b', tenant(events, 'other'));
    presence.closed('a', gone);
    await presence.vacate(['a', 'c']);
    assert.deepEqual(events, ['one leaves']);
  });

  it('has the other processes of the proxy do the same, but is not told to by them', async () => {
    const events: string[] = [];
    const presence = new Presence(async (databases) => void events.push(`elsewhere: ${databases}`));
    presence.opened('a', tenant(events, 'one'));
    await presence.vacateHere(['a']);
    assert.deepEqual(events, ['one leaves']);
    await presence.vacate(['a']);
    assert.deepEqual(events, ['one leaves', 'one leaves', 'elsewhere: a']);
  });
});
