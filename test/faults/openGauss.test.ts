import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { findClientTools } from '../support/clientTools.js';
import { eventually } from '../support/eventually.js';
import { backend, type FakeConnection, failure } from '../support/fakePrimary.js';
import { OpenGaussRole, openGaussRequest, passwordText } from '../support/openGauss.js';
import { brief, errorOf } from './world/client.js';
import { HostileWorld, INT4 } from './world/hostile.js';
import { type RemoteScript, remote } from './world/scriptedRemote.js';

const PASSWORD = 'Gauss@123';
const DATE = 1082;
const INTERVAL = 1186;

/** The end of a login as openGauss tells a client of protocol 3.0: a version of the 9.2 kind, and not every setting. */
const GREETING = Buffer.concat([
  backend('R', '\0\0\0\0'),
  remote.parameter('application_name', ''),
  remote.parameter('client_encoding', 'UTF8'),
  remote.parameter('connection_info', ''),
  remote.parameter('DateStyle', 'ISO, MDY'),
  remote.parameter('integer_datetimes', 'on'),
  remote.parameter('is_sysadmin', 'off'),
  remote.parameter('server_encoding', 'UTF8'),
  remote.parameter('server_version', '9.2.4'),
  backend('K', '\0\0\0\x05key!'),
  remote.ready(),
]);

const DENIED = failure('FATAL', '28P01', 'Invalid username/password,login denied.');

type Login = (connection: FakeConnection) => Promise<boolean>;

/** Asks for the password as for a role that pg_hba.conf lets in with `sha256`. */
const bySha256 =
  (role: OpenGaussRole, end?: number): Login =>
  async (connection) => {
    const token = randomBytes(4);
    connection.socket.write(openGaussRequest.sha256(role.salt, token, end ?? role.signature(token)));
    return role.acceptsProof(passwordText(await connection.message()), token);
  };

/** The same for a line `md5`. */
const byMd5 =
  (role: OpenGaussRole): Login =>
  async (connection) => {
    const salt = randomBytes(4);
    connection.socket.write(openGaussRequest.md5Sha256(role.salt, salt));
    return role.acceptsMd5(passwordText(await connection.message()), salt);
  };

/** An openGauss that answers one query with three columns. */
const openGauss = (login: Login, startups: Buffer[] = []): RemoteScript => ({
  async login(connection, startup) {
    startups.push(startup);
    const letIn = await login(connection);
    if (letIn) connection.socket.write(GREETING);
    else connection.socket.end(DENIED);
  },
  query: (sql, socket) => {
    const answer =
      sql === 'select 1'
        ? [
            remote.columns([INT4, DATE, INTERVAL]),
            remote.row(['1', '2024-02-03', '1 day 02:00:00']),
            remote.tag('SELECT 1'),
          ]
        : [remote.error('42601', `syntax error at or near "${sql}"`)];
    socket.write(Buffer.concat([...answer, remote.ready()]));
  },
});

describe('openGauss as a remote', () => {
  const hostile = new HostileWorld();
  const call = (conninfo: string): string =>
    `SELECT * FROM dblink('${conninfo} password=${PASSWORD}', 'select 1') AS t(a int, d date, i interval)`;

  const logins: readonly (readonly [string, () => Login])[] = [
    ['SHA256 with a signature', () => bySha256(new OpenGaussRole(PASSWORD))],
    [
      'SHA256 with a signature, 2048 iterations',
      () => bySha256(new OpenGaussRole(PASSWORD, randomBytes(32), 2048)),
    ],
    [
      'SHA256 with 15000 iterations',
      () => bySha256(new OpenGaussRole(PASSWORD, randomBytes(32), 15_000), 15_000),
    ],
    ['MD5_SHA256', () => byMd5(new OpenGaussRole(PASSWORD))],
  ];
  for (const [name, login] of logins) {
    it(`${name}: a query is carried out`, async (t) => {
      const startups: Buffer[] = [];
      const server = await hostile.start(t, openGauss(login(), startups));
      const client = await hostile.client();
      assert.deepEqual(await client.rows(call(server.conninfo)), [['1', '2024-02-03', '1 day 02:00:00']]);
      // The version that libpq asks PostgreSQL for.
      assert.deepEqual(
        startups.map((startup) => startup.readUInt32BE(4)),
        [3 << 16],
      );
      await client.rows(`SELECT dblink_connect('g', '${server.conninfo} password=${PASSWORD}')`);
      const failed = errorOf(await client.query("SELECT dblink_exec('g', 'selec')"));
      assert.deepEqual([failed['C'], failed['M']], ['42601', 'syntax error at or near "selec"']);
      // The remote has not said how it writes intervals: they are read by the session's own style.
      await client.rows("SET intervalstyle = 'iso_8601'");
      const intervals = "SELECT i FROM dblink('g', 'select 1') AS t(a int, d date, i interval)";
      assert.deepEqual(await client.rows(intervals), [['P1DT2H']]);
      await client.end();
      await eventually('the remote connections are closed', () => assert.equal(server.open(), 0));
      await hostile.othersAreWell();
    });
  }

  it('the password counts as one that the remote has asked for', async (t) => {
    await hostile.world.onPrimary('CREATE ROLE lesser LOGIN');
    t.after(() => hostile.world.onPrimary('DROP ROLE lesser'));
    for (const [login, expected] of [
      [bySha256(new OpenGaussRole(PASSWORD)), 'T D C:SELECT 1 Z:I'],
      [byMd5(new OpenGaussRole(PASSWORD)), 'T D C:SELECT 1 Z:I'],
      [async () => true, 'T E:2F003 Z:I'],
    ] as const) {
      const server = await hostile.start(t, openGauss(login));
      const client = await hostile.client();
      await client.rows('SET ROLE lesser');
      assert.equal(brief(await client.query(call(server.conninfo))), expected);
      await client.end();
    }
  });

  const failures: readonly (readonly [string, Login, RegExp])[] = [
    [
      'another password',
      bySha256(new OpenGaussRole('another')),
      /: incorrect server signature: the password is wrong, or .* 10000 nor 2048$/,
    ],
    [
      'another password, by its hash',
      byMd5(new OpenGaussRole('another')),
      /: FATAL: {2}Invalid username\/password,login denied\.$/,
    ],
    [
      'a hundred million iterations',
      bySha256(new OpenGaussRole(PASSWORD), 100_000_000),
      /: server requested 100000000 iterations, more than the 100000 that the setting "dblink\.max_scram_iterations" allows$/,
    ],
    [
      'a request that is cut',
      async ({ socket, message }) => {
        socket.write(backend('R', `\0\0\0\x0a\0\0\0\x02${'a'.repeat(70)}`));
        await message();
        return true;
      },
      /: received invalid authentication request$/,
    ],
    [
      'the end in the middle of a request',
      async ({ socket }) => {
        socket.end(openGaussRequest.sha256(Buffer.alloc(32), Buffer.alloc(4), 2048).subarray(0, 60));
        return new Promise(() => {});
      },
      /: server closed the connection unexpectedly/,
    ],
    [
      'a second request',
      async (connection) => {
        await bySha256(new OpenGaussRole(PASSWORD))(connection);
        return bySha256(new OpenGaussRole(PASSWORD))(connection);
      },
      /: duplicate authentication request$/,
    ],
  ];
  for (const [name, login, detail] of failures) {
    it(`at login: ${name}: 08001`, async (t) => {
      const server = await hostile.start(t, openGauss(login));
      const client = await hostile.client();
      const frames = await client.query(call(server.conninfo));
      assert.equal(brief(frames), 'T E:08001 Z:I');
      assert.match(errorOf(frames)['D'] ?? '', detail);
      await client.end();
      await eventually('the remote connections are closed', () => assert.equal(server.open(), 0));
      await hostile.othersAreWell();
    });
  }

  it('psql', async (t) => {
    const tools = await findClientTools(['psql'], 13);
    if (tools === undefined) return t.skip('psql is not on this machine');
    const server = await hostile.start(t, openGauss(bySha256(new OpenGaussRole(PASSWORD))));
    const { stdout } = await tools.run('psql', [
      ...['-h', '127.0.0.1', '-p', String(hostile.world.proxy.port), '-U', 'postgres', '-AtX'],
      ...['-c', call(server.conninfo)],
    ]);
    assert.equal(stdout, '1|2024-02-03|1 day 02:00:00\n');
  });
});
