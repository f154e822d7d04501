import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { Client, type ClientConfig } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../../src/embedded/index.js';
import { type Program, startProgram } from '../../attacks/support/program.js';
import { eventually } from '../../support/eventually.js';
import { lively } from '../../support/pace.js';
import { tlsText } from '../../support/tlsFiles.js';

/** How often the configuration is read again while clients work. 1,000 by hand: `RELOADS=1000 npm test -- relay/reload`. */
const RELOADS = Number(process.env['RELOADS'] ?? 60);

for (const workers of [1, 2]) {
  describe(`SIGHUP has the configuration read again, with ${workers} processes that serve`, () => {
    let primary: PostgresServer;
    let other: PostgresServer;
    let directory: string;
    const programs = new Set<Program>();
    const clients = new Set<Client>();

    before(async () => {
      directory = mkdtempSync(join(tmpdir(), 'dblink-proxy-reload-'));
      const installation = await prepareBinaries({ major: 18, dblink: false });
      [primary, other] = await Promise.all([
        startPostgres({ installation }),
        startPostgres({ installation }),
      ]);
    });
    afterEach(async () => {
      for (const client of clients) await client.end().catch(() => undefined);
      clients.clear();
      for (const program of programs) await program.kill();
      programs.clear();
    });
    after(async () => {
      await Promise.all([primary?.stop('immediate'), other?.stop('immediate')]);
      rmSync(directory, { recursive: true, force: true });
    });

    const file = (): string => join(directory, 'proxy.yaml');
    const urlOf = ({ port }: PostgresServer): string =>
      `postgres://postgres@127.0.0.1:${port}/postgres?sslmode=disable`;

    /** Writes the file. Its first three lines name the primary. */
    function configure(settings: string, { of = primary, level = 'info' } = {}): void {
      writeFileSync(
        file(),
        `databases:\n  "*":\n    primary: ${urlOf(of)}\nworkers: ${workers}\nlog: { level: ${level} }\n${settings}`,
      );
    }

    async function start(settings = ''): Promise<Program> {
      configure(settings);
      const program = await startProgram(undefined, { args: ['--config', file()] });
      programs.add(program);
      return program;
    }

    /** Has the file read. @returns what is logged of it */
    async function reload(program: Program): Promise<string> {
      const before = program.lines.length;
      program.child.kill('SIGHUP');
      let text = '';
      await eventually('the file is read', () => {
        text = program.lines.slice(before).join('\n');
        return /the configuration was (?:read again|not changed)/.test(text);
      });
      return text;
    }

    async function open(program: Program, more: ClientConfig = {}): Promise<Client> {
      const config = { host: '127.0.0.1', port: program.port, user: 'postgres', database: 'postgres' };
      const client = new Client({ ...config, ...more });
      client.on('error', () => undefined);
      await client.connect();
      clients.add(client);
      return client;
    }

    const value = async (client: Client, sql: string): Promise<unknown> =>
      Object.values((await client.query<Record<string, unknown>>(sql)).rows[0]!)[0];
    const REMOTE = (): string => `host=127.0.0.1 port=${other.port} user=postgres dbname=postgres`;
    const call = (client: Client): Promise<unknown> =>
      value(client, `SELECT a FROM dblink('${REMOTE()}', 'SELECT 1') AS t(a int)`);

    it('for sessions that come, while those that are open go on with their primary', async () => {
      const program = await start();
      const early = await open(program);
      await early.query('CREATE TEMP TABLE mine AS SELECT 1 AS n; BEGIN');
      configure('', { of: other });
      assert.match(await reload(program), /"changed":\["databases\.\*\.primary"\]/);
      for (let i = 0; i < workers; i++)
        assert.equal(await value(await open(program), 'SELECT inet_server_port()'), other.port);
      assert.equal(await value(early, 'SELECT inet_server_port()'), primary.port);
      assert.equal(await value(early, 'SELECT n FROM mine'), 1);
      await early.query('COMMIT');
      assert.equal(await call(early), 1);
    });

    it('access, encryption and logins of the sessions that come', async () => {
      const program = await start();
      await open(program);
      const [cert, key] = ['server.crt', 'server.key'].map((name) => join(directory, name));
      writeFileSync(cert!, tlsText('server.crt'));
      writeFileSync(key!, tlsText('server.key'));
      configure('tls: { cert: server.crt, key: server.key }\naccess:\n  - allow: { tls: true }');
      await reload(program);
      await assert.rejects(open(program), { code: '28000' });
      await open(program, { ssl: { rejectUnauthorized: false } });
      configure('');
      await reload(program);
      await open(program);
    });

    it('the policy and limits for those that are open, too', async () => {
      const program = await start();
      const sessions: Client[] = [];
      for (let i = 0; i < workers; i++) sessions.push(await open(program));
      for (const session of sessions) assert.equal(await call(session), 1);
      configure('policy: { default: deny }');
      await reload(program);
      for (const session of sessions) await assert.rejects(call(session), { code: '42501' });
      configure(`limits: { remote_connections_per_session: 1, clients: ${workers} }`);
      await reload(program);
      for (const session of sessions) {
        await session.query(`SELECT dblink_connect('a', '${REMOTE()}')`);
        await assert.rejects(session.query(`SELECT dblink_connect('b', '${REMOTE()}')`), { code: '53300' });
      }
      await assert.rejects(open(program), { code: '53300' });
      const ended = sessions.map((session) => new Promise((resolve) => session.once('end', resolve)));
      configure('timeouts: { idle: 1 }');
      await reload(program);
      await lively('the end of idle sessions', Promise.all(ended));
    });

    it('not when anything is wrong with it, which is told by file, line and key', async () => {
      const program = await start('policy: { default: deny }');
      configure('policy:\n  default: allow\nlimits:\n  clients: many');
      const text = await reload(program);
      assert.match(text, /"level":"error"/);
      assert.match(text, /proxy\.yaml:9:12: limits\.clients: /);
      const client = await open(program);
      await assert.rejects(call(client), { code: '42501' });
      writeFileSync(join(directory, 'bad.crt'), 'no certificate');
      configure('tls: { cert: bad.crt, key: bad.crt }');
      assert.match(await reload(program), /proxy\.yaml:6:14: tls\.cert: /);
      rmSync(file());
      assert.match(await reload(program), /cannot be read/);
      await assert.rejects(call(await open(program)), { code: '42501' });
      configure('');
      await reload(program);
      assert.equal(await call(client), 1);
    });

    it('and says which settings need a restart', async () => {
      const program = await start();
      configure('unix_socket_mode: "0700"\nembedded: false\nlog: { pretty: true }'.replace(/log: .*/, ''));
      const text = await reload(program);
      assert.match(
        text,
        /"settings":\["unix_socket_mode"\],"msg":"settings have changed that need a restart"/,
      );
      // They stay to be told until that happens.
      assert.match(await reload(program), /"settings":\["unix_socket_mode"\]/);
      configure('', { level: 'debug' });
      await reload(program);
      await open(program);
      await program.logged(({ msg, level }) => level === 'debug' && msg === 'session begins');
    });

    it('any number of times while clients work: nobody notices, and nothing is left over', async () => {
      const program = await start();
      const descriptors = (): number => readdirSync(`/proc/${program.pid}/fd`).length;
      const sessions = [];
      for (let i = 0; i < 4; i++) sessions.push(await open(program));
      for (const session of sessions) await call(session);
      const before = descriptors();
      let stop = false;
      const work = sessions.map(async (session) => {
        for (let i = 0; !stop; i++) {
          assert.equal(await value(session, `SELECT ${i}`), i);
          if (i % 5 === 0) assert.equal(await call(session), 1);
        }
      });
      const comings = (async () => {
        while (!stop) {
          const client = await open(program);
          assert.equal(await call(client), 1);
          await client.end();
          clients.delete(client);
        }
      })();
      for (let i = 0; i < RELOADS; i++) {
        configure(`limits: { statement_bytes: ${1_000_000 + i} }`);
        await reload(program);
      }
      stop = true;
      await Promise.all([...work, comings]);
      await eventually('what was opened is closed', () => descriptors() <= before + 2);
    });
  });
}
