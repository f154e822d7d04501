import assert from 'node:assert/strict';
import { afterEach, before, describe, it } from 'node:test';
import type { PostgresServer } from '../../../src/embedded/index.js';
import { primaryServer } from '../../support/postgres.js';
import type { Message, RawClient } from '../../support/rawClient.js';
import { firstValue, logIn, query, startRelay } from '../../support/relay.js';
import { frontend } from '../../support/wire.js';

/** What one session, and one statement, may take. Beyond it there is an error that names the setting, and the session goes on. */

describe('the limits of a session', () => {
  let primary: PostgresServer;
  const stops: (() => Promise<unknown>)[] = [];
  before(async () => {
    primary = await primaryServer(18);
  });
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });

  const conninfo = (): string => `host=127.0.0.1 port=${primary.port} user=postgres dbname=postgres`;
  async function open(limits: Readonly<Record<string, string>>): Promise<RawClient> {
    const env = Object.fromEntries(
      Object.entries(limits).map(([name, value]) => [`DBLINK_PROXY_LIMITS_${name.toUpperCase()}`, value]),
    );
    const proxy = await startRelay(primary, { env });
    stops.push(() => proxy.stop());
    const { client } = await logIn(proxy.port);
    stops.push(async () => client.destroy());
    return client;
  }

  const errorOf = (messages: readonly Message[]): string => {
    const fields = messages.find(({ type }) => type === 'E')?.fields;
    return fields === undefined ? '' : `${fields['C']} ${fields['M']}`;
  };
  const rows = (count: number, name = 't', width = 1): string =>
    `dblink('${conninfo()}', 'SELECT repeat(''x'', ${width}) FROM generate_series(1, ${count})') AS ${name}(a text)`;

  it('limits.collected_rows: rows that the primary is handed, of all sources together', async () => {
    const client = await open({ collected_rows: '100' });
    const counted = (from: string): string => `SELECT count(*) FROM ${from}`;
    assert.equal(firstValue(await query(client, counted(rows(100)))), '100');
    const tooMany = '54000 the statement needs more than 100 rows of remotes in memory';
    assert.equal(errorOf(await query(client, counted(rows(101)))), tooMany);
    assert.equal(errorOf(await query(client, counted(`${rows(60, 'x')}, ${rows(60, 'y')}`))), tooMany);
    // Each statement has so many, and what goes to the client as it comes is not kept.
    const two = await query(client, `${counted(rows(90))}; ${counted(rows(90))}`);
    assert.deepEqual([errorOf(two), two.filter(({ type }) => type === 'C').length], ['', 2]);
    const streamed = await query(client, `SELECT * FROM ${rows(1000)}`);
    assert.equal(streamed.filter(({ type }) => type === 'D').length, 1000);
  });

  it('limits.session_memory: what all results of a session take', async () => {
    const client = await open({ session_memory: '1MiB' });
    const both = (width: number): string =>
      `SELECT (SELECT sum(length(a)) FROM ${rows(1, 'x', width)}) + (SELECT sum(length(a)) FROM ${rows(1, 'y', width)})`;
    assert.equal(
      errorOf(await query(client, both(700_000))),
      '53200 out of memory for results: the setting "limits.session_memory" of the proxy is 1048576 bytes',
    );
    assert.equal(firstValue(await query(client, both(100_000))), '200000');
  });

  const prepare = async (client: RawClient, name: string, sql: string): Promise<Message[]> => {
    client.write(Buffer.concat([frontend.parse(name, sql), frontend.sync()]));
    return client.until('Z');
  };
  const CALL = "SELECT dblink_error_message('c')";
  const TOO_MANY =
    '53400 too many prepared statements and portals: the setting "limits.prepared_statements" of the proxy is 3';

  it('limits.prepared_statements: those that call dblink, known or not, until some are closed', async () => {
    const client = await open({ prepared_statements: '3' });
    for (const name of ['a', 'b', 'c']) assert.equal(errorOf(await prepare(client, name, CALL)), '');
    assert.equal(errorOf(await prepare(client, 'd', CALL)), TOO_MANY);
    assert.equal(errorOf(await prepare(client, 'd', `${CALL}, 1`)), TOO_MANY);
    // The unnamed one, others, and a name that is taken are as before.
    assert.equal(errorOf(await prepare(client, '', CALL)), '');
    assert.equal(errorOf(await prepare(client, 'e', 'SELECT 1')), '');
    assert.match(errorOf(await prepare(client, 'a', CALL)), /^42P05/);
    client.write(Buffer.concat([frontend.close('S', 'a'), frontend.sync()]));
    await client.until('Z');
    assert.equal(errorOf(await prepare(client, 'd', CALL)), '');
    // Nothing of what was refused is in the primary.
    const names = await query(
      client,
      "SELECT string_agg(name, ',' ORDER BY name) FROM pg_prepared_statements",
    );
    assert.equal(firstValue(names), ',b,c,d,e'.slice(1));
  });

  it('limits.prepared_statements: what SQL has deallocated does not count', async () => {
    const client = await open({ prepared_statements: '3' });
    for (let round = 0; round < 3; round++) {
      for (const name of ['a', 'b', 'c'])
        assert.equal(errorOf(await prepare(client, `${name}${round}`, CALL)), '');
      await query(client, round === 1 ? 'DISCARD ALL' : 'DEALLOCATE ALL');
    }
    assert.equal(errorOf(await prepare(client, 'd', CALL)), '');
  });

  it('limits.prepared_statements: portals in a transaction, which they end with', async () => {
    const client = await open({ prepared_statements: '3' });
    assert.equal(errorOf(await prepare(client, 'a', CALL)), '');
    await query(client, `SELECT dblink_connect('c', '${conninfo()}')`);
    const bind = async (portal: string): Promise<string> => {
      client.write(Buffer.concat([frontend.bind({ portal, statement: 'a' }), frontend.sync()]));
      return errorOf(await client.until('Z'));
    };
    for (let round = 0; round < 2; round++) {
      await query(client, 'BEGIN');
      for (const portal of ['p', 'q', '']) assert.equal(await bind(portal), '');
      assert.equal(await bind('r'), TOO_MANY);
      assert.match(await bind('s'), /^25P02/);
      await query(client, 'ROLLBACK');
    }
    client.write(
      Buffer.concat([
        frontend.bind({ portal: 'p', statement: 'a' }),
        frontend.execute('p', 0),
        frontend.sync(),
      ]),
    );
    assert.equal(firstValue(await client.until('Z')), 'OK');
  });

  it('limits.prepared_bytes: their texts and values', async () => {
    const client = await open({ prepared_bytes: '64KiB' });
    const long = (bytes: number): string => `${CALL} /* ${'x'.repeat(bytes)} */`;
    assert.equal(errorOf(await prepare(client, 'a', long(40_000))), '');
    assert.match(
      errorOf(await prepare(client, 'b', long(40_000))),
      /^53400 too much memory for prepared statements: the setting "limits\.prepared_bytes" of the proxy is 65536 bytes$/,
    );
    assert.equal(errorOf(await prepare(client, 'b', long(10_000))), '');
  });

  it('limits.pipelined_bytes: a client that sends on behind a call has to wait, and loses nothing', async () => {
    const client = await open({ pipelined_bytes: '64KiB' });
    await query(client, `SELECT dblink_connect('c', '${conninfo()}')`);
    client.write(frontend.query("SELECT * FROM dblink('c', 'SELECT pg_sleep(600)') AS t(a text)"));
    const one = frontend.query(`SELECT 1 /* ${'x'.repeat(100_000)} */`);
    const many = 200;
    client.write(Buffer.concat(Array.from({ length: many }, () => one)));
    // Twenty megabytes: more than the buffers of both sockets take.
    const { client: admin } = await logIn(primary.port);
    const end = async (): Promise<string | undefined> =>
      firstValue(
        await query(
          admin,
          "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid() AND state = 'active' AND application_name = ''",
        ),
      );
    while ((await end()) === '0');
    assert.ok(client.socket.writableLength > 0, 'the client waits');
    const answers = await client.until('Z', many + 1);
    assert.equal(answers.filter(({ type }) => type === 'C').length, many);
    admin.destroy();
  });
});
