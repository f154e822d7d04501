import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { after, before, describe, it, type TestContext } from 'node:test';
import { backend, header } from '../support/fakePrimary.js';
import { type Frame, frontend } from '../support/wire.js';
import { brief, errorOf, FaultClient, fieldsOf, firstValue, PROTOCOLS } from './client.js';
import { eventually } from './eventually.js';
import { type RemoteScript, remote, type ScriptedRemote, scriptedRemote, WELCOME } from './scriptedRemote.js';
import { makeWorld, type World } from './world.js';

const TEXT = 25;
const INT4 = 23;
const MIB = 1 << 20;

/** A statement for each of the plans that read rows, and what the remote is asked in both. */
const PLANS = {
  stream: "SELECT * FROM dblink('h', 'SELECT hostile') AS t(a int, b text)",
  splice: "SELECT a + 1, b FROM dblink('h', 'SELECT hostile') AS t(a int, b text)",
} as const;

const COLUMNS = remote.columns([INT4, TEXT]);
const END = Buffer.concat([remote.tag('SELECT 2'), remote.ready()]);
const GOOD = Buffer.concat([COLUMNS, remote.row(['1', 'one']), remote.row(['2', null]), END]);

describe('a hostile remote', () => {
  let world: World;
  let other: FaultClient;
  before(async () => {
    world = await makeWorld();
    other = await world.session('hostile-other');
  });
  after(async () => {
    await other.end();
    await world.close();
  });

  async function start(t: TestContext, script: RemoteScript): Promise<ScriptedRemote> {
    const server = await scriptedRemote(script);
    t.after(() => server.close());
    return server;
  }

  /** Another session, before and after whatever happened. */
  async function othersAreWell(): Promise<void> {
    assert.equal(firstValue(await other.query("SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)")), '1');
    assert.deepEqual((await world.proxy.state()).unhandled, []);
  }

  /** One session connects as h, gets what it gets of the statement, and must be in order afterwards. */
  async function oneFailure(t: TestContext, sql: string, answer: (socket: Socket) => void): Promise<Frame[]> {
    let hostile = true;
    const server = await start(t, {
      query: (_, socket) => {
        if (hostile) answer(socket);
        else socket.write(GOOD);
      },
    });
    const client = await FaultClient.open(world.proxy.port);
    await client.rows(`SELECT dblink_connect('h', '${server.conninfo}')`);
    let failed: Frame[] = [];
    for (const protocol of PROTOCOLS) {
      hostile = true;
      client.start(sql, protocol);
      failed = await client.answer();
      // One error, nothing behind it but ReadyForQuery, and no message of the remote's own.
      assert.match(brief(failed), /^(1 2 )?T (D )?E:\w{5} Z:I$/, `${protocol}: ${brief(failed)}`);
      const { S: severity, C: sqlstate } = errorOf(failed);
      assert.equal(severity, 'ERROR');
      assert.match(sqlstate ?? '', /^(08|XX|54|57P01|42804)/);
      // What the session does next is not touched by it; the connection is in order or known to be lost.
      assert.equal(firstValue(await client.query('SELECT 5')), '5');
      hostile = false;
      const next = brief(await client.query(PLANS.stream));
      assert.match(next, /^T (D C:SELECT 2|E:(08006|08003|XX000)) Z:I$/, next);
      await client.query("SELECT dblink_disconnect('h')");
      assert.equal(
        brief(await client.query(`SELECT dblink_connect('h', '${server.conninfo}')`)),
        'T D C:SELECT 1 Z:I',
      );
      assert.equal(brief(await client.query(PLANS.stream)), 'T D C:SELECT 2 Z:I');
    }
    await client.end();
    await eventually('the remote connections are closed', () => assert.equal(server.open(), 0));
    await othersAreWell();
    return failed;
  }

  const row = remote.row(['1', 'one']);
  /** What a remote may answer, after a proper beginning of a result. */
  const answers: readonly (readonly [string, Buffer])[] = [
    ['a row with too few columns', Buffer.concat([remote.row(['1']), END])],
    ['a row with too many columns', Buffer.concat([remote.row(['1', 'b', 'c']), END])],
    ['a row of no columns', Buffer.concat([remote.row([]), END])],
    ['a row of -1 columns', Buffer.concat([remote.row(['1', 'b'], -1), END])],
    ['a row that claims fewer columns than it has', Buffer.concat([remote.row(['1', 'b'], 1), END])],
    ['a row that claims more columns than it has', Buffer.concat([remote.row(['1'], 2), END])],
    ['a good row, then one with a column too many', Buffer.concat([row, remote.row(['1', 'b', 'c']), END])],
    ['a value that claims to be longer than its row', Buffer.concat([remote.lyingRow(2, 1000, 'x'), END])],
    ['a value of 2 GB in a row of 10 bytes', Buffer.concat([remote.lyingRow(2, 0x7fffffff, 'x'), END])],
    ['a value of negative length', Buffer.concat([remote.lyingRow(2, -7, '\xff\xff\xff\xff'), END])],
    ['a value whose row ends before its length', Buffer.concat([remote.lyingRow(2, 1, 'xab'), END])],
    ['bytes behind the last value', Buffer.concat([remote.lyingRow(2, -1, '\0\0\0\x01xyz'), END])],
    ['a row without a body', Buffer.concat([backend('D'), END])],
    ['a row with one byte', Buffer.concat([backend('D', '\0'), END])],
    ['no CommandComplete', Buffer.concat([row, remote.ready()])],
    ['a row of -5 bytes', Buffer.concat([row, header('D', -5)])],
    ['a row of 2 GB', Buffer.concat([row, header('D', 0x7fffffff), Buffer.alloc(100)])],
    [
      'another RowDescription of 65535 columns',
      Buffer.concat([remote.columns(Array.from({ length: 65535 }, () => TEXT)), END]),
    ],
    ['a RowDescription that claims 70000 columns', Buffer.concat([remote.columns([INT4, TEXT], 70000), END])],
    ['a RowDescription that is cut', Buffer.concat([backend('T', '\0\x02a\0\0\0'), row, END])],
    ['an empty RowDescription', Buffer.concat([backend('T'), row, END])],
    [
      'a RowDescription whose name has no end',
      Buffer.concat([backend('T', `\0\x02${'x'.repeat(20)}`), row, END]),
    ],
    ['garbage', Buffer.from('\0\x01HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['an unknown message', Buffer.concat([row, backend('?', 'what'), END])],
    ['an authentication request', Buffer.concat([row, backend('R', '\0\0\0\x03'), END])],
    ['a BackendKeyData', Buffer.concat([row, backend('K', '\0\0\0\x05key!'), END])],
    ['a ParameterStatus without an end', Buffer.concat([row, backend('S', 'DateStyle'), END])],
    ['an error without fields', Buffer.concat([row, backend('E', '\0'), remote.ready()])],
    ['an error with a damaged field', Buffer.concat([row, backend('E', 'Cno end'), remote.ready()])],
    [
      'an error that says it is fatal',
      Buffer.concat([row, remote.error('57P01', 'gone', 'FATAL'), remote.ready()]),
    ],
    ['an error with an odd SQLSTATE', Buffer.concat([row, remote.error("'||(1/0)||'", 'x'), remote.ready()])],
    ['an unknown transaction status', Buffer.concat([row, remote.tag('SELECT 1'), remote.ready('?')])],
  ];
  for (const [plan, sql] of Object.entries(PLANS)) {
    for (const [name, bytes] of answers) {
      it(`${plan}: ${name}: one failed call`, async (t) => {
        await oneFailure(t, sql, (socket) => socket.write(Buffer.concat([COLUMNS, bytes])));
      });
    }

    it(`${plan}: the end in the middle of a row: one failed call, and no half row`, async (t) => {
      for (const part of [1, 4, 5, 7, 12, row.length - 1]) {
        const frames = await oneFailure(t, sql, (socket) =>
          socket.end(Buffer.concat([COLUMNS, row, row.subarray(0, part)])),
        );
        assert.ok(frames.filter(({ type }) => type === 'D').length <= 1);
      }
    });
  }

  it('stream: cannot send messages of its own to the client', async (t) => {
    const injected = Buffer.concat([
      backend('C', 'DROP TABLE\0'),
      remote.ready('E'),
      remote.error('12345', 'injected'),
    ]);
    const lie = (length: number) =>
      Buffer.concat([
        header('D', length),
        Buffer.from([0, 2, 0, 0, 0, 1, 0x31, 0xff, 0xff, 0xff, 0xff]),
        injected,
      ]);
    for (const bytes of [lie(15 + injected.length), lie(12), lie(14), lie(4), lie(5)]) {
      const frames = await oneFailure(t, PLANS.stream, (socket) =>
        socket.write(Buffer.concat([COLUMNS, bytes, END])),
      );
      assert.doesNotMatch(brief(frames), /DROP TABLE|12345|Z:E/);
    }
    // In the place of a row that never ends.
    const frames = await oneFailure(t, PLANS.stream, (socket) =>
      socket.end(Buffer.concat([COLUMNS, row, header('D', 1000), Buffer.from('\0\x02')])),
    );
    assert.match(brief(frames), /T D E:08006 Z:I$/);
  });

  it('stream: its word on the number of rows is not taken', async (t) => {
    for (const tag of [
      'SELECT 99999999999999999999999',
      'SELECT -1',
      'DELETE 5',
      '',
      'SELECT 1e9',
      'nonsense 7',
    ]) {
      const server = await start(t, {
        query: (_, socket) =>
          socket.write(Buffer.concat([COLUMNS, row, row, remote.tag(tag), remote.ready()])),
      });
      const client = await FaultClient.open(world.proxy.port);
      await client.rows(`SELECT dblink_connect('h', '${server.conninfo}')`);
      for (const sql of Object.values(PLANS)) {
        assert.equal(brief(await client.query(sql)), 'T D C:SELECT 2 Z:I', tag);
      }
      await client.end();
    }
  });

  it('cannot have the primary run SQL by what it puts into an error', async (t) => {
    const codes = [
      "'||(1/0)||'",
      "00000'; DROP",
      "';--x",
      'a\\b',
      "'''''",
      '',
      '1',
      'P0001P0001',
      '\xff\xfe\xfd\xfc\xfb',
    ];
    for (const code of codes) {
      const server = await start(t, {
        query: (_, socket) => socket.write(Buffer.concat([remote.error(code, 'odd'), remote.ready()])),
      });
      const client = await FaultClient.open(world.proxy.port);
      await client.rows(`SELECT dblink_connect('h', '${server.conninfo}')`);
      await client.rows('BEGIN');
      const frames = await client.query("SELECT dblink_exec('h', 'x')");
      assert.match(brief(frames), /^T E:[0-9A-Z]{5} Z:E$/, code);
      assert.notEqual(errorOf(frames)['C'], '22012');
      await client.end();
    }
    const log = await world.onPrimary('SELECT 1');
    assert.equal(log.length, 1);
  });

  it('a second ReadyForQuery: this call is served, the next one fails once', async (t) => {
    const server = await start(t, {
      query: (_, socket) => socket.write(Buffer.concat([GOOD, remote.ready()])),
    });
    const client = await FaultClient.open(world.proxy.port);
    await client.rows(`SELECT dblink_connect('h', '${server.conninfo}')`);
    assert.match(brief(await client.query(PLANS.stream)), /C:SELECT 2 Z:I$/);
    await eventually('the connection is closed', () => assert.equal(server.open(), 0));
    assert.equal(brief(await client.query(PLANS.stream)), 'T E:08006 Z:I');
    assert.equal(errorOf(await client.query(PLANS.stream))['M']?.startsWith('could not send query'), true);
    await client.end();
    await othersAreWell();
  });

  it('endless notices: memory stays, a cancel ends it', async (t) => {
    const flood = remote.notice('n'.repeat(60_000));
    const pour = (socket: Socket): void => {
      while (!socket.destroyed && socket.write(flood));
      if (!socket.destroyed) socket.once('drain', () => pour(socket));
    };
    const server = await start(t, { query: (_, socket) => pour(socket) });
    const client = await FaultClient.open(world.proxy.port);
    await client.rows(`SELECT dblink_connect('h', '${server.conninfo}')`);
    const { memory: idle } = await world.proxy.state(true);
    client.start(PLANS.splice, 'simple');
    for (let i = 0; i < 20; i++) await othersAreWell();
    const { memory } = await world.proxy.state(true);
    await client.cancel();
    assert.match(brief(await client.answer()), /E:57014 Z:I$/);
    assert.ok(
      memory.rss + memory.external < idle.rss + idle.external + 48 * MIB,
      JSON.stringify([idle, memory]),
    );
    await client.end();
    await eventually('the remote connections are closed', () => assert.equal(server.open(), 0));
  });

  it('a promised row of a gigabyte of which 32 MiB come: memory for what came, not for the promise', async (t) => {
    for (const sql of Object.values(PLANS)) {
      const server = await start(t, {
        query: (_, socket) => {
          socket.write(
            Buffer.concat([
              COLUMNS,
              header('D', 0x3ffffff0),
              Buffer.from([0, 2, 0, 0, 0, 1, 0x31, 0x3f, 0, 0, 0]),
            ]),
          );
          socket.write(Buffer.alloc(32 * MIB, 'x'));
        },
      });
      const client = await FaultClient.open(world.proxy.port);
      await client.rows(`SELECT dblink_connect('h', '${server.conninfo}')`);
      const { memory: idle } = await world.proxy.state(true);
      client.start(sql, 'simple');
      for (let i = 0; i < 10; i++) await othersAreWell();
      await client.cancel();
      assert.match(brief(await client.answer()), /^T E:\w{5} Z:I$/);
      const { memory } = await world.proxy.state(true);
      assert.ok(memory.peak < idle.rss + idle.external + 160 * MIB, JSON.stringify([idle, memory]));
      await client.end();
    }
    await othersAreWell();
  });

  it('that never answers: a cancel ends the call, the next one waits, and the end of the session closes it', async (t) => {
    const server = await start(t, {});
    const client = await FaultClient.open(world.proxy.port);
    await client.rows(`SELECT dblink_connect('h', '${server.conninfo}')`);
    for (let i = 0; i < 2; i++) {
      client.start(PLANS.stream, 'simple');
      await othersAreWell();
      await client.cancel();
      assert.equal(brief(await client.answer()), 'T E:57014 Z:I');
    }
    assert.equal(brief(await client.query("SELECT dblink_disconnect('h')")), 'T D C:SELECT 1 Z:I');
    await eventually('the remote connection is closed', () => assert.equal(server.open(), 0));
    await client.end();
  });

  const scram = (message: string): Buffer => Buffer.concat([backend('R', `\0\0\0\x0b${message}`)]);
  const logins: readonly (readonly [
    string,
    (connection: import('../support/fakePrimary.js').FakeConnection) => Promise<void> | void,
  ])[] = [
    ['garbage', ({ socket }) => void socket.write('SSH-2.0-OpenSSH_9.9\r\n')],
    ['an unknown authentication code', ({ socket }) => void socket.write(backend('R', '\0\0\0\x63'))],
    ['an authentication request of 1 GB', ({ socket }) => void socket.write(header('R', 1 << 30))],
    ['an error of 2 GB', ({ socket }) => void socket.write(header('E', 0x7fffffff))],
    ['a negative length', ({ socket }) => void socket.write(header('R', -1))],
    [
      'NegotiateProtocolVersion, then the end',
      ({ socket }) => void socket.end(backend('v', '\0\x03\0\0\0\0\0\x01_pq_.x\0')),
    ],
    ['a NegotiateProtocolVersion that is cut', ({ socket }) => void socket.end(backend('v', '\0'))],
    ['rows', ({ socket }) => void socket.write(Buffer.concat([backend('R', '\0\0\0\0'), COLUMNS, row]))],
    [
      'a key of 300 bytes',
      ({ socket }) =>
        void socket.write(Buffer.concat([backend('R', '\0\0\0\0'), backend('K', 'k'.repeat(300))])),
    ],
    ['the end at once', ({ socket }) => void socket.end()],
    ['a reset', ({ socket }) => void socket.resetAndDestroy()],
    [
      'a SCRAM iteration count of ten million',
      async (connection) => {
        connection.socket.write(backend('R', '\0\0\0\x0aSCRAM-SHA-256\0\0'));
        const first = (await connection.message()).toString('latin1');
        const nonce = /r=([^,]+)/.exec(first)?.[1] ?? '';
        connection.socket.write(scram(`r=${nonce}abc,s=${Buffer.alloc(16).toString('base64')},i=10000000`));
      },
    ],
    [
      'a nonce that is not ours',
      async (connection) => {
        connection.socket.write(backend('R', '\0\0\0\x0aSCRAM-SHA-256\0\0'));
        await connection.message();
        connection.socket.write(scram(`r=abc,s=${Buffer.alloc(16).toString('base64')},i=4096`));
      },
    ],
    [
      'ten thousand parameters',
      ({ socket }) =>
        void socket.write(
          Buffer.concat([
            backend('R', '\0\0\0\0'),
            ...Array.from({ length: 10_000 }, (_, i) => remote.parameter(`p${i}`, 'x'.repeat(100))),
          ]),
        ),
    ],
  ];
  for (const [name, login] of logins) {
    it(`at login: ${name}: 08001`, async (t) => {
      const server = await start(t, { login });
      const client = await FaultClient.open(world.proxy.port);
      for (const statement of [
        `SELECT dblink_connect('h', '${server.conninfo} password=p')`,
        `SELECT * FROM dblink('${server.conninfo} password=p', 'SELECT 1') AS t(a int)`,
      ]) {
        const frames = await client.query(statement);
        assert.equal(brief(frames), 'T E:08001 Z:I');
        assert.equal(errorOf(frames)['M'], 'could not establish connection');
        assert.ok(errorOf(frames)['D']);
      }
      assert.deepEqual(await client.rows('SELECT dblink_get_connections()'), [[null]]);
      await client.end();
      await eventually('the remote connections are closed', () => assert.equal(server.open(), 0));
      await othersAreWell();
    });
  }

  it('at login: an older protocol and unknown options are no failure', async (t) => {
    const negotiate = backend('v', '\0\x03\0\0\0\0\0\x01_pq_.x\0');
    const server = await start(t, {
      login: ({ socket }) => void socket.write(Buffer.concat([negotiate, WELCOME])),
      query: (_, socket) => socket.write(GOOD),
    });
    const client = await FaultClient.open(world.proxy.port);
    await client.rows(`SELECT dblink_connect('h', '${server.conninfo}')`);
    assert.match(brief(await client.query(PLANS.stream)), /C:SELECT 2 Z:I$/);
    await client.end();
  });

  it('while it is asked for its attributes: 08001 for what is no answer', async (t) => {
    for (const answer of [
      (socket: Socket) => void socket.end(),
      (socket: Socket) => void socket.resetAndDestroy(),
      (socket: Socket) => void socket.write('garbage garbage'),
      (socket: Socket) => void socket.write(Buffer.concat([remote.error('42601', 'no'), remote.ready()])),
      (socket: Socket) => void socket.write(Buffer.concat([remote.tag('SELECT 0'), remote.ready()])),
    ]) {
      const server = await start(t, { query: (_, socket) => answer(socket) });
      const client = await FaultClient.open(world.proxy.port);
      const frames = await client.query(
        `SELECT dblink_connect('h', '${server.conninfo} target_session_attrs=standby')`,
      );
      assert.equal(brief(frames), 'T E:08001 Z:I', answer.toString());
      assert.equal(firstValue(await client.query('SELECT 1')), '1');
      await client.end();
      await eventually('the remote connections are closed', () => assert.equal(server.open(), 0));
    }
  });

  it('the same for dblink_exec and errors that do not fail', async (t) => {
    const server = await start(t, {
      query: (_, socket) => socket.end(Buffer.concat([COLUMNS, backend('D', '\0')])),
    });
    const client = await FaultClient.open(world.proxy.port);
    await client.rows(`SELECT dblink_connect('h', '${server.conninfo}')`);
    client.wire.send(frontend.query("SELECT dblink_exec('h', 'x', false)"));
    const frames = await client.answer();
    assert.match(brief(frames), /^T N:08006 D C:SELECT 1 Z:I$/);
    assert.ok(frames.some((frame) => frame.type === 'N' && fieldsOf(frame)['M']));
    await client.end();
  });
});
