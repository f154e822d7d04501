import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { PostgresServer } from '../../src/embedded/index.js';
import { normalise } from '../parity/normalise.js';
import { soon } from '../support/eventually.js';
import { testedMajors } from '../support/majors.js';
import { createDatabase, execute, extensionServer, primaryServer } from '../support/postgres.js';
import { startTestProxy, type TestProxy } from '../support/proxy.js';
import { RawClient, split } from '../support/rawClient.js';
import { frontend } from '../support/wire.js';
import { message } from './refusals/refusedMessages.js';

/** Clients that close their side of the connection, and read what they are answered to what they have sent. */

const DATABASE = 'half_closed';
const STARTUP = frontend.startup({ user: 'postgres', database: DATABASE });
const batch = (sql: string): Buffer[] => [
  frontend.parse('', sql),
  frontend.bind({}),
  frontend.execute('', 0),
];
const call = (sql: string): string => `SELECT v FROM dblink('{R}', '${sql}') AS t(v text)`;

const SENT: readonly (readonly [name: string, what: (fill: (sql: string) => string) => readonly Buffer[]])[] =
  [
    ['nothing', () => []],
    ['a Terminate', () => [frontend.terminate()]],
    ['a Query', () => [frontend.query('SELECT 1')]],
    ['a dblink call', (fill) => [frontend.query(fill(call('SELECT pg_sleep(0.7) IS NULL')))]],
    ['a dblink call in a batch', (fill) => [...batch(fill(call('SELECT pg_sleep(0.3)'))), frontend.sync()]],
    ['a function that calls dblink', () => [frontend.query('SELECT slow(0.7)')]],
    [
      'calls, one after the other',
      (fill) => [
        frontend.query('SELECT called()'),
        frontend.query(fill(`INSERT INTO kept SELECT 8 FROM (${call('SELECT pg_sleep(0.2)')}) s`)),
        frontend.query('SELECT slow(0.2), 1/0'),
        frontend.query(fill("SELECT v FROM dblink('{R}', 'SELECT nosuch') AS t(v text)")),
        frontend.query('SELECT slow(0.2)'),
      ],
    ],
    ['a Query that takes its time', () => [frontend.query("SELECT 'x' FROM pg_sleep(1.2)")]],
    [
      'several',
      () => [frontend.query('SELECT 1; SELECT 2'), frontend.query('SELECT 1/0'), frontend.query('SELECT 3')],
    ],
    ['an INSERT', () => [frontend.query('INSERT INTO kept VALUES (1)')]],
    [
      'a transaction that is not ended',
      () => [frontend.query('BEGIN'), frontend.query('INSERT INTO kept VALUES (2)')],
    ],
    ['a batch', () => [...batch('INSERT INTO kept VALUES (3)'), frontend.sync()]],
    ['a batch without a Sync', () => batch('INSERT INTO kept VALUES (4)')],
    ['a batch with a Flush', () => [...batch('INSERT INTO kept VALUES (5)'), frontend.flush()]],
    ['a part of a message', () => [frontend.query('SELECT 1'), message('Q', 'SELECT', 100)]],
    ['a part of a header', () => [Buffer.from('Q\0\0')]],
    ['large results', () => [frontend.query("SELECT repeat('x', 1000) FROM generate_series(1, 3000)")]],
    ['COPY out', () => [frontend.query('COPY (SELECT generate_series(1, 20000)) TO STDOUT')]],
    ['COPY in', () => [frontend.query('COPY kept FROM STDIN'), frontend.copyData(Buffer.from('6\n'))]],
    [
      'COPY in with its end',
      () => [
        frontend.query('COPY kept FROM STDIN'),
        frontend.copyData(Buffer.from('7\n')),
        frontend.copyDone(),
      ],
    ],
  ];

for (const major of testedMajors()) {
  describe(`clients that close their side, PostgreSQL ${major}`, () => {
    let primary: PostgresServer;
    let extension: PostgresServer;
    let proxy: TestProxy;
    before(async () => {
      [primary, extension] = await Promise.all([primaryServer(major), extensionServer(major)]);
      proxy = await startTestProxy(primary);
      for (const server of [primary, extension]) await createDatabase(server, DATABASE);
      const urls = [`postgres://postgres@${proxy.host}:${proxy.port}/${DATABASE}`, extension.url(DATABASE)];
      for (const url of urls)
        await execute(
          url,
          fill(`CREATE EXTENSION dblink; CREATE TABLE kept (n int);
            CREATE FUNCTION called() RETURNS text LANGUAGE sql AS $$ ${call('SELECT 7')} $$;
            CREATE FUNCTION slow(s float) RETURNS text LANGUAGE plpgsql AS $$
              BEGIN RETURN (SELECT v FROM dblink('{R}', format('SELECT pg_sleep(%s) IS NULL', s)) AS t(v text)); END $$`),
        );
    });
    after(() => proxy?.stop());

    const fill = (sql: string): string =>
      sql.replaceAll('{R}', `host=127.0.0.1 port=${extension.port} user=postgres dbname=postgres`);

    const answered = async (port: number, sent: readonly Buffer[], together: boolean): Promise<string[]> => {
      const client = await RawClient.connect(port);
      if (!together) {
        client.write(STARTUP);
        await client.until('Z');
      }
      client.socket.end(Buffer.concat([...(together ? [STARTUP] : []), ...sent]));
      const messages = split(await client.toEnd()).map((one) => normalise(one).whole.toString('latin1'));
      return messages.filter((text) => !text.startsWith('S'));
    };
    const kept = async (server: PostgresServer): Promise<unknown> => {
      await soon('their sessions are over', async () => {
        const there = `SELECT FROM pg_stat_activity WHERE datname = '${DATABASE}' AND application_name = '' AND pid <> pg_backend_pid()`;
        return (await execute(server.url(), there)).length === 0;
      });
      return execute(server.url(DATABASE), 'SELECT n FROM kept ORDER BY n');
    };

    for (const [name, what] of SENT) {
      it(`are answered alike: ${name}`, async () => {
        for (const together of [false, true]) {
          const sent = what(fill);
          const [direct, through] = [
            await answered(extension.port, sent, together),
            await answered(proxy.port, sent, together),
          ];
          const withoutPlace = (all: string[]): string[] =>
            all.map((text) => (text.startsWith('E') ? text.slice(5).replace(/\0[FLR][^\0]*/g, '') : text));
          assert.deepEqual(
            withoutPlace(through),
            withoutPlace(direct),
            together ? 'with the startup packet' : '',
          );
          assert.deepEqual(await kept(primary), await kept(extension));
        }
      });
    }

    it('do not keep a remote at work when they have gone', async () => {
      for (const sql of [
        call('SELECT pg_sleep(3600) IS NULL'),
        'SELECT slow(3600)',
        `SELECT called(), slow(3600)`,
      ]) {
        const client = await RawClient.connect(proxy.port);
        client.write(STARTUP);
        await client.until('Z');
        client.socket.end(frontend.query(fill(sql)));
        const working = async (): Promise<number> => {
          const works =
            "SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(3600) IS NULL' AND state = 'active'";
          return (await execute(extension.url(), works)).length;
        };
        await soon('the remote works', async () => (await working()) === 1);
        await new Promise((resolve) => setTimeout(resolve, 1000));
        assert.equal(await working(), 1);
        client.socket.destroy();
        await soon('the remote has stopped', async () => (await working()) === 0);
      }
    });
  });
}
