import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { type ClientTools, findClientTools } from '../support/clientTools.js';
import { eventually, soon } from '../support/eventually.js';
import { asQuickAs, timed } from '../support/pace.js';
import { createDatabase, execute } from '../support/postgres.js';
import { type RelayProxy, startRelay } from '../support/relay.js';

const MAJOR = 15;
const found = await findClientTools(
  ['psql', 'pg_dump', 'pg_restore', 'pg_basebackup', 'pg_recvlogical', 'pg_receivewal'],
  MAJOR,
);
// Some distributions keep this one with the server.
const bench = await findClientTools(['psql', 'pgbench'], MAJOR);

describe('PostgreSQL’s own programs work through the proxy', {
  skip: found === undefined && 'not installed',
}, () => {
  const tools = found as ClientTools;
  let primary: PostgresServer;
  let proxy: RelayProxy;
  let folder: string;
  const at = (port: number, database?: string): string[] => [
    '-h',
    '127.0.0.1',
    '-p',
    String(port),
    '-U',
    'postgres',
    ...(database === undefined ? [] : ['-d', database]),
  ];

  before(async () => {
    const installation = await prepareBinaries({ major: MAJOR, dblink: false });
    primary = await startPostgres({ installation, settings: { wal_level: 'logical' } });
    proxy = await startRelay(primary);
    folder = mkdtempSync(join(tmpdir(), 'dblink-proxy-tools-'));
  });
  after(async () => {
    await proxy?.stop();
    await primary?.stop('immediate');
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  describe('pgbench', { skip: bench === undefined && 'not installed' }, () => {
    const tools = bench as ClientTools;
    const CLIENTS = 4;
    const TRANSACTIONS = 50;
    before(async () => {
      await createDatabase(primary, 'bench');
      await tools.run('pgbench', [...at(proxy.port), '-q', '-i', '-s', '1', 'bench']);
    });
    for (const mode of ['simple', 'extended', 'prepared']) {
      it(`${mode}, reading and writing`, async () => {
        const { stdout } = await tools.run('pgbench', [
          ...at(proxy.port),
          ...['-n', '-M', mode, '-c', String(CLIENTS), '-t', String(TRANSACTIONS), 'bench'],
        ]);
        assert.match(
          stdout,
          new RegExp(`number of transactions actually processed: (${CLIENTS * TRANSACTIONS})/\\1`),
        );
        assert.match(stdout, /number of failed transactions: 0/);
      });
    }
    it('leaves books that balance', async () => {
      const sums = `SELECT count(*)::int, (SELECT sum(abalance) FROM pgbench_accounts) = sum(delta),
        (SELECT sum(tbalance) FROM pgbench_tellers) = sum(delta), (SELECT count(*)::int FROM pgbench_accounts)
        FROM pgbench_history`;
      assert.deepEqual(await execute(primary.url('bench'), sums), [
        [3 * CLIENTS * TRANSACTIONS, true, true, 100_000],
      ]);
    });
    it('with a new connection for each transaction', async () => {
      const { stdout } = await tools.run('pgbench', [
        ...at(proxy.port),
        ...['-n', '-S', '-C', '-c', '2', '-t', '20', 'bench'],
      ]);
      assert.match(stdout, /actually processed: 40\/40/);
    });
  });

  describe('pg_dump and pg_restore', () => {
    const CONTENT = `
      CREATE TABLE kinds (id serial PRIMARY KEY, t text, b bytea, j jsonb, n numeric, a int[], ts timestamptz, g text GENERATED ALWAYS AS (upper(t)) STORED);
      INSERT INTO kinds (t, b, j, n, a, ts) SELECT repeat(chr(65 + n % 26), n % 200) || E'\\t\\\\é😀', decode(md5(n::text), 'hex'),
        jsonb_build_object('n', n), n / 7.0, ARRAY[n, NULL], '2020-01-01Z'::timestamptz + n * interval '1 hour'
        FROM generate_series(1, 5000) n;
      CREATE VIEW seen AS SELECT id, t FROM kinds;
      CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2';
      CREATE INDEX ON kinds (n);
      SELECT lo_from_bytea(4711, '\\x000102');`;

    const plain = async (database: string): Promise<string> =>
      (await tools.run('pg_dump', [...at(primary.port, database), '--inserts'])).stdout.replaceAll(
        /^\\(un)?restrict .*$/gm,
        '',
      );

    before(async () => {
      await createDatabase(primary, 'original');
      await execute(primary.url('original'), CONTENT);
    });

    it('in the custom format', async () => {
      const file = join(folder, 'custom.dump');
      await tools.run('pg_dump', [...at(proxy.port, 'original'), '-Fc', '-b', '-f', file]);
      await createDatabase(primary, 'custom');
      await tools.run('pg_restore', [...at(proxy.port, 'custom'), '--exit-on-error', file]);
      assert.equal(await plain('custom'), await plain('original'));
    });

    it('in the directory format with several jobs', async () => {
      const directory = join(folder, 'jobs.dump');
      await tools.run('pg_dump', [...at(proxy.port, 'original'), '-Fd', '-j', '3', '-f', directory]);
      await createDatabase(primary, 'jobs');
      await tools.run('pg_restore', [...at(proxy.port, 'jobs'), '--exit-on-error', '-j', '3', directory]);
      assert.equal(await plain('jobs'), await plain('original'));
    });

    it('as SQL that psql runs', async () => {
      const { stdout } = await tools.run('pg_dump', at(proxy.port, 'original'));
      await createDatabase(primary, 'script');
      await tools.run('psql', [...at(proxy.port, 'script'), '-X', '-q', '-v', 'ON_ERROR_STOP=1'], stdout);
      assert.equal(await plain('script'), await plain('original'));
    });
  });

  describe('replication', () => {
    it('pg_basebackup, with the WAL streamed beside', async () => {
      const directory = join(folder, 'backup');
      await tools.run('pg_basebackup', [
        ...at(proxy.port),
        '-D',
        directory,
        '-X',
        'stream',
        '-c',
        'fast',
        '--no-sync',
      ]);
      assert.equal(readFileSync(join(directory, 'PG_VERSION'), 'utf8').trim(), String(MAJOR));
      const manifest = JSON.parse(readFileSync(join(directory, 'backup_manifest'), 'utf8')) as {
        Files: unknown[];
      };
      assert.ok(manifest.Files.length > 500);
      if (readdirSync(tools.directory).includes('pg_verifybackup')) {
        // -n: without pg_waldump, which may be missing or of another version.
        const { stdout } = await tools.run('pg_verifybackup', ['-n', directory]);
        assert.match(stdout, /backup successfully verified/);
      }
    });

    it('pg_basebackup as archives, with the WAL fetched at the end', async () => {
      const directory = join(folder, 'archives');
      await tools.run('pg_basebackup', [
        ...at(proxy.port),
        '-D',
        directory,
        '-Ft',
        '-X',
        'fetch',
        '-c',
        'fast',
      ]);
      assert.deepEqual(readdirSync(directory).sort(), ['backup_manifest', 'base.tar']);
    });

    it('pg_receivewal', async () => {
      const directory = mkdtempSync(join(folder, 'wal-'));
      const [[begin]] = (await execute(primary.url(), 'SELECT pg_walfile_name(pg_current_wal_lsn())')) as [
        [string],
      ];
      await execute(primary.url(), 'CREATE TABLE logged AS SELECT n FROM generate_series(1, 10000) n');
      await execute(primary.url(), 'SELECT pg_switch_wal()');
      const [[end]] = (await execute(
        primary.url(),
        'CREATE TABLE more (n int); SELECT pg_current_wal_lsn()',
      )) as [[string]];
      await tools.run('pg_receivewal', [...at(proxy.port), '-D', directory, '--no-loop', '--endpos', end]);
      const files = readdirSync(directory);
      assert.ok(
        files.some((file) => file >= begin),
        files.join(),
      );
      const whole = files.find((file) => !file.endsWith('.partial'));
      if (whole !== undefined) assert.equal(readFileSync(join(directory, whole)).length, 16 * 1024 * 1024);
    });

    it('pg_recvlogical', async () => {
      const url = primary.url('original');
      await execute(url, 'CREATE TABLE decoded (t text); CREATE PUBLICATION changes FOR TABLE decoded');
      const slot = [...at(proxy.port, 'original'), '--slot', 'proxied'];
      await tools.run('pg_recvlogical', [...slot, '--create-slot', '-P', 'pgoutput']);
      await execute(url, "INSERT INTO decoded SELECT 'value ' || n FROM generate_series(1, 2000) n");
      // Not with --endpos: even on a direct connection that may stop before the last changes are written.
      const file = join(folder, 'changes');
      const child = tools.start('pg_recvlogical', [
        ...slot,
        ...['--start', '-f', file, '--no-loop', '-o', 'proto_version=1', '-o', 'publication_names=changes'],
      ]);
      const ended = new Promise((resolve) => child.once('close', resolve));
      const changes = (): string => (existsSync(file) ? readFileSync(file, 'latin1') : '');
      await eventually('the changes come', () => changes().includes('value 2000'));
      // More comes while it listens.
      await execute(url, "INSERT INTO decoded VALUES ('value 3000')");
      await eventually('the last change comes', () => changes().includes('value 3000'));
      child.kill('SIGINT');
      assert.equal(await ended, 0);
      for (const n of [1, 1000, 2000, 3000]) assert.ok(changes().includes(`value ${n}`), `change ${n}`);
      await tools.run('pg_recvlogical', [...slot, '--drop-slot']);
    });
  });

  describe('psql', () => {
    it('copies files in and out', async () => {
      const [source, target] = [join(folder, 'in.csv'), join(folder, 'out.csv')];
      const content = Array.from({ length: 20_000 }, (_, n) => `${n},"line ${n}\n😀"`).join('\n');
      writeFileSync(source, `${content}\n`);
      await tools.run('psql', [
        ...at(proxy.port, 'original'),
        ...['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-c', 'CREATE TABLE file (n int, t text)'],
        ...[
          '-c',
          `\\copy file FROM '${source}' (FORMAT csv)`,
          '-c',
          `\\copy (SELECT * FROM file ORDER BY n) TO '${target}' (FORMAT csv)`,
        ],
      ]);
      assert.equal(readFileSync(target, 'utf8'), readFileSync(source, 'utf8'));
    });

    it('is told of an error of a statement and of the end of the session', async () => {
      const { stderr } = await tools.run('psql', [
        ...at(proxy.port, 'original'),
        '-X',
        '-c',
        'SELECT 1/0',
        '-c',
        'SELECT 1',
      ]);
      assert.match(stderr, /ERROR: {2}division by zero/);
      const ended = tools.run('psql', [
        ...at(proxy.port, 'original'),
        '-X',
        '-c',
        'SELECT pg_terminate_backend(pg_backend_pid())',
      ]);
      await assert.rejects(ended, /FATAL: {2}terminating connection due to administrator command/);
    });

    /** Starts a statement in a psql; resolves when the primary carries it out. */
    const running = async (port: number, sql: string, waitsFor: string) => {
      const child = tools.start('psql', [...at(port, 'original'), '-X', '-c', 'BEGIN', '-c', sql]);
      let said = '';
      child.stderr?.on('data', (chunk: Buffer) => {
        said += chunk.toString();
      });
      const ended = new Promise((resolve) => child.once('close', resolve));
      const there = async (condition: string): Promise<boolean> => {
        const asked = `SELECT 1 FROM pg_stat_activity WHERE query = '${sql}' AND ${condition}`;
        return (await execute(primary.url(), asked)).length > 0;
      };
      await eventually('the primary is at it', () => there(`wait_event = '${waitsFor}'`));
      return { child, ended, said: () => said, there: () => there('true') };
    };

    it('cancels with Ctrl-C as soon as on a direct connection', async () => {
      const cancelled = (port: number) => async (): Promise<number> => {
        const { child, ended, said } = await running(
          port,
          `SELECT pg_sleep(600) AS interrupted_${port}`,
          'PgSleep',
        );
        const ms = await timed(() => {
          child.kill('SIGINT');
          return ended;
        });
        assert.match(said(), /canceling statement due to user request/);
        return ms;
      };
      await asQuickAs('a cancel', cancelled(proxy.port), cancelled(primary.port));
    });

    it('that is killed leaves nothing running', async () => {
      const holder = new Client({ connectionString: primary.url('original') });
      await holder.connect();
      await holder.query('SELECT pg_advisory_lock(1)');
      const killed = (port: number) =>
        running(port, `SELECT pg_advisory_lock(1) AS killed_${port}`, 'advisory');
      const [proxied, direct] = await Promise.all([killed(proxy.port), killed(primary.port)]);
      for (const { child } of [proxied, direct]) child.kill('SIGKILL');
      // The primary sees it when the statement has ended.
      await holder.end();
      await eventually('the direct session is gone', async () => !(await direct.there()));
      await soon('the primary’s session is gone', async () => !(await proxied.there()));
    });
  });
});
