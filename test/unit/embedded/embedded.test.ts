import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  EmbeddedError,
  PREPARED_VARIABLE,
  prepareBinaries,
  startPostgres,
} from '../../../src/embedded/index.js';
import { LIVENESS_MS } from '../../support/pace.js';
import { createDatabase, execute, extensionServer, primaryServer } from '../../support/postgres.js';

// Making all of it is what is tested here.
delete process.env[PREPARED_VARIABLE];

const dblinkAvailable = "SELECT count(*)::int FROM pg_available_extensions WHERE name = 'dblink'";

describe('embedded PostgreSQL', () => {
  for (const major of [18, 15]) {
    it(`runs version ${major} with dblink`, async () => {
      const server = await extensionServer(major);
      const rows = await execute(
        server.url(),
        "SHOW server_version; CREATE EXTENSION dblink; SELECT dblink_connect('c', 'host=127.0.0.1 port=' || current_setting('port') || ' user=postgres dbname=postgres')",
      );
      assert.deepEqual(rows, [['OK']]);
      assert.equal(server.installation.version.split('.')[0], String(major));
    });
  }

  it('runs a primary without any file of dblink', async () => {
    const server = await primaryServer(18);
    assert.deepEqual(await execute(server.url(), dblinkAvailable), [[0]]);
    await assert.rejects(execute(server.url(), 'CREATE EXTENSION dblink'), { code: '0A000' });
    const extensions = readdirSync(join(server.installation.directory, 'share', 'postgresql', 'extension'));
    assert.ok(extensions.includes('hstore.control'));
    assert.deepEqual(
      extensions.filter((name) => name.startsWith('dblink')),
      [],
    );
  });

  it('creates databases of other encodings', async () => {
    const url = await createDatabase(await primaryServer(18), 'ünïcode "db"', { encoding: 'LATIN1' });
    assert.deepEqual(await execute(url, 'SHOW server_encoding'), [['LATIN1']]);
  });

  it('applies settings, password, initdb arguments and pg_hba.conf, keeps data over a restart, removes all', async () => {
    const server = await startPostgres({
      installation: await prepareBinaries({ major: 18, dblink: false }),
      settings: { 'app.greeting': "it's C:\\new" },
      initdbArgs: ['--encoding=EUC_JP'],
      password: 'p@ss/w:rd',
      hba: ['host postgres all 127.0.0.1/32 scram-sha-256'],
    });
    await execute(server.url(), 'CREATE TABLE t AS SELECT 1 AS a');
    await assert.rejects(execute(server.url('template1'), 'SELECT 1'), { code: '28000' });
    await assert.rejects(execute(`postgres://postgres:wrong@127.0.0.1:${server.port}/postgres`, 'SELECT 1'), {
      code: '28P01',
    });
    const before = server.pid;
    await server.restart();
    assert.notEqual(server.pid, before);
    assert.deepEqual(
      await execute(
        server.url(),
        "SELECT a, current_setting('app.greeting'), current_setting('server_encoding') FROM t",
      ),
      [[1, "it's C:\\new", 'EUC_JP']],
    );
    assert.ok(existsSync(server.logFile));
    await server.stop();
    await server.stop();
    assert.equal(existsSync(server.dataDir), false);
    await assert.rejects(execute(server.url(), 'SELECT 1'), { code: 'ECONNREFUSED' });
  });

  it('says why a server does not start and which package is missing', async () => {
    const installation = await prepareBinaries({ major: 18, dblink: false });
    await assert.rejects(
      startPostgres({ installation, settings: { no_such_setting: 'x' } }),
      (error) => error instanceof EmbeddedError && error.message.includes('no_such_setting'),
    );
    const port = (await primaryServer(18)).port;
    await assert.rejects(startPostgres({ installation, port }), /Address already in use/);
    await assert.rejects(prepareBinaries({ major: 9, dblink: true }), /npm install --no-save "pg9-/);
  });

  it('looks for packages in a further directory too', async () => {
    const packages = mkdtempSync(join(tmpdir(), 'packages-'));
    try {
      const name = `pg8-${process.platform}-${process.arch}`;
      mkdirSync(join(packages, 'node_modules', name), { recursive: true });
      writeFileSync(join(packages, 'node_modules', name, 'package.json'), '{ "version": "8.0.1" }');
      // Found, but without programs.
      const found = new RegExp(`found ${name} 8\\.0\\.1`);
      await assert.rejects(prepareBinaries({ major: 8, dblink: true, packages }), found);
    } finally {
      rmSync(packages, { recursive: true });
    }
  });

  it('leaves nothing behind when the process is killed', { timeout: LIVENESS_MS }, async () => {
    const child = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `
        import { prepareBinaries, startPostgres } from ${JSON.stringify(new URL('../../../src/embedded/index.js', import.meta.url))};
        const installation = await prepareBinaries({ major: 18, dblink: false });
        const server = await startPostgres({ installation });
        console.log(JSON.stringify({ url: server.url(), directory: installation.directory }));
        setInterval(() => {}, 1000);
      `,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const { url, directory } = JSON.parse(line.toString()) as { url: string; directory: string };
    assert.ok(existsSync(directory));
    await execute(url, 'SELECT 1');
    child.kill('SIGKILL');
    while (existsSync(directory)) await delay(50);
    await assert.rejects(execute(url, 'SELECT 1'), { code: 'ECONNREFUSED' });
  });
});
