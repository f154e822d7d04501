import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { afterEach, before, describe, it, mock } from 'node:test';
import type { PostgresServer } from '../../../src/embedded/index.js';
import type { PgError } from '../../../src/wire/errors.js';
import { systemNames } from '../../../src/wire/names/resolver.js';
import { eventually } from '../../support/eventually.js';
import { fakePrimary } from '../../support/fakePrimary.js';
import { nameServer } from '../../support/nameServer.js';
import { atLimit } from '../../support/pace.js';
import { primaryServer } from '../../support/postgres.js';
import { type Message, RawClient } from '../../support/rawClient.js';
import { firstValue, logIn, query, startRelay } from '../../support/relay.js';
import { PROXY_TLS } from '../../support/tlsFiles.js';
import { CollectingSink, callContext, newSession, sql } from '../../unit/dblink/dblink-support.js';

const TIMED_OUT = [
  '57014',
  'canceling statement due to timeout of remote statements',
  'The setting "timeouts.remote_statement" of the proxy says so.',
];

/** How long connections to remotes, statements there and TLS handshakes may take. */

describe('the times of remote work', () => {
  let primary: PostgresServer;
  const stops: (() => Promise<unknown>)[] = [];
  before(async () => {
    primary = await primaryServer(18);
  });
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });

  const conninfo = (more = ''): string =>
    `host=127.0.0.1 port=${primary.port} user=postgres dbname=postgres ${more}`;
  async function open(times: Readonly<Record<string, string>>): Promise<RawClient> {
    const env = Object.fromEntries(
      Object.entries(times).map(([name, value]) => [`DBLINK_PROXY_TIMEOUTS_${name.toUpperCase()}`, value]),
    );
    const proxy = await startRelay(primary, { env });
    stops.push(() => proxy.stop());
    const { client } = await logIn(proxy.port);
    stops.push(async () => client.destroy());
    return client;
  }
  const errorOf = (messages: readonly Message[]): Readonly<Record<string, string>> =>
    messages.find(({ type }) => type === 'E')?.fields ?? {};

  it('timeouts.remote_statement ends what runs on a remote, whatever serves the call, and the connection goes on', async () => {
    const client = await open({ remote_statement: '1s' });
    await query(client, `SELECT dblink_connect('c', '${conninfo()}')`);
    const slow = 'SELECT pg_sleep(600)::text';
    for (const statement of [
      `SELECT * FROM dblink('c', '${slow}') AS t(a text)`,
      `SELECT count(*) FROM dblink('c', '${slow}') AS t(a text)`,
      `SELECT dblink_exec('c', 'DO $$ BEGIN PERFORM pg_sleep(600); END $$')`,
      `SELECT * FROM dblink('${conninfo()}', '${slow}') AS t(a text)`,
    ]) {
      const error = errorOf(await query(client, statement));
      assert.deepEqual([error['C'], error['M'], error['H']], TIMED_OUT, statement);
    }
    assert.equal(firstValue(await query(client, `SELECT dblink_send_query('c', '${slow}')`)), '1');
    const result = errorOf(await query(client, "SELECT * FROM dblink_get_result('c') AS t(a text)"));
    assert.deepEqual([result['C'], result['M']], ['57014', 'canceling statement due to user request']);
  });

  it('timeouts.remote_statement counts each query string by itself, and leaves the connection usable', async () => {
    const { client: admin } = await logIn(primary.port);
    stops.push(async () => admin.destroy());
    const session = newSession({
      times: { remoteConnect: 0, lookup: 0, remoteStatement: 1000, idleDblink: 0 },
    });
    stops.push(async () => session.close());
    const { call } = callContext();
    await session.connect('c', conninfo('application_name=timed_remote'), true, call);
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      for (let i = 0; i < 3; i++) {
        assert.equal(await session.exec('c', sql('SET a.b = 1'), true, call), 'SET');
        mock.timers.tick(999);
      }
      const ended = session
        .exec('c', sql('DO $$ BEGIN PERFORM pg_sleep(600); END $$'), true, call)
        .catch(({ sqlstate, message, fields }: PgError) => [sqlstate, message, fields.hint]);
      let active: string | undefined = '0';
      // Real time: the clock of this process stands still.
      while (active === '0')
        active = firstValue(
          await query(
            admin,
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'timed_remote' AND state = 'active'",
          ),
        );
      mock.timers.tick(999);
      assert.equal(
        await Promise.race([ended, new Promise((resolve) => setImmediate(() => resolve('runs')))]),
        'runs',
      );
      mock.timers.tick(1);
      assert.deepEqual(await ended, TIMED_OUT);
      assert.equal(await session.exec('c', sql('SET a.b = 1'), true, call), 'SET');
    } finally {
      mock.timers.reset();
    }
  });

  it('timeouts.idle_dblink closes what is unused: the next call fails, and a new connection can take its name', async () => {
    const client = await open({ idle_dblink: '50ms' });
    const { client: admin } = await logIn(primary.port);
    stops.push(async () => admin.destroy());
    for (let i = 0; i < 2; i++) {
      assert.equal(
        firstValue(
          await query(client, `SELECT dblink_connect('c', '${conninfo('application_name=idle_remote')}')`),
        ),
        'OK',
      );
      await eventually('it is closed', async () => {
        const left = await query(
          admin,
          "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'idle_remote'",
        );
        assert.equal(firstValue(left), '0');
      });
      const error = errorOf(await query(client, "SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)"));
      assert.match(
        `${error['M']} ${error['D']}`,
        /the connection was closed because it was idle for too long: the setting "timeouts\.idle_dblink"/,
      );
      assert.equal(firstValue(await query(client, "SELECT dblink_disconnect('c')")), 'OK');
    }
  });

  it('timeouts.idle_dblink: not in use, in a transaction, or with results to be taken', async () => {
    const session = newSession({
      times: { remoteConnect: 0, lookup: 0, remoteStatement: 0, idleDblink: 1000 },
    });
    stops.push(async () => session.close());
    const { call } = callContext();
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      const alive = async (): Promise<string> =>
        session.exec('c', sql('SET a.b = 1'), true, call).catch(({ message }: PgError) => message);
      await session.connect('c', conninfo(), true, call);
      mock.timers.tick(999);
      assert.equal(await alive(), 'SET');
      mock.timers.tick(999);
      await session.exec('c', sql('BEGIN'), true, call);
      mock.timers.tick(10_000);
      await session.exec('c', sql('COMMIT'), true, call);
      await session.sendQuery('c', sql('SELECT 1'), call);
      mock.timers.tick(10_000);
      const sink = new CollectingSink();
      await session.getResult('c', true, sink, call);
      assert.deepEqual(sink.rows, [['1']]);
      assert.equal((await session.getResult('c', true, sink, call)).kind, 'nothing');
      mock.timers.tick(1000);
      assert.match(await alive(), /idle for too long/);
    } finally {
      mock.timers.reset();
    }
  });

  it('timeouts.remote_connect holds where the connection string has no shorter one', async () => {
    const silent = await fakePrimary(async () => undefined);
    stops.push(() => silent.stop());
    const client = await open({ remote_connect: '300ms' });
    for (const more of ['', 'connect_timeout=600']) {
      await atLimit('connecting', 300, async () => {
        const error = errorOf(
          await query(client, `SELECT dblink_connect('host=127.0.0.1 port=${silent.port} user=u ${more}')`),
        );
        assert.deepEqual([error['C'], /timeout expired/.test(`${error['D']}`)], ['08001', true]);
      });
    }
  });

  it('timeouts.lookup ends the search for a name', async () => {
    const names = await nameServer(() => 'silent');
    systemNames.use({
      servers: [names.address],
      env: { RES_OPTIONS: 'timeout:30 attempts:5', LOCALDOMAIN: '' },
    });
    stops.push(async () => {
      systemNames.use();
      await names.stop();
    });
    const client = await open({ lookup: '300ms' });
    await atLimit('the search', 300, async () => {
      const error = errorOf(await query(client, "SELECT dblink_connect('host=silent.example user=u')"));
      assert.deepEqual(
        [error['C'], error['D']],
        [
          '08001',
          'could not translate host name "silent.example" to address: Temporary failure in name resolution',
        ],
      );
    });
  });

  it('timeouts.tls_handshake ends a handshake that goes no further, and leaves others alone', async () => {
    const proxy = await startRelay(primary, {
      flags: PROXY_TLS,
      env: { DBLINK_PROXY_TIMEOUTS_TLS_HANDSHAKE: '300ms' },
    });
    stops.push(() => proxy.stop());
    const client = await RawClient.connect(proxy.port);
    client.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]));
    assert.equal((await client.bytes(1)).toString(), 'S');
    await atLimit('the handshake', 300, () => client.toEnd());
    const direct = connect(proxy.port, '127.0.0.1');
    await new Promise((resolve) => direct.once('connect', resolve));
    direct.on('error', () => undefined);
    await atLimit('a direct one', 300, async () => {
      direct.write(Buffer.from([0x16]));
      await new Promise((resolve) => direct.resume().once('close', resolve));
    });
  });
});
