import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadConfig } from '../../../src/config/index.js';
import { InheritedError, inheritedListeners } from '../../../src/server/life/inherited.js';

describe('listening sockets that come with the process', () => {
  const config = loadConfig({
    flags: {
      listen: ['127.0.0.1:7001', '/run/one', '127.0.0.1:7002'],
      primary: 'postgres://127.0.0.1:1',
      'http-listen': '127.0.0.1:7003',
    },
    env: {},
  });
  const none = { listen: [undefined, undefined, undefined], http: undefined, keepPaths: false };
  const pid = String(process.pid);

  it('are those of systemd, in the order of the addresses, and nobody else’s afterwards', () => {
    const env: Record<string, string | undefined> = {
      LISTEN_PID: pid,
      LISTEN_FDS: '3',
      LISTEN_FDNAMES: 'a:b:c',
    };
    assert.deepEqual(inheritedListeners(config, env), {
      listen: [3, 4, 5],
      http: undefined,
      keepPaths: true,
    });
    assert.deepEqual(env, {});
    assert.deepEqual(inheritedListeners(config, env), none);
  });

  it('are not taken where they are for another process, and refused where they are too many or too few', () => {
    assert.deepEqual(inheritedListeners(config, { LISTEN_PID: '1', LISTEN_FDS: '3' }), none);
    assert.deepEqual(inheritedListeners(config, { LISTEN_FDS: '3' }), none);
    for (const count of ['0', '2', '4', 'many'])
      assert.throws(() => inheritedListeners(config, { LISTEN_PID: pid, LISTEN_FDS: count }), InheritedError);
  });

  it('are those of the process before, by their addresses', () => {
    const names = ['127.0.0.1 7002', '127.0.0.1 7001', 'http 127.0.0.1 7003'];
    const env = { HANDED_OVER_LISTENERS: JSON.stringify({ names, keepPaths: true }) };
    assert.deepEqual(inheritedListeners(config, env), {
      listen: [5, undefined, 4],
      http: 6,
      keepPaths: true,
    });
  });
});
