import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client, type ClientConfig, type DatabaseError } from 'pg';
import { type PostgresServer, prepareBinaries, startPostgres } from '../../src/embedded/index.js';
import { execute } from '../support/postgres.js';
import { startTestProxy, type TestProxy } from '../support/proxy.js';
import { PROXY_TLS } from '../support/tlsFiles.js';

/**
 * use_scram_passthrough from end to end: the extension's answers against the proxy's. The server with the extension is
 * the remote of both.
 */

const PASSWORD = 'Passed through';

/** `app` and `chief` log in with SCRAM; `other` has the same password by another verifier, `plain` is trusted. */
const ROLES = `
CREATE ROLE app LOGIN PASSWORD '${PASSWORD}'; CREATE ROLE chief SUPERUSER LOGIN;
CREATE ROLE other LOGIN PASSWORD '${PASSWORD}'; CREATE ROLE plain LOGIN`;
const HBA = [
  'local all all trust',
  'host all postgres,plain all trust',
  'host all all all scram-sha-256',
] as const;

const ASK = `CREATE FUNCTION ask() RETURNS text LANGUAGE plpgsql AS $$
  BEGIN RETURN (SELECT u FROM dblink('sv', 'SELECT current_user::text') AS t(u text)); END $$`;

/** What a client does; each call goes on after the errors of those before it. */
const CALLS = [
  "SELECT u FROM dblink('sv', 'SELECT current_user::text') AS t(u text)",
  "SELECT dblink_connect('c', 'sv')",
  "SELECT u FROM dblink('c', 'SELECT current_user::text') AS t(u text)",
  "SELECT dblink_exec('sv', 'SET a.b = 1')",
  'SELECT ask()',
];

interface Setting {
  readonly name: string;
  /** Options of the server and the user mapping beside those that say where and as whom. */
  readonly server?: string;
  readonly mapping?: string;
  /** The remote's role; `app` unless it is given. */
  readonly as?: string;
  /** What the first call answers, or its SQLSTATE: that both sides fail for the same wrong reason would show nothing. */
  readonly answer: string;
  /** Tried by superusers and by those that did not log in with SCRAM, too. */
  readonly byAll?: boolean;
}

const ON = "use_scram_passthrough 'true'";
const value = (text: string, answer: string, byAll = false): Setting => ({
  name: `the value '${text}'`,
  server: `use_scram_passthrough '${text}'`,
  ...{ answer, byAll },
});

const SETTINGS: readonly Setting[] = [
  { name: 'on at the server', server: ON, answer: 'app', byAll: true },
  { name: 'on at the mapping', mapping: ON, answer: 'app' },
  { name: 'on at both', server: ON, mapping: ON, answer: 'app' },
  { name: 'not mentioned', answer: '2F003' },
  { name: 'another verifier of the same password', server: ON, as: 'other', answer: '08001' },
  { name: 'a role that the remote does not know', server: ON, as: 'nosuch', answer: '08001' },
  { name: 'a remote that asks for nothing', server: ON, as: 'plain', answer: '08001' },
  {
    name: 'a password in the mapping',
    server: ON,
    mapping: `password '${PASSWORD}'`,
    answer: 'app',
    byAll: true,
  },
  { name: 'a wrong password in the mapping', server: ON, mapping: "password 'wrong'", answer: 'app' },
  {
    name: 'another verifier and a password',
    server: ON,
    mapping: `password '${PASSWORD}'`,
    as: 'other',
    answer: '08001',
  },
  {
    name: 'off, with a password',
    server: "use_scram_passthrough 'false'",
    mapping: `password '${PASSWORD}'`,
    answer: 'app',
  },
  { name: 'require_auth of the server', server: `${ON}, require_auth 'scram-sha-256'`, answer: 'app' },
  { name: 'another require_auth', server: `${ON}, require_auth '!none'`, answer: '2F003' },
  value('ON', 'app'),
  value('False', '2F003'),
  value('1', '42601', true),
  ...['0', 'yes', '', ' true'].map((text) => value(text, '42601')),
  { name: 'no boolean at the mapping', mapping: "use_scram_passthrough 'maybe'", answer: '42601' },
];

interface Side {
  /** Where the servers and mappings are made. */
  readonly primary: PostgresServer;
  /** Where clients connect. */
  readonly address: ClientConfig;
}

/** What each call answered, or the fields of its error. */
async function outcomes({ address }: Side, user: string): Promise<readonly unknown[]> {
  const client = new Client({ ...address, user, password: PASSWORD, database: 'app' });
  await client.connect();
  try {
    const all: unknown[] = [];
    for (const text of CALLS) {
      const outcome = await client.query<unknown[]>({ text, rowMode: 'array' }).then(
        ({ rows }) => rows[0]?.[0],
        ({ severity, code, message, detail, hint, where }: DatabaseError) => ({
          ...{ severity, code, message, detail, hint, where },
        }),
      );
      all.push(outcome);
    }
    return all;
  } finally {
    await client.end();
  }
}

describe('use_scram_passthrough against the extension', () => {
  let extension: PostgresServer;
  let primary: PostgresServer;
  let proxy: TestProxy;
  let sides: readonly Side[];

  before(async () => {
    [extension, primary] = await Promise.all(
      [true, false].map(async (dblink) =>
        startPostgres({ installation: await prepareBinaries({ major: 18, dblink }), hba: HBA }),
      ) as [Promise<PostgresServer>, Promise<PostgresServer>],
    );
    proxy = await startTestProxy(primary, {
      flags: {
        primary: `postgres://postgres@${primary.host}:${primary.port}?sslmode=disable`,
        auth: 'password',
        ...PROXY_TLS,
      },
    });
    sides = [
      { primary: extension, address: { host: extension.host, port: extension.port } },
      {
        primary,
        address: { host: proxy.host, port: proxy.port, ssl: { rejectUnauthorized: false } },
      },
    ];
    await execute(extension.url(), ROLES);
    const [[verifier] = []] = await execute(
      extension.url(),
      "SELECT rolpassword FROM pg_authid WHERE rolname = 'app'",
    );
    await execute(primary.url(), ROLES);
    for (const side of sides) {
      // What is passed through are keys, which fit wherever the role has the same verifier.
      const same = ['app', 'chief'].map((role) => `ALTER ROLE ${role} PASSWORD '${String(verifier)}'`);
      await execute(side.primary.url(), same.join(';'));
      await execute(side.primary.url(), 'CREATE DATABASE app');
      const maker = new Client({ ...side.address, user: 'postgres', database: 'app' });
      await maker.connect();
      await maker.query('CREATE EXTENSION dblink');
      // It lets values pass that are none, as dblink_fdw does on some releases: they are found when a server is used.
      await maker.query('CREATE FOREIGN DATA WRAPPER handmade');
      await maker.query(ASK);
      await maker.end();
    }
  });

  after(async () => {
    await proxy?.stop();
    await Promise.all([extension?.stop('immediate'), primary?.stop('immediate')]);
  });

  async function make({ server, mapping, as = 'app', answer }: Setting): Promise<void> {
    const list = (...options: readonly (string | undefined)[]): string =>
      `OPTIONS (${options.filter((option) => option !== undefined).join(', ')})`;
    const here = `host '127.0.0.1', port '${extension.port}', dbname 'postgres'`;
    const wrapper = answer === '42601' ? 'handmade' : 'dblink_fdw';
    const statements = [
      'DROP SERVER IF EXISTS sv CASCADE',
      `CREATE SERVER sv FOREIGN DATA WRAPPER ${wrapper} ${list(here, server)}`,
      'GRANT USAGE ON FOREIGN SERVER sv TO PUBLIC',
      ...['app', 'chief', 'plain', 'postgres'].map(
        (role) => `CREATE USER MAPPING FOR ${role} SERVER sv ${list(`"user" '${as}'`, mapping)}`,
      ),
    ];
    for (const side of sides) await execute(side.primary.url('app'), statements.join(';'));
  }

  for (const setting of SETTINGS) {
    it(setting.name, async () => {
      await make(setting);
      for (const user of setting.byAll ? ['app', 'chief', 'plain', 'postgres'] : ['app']) {
        const [theirs, ours] = await Promise.all(sides.map((side) => outcomes(side, user)));
        assert.deepEqual(ours, theirs, user);
        if (user !== 'app') continue;
        const first = theirs?.[0];
        assert.equal((first as DatabaseError | undefined)?.code ?? first, setting.answer);
      }
    });
  }
});
