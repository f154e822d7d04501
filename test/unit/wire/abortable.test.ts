import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import { abortable, keepsListener, onAbort } from '../../../src/wire/pace/abortable.js';

const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;

describe('what is done when a signal is aborted', () => {
  it('is done at once, once, in order, and not when it was taken back', () => {
    const { signal, abort } = controller();
    const done: string[] = [];
    onAbort(signal, () => void done.push('a'));
    const takeBack = onAbort(signal, () => void done.push('b'));
    onAbort(signal, () => void done.push('c'));
    takeBack();
    assert.equal(listeners(signal), 1);
    abort();
    abort();
    assert.deepEqual(done, ['a', 'c']);
  });

  it('leaves no listener when nobody waits, unless the signal keeps its own', () => {
    const { signal } = controller();
    const [one, other] = [onAbort(signal, () => undefined), onAbort(signal, () => undefined)];
    one();
    assert.equal(listeners(signal), 1);
    other();
    assert.equal(listeners(signal), 0);
    const kept = keepsListener(controller().signal);
    for (let i = 0; i < 3; i++) onAbort(kept, () => undefined)();
    assert.equal(listeners(kept), 1);
  });

  it('is done for who waits again after that', () => {
    for (const { signal, abort } of [controller(), controller(true)]) {
      let done = 0;
      onAbort(signal, () => done++)();
      onAbort(signal, () => done++);
      abort();
      assert.equal(done, 1);
    }
  });

  it('ends the waiting for a promise, with the reason', async () => {
    const { signal, abort } = controller();
    assert.equal(await abortable(Promise.resolve(1), signal), 1);
    await assert.rejects(abortable(Promise.reject(new Error('own')), signal), /own/);
    assert.equal(listeners(signal), 0);
    const waiting = abortable(new Promise(() => undefined), signal);
    abort();
    await assert.rejects(waiting, /given up/);
    await assert.rejects(abortable(Promise.reject(new Error('own')), signal), /given up/);
  });
});

function controller(keeps = false): { signal: AbortSignal; abort: () => void } {
  const made = new AbortController();
  const signal = keeps ? keepsListener(made.signal) : made.signal;
  return { signal, abort: () => made.abort(new Error('given up')) };
}
