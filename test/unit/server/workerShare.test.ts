import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadConfig } from '../../../src/config/index.js';
import { shareOf } from '../../../src/server/workers/workerShare.js';

describe('the limits of several workers', () => {
  const limits = (env: Readonly<Record<string, string>>, count: number) => {
    const config = loadConfig({ flags: { primary: 'postgres://db:5432' }, env });
    return Array.from({ length: count }, (_, index) => shareOf(config, index, count).limits);
  };

  it('add up to the limits of the proxy', () => {
    const shares = limits(
      { DBLINK_PROXY_LIMITS_CLIENTS: '10', DBLINK_PROXY_LIMITS_REMOTE_CONNECTIONS: '7' },
      4,
    );
    assert.deepEqual(
      shares.map(({ clients }) => clients),
      [3, 3, 2, 2],
    );
    assert.deepEqual(
      shares.map(({ remoteConnections }) => remoteConnections),
      [2, 2, 2, 1],
    );
    assert.equal(
      shares.reduce((sum, { memory }) => sum + memory, 0),
      1024 ** 3,
    );
  });

  it('are nowhere none: that would mean that there is no limit', () => {
    for (const { clients } of limits({ DBLINK_PROXY_LIMITS_CLIENTS: '2' }, 3)) assert.equal(clients, 1);
    for (const { clients } of limits({ DBLINK_PROXY_LIMITS_CLIENTS: '0' }, 3)) assert.equal(clients, 0);
  });

  it('are the same where they hold for one session', () => {
    for (const share of limits({}, 3)) assert.equal(share.remoteConnectionsPerSession, 100);
  });
});
