import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Client, type ClientConfig, type DatabaseError } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { type ProxyProcess, startProxyProcess } from '../faults/world/proxyProcess.js';
import { execute } from '../support/postgres.js';
import { PROXY_TLS } from '../support/tlsFiles.js';

/**
 * Foreign servers that the differential cases cannot show: mappings that a role may not read, by accounts of different
 * rights; servers of the configuration; SCRAM pass-through; secrets.
 */

const MAPPED = 'Mapped5ecret';
const DECLARED = "Decl@red 5e'cret\\";
const OWN = 'Own5ecret';
const SECRETS = [MAPPED, DECLARED, 'Decl@red', OWN];

let primary: PostgresServer;
let remote: PostgresServer;
const proxies: ProxyProcess[] = [];
let directory: string;

/** A proxy with this account of its own, or with none. */
async function proxyOf(
  account: string | undefined,
  more: { flags?: Record<string, unknown>; env?: Record<string, string> } = {},
): Promise<ProxyProcess> {
  const user = account === undefined ? '' : `${account}@`;
  const proxy = await startProxyProcess({
    primary,
    flags: {
      primary: `postgres://${user}${primary.host}:${primary.port}?sslmode=disable`,
      ...more.flags,
    },
    ...(more.env === undefined ? {} : { env: more.env }),
  });
  proxies.push(proxy);
  return proxy;
}

/** Runs statements one after another as this user and returns the first value of the last one. */
async function as(
  proxy: ProxyProcess,
  user: string,
  statements: readonly string[],
  config: ClientConfig = {},
): Promise<unknown> {
  const client = new Client({ host: '127.0.0.1', port: proxy.port, user, database: 'app', ...config });
  client.on('error', () => undefined);
  await client.connect();
  try {
    let rows: unknown[][] = [];
    for (const text of statements) rows = (await client.query<unknown[]>({ text, rowMode: 'array' })).rows;
    return rows[0]?.[0];
  } finally {
    await client.end();
  }
}

const failure = async (run: Promise<unknown>): Promise<DatabaseError> => {
  const error = await run.then(
    (value) => assert.fail(`no error but ${String(value)}`),
    (error: unknown) => error as DatabaseError,
  );
  assert.ok('code' in error, String(error));
  return error;
};

/** The same call as a statement of the client's and in a function of the primary. */
const WAYS: readonly (readonly [string, (server: string) => string])[] = [
  ['a statement', (server) => `SELECT u FROM dblink('${server}', 'SELECT current_user') AS t(u text)`],
  ['a function', (server) => `SELECT ask('${server}')`],
];

const ASK = `LANGUAGE plpgsql AS $$
  BEGIN RETURN (SELECT u FROM dblink(name, 'SELECT current_user') AS t(u text)); END $$`;

/**
 * A statement that asks for dblink_exec() as the bridge's function does, claims to have proved its role, and raises the answer.
 * @param found SQL of what it says that it has found under the server's name
 */
const asking = (server: string, role: string, found: string): string => `DO $do$ DECLARE answer text[]; BEGIN
  answer := dblink_proxy.ask('dblink_exec(text,text)', '${role}', ARRAY['${server}', 'SET a.b = 1']);
  WHILE answer[1] IN ('server', 'prove') LOOP
    IF answer[1] = 'server' THEN answer := dblink_proxy.ask('server', '${role}', ${found});
    ELSE answer := dblink_proxy.ask('proved', '${role}', '{}'); END IF;
  END LOOP;
  RAISE EXCEPTION '% %', answer[1], answer[3]; END $do$`;

describe('foreign servers', () => {
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'dblink-proxy-servers-'));
    const [without, withExtension] = await Promise.all([
      prepareBinaries({ major: 18, dblink: false }),
      prepareBinaries({ major: 18, dblink: true }),
    ]);
    [primary, remote] = await Promise.all([
      startPostgres({
        installation: without,
        hba: ['local all all trust', 'host all scrammed all scram-sha-256', 'host all all all trust'],
      }),
      startPostgres({
        installation: withExtension,
        hba: ['local all all trust', 'host all postgres all trust', 'host all all all scram-sha-256'],
      }),
    ]);
    const roles = `CREATE ROLE mapped LOGIN PASSWORD '${MAPPED}'; CREATE ROLE own LOGIN PASSWORD '${OWN}';
      CREATE ROLE declared LOGIN PASSWORD '${DECLARED.replaceAll("'", "''")}'; CREATE ROLE scrammed LOGIN PASSWORD '${OWN}'`;
    await execute(remote.url(), roles);
    await execute(
      primary.url(),
      `${roles}; CREATE ROLE low LOGIN; CREATE ROLE app_owner NOLOGIN; CREATE ROLE account LOGIN`,
    );
    // Both know the password by the same verifier: what pass-through takes.
    const [[verifier] = []] = await execute(
      primary.url(),
      "SELECT rolpassword FROM pg_authid WHERE rolname = 'scrammed'",
    );
    await execute(remote.url(), `ALTER ROLE scrammed PASSWORD '${String(verifier)}'`);
    const here = `host '127.0.0.1', port '${remote.port}', dbname 'postgres'`;
    // Whoever makes the schema dblink_proxy owns it: the account, or else the user.
    for (const [database, account, user] of [
      ['app', 'postgres', 'postgres'],
      ['app_account', 'account', 'postgres'],
      ['app_none', undefined, 'low'],
    ] as const) {
      // Without an account only its owner makes the functions.
      await execute(primary.url(), `CREATE DATABASE ${database} OWNER ${user}`);
      await execute(
        primary.url(database),
        `GRANT CREATE ON DATABASE ${database} TO account, low; GRANT CREATE ON SCHEMA public TO app_owner, low`,
      );
      const proxy = await proxyOf(account);
      await as(proxy, user, ['CREATE EXTENSION dblink'], { database });
      const wrapper = user === 'postgres' ? 'dblink_fdw' : 'handmade';
      const servers = [
        ...(user === 'postgres' ? [] : [`CREATE FOREIGN DATA WRAPPER ${wrapper}`]),
        `CREATE SERVER shared FOREIGN DATA WRAPPER ${wrapper} OPTIONS (${here})`,
        `CREATE USER MAPPING FOR PUBLIC SERVER shared OPTIONS ("user" 'mapped', password '${MAPPED}')`,
        'GRANT USAGE ON FOREIGN SERVER shared TO low, app_owner',
        `CREATE SERVER closed FOREIGN DATA WRAPPER ${wrapper} OPTIONS (${here})`,
        `CREATE USER MAPPING FOR PUBLIC SERVER closed OPTIONS ("user" 'mapped', password '${MAPPED}')`,
        `CREATE FUNCTION ask(name text) RETURNS text ${ASK}`,
        `CREATE FUNCTION ask_as_owner(name text) RETURNS text SECURITY DEFINER ${ASK}`,
        'ALTER FUNCTION ask_as_owner(text) OWNER TO app_owner',
      ];
      await as(proxy, 'postgres', servers, { database });
    }
  });
  after(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    const logs = proxies.map((proxy) => proxy.log()).join('\n');
    rmSync(directory, { recursive: true });
    await Promise.all([primary.stop('immediate'), remote.stop('immediate')]);
    for (const secret of SECRETS) assert.ok(!logs.includes(secret), `the log contains ${secret}`);
    assert.doesNotMatch(logs, /internal error/);
  });

  describe('a mapping for PUBLIC, which only the owner of the server can read', () => {
    for (const [way, call] of WAYS) {
      it(`is read by an account that is a superuser: ${way}`, async () => {
        assert.equal(await as(await proxyOf('postgres'), 'low', [call('shared')]), 'mapped');
      });

      it(`cannot be read by an account without rights, which is said: ${way}`, async () => {
        const proxy = await proxyOf('account');
        const ask = (): Promise<unknown> => as(proxy, 'low', [call('shared')], { database: 'app_account' });
        const error = await failure(ask());
        assert.equal(error.code, '42501');
        assert.equal(
          error.message,
          'permission denied to read the user mapping of "low" for foreign server "shared"',
        );
        assert.match(error.detail ?? '', /"account" is neither superuser nor a member of the server's owner/);
        assert.match(error.hint ?? '', /docs\/bridge\.md/);

        const alter = (sql: string): Promise<unknown> => execute(primary.url('app_account'), sql);
        await alter('GRANT USAGE ON FOREIGN DATA WRAPPER dblink_fdw TO app_owner');
        await alter('ALTER SERVER shared OWNER TO app_owner; GRANT app_owner TO account');
        try {
          assert.equal(await ask(), 'mapped');
        } finally {
          await alter('REVOKE app_owner FROM account; ALTER SERVER shared OWNER TO postgres');
        }
      });

      it(`cannot be read without an account: ${way}`, async () => {
        const proxy = await proxyOf(undefined);
        const error = await failure(as(proxy, 'low', [call('shared')], { database: 'app_none' }));
        assert.equal(error.code, '42501');
        assert.match(error.detail ?? '', /"low" is neither superuser/);
      });

      it(`is not read for a role without USAGE: ${way}`, async () => {
        const error = await failure(as(await proxyOf('postgres'), 'low', [call('closed')]));
        assert.deepEqual(
          [error.code, error.message],
          ['42501', 'permission denied for foreign server closed'],
        );
      });
    }

    it("serves a SECURITY DEFINER function by its owner's rights, whatever the caller's are", async () => {
      const proxy = await proxyOf('postgres');
      const asOwner = (): Promise<unknown> => as(proxy, 'low', ["SELECT ask_as_owner('shared')"]);
      assert.equal(await asOwner(), 'mapped');
      await execute(primary.url('app'), 'REVOKE USAGE ON FOREIGN SERVER shared FROM low');
      try {
        assert.equal(await asOwner(), 'mapped');
      } finally {
        await execute(primary.url('app'), 'GRANT USAGE ON FOREIGN SERVER shared TO low');
      }
      await execute(primary.url('app'), 'CREATE USER MAPPING FOR low SERVER shared');
      try {
        assert.equal(await asOwner(), 'mapped');
      } finally {
        await execute(primary.url('app'), 'DROP USER MAPPING FOR low SERVER shared');
      }
    });

    it('cannot be had by a request that claims more than the role has', async () => {
      const proxy = await proxyOf('postgres');
      const claim = (role: string, readable: boolean): string =>
        JSON.stringify(['closed', role, true, [], 'public', ['user=mapped'], readable]);
      for (const role of ['low', 'postgres', 'app_owner']) {
        const error = await failure(
          as(proxy, 'low', [asking('closed', role, `ARRAY[$x$${claim(role, false)}$x$]`)]),
        );
        assert.equal(error.message, 'error 42501', role);
      }
      // What is no such element is no server.
      for (const junk of ['', '[]', '{', 'null', '["closed"]', `["closed","low",true,[1],"own",[],true]`]) {
        const error = await failure(as(proxy, 'low', [asking('closed', 'low', `ARRAY[$x$${junk}$x$]`)]));
        assert.equal(error.message, 'error 2F003', junk);
      }
    });

    it('made in the same transaction by another role cannot be read yet, which is said', async () => {
      const proxy = await proxyOf('postgres');
      const made = [
        'BEGIN',
        'CREATE SERVER new FOREIGN DATA WRAPPER dblink_fdw',
        'CREATE USER MAPPING FOR PUBLIC SERVER new',
        'GRANT USAGE ON FOREIGN SERVER new TO low',
        'SET LOCAL ROLE low',
      ];
      for (const [, call] of WAYS) {
        const error = await failure(as(proxy, 'postgres', [...made, call('new')]));
        assert.equal(error.code, '55000');
        assert.match(error.message, /before it is committed/);
      }
    });
  });

  describe('servers of the configuration', () => {
    const declared = (): Record<string, string> => {
      writeFileSync(join(directory, 'password'), `${DECLARED}\n`);
      const server = { host: '127.0.0.1', port: remote.port, dbname: 'postgres', user: 'declared' };
      return {
        DBLINK_PROXY_DBLINK_SERVERS: JSON.stringify({
          everybody: { ...server, password_env: 'REMOTE_SECRET', roles: ['public'] },
          some: { ...server, password: DECLARED, roles: ['app_owner', 'nobody_of_this_name'] },
          shared: { ...server, password_file: join(directory, 'password'), roles: ['public'] },
          'two words': { ...server, password_file: join(directory, 'password'), roles: ['low'] },
          trusting: { ...server, user: 'postgres', roles: ['low'] },
          down: { ...server, port: 1, password: DECLARED, roles: ['public'] },
        }),
        REMOTE_SECRET: DECLARED,
      };
    };
    let proxy: ProxyProcess;
    before(async () => {
      proxy = await proxyOf('postgres', { env: declared() });
    });

    for (const [way, call] of WAYS) {
      it(`are found by name: ${way}`, async () => {
        for (const name of ['everybody', 'two words']) {
          assert.equal(await as(proxy, 'low', [call(name)]), 'declared');
        }
      });

      it(`come after the primary's: ${way}`, async () => {
        assert.equal(await as(proxy, 'low', [call('shared')]), 'mapped');
      });

      it(`come after connections: ${way}`, async () => {
        const conninfo = `host=127.0.0.1 port=${remote.port} dbname=postgres user=own password=${OWN}`;
        const opened = `SELECT dblink_connect('everybody', '${conninfo}')`;
        assert.equal(await as(proxy, 'low', [opened, call('everybody')]), 'own');
      });

      it(`are for members of their roles: ${way}`, async () => {
        const error = await failure(as(proxy, 'low', [call('some')]));
        assert.deepEqual([error.code, error.message], ['42501', 'permission denied for foreign server some']);
        assert.equal(await as(proxy, 'postgres', ['SET ROLE app_owner', call('some')]), 'declared');
        await execute(primary.url('app'), 'GRANT app_owner TO low');
        try {
          assert.equal(await as(proxy, 'low', [call('some')]), 'declared');
        } finally {
          await execute(primary.url('app'), 'REVOKE app_owner FROM low');
        }
      });

      it(`need no password of a non-superuser's: ${way}`, async () => {
        assert.equal(await as(proxy, 'low', [call('trusting')]), 'postgres');
      });

      it(`do not show their credentials in errors: ${way}`, async () => {
        const error = await failure(as(proxy, 'low', [call('down')]));
        assert.equal(error.code, '08001');
        for (const secret of SECRETS) assert.ok(!JSON.stringify(error).includes(secret));
      });
    }

    it('are for members of their roles, whatever role a request names', async () => {
      const error = await failure(as(proxy, 'low', [asking('some', 'app_owner', "'{}'")]));
      assert.equal(error.message, 'error 42501');
    });

    it('serve dblink_connect', async () => {
      const opened = ["SELECT dblink_connect('c', 'everybody')", "SELECT dblink_exec('c', 'SET a.b = 1')"];
      assert.equal(await as(proxy, 'low', opened), 'SET');
    });
  });

  describe('use_scram_passthrough', () => {
    const call = "SELECT u FROM dblink('passing', 'SELECT current_user') AS t(u text)";
    before(async () => {
      const here = `host '127.0.0.1', port '${remote.port}', dbname 'postgres'`;
      await execute(
        primary.url('app'),
        `CREATE FOREIGN DATA WRAPPER handmade;
         CREATE SERVER passing FOREIGN DATA WRAPPER handmade OPTIONS (${here}, use_scram_passthrough 'true');
         CREATE USER MAPPING FOR PUBLIC SERVER passing OPTIONS ("user" 'scrammed');
         CREATE USER MAPPING FOR scrammed SERVER passing OPTIONS ("user" 'scrammed');
         GRANT USAGE ON FOREIGN SERVER passing TO PUBLIC`,
      );
    });
    const set = (options: string): Promise<unknown> =>
      execute(primary.url('app'), `ALTER USER MAPPING FOR scrammed SERVER passing OPTIONS (${options})`);
    const encrypted = { password: OWN, ssl: { rejectUnauthorized: false } };

    it('uses the keys of the login where the proxy has them', async () => {
      const proxy = await proxyOf('postgres', { flags: { auth: 'password', ...PROXY_TLS } });
      assert.equal(await as(proxy, 'scrammed', [call], encrypted), 'scrammed');
      assert.equal(await as(proxy, 'scrammed', ["SELECT ask('passing')"], encrypted), 'scrammed');
    });

    it('can be switched off, and overridden in require_auth', async () => {
      const proxy = await proxyOf('postgres', { flags: { auth: 'password', ...PROXY_TLS } });
      await set("ADD use_scram_passthrough 'false'");
      assert.equal((await failure(as(proxy, 'scrammed', [call], encrypted))).code, '2F003');
      await set("SET use_scram_passthrough 'maybe'");
      const error = await failure(as(proxy, 'scrammed', [call], encrypted));
      assert.deepEqual(
        [error.code, error.message],
        ['42601', 'use_scram_passthrough requires a Boolean value'],
      );
      await set('DROP use_scram_passthrough');
      await execute(primary.url('app'), "ALTER SERVER passing OPTIONS (ADD require_auth '!none')");
      assert.equal((await failure(as(proxy, 'scrammed', [call], encrypted))).code, '2F003');
      await execute(primary.url('app'), 'ALTER SERVER passing OPTIONS (DROP require_auth)');
    });

    it('does nothing for a client that did not use SCRAM, as in the extension', async () => {
      assert.equal((await failure(as(await proxyOf('postgres'), 'low', [call]))).code, '2F003');
    });

    it('is refused where the login was relayed, unless there is a password', async () => {
      const proxy = await proxyOf('postgres');
      const error = await failure(as(proxy, 'scrammed', [call], { password: OWN }));
      assert.equal(error.code, '0A000');
      assert.match(error.hint ?? '', /auth: password/);
      await set(`ADD password '${OWN}'`);
      assert.equal(await as(proxy, 'scrammed', [call], { password: OWN }), 'scrammed');
      await set('DROP password');
    });
  });
});
