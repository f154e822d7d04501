import assert from 'node:assert/strict';
import { request } from 'node:http';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { after, afterEach, before, describe, it } from 'node:test';
import { Client } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../../src/embedded/index.js';
import { type LogLine, type Program, startProgram } from '../../attacks/support/program.js';
import { eventually } from '../../support/eventually.js';

interface Answer {
  readonly status: number;
  readonly text: string;
}

function get(url: string, headers: Readonly<Record<string, string>> = {}, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { headers, method, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => (text += part));
      response.on('end', () => resolve({ status: response.statusCode!, text }));
    });
    asked.on('error', reject);
    asked.end();
  });
}

/** The sum of all series of a name with these labels. */
function sumOf(text: string, name: string, labels: Readonly<Record<string, string>> = {}): number {
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => Object.entries(labels).every(([key, value]) => line.includes(`${key}="${value}"`)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

describe('what the proxy tells by HTTP', () => {
  let primary: PostgresServer;
  let remote: PostgresServer;
  const programs = new Set<Program>();
  const clients = new Set<Client>();

  before(async () => {
    const installation = await prepareBinaries({ major: 18, dblink: false });
    [primary, remote] = await Promise.all([startPostgres({ installation }), startPostgres({ installation })]);
  });
  afterEach(async () => {
    for (const client of clients) await client.end().catch(() => undefined);
    clients.clear();
    for (const program of programs) await program.kill();
    programs.clear();
  });
  after(() => Promise.all([primary?.stop('immediate'), remote?.stop('immediate')]));

  async function start(
    args: readonly string[] = [],
    { user = 'postgres@', listen = '127.0.0.1:0', env = {} } = {},
  ): Promise<{ readonly program: Program; readonly url: string; readonly port: number }> {
    const program = await startProgram(
      `postgres://${user}127.0.0.1:${primary.port}/postgres?sslmode=disable`,
      { args: ['--http-listen', listen, ...args], env },
    );
    programs.add(program);
    const line = await program.logged(({ msg }) => msg.startsWith('metrics and health'));
    const port = line['port'] as number;
    return { program, port, url: `http://127.0.0.1:${port}` };
  }

  async function open(program: Program, database = 'postgres'): Promise<Client> {
    const client = new Client({ host: '127.0.0.1', port: program.port, user: 'postgres', database });
    client.on('error', () => undefined);
    await client.connect();
    clients.add(client);
    return client;
  }

  const REMOTE = (): string => `host=127.0.0.1 port=${remote.port} user=postgres dbname=postgres`;

  for (const workers of ['1', '2']) {
    it(`metrics of what was done, by ${workers} processes that serve`, async () => {
      const { program, url } = await start(['--workers', workers]);
      const sessions = [await open(program), await open(program)];
      for (const session of sessions) {
        await session.query(`SELECT * FROM dblink('${REMOTE()}', 'SELECT 1') AS t(a int)`);
        await session.query(`SELECT * FROM dblink('${REMOTE()}', 'SELECT 1') AS t(a int)`);
        await session.query(`SELECT dblink_connect('c', '${REMOTE()}')`);
        await session
          .query(`DO $$BEGIN PERFORM dblink_exec('c', 'SET work_mem = 1000'); END$$`)
          .catch(() => undefined);
      }
      await assert.rejects(open(program, 'no_such_database'));
      const { status, text } = await get(`${url}/metrics`);
      assert.equal(status, 200);
      const value = (name: string, labels = {}): number => sumOf(text, `dblink_proxy_${name}`, labels);
      assert.equal(value('sessions', { database: 'postgres' }), 2);
      assert.equal(value('sessions_total'), 2);
      assert.equal(value('login_seconds_count'), 2);
      assert.equal(value('clients_refused_total', { sqlstate_class: '3D' }), 1);
      assert.equal(value('statements_total', { plan: 'stream' }), 4);
      assert.equal(value('plan_seconds_count', { plan: 'stream' }), 4);
      assert.equal(value('remote_call_seconds_count', { function: 'dblink' }), 4);
      assert.equal(value('remote_call_seconds_count', { function: 'dblink_connect' }), 2);
      assert.equal(value('pool_hits_total'), 2);
      await assert.rejects(sessions[0]!.query("SELECT dblink_connect('x', 'host=169.254.169.254 user=a')"), {
        code: '42501',
      });
      const refusals = (await get(`${url}/metrics`)).text;
      assert.equal(sumOf(refusals, 'dblink_proxy_policy_refusals_total'), 1);
      assert.equal(value('remote_connections', { state: 'used' }), 2);
      assert.ok(value('bytes_total', { hop: 'client', direction: 'received' }) > 500);
      assert.ok(value('bytes_total', { hop: 'primary', direction: 'sent' }) > 100);
      assert.ok(value('process_resident_memory_bytes') > 1e7);
      assert.match(text, /dblink_proxy_build_info\{version="[^"]+",node="[^"]+"\} 1\n/);
      for (const session of sessions) await session.end();
      clients.clear();
      await eventually('sessions have ended', async () => {
        const later = (await get(`${url}/metrics`)).text;
        return (
          sumOf(later, 'dblink_proxy_sessions') === 0 &&
          sumOf(later, 'dblink_proxy_bytes_total', { hop: 'client', direction: 'sent' }) >=
            value('bytes_total', { hop: 'client', direction: 'sent' })
        );
      });
    });
  }

  it('no text of a client, no name of a connection and no literal', async () => {
    const { program, url } = await start();
    const client = await open(program);
    await client.query(`SET application_name = 'canary1'`);
    await client.query(`SELECT dblink_connect('canary2', '${REMOTE()} application_name=canary3')`);
    await client.query(`SELECT * FROM dblink('canary2', 'SELECT ''canary4''') AS t(canary5 text)`);
    await assert.rejects(open(program, 'canary6'));
    assert.doesNotMatch((await get(`${url}/metrics`)).text, /canary/);
  });

  it('health, and whether clients would be served, to everybody', async () => {
    const { program, url } = await start();
    assert.deepEqual(await get(`${url}/healthz`), { status: 200, text: 'ok\n' });
    assert.deepEqual(await get(`${url}/readyz`), { status: 200, text: 'ready\n' });
    const client = await open(program);
    await client.query('BEGIN');
    program.child.kill('SIGTERM');
    await program.logged(({ msg }) => msg === 'shutting down');
    assert.deepEqual(await get(`${url}/readyz`), { status: 503, text: 'shutting down\n' });
    assert.equal((await get(`${url}/healthz`)).status, 200);
    await client.query('COMMIT').catch(() => undefined);
    assert.equal(await program.ended, 0);
  });

  it('that it is not ready without a primary, with or without an account', async () => {
    for (const user of ['', 'postgres@', 'nobody_has_this_name@']) {
      const { url } = await start([], { user });
      const known = user !== 'nobody_has_this_name@';
      assert.equal((await get(`${url}/readyz`)).status, known ? 200 : 503);
    }
    const program = await startProgram('postgres://postgres@127.0.0.1:1/?sslmode=disable', {
      args: ['--http-listen', '127.0.0.1:0'],
    });
    programs.add(program);
    const { port } = (await program.logged(({ msg }) => msg.startsWith('metrics and health'))) as {
      port?: number;
    };
    const answer = await get(`http://127.0.0.1:${port}/readyz`);
    assert.deepEqual(answer, { status: 503, text: 'the primary cannot be logged in to\n' });
  });

  it('metrics to this machine only, and to no page of another site', async () => {
    const { url, port } = await start([], { listen: '0.0.0.0:0' });
    assert.equal((await get(`${url}/metrics`, { host: 'evil.example' })).status, 403);
    assert.equal((await get(`${url}/metrics`, { host: '127.0.0.1.evil.example' })).status, 403);
    assert.equal((await get(`${url}/metrics`, { host: 'localhost:1' })).status, 200);
    assert.equal((await get(`${url}/metrics`, {}, 'POST')).status, 405);
    assert.equal((await get(`${url}/etc/passwd`)).status, 404);
    for (const name of ['x-forwarded-for', 'Forwarded', 'Via'])
      assert.equal((await get(`${url}/metrics`, { [name]: '10.0.0.1' })).status, 403);
    const own = Object.values(networkInterfaces())
      .flat()
      .find((at) => at?.family === 'IPv4' && !at.internal);
    if (own !== undefined) {
      assert.equal((await get(`http://${own.address}:${port}/metrics`)).status, 403);
      assert.equal((await get(`http://${own.address}:${port}/healthz`)).status, 200);
    }
  });

  it('health to others, whatever one address does', async () => {
    const { port } = await start([], { listen: '0.0.0.0:0' });
    const own = Object.values(networkInterfaces())
      .flat()
      .find((at) => at?.family === 'IPv4' && !at.internal);
    const sockets = Array.from({ length: 200 }, () => connect(port, '127.0.0.1'));
    for (const socket of sockets) socket.on('error', () => undefined);
    await eventually('most of them are closed', () => sockets.filter(({ closed }) => closed).length >= 175);
    if (own !== undefined) assert.equal((await get(`http://${own.address}:${port}/healthz`)).status, 200);
    for (const socket of sockets) socket.destroy();
    await eventually('there is room again', async () =>
      get(`http://127.0.0.1:${port}/healthz`).then(
        ({ status }) => status === 200,
        () => false,
      ),
    );
  });

  it('counts that do not fall when a process ends, and that nobody is served then', async () => {
    const { program, url } = await start(['--workers', '2', '--log-level', 'debug']);
    for (let i = 0; i < 4; i++) await open(program);
    assert.equal(sumOf((await get(`${url}/metrics`)).text, 'dblink_proxy_sessions_total'), 4);
    const begun = program.lines.map((line) => JSON.parse(line) as LogLine);
    const workers = new Set(
      begun.filter(({ msg }) => msg === 'session begins').map(({ pid }) => pid as number),
    );
    process.kill([...workers][0]!, 'SIGKILL');
    await program.logged(({ msg }) => msg.startsWith('a worker has ended'));
    assert.equal(sumOf((await get(`${url}/metrics`)).text, 'dblink_proxy_sessions_total'), 4);
  });

  it('metrics to whoever has the token, and to nobody else', async () => {
    const { url } = await start([], { env: { DBLINK_PROXY_HTTP_TOKEN: 'a-token' } });
    assert.equal((await get(`${url}/metrics`)).status, 401);
    assert.equal((await get(`${url}/metrics`, { authorization: 'Bearer a-toke' })).status, 401);
    assert.equal((await get(`${url}/metrics`, { authorization: 'Bearer a-token' })).status, 200);
    assert.equal((await get(`${url}/healthz`)).status, 200);
  });
});
