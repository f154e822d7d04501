import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { DatabaseError } from 'pg';
import type { PostgresServer } from '../../src/embedded/index.js';
import { execute, primaryServer } from '../support/postgres.js';
import { type RelayProxy, startRelay } from '../support/relay.js';

/** docs/decisions/018-requirepeer.md */
describe('requirepeer', () => {
  let primary: PostgresServer;
  let proxy: RelayProxy;
  before(async () => {
    primary = await primaryServer(18);
    proxy = await startRelay(primary);
  });
  after(() => proxy?.stop());

  const connect = (host: string) =>
    execute(
      proxy.url(),
      `SELECT dblink_connect('host=${host} port=${primary.port} user=postgres dbname=postgres requirepeer=postgres')`,
    );

  it('is refused on a Unix socket, with what to do', async () => {
    await assert.rejects(connect('/tmp'), (error: DatabaseError) => {
      assert.ok(error instanceof DatabaseError);
      assert.equal(error.code, '08001');
      assert.match(error.detail ?? '', /requirepeer parameter is not supported on this platform/);
      assert.match(error.detail ?? '', /Leave requirepeer out/);
      return true;
    });
  });

  it('means nothing on TCP, as with libpq', async () => {
    assert.deepEqual(await connect('127.0.0.1'), [['OK']]);
  });
});
