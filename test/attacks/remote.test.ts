import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { after, before, describe, it, type TestContext } from 'node:test';
import { brief, errorOf, FaultClient, firstValue } from '../faults/world/client.js';
import { COLUMNS, GOOD, HostileWorld, INT4, MIB, PLANS, TEXT } from '../faults/world/hostile.js';
import { growthWithGarbage, ROOM } from '../faults/world/memoryGrowth.js';
import { remote, type ScriptedRemote, WELCOME } from '../faults/world/scriptedRemote.js';
import { eventually } from '../support/eventually.js';
import { backend, type FakeConnection, fakePrimary, header } from '../support/fakePrimary.js';
import { costsNoMoreThan } from './support/delay.js';

/**
 * Remotes that do as they like. Each test names the rule that it tries to break. Where the extension has an answer, the same
 * remote is given to a PostgreSQL with the extension.
 */

const CANCEL = 80877102;
const SSL = 80877103;

/** Writes again and again, as fast as it is taken, until the connection is gone. */
function pour(socket: Socket, bytes: Buffer): void {
  while (!socket.destroyed && socket.write(bytes));
  if (!socket.destroyed) socket.once('drain', () => pour(socket, bytes));
}

/** Byte by byte, a turn of its own for each. */
async function drip(socket: Socket, bytes: Buffer): Promise<void> {
  for (const byte of bytes) {
    if (socket.destroyed) return;
    socket.write(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const times = (count: number, ...messages: readonly Buffer[]): Buffer =>
  Buffer.concat(Array.from({ length: count }, () => Buffer.concat(messages)));

function authentication(code: number, rest = ''): Buffer {
  const body = Buffer.alloc(4);
  body.writeInt32BE(code);
  return backend('R', Buffer.concat([body, Buffer.from(rest, 'latin1')]));
}

const OK = authentication(0);
const SASL = authentication(10, 'SCRAM-SHA-256\0\0');

type Login = (connection: FakeConnection) => Promise<void> | void;

/** Says this, and no more. */
const says =
  (...messages: readonly Buffer[]): Login =>
  ({ socket }) =>
    void socket.end(Buffer.concat(messages));

/** Asks for SCRAM and answers the client's nonce with this, then its proof, if it sends one, with that. */
const scram =
  (first: (nonce: string) => string, afterProof: Buffer = WELCOME): Login =>
  async (connection) => {
    connection.socket.write(SASL);
    const nonce = /r=([^,]+)/.exec((await connection.message()).toString('latin1'))?.[1] ?? '';
    connection.socket.write(authentication(11, first(nonce)));
    await connection.message();
    connection.socket.end(afterProof);
  };

const SALT = Buffer.alloc(16).toString('base64');
const serverFirst = (nonce: string): string => `r=${nonce}abc,s=${SALT},i=4096`;

const row = remote.row(['1', 'one']);
const LARGE_ROW = remote.row(['1', 'x'.repeat(MIB / 16)]);
const END = Buffer.concat([remote.tag('SELECT 1'), remote.ready()]);

describe('an attack by a remote', () => {
  /** One session for each user at each side. */
  const sessions = new Map<string, Promise<FaultClient>>();
  // Before the world's own hook, which looks for what is left.
  after(async () => {
    for (const session of sessions.values()) await (await session).end();
  });

  const hostile = new HostileWorld();
  before(async () => {
    await hostile.world.onPrimary('CREATE ROLE low LOGIN; CREATE ROLE other LOGIN');
    await hostile.world.onRemote('CREATE ROLE low LOGIN; CREATE EXTENSION dblink');
  });

  /** Each plan's statement is answered with this, the session goes on, and nobody else notices. */
  const answers: readonly (readonly [rule: string, answer: Buffer, expected: RegExp])[] = [
    [
      'a result is one query’s: a second RowDescription with other columns is no part of the first',
      Buffer.concat([COLUMNS, row, remote.columns([INT4]), remote.row(['2']), END]),
      /E:\w{5} Z:I$/,
    ],
    [
      'what the extended protocol says answers no simple query',
      Buffer.concat([backend('1'), backend('2'), COLUMNS, row, END]),
      /E:\w{5} Z:I$/,
    ],
    [
      'a portal that is suspended is no end of a query',
      Buffer.concat([COLUMNS, row, backend('s'), remote.ready()]),
      /E:\w{5} Z:I$/,
    ],
    [
      'a remote cannot have the proxy send it data',
      Buffer.concat([backend('G', '\0\0\x02\0\0\0\0'), remote.error('57014', 'no'), remote.ready()]),
      /E:\w{5} Z:I$/,
    ],
    [
      'a remote cannot begin a replication',
      Buffer.concat([backend('W', '\0\0\x02\0\0\0\0'), END]),
      /E:\w{5} Z:I$/,
    ],
    [
      'a remote cannot make the proxy log in again in the midst of a result',
      Buffer.concat([COLUMNS, row, backend('R', '\0\0\0\x05salt'), backend('R', '\0\0\0\0'), END]),
      /E:\w{5} Z:I$/,
    ],
    [
      'a changed client_encoding that nobody knows turns no bytes into others',
      Buffer.concat([remote.parameter('client_encoding', 'NOSUCH'), COLUMNS, row, END]),
      /(C:SELECT 1|E:\w{5}) Z:I$/,
    ],
    [
      'settings named as the language’s own are data',
      Buffer.concat([
        ...['__proto__', 'constructor', 'toString', 'hasOwnProperty'].map((name) =>
          remote.parameter(name, 'x'),
        ),
        COLUMNS,
        row,
        END,
      ]),
      /C:SELECT 1 Z:I$/,
    ],
    [
      'the words of a bridge’s request are text, whoever says them',
      Buffer.concat([
        remote.notice(`dblink-proxy:${'0'.repeat(8)}-0000-0000-0000-000000000000:a:row:1:next:70`),
        COLUMNS,
        remote.row(['1', 'dblink-proxy:x:y:a:row:1:next:70']),
        END,
      ]),
      /C:SELECT 1 Z:I$/,
    ],
    [
      'an error whose positions are absurd points nowhere',
      Buffer.concat([
        backend(
          'E',
          `SERROR\0VERROR\0C42601\0Mx\0P99999999999999999999\0p-7\0qSELECT 1\0W${'x'.repeat(100_000)}\0\0`,
        ),
        remote.ready(),
      ]),
      /E:42601 Z:I$/,
    ],
  ];
  for (const [rule, answer, expected] of answers) {
    it(rule, async (t) => {
      for (const [plan, sql] of Object.entries(PLANS)) {
        const server = await hostile.start(t, { query: (_, socket) => socket.write(answer) });
        const client = await hostile.connected(server);
        assert.match(brief(await client.query(sql)), expected, plan);
        assert.equal(firstValue(await client.query('SELECT 1')), '1', plan);
        await client.end();
        await eventually('the remote connections are closed', () => assert.equal(server.open(), 0));
      }
      await hostile.othersAreWell();
    });
  }

  it('an answer is the same however it is cut, down to single bytes', async (t) => {
    for (const sql of Object.values(PLANS)) {
      const server = await hostile.start(t, { query: (_, socket) => void drip(socket, GOOD) });
      const client = await hostile.connected(server);
      assert.match(brief(await client.query(sql)), /D C:SELECT 2 Z:I$/);
      await client.end();
    }
  });

  /** A type, its OID, a value of it, and texts that are none. */
  const lies: readonly (readonly [type: string, oid: number, value: string, lies: readonly string[]])[] = [
    ['integer', 23, '1', ['1; DROP TABLE users', '2147483648', '0x', '']],
    ['bigint', 20, '1', ["1 OR '1'='1", '9223372036854775808']],
    ['boolean', 16, 't', ['maybe', "t'"]],
    ['numeric', 1700, '1.5', ['1.5)', '1e']],
    ['double precision', 701, '1.5', ['1e400', '1.5,2']],
    ['date', 1082, '2024-02-29', ['2023-02-29', "2024-02-29'--"]],
    ['timestamp', 1114, '2024-02-29 00:00:00', ['2024-02-29 25:00:00', '<b>']],
    ['interval', 1186, '1 day', ['1 day; x']],
    ['uuid', 2950, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', ['a0eebc99']],
    ['json', 114, '{"a": 1}', ['{"a": 1', '<script>', '{"a": 1} x']],
    ['jsonb', 3802, '{"a": 1}', ['{"a": "\\u0000"}', '[1,]']],
    ['integer[]', 1007, '{1,2}', ['{1,x}', '{{1},{1,2}}', '1,2']],
    ['bit varying', 1562, '101', ['102']],
  ];
  it('a text that is no value of its column’s announced type never reaches the client as one', async (t) => {
    for (const [type, oid, value, texts] of lies) {
      for (const lie of texts) {
        const sql = `SELECT * FROM dblink('h', 'SELECT v') AS t(v ${type})`;
        const sent = { rows: [lie] };
        const server = await hostile.start(t, {
          query: (_, socket) => {
            const rows = sent.rows.map((row) => remote.row([row]));
            socket.write(
              Buffer.concat([remote.columns([oid]), ...rows, remote.tag('SELECT 1'), remote.ready()]),
            );
          },
        });
        const client = await hostile.connected(server);
        const extension = await FaultClient.open(hostile.world.remote.port);
        t.after(() => Promise.all([client.end(), extension.end()]));
        await extension.rows(`SELECT dblink_connect('h', '${server.conninfo}')`);
        // Before any row has gone out the error is the extension's own.
        const [said, expected] = [await client.query(sql), await extension.query(sql)];
        assert.deepEqual(
          [brief(said).replace(/^T /, ''), errorOf(said)['M'], errorOf(said)['D']],
          [brief(expected).replace(/^T /, ''), errorOf(expected)['M'], errorOf(expected)['D']],
          `${type}: ${lie}`,
        );
        sent.rows = [value, value, lie, value];
        const late = await client.query(sql);
        assert.match(brief(late), /^T D E:22(P02|007) Z:I$/, `${type}: ${lie}`);
        assert.match(errorOf(late)['M'] ?? '', /^(invalid input syntax for type|malformed array literal)/);
        sent.rows = [value, value];
        assert.match(brief(await client.query(sql)), /^T D C:SELECT 2 Z:I$/);
      }
    }
    await hostile.othersAreWell();
  });

  /** What the extension and the proxy say to a statement that may connect as h, in short. */
  async function both(sql: string, user: string): Promise<readonly [extension: string, proxy: string]> {
    const { world } = hostile;
    const said: string[] = [];
    for (const port of [world.remote.port, world.proxy.port]) {
      const key = `${port} ${user}`;
      const session = sessions.get(key) ?? FaultClient.open(port, { user });
      sessions.set(key, session);
      const client = await session;
      const words = brief(await client.query(sql));
      if (words.includes('C:')) await client.rows("SELECT dblink_disconnect('h')");
      assert.deepEqual(await client.rows('SELECT dblink_get_connections()'), [[null]]);
      said.push(words);
    }
    return [said[0]!, said[1]!];
  }

  const connects = (server: ScriptedRemote, more = ''): string =>
    `SELECT dblink_connect('h', '${server.conninfo} password=secret ${more}')`;

  /** Each of these remotes lets nobody in that it would not let in with the extension. */
  async function asTheExtension(
    t: TestContext,
    logins: readonly Login[],
    more: readonly string[] = [''],
    users: readonly string[] = ['postgres', 'low'],
  ): Promise<void> {
    for (const [i, login] of logins.entries()) {
      const server = await hostile.start(t, { login });
      for (const options of more) {
        for (const user of users) {
          const [extension, proxy] = await both(connects(server, options), user);
          assert.equal(proxy, extension, `${i} ${options} ${user}`);
        }
      }
      await eventually('the remote connections are closed', () => assert.equal(server.open(), 0));
    }
    await hostile.othersAreWell();
  }

  it('a remote gets a password in the ways that libpq knows, and only in those that the caller allows', async (t) => {
    const requests = [
      ...[1, 2, 3, 4, 6, 7, 8, 9, 12, 99, -1].map((code) => authentication(code)),
      authentication(5, 'ab'),
      authentication(10),
      authentication(10, '\0'),
      authentication(10, 'PLAIN\0ANONYMOUS\0\0'),
      authentication(10, 'SCRAM-SHA-256'),
      authentication(10, 'SCRAM-SHA-256\0'),
      authentication(10, 'SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0'),
      authentication(11, 'r=x'),
      WELCOME,
    ];
    await asTheExtension(
      t,
      requests.map((request) => says(request)),
      ['', 'require_auth=scram-sha-256', 'require_auth=!password,!md5', 'channel_binding=require'],
      ['postgres'],
    );
  });

  it('a remote that proves nothing in SCRAM lets nobody in', async (t) => {
    await asTheExtension(t, [
      scram(() => 'r=abc,s=AAAA,i=1'),
      scram((nonce) => `r=${nonce}a,s=!!,i=4096`),
      scram((nonce) => `r=${nonce}a,s=AAAA,i=0`),
      scram((nonce) => `r=${nonce}a,s=AAAA,i=-1`),
      scram((nonce) => `m=x,${serverFirst(nonce)}`),
      scram((nonce) => `${serverFirst(nonce)}\0x`),
      scram(() => ''),
      ...[`v=${Buffer.alloc(32).toString('base64')}`, 'v=AAAA', 'v=!!', 'e=other-error', 'x=1', ''].map(
        (last) => scram(serverFirst, Buffer.concat([authentication(12, last), WELCOME])),
      ),
    ]);
  });

  it('a remote that breaks SCRAM off, which libpq lets pass, lets nobody in', async (t) => {
    const logins: readonly Login[] = [
      scram(serverFirst, WELCOME),
      async (connection) => {
        connection.socket.write(SASL);
        await connection.message();
        connection.socket.end(WELCOME);
      },
    ];
    for (const login of logins) {
      const server = await hostile.start(t, { login });
      for (const user of ['postgres', 'low']) {
        const [, proxy] = await both(connects(server), user);
        assert.equal(proxy, 'T E:08001 Z:I');
      }
    }
  });

  it('a remote gets one proof of the password for a login, not one for each salt that it likes', async (t) => {
    const proofs: string[] = [];
    const server = await hostile.start(t, {
      login: async (connection) => {
        connection.socket.write(SASL);
        const nonce = /r=([^,]+)/.exec((await connection.message()).toString('latin1'))?.[1] ?? '';
        for (;;) {
          const salt = Buffer.from(String(proofs.length).padStart(16)).toString('base64');
          connection.socket.write(authentication(11, `r=${nonce}${proofs.length},s=${salt},i=4096`));
          proofs.push((await connection.message()).toString('latin1', 5));
        }
      },
    });
    const client = await hostile.client();
    const frames = await client.query(connects(server));
    assert.equal(brief(frames), 'T E:08001 Z:I');
    assert.match(errorOf(frames)['D'] ?? '', /malformed SCRAM message/);
    assert.equal(proofs.length, 1);
    await client.end();
  });

  it('a remote that asks for no password serves nobody but superusers, whatever else it says', async (t) => {
    await asTheExtension(t, [
      says(WELCOME),
      says(OK, remote.notice('password'), remote.ready()),
      says(OK, remote.parameter('is_superuser', 'on'), remote.ready()),
      says(OK, remote.parameter('session_authorization', 'postgres'), remote.ready()),
    ]);
  });

  it('what is no login is none, in whatever order its messages come', async (t) => {
    await asTheExtension(t, [
      says(),
      says(OK),
      says(OK, OK, remote.ready()),
      says(OK, COLUMNS, row),
      says(OK, remote.tag('SELECT 1'), remote.ready()),
      says(OK, backend('Z')),
      says(OK, backend('K', '\0\0\0'), remote.ready()),
      says(OK, backend('K', `\0\0\0\x01${'k'.repeat(300)}`), remote.ready()),
      says(OK, backend('K', `\0\0\0\x01${'k'.repeat(29_000)}`), remote.ready()),
      says(OK, remote.parameter('a', 'b'), authentication(3)),
      says(remote.ready()),
      says(remote.parameter('a', 'b'), WELCOME),
      says(remote.notice('x'), WELCOME),
      says(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')),
      says(Buffer.alloc(100)),
      says(header('R', 4)),
      says(header('R', -1)),
      says(header('R', -0x80000000)),
      says(header('R', 3000), Buffer.alloc(3000)),
    ]);
  });

  it('an end at any point of the login is its failure, and leaves nothing', async (t) => {
    const ends = [0, 1, 5, 8, 9, 20, 60, WELCOME.length - 7, WELCOME.length - 6, WELCOME.length - 1];
    const logins = ends.flatMap((length): Login[] => [
      says(WELCOME.subarray(0, length)),
      ({ socket }) => {
        socket.write(WELCOME.subarray(0, length), () => socket.resetAndDestroy());
      },
    ]);
    await asTheExtension(t, logins, [''], ['postgres']);
  });

  it('what a remote says when it refuses is shown as the extension shows it, and is no more than text', async (t) => {
    const refusals = [
      remote.error('28000', 'x'.repeat(29_000)),
      remote.error('28000', 'x'.repeat(40_000)),
      remote.error('28000', 'a\0Zb'),
      remote.error('28000', '\x1b[31m\x07\r\nERROR:  another'),
      remote.error('28000', '%s%n%m'),
      remote.error('57P03', 'starting up', 'FATAL'),
      Buffer.concat([remote.error('28000', 'one'), remote.error('28001', 'two')]),
      Buffer.concat([OK, remote.error('28000', 'y'.repeat(100_000))]),
      backend('E', '\0'),
      backend('E', 'M'),
      Buffer.from('Ean error of protocol 2\0'),
    ];
    await asTheExtension(
      t,
      refusals.map((refusal) => says(refusal)),
    );
  });

  it('what comes behind the answer to a request for TLS is not taken for what comes by TLS', async (t) => {
    const stuffed = [
      'S'.concat(WELCOME.toString('latin1')),
      `S${'garbage'.repeat(10)}`,
      'S',
      'N',
      `N${WELCOME.toString('latin1')}`,
      'G',
      'X',
      '',
      'E\0\0\0\x20SERROR\0C28000\0Mforged words\0\0',
    ];
    for (const answer of stuffed) {
      for (const mode of ['require', 'verify-ca', 'prefer']) {
        const passwords: string[] = [];
        const server = await fakePrimary(async (connection) => {
          const { socket } = connection;
          if ((await connection.take(8)).readInt32BE(4) !== SSL) return void socket.end();
          socket.write(Buffer.from(answer, 'latin1'));
          if (answer.length === 0 || answer === 'S') return void socket.end();
          const first = await connection.take(1);
          // A password that came in the clear.
          if (first[0] === 0x70) passwords.push('sent');
          socket.end();
        });
        t.after(() => server.stop());
        const client = await hostile.client();
        const frames = await client.query(
          `SELECT dblink_connect('h', 'host=127.0.0.1 port=${server.port} user=u password=secret sslmode=${mode}')`,
        );
        if (mode !== 'prefer' || !answer.startsWith('N')) {
          assert.equal(brief(frames), 'T E:08001 Z:I', `${mode} ${answer.slice(0, 5)}`);
          assert.doesNotMatch(errorOf(frames)['D'] ?? '', /forged words/);
        }
        assert.deepEqual(passwords, []);
        await client.end();
      }
    }
    await hostile.othersAreWell();
  });

  it('an answer that comes before its question answers nothing', async (t) => {
    const early = Buffer.concat([COLUMNS, remote.row(['666', 'early']), END]);
    for (const sql of Object.values(PLANS)) {
      const server = await hostile.start(t, {
        login: ({ socket }) => void socket.write(Buffer.concat([WELCOME, early])),
        query: (_, socket) => socket.write(GOOD),
      });
      const client = await hostile.client();
      await client.query(`SELECT dblink_connect('h', '${server.conninfo}')`);
      const frames = await client.query(sql);
      assert.match(brief(frames), /^T (D C:SELECT 2|E:080\d\d) Z:I$/);
      assert.ok(!frames.some(({ body }) => body.includes('early')));
      assert.equal(firstValue(await client.query('SELECT 1')), '1');
      await client.end();
      await eventually('the remote connections are closed', () => assert.equal(server.open(), 0));
    }
  });

  it('what nobody takes is not read: memory is bounded, and the remote has to wait', async (t) => {
    let sending: Socket | undefined;
    const server = await hostile.start(t, {
      query: (_, socket) => {
        sending = socket;
        socket.write(COLUMNS);
        pour(socket, LARGE_ROW);
      },
    });
    const client = await hostile.connected(server);
    const idle = await hostile.world.proxy.state(true);
    assert.equal(firstValue(await client.query("SELECT dblink_send_query('h', 'x')")), '1');
    let before = -1;
    await eventually('the remote has to wait', async () => {
      await client.query("SELECT dblink_is_busy('h')");
      await hostile.othersAreWell();
      const written = sending?.bytesWritten ?? 0;
      const same = written > 0 && written === before;
      before = written;
      assert.ok(same);
    });
    const growth = growthWithGarbage(idle, await hostile.world.proxy.state(true));
    assert.ok(growth < ROOM, String(growth));
    await client.end();
    await eventually('the remote connection is closed', () => assert.equal(server.open(), 0));
    await hostile.othersAreWell();
  });

  it('a row that never ends is held as far as a row may be, and ends when it is cancelled', async (t) => {
    const beginning = Buffer.concat([
      COLUMNS,
      header('D', 0x3ffffff0),
      Buffer.from('\0\x02\x3f\xff\xff\x00', 'latin1'),
    ]);
    for (const sql of Object.values(PLANS)) {
      await endlessAnswer(t, sql, Buffer.alloc(MIB / 16), /E:(57014|53200|54000|08006) Z:I$/, beginning);
    }
  });

  it('a remote that takes a cancel request and neither answers nor closes keeps nobody waiting', async (t) => {
    let open = 0;
    let asked = 0;
    let running = 0;
    const server = await fakePrimary(async (connection) => {
      const { socket } = connection;
      open++;
      socket.once('close', () => open--);
      const startup = await connection.startup();
      if (startup.readInt32BE(4) === CANCEL) {
        asked++;
        return;
      }
      socket.write(WELCOME);
      for (;;) if ((await connection.message())[0] === 0x51) running++;
    });
    t.after(() => server.stop());
    const client = await hostile.client();
    await client.rows(
      `SELECT dblink_connect('h', 'host=127.0.0.1 port=${server.port} user=u sslmode=disable')`,
    );
    client.start(PLANS.stream, 'simple');
    await eventually('the remote is asked', () => assert.equal(running, 1));
    await client.cancel();
    assert.equal(brief(await client.answer()), 'T E:57014 Z:I');
    assert.equal(firstValue(await client.query('SELECT 1')), '1');
    await eventually('the remote is asked to cancel', () => assert.ok(asked > 0));
    // What waits for the request to be taken can itself be cancelled.
    client.start("SELECT dblink_cancel_query('h')", 'simple');
    await hostile.othersAreWell();
    await client.cancel();
    assert.match(brief(await client.answer()), /Z:I$/);
    await client.end();
    await eventually('all connections are closed', () => assert.equal(open, 0));
    await hostile.othersAreWell();
  });

  it('rows that come slowly, and go on behind a cancel, keep nobody waiting', async (t) => {
    for (const sql of Object.values(PLANS)) {
      const server = await hostile.start(t, {
        query: (_, socket) => {
          socket.write(COLUMNS);
          const timer = setInterval(() => socket.write(row), 5);
          socket.once('close', () => clearInterval(timer));
        },
      });
      const client = await hostile.connected(server);
      client.start(sql, 'simple');
      await cancelled(client, /E:57014 Z:I$/);
      await eventually('the remote connections are closed', () => assert.equal(server.open(), 0));
    }
  });

  const endlessLogins: Readonly<Record<string, readonly [greeting: Buffer, flood: Buffer]>> = {
    'protocol negotiations': [Buffer.alloc(0), times(200, backend('v', '\0\x03\0\0\0\0\0\0'))],
    notices: [OK, times(200, remote.notice('n'))],
    'one setting': [OK, times(200, remote.parameter('DateStyle', 'ISO'))],
    keys: [OK, times(200, backend('K', '\0\0\0\x05key!'))],
  };
  for (const [what, [greeting, flood]] of Object.entries(endlessLogins)) {
    it(`a login that never ends delays nobody, and ends when it is cancelled: ${what}`, async (t) => {
      const server = await hostile.start(t, {
        login: ({ socket }) => {
          socket.write(greeting);
          pour(socket, flood);
        },
      });
      await costsNoMoreThan(
        hostile.world,
        () => endlessRows(t),
        async () => {
          const client = await hostile.client();
          client.start(`SELECT dblink_connect('h', '${server.conninfo}')`, 'simple');
          await cancelled(client, /E:57014 Z:I$/);
        },
      );
      await eventually('the remote connections are closed', () => assert.equal(server.open(), 0));
    });
  }

  const endlessAnswers: Readonly<Record<string, Buffer>> = {
    tags: times(2000, remote.tag('SELECT 1')),
    'results without rows': times(500, COLUMNS, remote.tag('SELECT 0')),
    errors: times(1000, remote.error('42601', 'x')),
    notices: times(1000, remote.notice('n')),
    'empty queries': times(5000, backend('I')),
    'copies that nobody asked for': times(2000, backend('H', '\0\0\0'), backend('c')),
    settings: times(2000, remote.parameter('DateStyle', 'ISO')),
  };
  for (const [what, flood] of Object.entries(endlessAnswers)) {
    it(`an answer that never ends delays nobody, and ends when it is cancelled: ${what}`, async (t) => {
      await costsNoMoreThan(
        hostile.world,
        () => endlessRows(t),
        () => endlessAnswer(t, PLANS.stream, flood, /E:57014 Z:I$/),
      );
    });
  }

  it('notifications that nobody has asked for are bounded in number, and delay nobody', async (t) => {
    await costsNoMoreThan(
      hostile.world,
      () => endlessRows(t),
      () =>
        endlessAnswer(
          t,
          PLANS.splice,
          times(1000, backend('A', '\0\0\0\x01chan\0payload\0')),
          /E:(57014|08006) Z:I$/,
        ),
    );
  });

  it('connect_timeout counts from the first byte to the last, however slowly they come', async (t) => {
    const server = await hostile.start(t, {
      login: async ({ socket }) => {
        for (const byte of Buffer.concat([
          backend('R', '\0\0\0\0'),
          remote.parameter('x', 'y'.repeat(5000)),
          WELCOME,
        ])) {
          if (socket.destroyed) return;
          socket.write(Buffer.from([byte]));
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      },
    });
    const client = await hostile.client();
    const frames = await client.query(`SELECT dblink_connect('h', '${server.conninfo} connect_timeout=2')`);
    assert.equal(brief(frames), 'T E:08001 Z:I');
    assert.match(errorOf(frames)['D'] ?? '', /timeout expired/);
    await eventually('the remote connection is closed', () => assert.equal(server.open(), 0));
    await client.end();
    await hostile.othersAreWell();
  });

  it('a password is given once for each request, and none is given twice to SCRAM', async (t) => {
    let answers = 0;
    const server = await hostile.start(t, {
      login: async (connection) => {
        connection.socket.write(backend('R', '\0\0\0\x0aSCRAM-SHA-256\0\0'));
        await connection.message();
        answers++;
        connection.socket.write(backend('R', '\0\0\0\x0aSCRAM-SHA-256\0\0'));
        await connection.message();
        answers++;
      },
    });
    const client = await hostile.client();
    const frames = await client.query(`SELECT dblink_connect('h', '${server.conninfo} password=p')`);
    assert.equal(brief(frames), 'T E:08001 Z:I');
    assert.match(errorOf(frames)['D'] ?? '', /duplicate SASL authentication request/);
    assert.equal(answers, 1);
    await client.end();
  });

  it('what a remote says of its version is believed as far as it is a number', async (t) => {
    for (const version of ['9'.repeat(1000), 'nine', '', '-1', '1e9', '18.0\n; DROP TABLE x']) {
      const server = await hostile.start(t, {
        login: ({ socket }) =>
          void socket.write(
            Buffer.concat([
              backend('R', '\0\0\0\0'),
              remote.parameter('server_version', version),
              remote.ready(),
            ]),
          ),
        query: (_, socket) => socket.write(GOOD),
      });
      const client = await hostile.client();
      const frames = await client.query(`SELECT dblink_connect('h', '${server.conninfo}')`);
      assert.match(brief(frames), /^T (D C:SELECT 1|E:\w{5}) Z:I$/, version);
      assert.match(brief(await client.query(PLANS.splice)), /Z:I$/, version);
      await client.end();
    }
    await hostile.othersAreWell();
  });

  it('text that is no text in the encoding it claims is an error or bytes, and no row of somebody else’s', async (t) => {
    const server = await hostile.start(t, {
      query: (_, socket) =>
        socket.write(
          Buffer.concat([
            remote.columns([INT4, TEXT]),
            remote.lyingRow(2, 1, Buffer.from('1\0\0\0\x03\xc3\x28\xff', 'latin1')),
            END,
          ]),
        ),
    });
    for (const sql of Object.values(PLANS)) {
      const client = await hostile.connected(server);
      assert.match(brief(await client.query(sql)), /^T (D C:SELECT 1|(D )?E:22021) Z:I$/);
      assert.equal(firstValue(await client.query('SELECT 1')), '1');
      await client.end();
    }
  });

  /** A remote that sends as much in few messages, which nobody looks into. */
  const endlessRows = (t: TestContext): Promise<void> =>
    endlessAnswer(t, "SELECT dblink_exec('h', 'x')", LARGE_ROW, /E:57014 Z:I$/, COLUMNS);

  async function endlessAnswer(
    t: TestContext,
    sql: string,
    flood: Buffer,
    expected: RegExp,
    beginning: Buffer = Buffer.alloc(0),
  ): Promise<void> {
    const server = await hostile.start(t, {
      query: (_, socket) => {
        socket.write(beginning);
        pour(socket, flood);
      },
    });
    const client = await hostile.connected(server);
    client.start(sql, 'simple');
    await cancelled(client, expected);
    await eventually('the remote connections are closed', () => assert.equal(server.open(), 0));
  }

  /** Cancels after others have been served for a while; the session goes on, and ends. */
  async function cancelled(client: FaultClient, expected: RegExp): Promise<void> {
    for (let i = 0; i < 6; i++) await hostile.othersAreWell();
    await client.cancel();
    assert.match(brief(await client.answer()), expected);
    assert.equal(firstValue(await client.query('SELECT 1')), '1');
    await client.end();
  }
});
