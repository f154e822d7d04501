import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { createSecureContext, rootCertificates } from 'node:tls';
import { readTlsMaterial } from '../../src/wire/tls/material.js';
import { errorOf, type FaultClient } from '../faults/world/client.js';
import type { TestProxy } from '../support/proxy.js';
import { tlsFile } from '../support/tlsFiles.js';
import { dataRowText } from '../support/wire.js';
import {
  type FilesWorld,
  makeFilesWorld,
  PASSWORD,
  quoted,
  session,
  withEnvironment,
} from './support/filesWorld.js';

/**
 * Files, sockets and environment of the proxy's host: connection strings name them, or leave out what they hold. The rule
 * that each test tries to break is its name.
 */

let world: FilesWorld;
let proxy: TestProxy;
/** The rules as they are by default: no superuser of the primary. */
let low: FaultClient;
let superuser: FaultClient;
/** In a database whose functions belong to the proxy's account, which is no superuser there. */
let lowElsewhere: FaultClient;
/** A home directory that tests fill. */
let home: string;

/** What a call came to: `OK`, or the error without what names the file. */
async function outcome(client: FaultClient, conninfo: string, inside = false): Promise<string> {
  const call = `SELECT * FROM dblink(${quoted(conninfo)}, 'SELECT 1') AS t(a int)`;
  const frames = await client.query(inside ? `DO ${quoted(`BEGIN PERFORM a FROM (${call}) x; END`)}` : call);
  if (!frames.some(({ type }) => type === 'E')) return 'OK';
  const { C, M, D = '', H = '' } = errorOf(frames);
  return `${C} ${M} | ${D} | ${H}`;
}

const given = (): string => `${world.remoteAt} password=${PASSWORD}`;
const OPTIONS = ['sslrootcert', 'sslcert', 'sslkey', 'sslcrl', 'sslcrldir', 'passfile'];

describe('files of the host', () => {
  before(async () => {
    world = await makeFilesWorld();
    home = join(world.directory, 'home');
    mkdirSync(join(home, '.postgresql'), { recursive: true });
    proxy = await world.proxy();
    superuser = await session(proxy);
    await superuser.rows('CREATE EXTENSION dblink');
    await superuser.rows(`CREATE ROLE low LOGIN; CREATE SCHEMA low AUTHORIZATION low;
      GRANT EXECUTE ON FUNCTION dblink_connect_u(text), dblink_connect_u(text, text) TO low`);
    low = await session(proxy, 'low');
    await superuser.rows('CREATE ROLE account LOGIN');
    await superuser.rows('CREATE DATABASE elsewhere OWNER account');
    const withAccount = await world.proxy({}, 'account');
    const account = await session(withAccount, 'account', 'elsewhere');
    await account.rows('CREATE EXTENSION dblink');
    await account.rows('GRANT EXECUTE ON FUNCTION dblink_connect_u(text, text) TO low');
    await account.end();
    lowElsewhere = await session(withAccount, 'low', 'elsewhere');
  });
  after(async () => {
    await Promise.all([low?.end(), superuser?.end(), lowElsewhere?.end()]);
    await world?.close();
  });

  for (const inside of [false, true]) {
    const place = inside ? 'inside a DO block' : 'at the top level';

    it(`a role that is no superuser names none, and is told nothing about any, ${place}`, async () => {
      assert.equal(await outcome(low, given(), inside), 'OK');
      for (const option of OPTIONS) {
        for (const path of Object.values(world.paths)) {
          const told = await outcome(low, `${given()} sslmode=require ${option}=${path}`, inside);
          assert.match(told, new RegExp(`^42501 permission denied to set connection option "${option}" `));
          assert.match(told, /"dblink\.host_files"/);
          assert.doesNotMatch(told, /certificate |folder|fifo|files-/);
        }
      }
    });

    it(`a role that is no superuser names no socket of the host's, ${place}`, async () => {
      const told: string[] = [];
      for (const directory of ['/', '/nowhere', '/etc/passwd', world.remote.socketDir, '@abstract']) {
        const conninfo = `host=${directory} port=${world.remote.port} user=postgres password=${PASSWORD}`;
        told.push(await outcome(low, conninfo, inside));
      }
      assert.match(told[0]!, /^42501 permission denied to set connection option "host" /);
      assert.deepEqual(new Set(told).size, 1);
      const among = await outcome(low, `host=127.0.0.1,/etc port=1,5432 user=x password=y`, inside);
      assert.equal(among, told[0]);
      assert.equal(
        await outcome(
          superuser,
          `host=${world.remote.socketDir} port=${world.remote.port} user=postgres`,
          inside,
        ),
        'OK',
      );
    });

    it(`a role that is no superuser names no service, whether there is one or not, ${place}`, async () => {
      writeFileSync(
        join(home, '.pg_service.conf'),
        `[there]\nhost=127.0.0.1\nport=${world.remote.port}\nuser=postgres\n`,
      );
      await withEnvironment({ HOME: home, PGPASSWORD: PASSWORD }, async () => {
        const told = [];
        for (const name of ['there', 'missing', ''])
          told.push(await outcome(low, `service='${name}' password=x`, inside));
        assert.match(
          told[0]!,
          /^42501 permission denied to set connection option "service" .*"dblink\.host_environment"/,
        );
        assert.equal(new Set(told).size, 1);
        assert.equal(await outcome(superuser, 'service=there dbname=postgres', inside), 'OK');
      });
    });

    it(`dblink_connect_u has the password of the host's only where its owner is a superuser, ${place}`, async () => {
      writeFileSync(join(home, '.pgpass'), `*:*:*:*:${PASSWORD}\n`);
      chmodSync(join(home, '.pgpass'), 0o600);
      const connects = async (client: FaultClient): Promise<string> => {
        const call = `SELECT dblink_connect_u('c', ${quoted(world.remoteAt)})`;
        const frames = await client.query(
          inside ? `DO ${quoted(`BEGIN PERFORM * FROM (${call}) x; END`)}` : call,
        );
        if (frames.some(({ type }) => type === 'E')) return errorOf(frames)['D'] ?? '';
        await client.rows("SELECT dblink_disconnect('c')");
        return 'OK';
      };
      for (const variables of [
        { HOME: home },
        { HOME: '/nowhere', PGPASSFILE: join(home, '.pgpass') },
        { HOME: '/nowhere', PGPASSWORD: PASSWORD },
      ]) {
        await withEnvironment(variables, async () => {
          assert.equal(await connects(superuser), 'OK');
          // It runs as its owner, as in the extension: who may execute it was given that.
          assert.equal(await connects(low), 'OK');
          assert.match(await connects(lowElsewhere), /fe_sendauth: no password supplied$/);
        });
      }
      rmSync(join(home, '.pgpass'));
    });

    it(`~/.postgresql decides nothing for a role that is no superuser, ${place}`, async () => {
      const root = join(home, '.postgresql', 'root.crt');
      const tell = async (): Promise<string[]> => [
        await outcome(low, `${given()} sslmode=require`, inside),
        await outcome(low, `${given()} sslmode=verify-ca`, inside),
        await outcome(low, `${given()} sslmode=verify-full`, inside),
        await outcome(low, `${given()} sslmode=verify-full sslrootcert=system`, inside),
      ];
      await withEnvironment({ HOME: home }, async () => {
        rmSync(root, { force: true });
        const without = await tell();
        assert.equal(without[0], 'OK');
        assert.match(
          without[1]!,
          /^08001 .*sslmode "verify-ca" needs root certificates.*"dblink\.host_environment"/,
        );
        assert.match(without[2]!, /^08001 .*sslmode "verify-full" needs root certificates/);
        // The runtime's own roots are everybody's: they only do not know the remote.
        assert.match(without[3]!, /^08001 .*certificate verify failed/);
        copyFileSync(tlsFile('other-ca.crt'), root);
        assert.deepEqual(await tell(), without);
        assert.match(
          await outcome(superuser, `${given()} sslmode=require`, inside),
          /certificate verify failed/,
        );
        copyFileSync(tlsFile('ca.crt'), root);
        assert.deepEqual(await tell(), without);
        assert.equal(await outcome(superuser, `${given()} sslmode=verify-ca`, inside), 'OK');
        rmSync(root);
      });
    });

    it(`the environment's variables are none of a role that is no superuser, ${place}`, async () => {
      const nothing = {
        PGHOST: '127.0.0.1',
        PGPORT: '1',
        PGUSER: 'nobody',
        PGDATABASE: 'none',
        PGSSLMODE: 'verify-full',
      };
      const plain = `host=127.0.0.1 port=${world.remote.port} password=${PASSWORD}`;
      const before = await outcome(low, plain, inside);
      assert.match(before, /^08001 .*password authentication failed for user "low"/);
      await withEnvironment(nothing, async () => {
        assert.equal(await outcome(low, plain, inside), before);
        assert.match(await outcome(superuser, 'password=x', inside), /port 1 failed/);
      });
    });
  }

  it("a function of a low role's that a superuser calls has the low role's rights only", async () => {
    await low.rows(`CREATE FUNCTION low.reads(c text) RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS $$
      BEGIN RETURN (SELECT a FROM public.dblink(c, 'SELECT 1') AS t(a int)); END $$`);
    const calls = async (conninfo: string): Promise<string> => {
      const frames = await superuser.query(`SELECT low.reads(${quoted(conninfo)})`);
      return frames.some(({ type }) => type === 'E') ? errorOf(frames)['C']! : 'OK';
    };
    assert.equal(await calls(given()), 'OK');
    assert.equal(await calls(`${given()} sslrootcert=${world.paths.certificate}`), '42501');
    assert.equal(await calls('service=there password=x'), '42501');
  });

  it("a superuser's function reads for everybody who may call it, as in the extension", async () => {
    await superuser.rows(`CREATE FUNCTION public.reads(c text) RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS $$
      BEGIN RETURN (SELECT a FROM public.dblink(c, 'SELECT 1') AS t(a int)); END $$`);
    const conninfo = `${given()} sslmode=verify-ca sslrootcert=${world.paths.certificate}`;
    assert.deepEqual(await low.rows(`SELECT public.reads(${quoted(conninfo)})`), [['1']]);
  });

  it('a foreign server does not name for a role what the role may not name', async () => {
    await superuser.rows(`CREATE SERVER verified FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host '127.0.0.1',
        port '${world.remote.port}', dbname 'postgres', sslmode 'verify-ca', sslrootcert '${world.paths.certificate}');
      GRANT USAGE ON FOREIGN SERVER verified TO low;
      CREATE USER MAPPING FOR low SERVER verified OPTIONS (user 'postgres', password '${PASSWORD}');
      CREATE USER MAPPING FOR postgres SERVER verified OPTIONS (user 'postgres', password '${PASSWORD}')`);
    assert.equal(await outcome(superuser, 'verified'), 'OK');
    assert.match(
      await outcome(low, 'verified'),
      /^42501 permission denied to set connection option "sslrootcert"/,
    );
  });

  it("what the administrator has declared names the administrator's files, for everybody", async () => {
    const servers = {
      declared: {
        host: '127.0.0.1',
        port: String(world.remote.port),
        user: 'postgres',
        dbname: 'postgres',
        password: PASSWORD,
        sslmode: 'verify-ca',
        sslrootcert: world.paths.certificate,
        roles: ['public'],
      },
    };
    const other = await world.proxy({ DBLINK_PROXY_DBLINK_SERVERS: JSON.stringify(servers) });
    const client = await session(other, 'low');
    assert.equal(await outcome(client, 'declared'), 'OK');
    await client.end();
  });

  it('the settings say who may', async () => {
    const everybody = await world.proxy({
      DBLINK_PROXY_DBLINK_HOST_FILES: 'everybody',
      DBLINK_PROXY_DBLINK_HOST_ENVIRONMENT: 'everybody',
    });
    const nobody = await world.proxy({
      DBLINK_PROXY_DBLINK_HOST_FILES: 'nobody',
      DBLINK_PROXY_DBLINK_HOST_ENVIRONMENT: 'nobody',
    });
    const [anyone, none] = await Promise.all([session(everybody, 'low'), session(nobody)]);
    const named = `${given()} sslmode=verify-ca sslrootcert=${world.paths.certificate}`;
    assert.equal(await outcome(anyone, named), 'OK');
    assert.match(await outcome(none, named), /^42501 .*permits it to nobody/);
    await withEnvironment({ PGPASSWORD: PASSWORD }, async () => {
      assert.match(await outcome(none, world.remoteAt), /fe_sendauth: no password supplied/);
      assert.match(
        await outcome(none, `${given()} sslmode=verify-full`),
        /needs root certificates.*permits it to nobody/,
      );
    });
    await Promise.all([anyone.end(), none.end()]);
  });

  describe('of those that a superuser names', () => {
    const memory = (): number => process.memoryUsage().rss;

    it('only regular ones of at most 1 MiB are read, and none is waited for', async () => {
      const { paths } = world;
      const told = async (option: string, path: string): Promise<string> => {
        const key = option === 'sslcert' ? `sslkey=${tlsFile('client.key')}` : '';
        return outcome(superuser, `${given()} sslmode=require connect_timeout=30 ${option}=${path} ${key}`);
      };
      const before = memory();
      for (const option of ['sslrootcert', 'sslcert']) {
        const what = option === 'sslcert' ? 'certificate file' : 'root certificate file';
        for (const path of [paths.fifo, paths.zero, paths.socket]) {
          assert.match(
            await told(option, path),
            new RegExp(`^08001 .*could not read ${what} "${path}": not a regular file`),
          );
        }
        assert.match(await told(option, paths.folder), /: Is a directory/);
        assert.match(await told(option, paths.large), /: larger than 1 MiB/);
      }
      for (const path of [paths.fifo, paths.zero, paths.socket, paths.folder]) {
        const cert = `sslcert=${tlsFile('client.crt')} sslkey=${path}`;
        assert.match(
          await outcome(superuser, `${given()} sslmode=require ${cert}`),
          /private key file ".*" is not a regular file/,
        );
        // As libpq passes over them where they cannot be used.
        assert.equal(await told('sslcrl', path), 'OK');
        assert.equal(await told('passfile', path), 'OK');
      }
      assert.ok(memory() - before < 200 * 1024 * 1024, `${memory() - before} bytes`);
    });

    it('with sslcertmode=disable no certificate is read or sent', async () => {
      const cert = `sslcert=${world.paths.fifo} sslkey=${world.paths.fifo}`;
      assert.equal(await outcome(superuser, `${given()} sslmode=require ${cert} sslcertmode=disable`), 'OK');
    });

    it('a directory of lists gives no more than 1 MiB, and the lists in it count', async () => {
      const { folder, fifo } = world.paths;
      const verified = `${given()} sslmode=verify-ca sslrootcert=${tlsFile('ca.crt')} sslcrldir=`;
      assert.equal(await outcome(superuser, verified + folder), 'OK');
      assert.equal(await outcome(superuser, verified + fifo), 'OK');
      copyFileSync(tlsFile('revoked.crl'), join(folder, '0'));
      assert.match(await outcome(superuser, verified + folder), /certificate verify failed/);
    });

    it('any number of FIFOs delays nobody', async () => {
      const clients = await Promise.all(Array.from({ length: 12 }, () => session(proxy)));
      const blocked = clients.map((client, index) =>
        outcome(client, `${given()} sslmode=require ${OPTIONS[index % OPTIONS.length]}=${world.paths.fifo}`),
      );
      const file = `${given()} sslmode=verify-ca sslrootcert=${world.paths.certificate}`;
      assert.equal(await outcome(superuser, file), 'OK');
      for (const told of await Promise.all(blocked))
        assert.match(told, /^OK$|not a regular file|no user mapping/);
      await Promise.all(clients.map((client) => client.end()));
    });
  });

  it("the runtime's own roots are not read again for each connection, while the others wait", async () => {
    const busy = async (act: () => Promise<unknown> | unknown): Promise<number> => {
      const before = performance.eventLoopUtilization();
      await act();
      return performance.eventLoopUtilization(before).active;
    };
    const system = (): Promise<unknown> => readTlsMaterial({ mode: 'verify-full', rootCertFile: 'system' });
    await system();
    const ten = await busy(() => Promise.all(Array.from({ length: 10 }, system)));
    const one = await busy(async () => {
      await setImmediate();
      createSecureContext({ ca: [...rootCertificates] });
      await setImmediate();
    });
    assert.ok(ten < one, `${ten} ms for ten, ${one} ms to read them once`);
  });

  it('nothing of all that was needed for a session to work', async () => {
    const frames = await low.query(`SELECT a FROM dblink(${quoted(given())}, 'SELECT 7') AS t(a int)`);
    assert.deepEqual(
      frames.filter(({ type }) => type === 'D').map(({ body }) => dataRowText(body)),
      [['7']],
    );
  });
});
