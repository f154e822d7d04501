import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../../src/embedded/index.js';
import { startProgram } from '../../attacks/support/program.js';
import { eventually } from '../../support/eventually.js';
import { type AuditLine, readEvents } from './world.js';

/** The program itself, with one process and with several, and a file that is moved away. */
describe('the audit of a program', () => {
  let primary: PostgresServer;
  let remote: PostgresServer;
  let directory: string;
  before(async () => {
    [primary, remote] = await Promise.all([
      prepareBinaries({ major: 18, dblink: false }).then((installation) => startPostgres({ installation })),
      prepareBinaries({ major: 18, dblink: true }).then((installation) => startPostgres({ installation })),
    ]);
    directory = mkdtempSync(join(tmpdir(), 'rotation-'));
  });
  after(async () => {
    rmSync(directory, { recursive: true });
    await Promise.all([primary.stop('immediate'), remote.stop('immediate')]);
  });

  for (const workers of [1, 2])
    it(`is whole when its file is moved while sessions work (${workers} of them)`, async () => {
      const file = join(directory, `audit-${workers}.json`);
      const program = await startProgram(`postgres://postgres@127.0.0.1:${primary.port}/?sslmode=disable`, {
        args: ['--workers', String(workers)],
        env: { DBLINK_PROXY_AUDIT_FILE: file, DBLINK_PROXY_AUDIT_STATEMENTS: 'full' },
      });
      const to = `host=127.0.0.1 port=${remote.port} user=postgres dbname=postgres`;
      const clients = await Promise.all(
        Array.from({ length: 4 }, async (_, i) => {
          const login = { host: '127.0.0.1', port: program.port, user: 'postgres', database: 'postgres' };
          const client = new Client({ ...login, application_name: `client ${i}` });
          await client.connect();
          await client.query('SELECT dblink_connect($1)', [to]);
          return client;
        }),
      );
      // Long texts, so that lines of one process could come into those of another.
      const work = (from: number): Promise<unknown> =>
        Promise.all(
          clients.map(async (client, i) => {
            for (let n = from; n < from + 50; n++)
              await client.query(
                `SELECT * FROM dblink('SELECT ''${i}/${n}/${'x'.repeat(6000)}''') AS t(a text)`,
              );
          }),
        );
      await work(0);
      const working = work(50);
      renameSync(file, `${file}.1`);
      process.kill(program.pid, 'SIGHUP');
      await working;
      await eventually('the file is there again', () => existsSync(file));
      await work(100);
      await Promise.all(clients.map((client) => client.end()));
      const events = (): readonly AuditLine[] => [...readEvents(`${file}.1`), ...readEvents(file)];
      await eventually('all have left', () =>
        assert.equal(events().filter(({ event }) => event === 'session_ended').length, 4),
      );
      const texts = events()
        .filter(({ event }) => event === 'statement')
        .map(({ text }) => /'(\d+\/\d+)\//.exec(String(text))?.[1]);
      const wanted = Array.from({ length: 600 }, (_, k) => `${Math.floor(k / 150)}/${k % 150}`);
      assert.deepEqual(texts.sort(), wanted.sort());
      assert.equal(new Set(events().map(({ pid }) => pid)).size, workers);
      assert.equal(statSync(file).mode & 0o777, 0o600);
      await program.logged(({ msg }) => msg.startsWith('reading the configuration again'));
      program.child.kill('SIGTERM');
      assert.equal(await program.ended, 0);
    });

  it('says how the sessions end with the program, before that ends', async () => {
    const file = join(directory, 'end.json');
    const program = await startProgram(`postgres://postgres@127.0.0.1:${primary.port}/?sslmode=disable`, {
      env: { DBLINK_PROXY_AUDIT_FILE: file },
    });
    const client = new Client({
      host: '127.0.0.1',
      port: program.port,
      user: 'postgres',
      database: 'postgres',
    });
    client.on('error', () => undefined);
    await client.connect();
    program.child.kill('SIGTERM');
    assert.equal(await program.ended, 0);
    const last = JSON.parse(readFileSync(file, 'utf8').trimEnd().split('\n').at(-1)!) as AuditLine;
    assert.deepEqual([last.event, last['reason']], ['session_ended', 'shutdown']);
  });

  it('does not start without its file, and says why', async () => {
    for (const workers of ['1', '2'])
      await assert.rejects(
        startProgram(`postgres://postgres@127.0.0.1:${primary.port}/?sslmode=disable`, {
          args: ['--workers', workers],
          env: { DBLINK_PROXY_AUDIT_FILE: join(directory, 'no', 'such.json') },
        }),
        /ENOENT/,
      );
  });

  it('can go to the standard error', async () => {
    const program = await startProgram(`postgres://postgres@127.0.0.1:${primary.port}/?sslmode=disable`, {
      env: { DBLINK_PROXY_AUDIT_FILE: 'stderr' },
    });
    const client = new Client({
      host: '127.0.0.1',
      port: program.port,
      user: 'postgres',
      database: 'postgres',
    });
    await client.connect();
    await client.end();
    await eventually('it is there', () =>
      assert.ok(program.lines.some((line) => line.includes('"event":"session_ended"'))),
    );
    await program.kill();
  });
});
