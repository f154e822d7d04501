import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { eventually } from '../support/eventually.js';
import { backend, header } from '../support/fakePrimary.js';
import { type Frame, frontend } from '../support/wire.js';
import { brief, errorOf, fieldsOf, firstValue, PROTOCOLS } from './world/client.js';
import { COLUMNS, END, GOOD, HostileWorld, INT4, PLANS, TEXT } from './world/hostile.js';
import { remote } from './world/scriptedRemote.js';

describe('what a hostile remote answers', () => {
  const hostile = new HostileWorld();

  /** One session connects as h, gets what it gets of the statement, and must be in order afterwards. */
  async function oneFailure(t: TestContext, sql: string, answer: (socket: Socket) => void): Promise<Frame[]> {
    let misbehaving = true;
    const server = await hostile.start(t, {
      query: (_, socket) => {
        if (misbehaving) answer(socket);
        else socket.write(GOOD);
      },
    });
    const client = await hostile.connected(server);
    let failed: Frame[] = [];
    for (const protocol of PROTOCOLS) {
      misbehaving = true;
      client.start(sql, protocol);
      failed = await client.answer();
      // One error, nothing behind it but ReadyForQuery, and no message of the remote's own.
      assert.match(brief(failed), /^(1 2 )?T (D )?E:\w{5} Z:I$/, `${protocol}: ${brief(failed)}`);
      const { S: severity, C: sqlstate } = errorOf(failed);
      assert.equal(severity, 'ERROR');
      assert.match(sqlstate ?? '', /^(08|XX|54|57P01|42804)/);
      // What the session does next is not touched by it; the connection is in order or known to be lost.
      assert.equal(firstValue(await client.query('SELECT 5')), '5');
      misbehaving = false;
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
    await hostile.othersAreWell();
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
      const server = await hostile.start(t, {
        query: (_, socket) =>
          socket.write(Buffer.concat([COLUMNS, row, row, remote.tag(tag), remote.ready()])),
      });
      const client = await hostile.connected(server);
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
      const server = await hostile.start(t, {
        query: (_, socket) => socket.write(Buffer.concat([remote.error(code, 'odd'), remote.ready()])),
      });
      const client = await hostile.connected(server);
      await client.rows('BEGIN');
      const frames = await client.query("SELECT dblink_exec('h', 'x')");
      assert.match(brief(frames), /^T E:[0-9A-Z]{5} Z:E$/, code);
      assert.notEqual(errorOf(frames)['C'], '22012');
      await client.end();
    }
    const log = await hostile.world.onPrimary('SELECT 1');
    assert.equal(log.length, 1);
  });

  it('the same for dblink_exec and errors that do not fail', async (t) => {
    const server = await hostile.start(t, {
      query: (_, socket) => socket.end(Buffer.concat([COLUMNS, backend('D', '\0')])),
    });
    const client = await hostile.connected(server);
    client.wire.send(frontend.query("SELECT dblink_exec('h', 'x', false)"));
    const frames = await client.answer();
    assert.match(brief(frames), /^T N:08006 D C:SELECT 1 Z:I$/);
    assert.ok(frames.some((frame) => frame.type === 'N' && fieldsOf(frame)['M']));
    await client.end();
  });
});
