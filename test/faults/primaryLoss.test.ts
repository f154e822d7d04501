import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { eventually } from '../support/eventually.js';
import { fakePrimary } from '../support/fakePrimary.js';
import { RawClient } from '../support/rawClient.js';
import { CLOSED, type Frame, frontend } from '../support/wire.js';
import { brief, FaultClient, fieldsOf, firstValue } from './world/client.js';
import { type FaultyPath, faultyPath } from './world/faultyPath.js';
import { type ProxyProcess, startProxyProcess } from './world/proxyProcess.js';
import { makeWorld, type World } from './world/world.js';

/** What the proxy does when its primary is lost. */
const WORK = [
  ["SELECT dblink_exec('c', 'DO $$BEGIN PERFORM pg_sleep(600); END$$')", 'pg_sleep'],
  ["SELECT * FROM dblink('c', 'SELECT pg_sleep(600)::text') AS t(a text)", 'pg_sleep'],
  ["SELECT count(*) FROM dblink('c', 'SELECT pg_sleep(600)::text') AS t(a text)", 'pg_sleep'],
  [
    "SELECT * FROM dblink('c', 'SELECT repeat(''x'', 3000), generate_series(1, 2000000000)') AS t(a text, b int)",
    'generate_series',
  ],
] as const;

describe('a primary that is lost', () => {
  let world: World;
  let primary: PostgresServer;
  let path: FaultyPath;
  let proxy: ProxyProcess;
  before(async () => {
    world = await makeWorld();
    primary = await startPostgres({ installation: await prepareBinaries({ major: 18, dblink: false }) });
    path = await faultyPath(primary);
    proxy = await startProxyProcess({ primary: path });
  });
  after(async () => {
    await proxy.assertClean();
    await proxy.stop();
    await path.close();
    await primary.stop('immediate');
    await world.close();
  });

  async function session(tag: string): Promise<FaultClient> {
    const client = await FaultClient.open(proxy.port);
    await client.rows(`SELECT dblink_connect('c', '${world.conninfo(tag)}')`);
    return client;
  }

  /** The last words that a client gets: one error with a SQLSTATE, then the end; and no row that is not whole. */
  async function lastWords(client: FaultClient, sqlstate: RegExp): Promise<void> {
    const frames = await client.wire.until(({ type }) => type === CLOSED);
    const errors = frames.filter(({ type }) => type === 'E');
    assert.equal(frames.at(-1)?.type, CLOSED, brief(frames));
    assert.equal(errors.length, 1, brief(frames));
    assert.match(fieldsOf(errors[0]!)['C'] ?? '', sqlstate);
    assert.equal(fieldsOf(errors[0]!)['S'], 'FATAL');
    for (const { type, body } of frames) {
      if (type === 'D' && body.length > 100) assert.equal(body.readInt32BE(2), 3000);
    }
  }

  for (const [how, sqlstate, act] of [
    ['pg_terminate_backend', /^57P01$/, 'terminate'],
    ['a TCP reset', /^08006$/, 'reset'],
    ['a TCP end', /^08006$/, 'end'],
  ] as const) {
    it(`by ${how} during remote work: one FATAL ${sqlstate.source.slice(1, -1)}, remote connections closed`, async () => {
      for (const [i, [sql, runs]] of WORK.entries()) {
        for (const block of [false, true]) {
          const tag = `primary-${act}-${i}-${block}`;
          const client = await session(tag);
          if (block) await client.rows('BEGIN');
          const [[pid]] = (await client.rows('SELECT pg_backend_pid()')) as [[string]];
          client.start(sql, i % 2 === 0 ? 'simple' : 'extended');
          await world.runs(tag, runs);
          if (act === 'terminate') {
            const admin = await FaultClient.open(primary.port);
            await admin.rows(`SELECT pg_terminate_backend(${pid})`);
            await admin.end();
          } else path.cut(act);
          await lastWords(client, sqlstate);
          await world.gone(tag);
        }
      }
    });
  }

  it('by a restart: sessions end with one error, new ones work when it is back', async () => {
    const clients = await Promise.all(WORK.map((_, i) => session(`restart-${i}`)));
    for (const [i, client] of clients.entries()) client.start(WORK[i]![0], 'simple');
    for (const [i, [, runs]] of WORK.entries()) await world.runs(`restart-${i}`, runs);
    const idle = await session('restart-idle');
    await primary.restart('fast');
    for (const client of [...clients, idle]) await lastWords(client, /^57P01$/);
    for (let i = 0; i < WORK.length; i++) await world.gone(`restart-${i}`);
    await world.gone('restart-idle');
    const again = await session('restart-again');
    assert.equal(firstValue(await again.query("SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)")), '1');
    await again.end();
  });

  it("by a crash: 08006 or the server's own word", async () => {
    const client = await session('crash');
    client.start(WORK[2][0], 'simple');
    await world.runs('crash', WORK[2][1]);
    await primary.restart('immediate');
    await lastWords(client, /^(57P0[12]|08006)$/);
    await world.gone('crash');
  });

  it('while a splice is being finished by it', async () => {
    const client = await session('finishing');
    client.start("SELECT count(*), pg_sleep(600) FROM dblink('c', 'SELECT 1') AS t(a int)", 'simple');
    await eventually('the primary sleeps', async () => {
      const admin = await FaultClient.open(primary.port);
      const rows = await admin.rows("SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
      await admin.end();
      assert.equal(rows.length, 1);
    });
    path.cut('reset');
    await lastWords(client, /^08006$/);
    await world.gone('finishing');
  });

  it('that refuses: the client is told, and nothing is left', async () => {
    const closed = await fakePrimary(() => {});
    await closed.stop();
    const lonely = await startProxyProcess({ primary: { host: '127.0.0.1', port: closed.port } });
    const client = await RawClient.connect(lonely.port);
    client.write(frontend.startup({ user: 'postgres' }));
    const messages = await client.messagesToEnd();
    assert.deepEqual(
      messages.map(({ type, fields }) => [type, fields['C']]),
      [['E', '08001']],
    );
    await lonely.assertClean();
    await lonely.stop();
  });

  it('that breaks the protocol while a remote works: 08006, remote connections closed', async () => {
    for (const nonsense of [
      Buffer.from('HTTP/1.1 400\r\n\r\n'),
      Buffer.from([0x44, 0, 0, 0, 0]),
      Buffer.alloc(1000),
    ]) {
      const client = await session('fooled');
      client.start("SELECT dblink_exec('c', 'DO $$BEGIN PERFORM pg_sleep(600); END$$')", 'simple');
      await world.runs('fooled', 'pg_sleep');
      path.inject(nonsense);
      const frames: Frame[] = await client.wire.until(({ type }) => type === CLOSED);
      assert.match(brief(frames), /E:08006 <closed>$/);
      await world.gone('fooled');
    }
  });
});
