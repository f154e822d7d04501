import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresServer } from '../../../src/embedded/index.js';
import type { ErrorFields } from '../../../src/wire/errors.js';
import {
  ConnectError,
  ConnectionBusy,
  ConnectionLost,
  type CopyInControl,
  parseDataRow,
  type QueryHandler,
  serverVersionNumber,
  type WireClient,
} from '../../../src/wire/outbound/index.js';
import { protocolVersion } from '../../../src/wire/protocol.js';
import { eventually } from '../../support/eventually.js';
import { extensionServer } from '../../support/postgres.js';
import { collector, connectTo, leavesNothing, run, unusedPort } from './client-support.js';

let server: PostgresServer;
let client: WireClient;

const connectHere = (options = {}): Promise<WireClient> =>
  connectTo({ host: server.host, port: server.port }, options);

before(async () => {
  server = await extensionServer(18);
  client = await connectHere();
});
after(() => client.close());

test('what is known after connecting', () => {
  assert.equal(client.state, 'ready');
  assert.equal(client.transactionStatus, 'I');
  assert.equal(client.passwordRequested, false);
  assert.equal(client.encrypted, false);
  assert.equal(client.closedReason, undefined);
  assert.ok(client.processId > 0);
  assert.equal(client.parameters.get('client_encoding'), 'UTF8');
  assert.equal(Math.floor(client.serverVersion / 10000), 18);
});

test('a Unix socket, where TLS is not asked for in any mode', async () => {
  const path = `${server.socketDir}/.s.PGSQL.${server.port}`;
  const other = await connectTo({ path }, { tls: { mode: 'verify-full' } });
  assert.equal(other.encrypted, false);
  assert.deepEqual((await run(other, 'select 1')).rows, [['1']]);
  other.close();
});

test('startup parameters arrive in their bytes', async () => {
  const other = await connectHere({
    startup: [
      ['user', Buffer.from('postgres')],
      ['database', 'postgres'],
      ['client_encoding', 'UTF8'],
      ['application_name', 'a name'],
      ['options', '-c search_path=\xc3\xa9'],
    ],
  });
  assert.equal(other.parameters.get('application_name'), 'a name');
  assert.deepEqual((await run(other, 'show search_path')).rows, [['\xc3\xa9']]);
  other.close();
  await assert.rejects(connectHere({ startup: [['user', 'x\0database\0y']] }), TypeError);
  await assert.rejects(connectHere({ startup: [['user', '\u20ac']] }), TypeError);
});

test('several results, an empty statement, and an error that ends the rest', async () => {
  const got = await run(
    client,
    'select 1 as a, null::text as b; select; ; create temp table t1(x int); selec; select 3',
  );
  assert.deepEqual(got.events, ['error 42601']);
  const next = await run(
    client,
    'select 1 as a, null::text as b; create temp table t1(x int); insert into t1 values (1), (2); select 1/0; select 3',
  );
  assert.deepEqual(next.events, ['columns', 'row', 'SELECT 1', 'CREATE TABLE', 'INSERT 0 2', 'error 22012']);
  assert.deepEqual(next.rows, [['1', null]]);
  assert.deepEqual(
    next.columns[0]!.map(({ name, typeOid, typeLength, format }) => [
      name.toString(),
      typeOid,
      typeLength,
      format,
    ]),
    [
      ['a', 23, 4, 0],
      ['b', 25, -1, 0],
    ],
  );
  assert.deepEqual((await run(client, '')).events, ['empty']);
  assert.deepEqual((await run(client, ' ; ')).events, ['empty']);
});

test('simple queries that are sent at once all run, whatever becomes of the others', async () => {
  const { handler, got } = collector();
  const sqls = ['select 1', 'select 1/0', 'discard all', 'begin'].map((sql) => Buffer.from(sql));
  await client.queries(sqls, handler);
  assert.deepEqual(got.events, [
    'columns',
    'row',
    'SELECT 1',

    'error 22012',
    'DISCARD ALL',
    'BEGIN',
  ]);
  assert.equal(client.transactionStatus, 'T');
  assert.deepEqual((await run(client, 'rollback')).events, ['ROLLBACK']);
});

test('the transaction status is the last ReadyForQuery', async () => {
  await run(client, 'begin');
  assert.equal(client.transactionStatus, 'T');
  await run(client, 'selec');
  assert.equal(client.transactionStatus, 'E');
  await run(client, 'rollback');
  assert.equal(client.transactionStatus, 'I');
});

test('bytes that are no characters come back as they went', async () => {
  const other = await connectHere({
    startup: [
      ['user', 'postgres'],
      ['database', 'postgres'],
      ['client_encoding', 'LATIN1'],
    ],
  });
  const got = await run(other, Buffer.from([...Buffer.from("select '"), 0xe9, 0xa4, ...Buffer.from("'")]));
  assert.deepEqual(got.rows, [['\xe9\xa4']]);
  other.close();
});

test('raw rows are the bytes of the DataRow messages', async () => {
  const sql = "select i, repeat('x', i % 300) from generate_series(1, 20000) i";
  const whole: Buffer[] = [];
  await client.query(Buffer.from(sql), { row: (message) => void whole.push(Buffer.from(message)) });
  const raw: Buffer[] = [];
  const events: string[] = [];
  await client.query(Buffer.from(`${sql}; select 1`), {
    rowDescription() {
      events.push('columns');
      return events.length === 1 ? 'raw' : 'discard';
    },
    rawRows: (bytes) => void raw.push(Buffer.from(bytes)),
    row: () => assert.fail('rows were not asked for'),
    commandComplete: (tag) => void events.push(tag),
  });
  assert.equal(whole.length, 20000);
  assert.ok(Buffer.concat(whole).equals(Buffer.concat(raw)));
  assert.deepEqual(events, ['columns', 'SELECT 20000', 'columns', 'SELECT 1']);
});

test('without rowDescription, the delivery is that of the method that is there', async () => {
  let rows = 0;
  await client.query(Buffer.from('select generate_series(1, 3)'), { row: () => void rows++ });
  assert.equal(rows, 3);
  const raw: Buffer[] = [];
  await client.query(Buffer.from('select 5'), { rawRows: (bytes) => void raw.push(Buffer.from(bytes)) });
  assert.deepEqual(parseDataRow(Buffer.concat(raw)), [Buffer.from('5')]);
  await client.query(Buffer.from('select 5'), {});
});

test('extended queries: parameters, formats, several in a row, errors', async () => {
  const { handler, got } = collector();
  const sql = Buffer.from('select $1::int + 1 as n, $2::text as t, $3::bytea as b');
  await client.execute(
    sql,
    [Buffer.from('41'), null, Buffer.from([0, 255])],
    { resultFormat: 1, paramFormats: [0, 0, 1] },
    handler,
  );
  assert.deepEqual(got.events, ['columns', 'row', 'SELECT 1']);
  assert.deepEqual(got.rows, [['\0\0\0\x2a', null, '\0\xff']]);
  assert.deepEqual(
    got.columns[0]!.map(({ format }) => format),
    [1, 1, 1],
  );

  const typed = collector();
  await client.execute(
    Buffer.from('select pg_typeof($1)'),
    [Buffer.from('1')],
    { resultFormat: 0, paramTypes: [20] },
    typed.handler,
  );
  assert.deepEqual(typed.got.rows, [['bigint']]);

  const command = collector();
  await client.execute(Buffer.from('create temp table t2(x int)'), [], { resultFormat: 0 }, command.handler);
  await client.execute(Buffer.from(''), [], { resultFormat: 0 }, command.handler);
  assert.deepEqual(command.got.events, ['CREATE TABLE', 'empty']);

  const failing = collector();
  await client.execute(
    Buffer.from('select 1/$1::int'),
    [Buffer.from('0')],
    { resultFormat: 0 },
    failing.handler,
  );
  await client.execute(Buffer.from('selec'), [], { resultFormat: 0 }, failing.handler);
  assert.deepEqual(
    failing.got.errors.map(({ sqlstate }) => sqlstate),
    ['22012', '42601'],
  );
  assert.equal(client.state, 'ready');
  await assert.rejects(
    client.execute(Buffer.from('x'), new Array(65536).fill(null), { resultFormat: 0 }, {}),
    RangeError,
  );
});

test('SQL with a zero byte is not sent', async () => {
  await assert.rejects(client.query(Buffer.from('select 1\0; select 2'), {}), TypeError);
  await assert.rejects(client.execute(Buffer.from('select 1\0'), [], { resultFormat: 0 }, {}), TypeError);
  assert.equal(client.state, 'ready');
});

test('one query at a time', async () => {
  const first = client.query(Buffer.from('select pg_sleep(0.1)'), {});
  assert.equal(client.state, 'busy');
  await assert.rejects(client.query(Buffer.from('select 1'), {}), (error) => {
    assert.ok(error instanceof ConnectionBusy);
    assert.equal(error.message, 'another command is already in progress');
    return true;
  });
  await first;
  assert.equal(client.state, 'ready');
});

test('what a handler throws rejects its query and nothing else', async () => {
  const sql = Buffer.from("select generate_series(1, 1000); copy (select 1) to stdout; select 'end'");
  const methods: (keyof QueryHandler)[] = [
    'rowDescription',
    'row',
    'rawRows',
    'commandComplete',
    'copyOut',
    'copyData',
  ];
  for (const method of methods) {
    const thrown = new Error(`thrown by ${method}`);
    let calls = 0;
    const handler: QueryHandler = {
      [method]: () => {
        calls++;
        throw thrown;
      },
    };
    await assert.rejects(client.query(sql, handler), thrown);
    assert.equal(calls, 1, method);
    assert.deepEqual((await run(client, 'select 1')).rows, [['1']]);
  }
  const error = new Error('thrown by error');
  await assert.rejects(
    client.query(Buffer.from('selec'), {
      error() {
        throw error;
      },
    }),
    error,
  );
  const copyIn = new Error('thrown by copyIn');
  await run(client, 'create temp table t3(x text)');
  await assert.rejects(
    client.query(Buffer.from('copy t3 from stdin'), {
      copyIn() {
        throw copyIn;
      },
    }),
    copyIn,
  );
  assert.equal(client.state, 'ready');
});

test('COPY out', async () => {
  const got = await run(client, "copy (select i, 'x' from generate_series(1, 3) i) to stdout; select 1");
  assert.deepEqual(got.events, [
    'copyOut',
    'data 1\tx\n',
    'data 2\tx\n',
    'data 3\tx\n',
    'COPY 3',
    'columns',
    'row',
    'SELECT 1',
  ]);
  const tags: string[] = [];
  await client.query(Buffer.from('copy (select generate_series(1, 50000)) to stdout'), {
    commandComplete: (tag) => void tags.push(tag),
  });
  assert.deepEqual(tags, ['COPY 50000']);
});

test('COPY in, by both protocols, with success and every kind of failure', async () => {
  await run(client, 'create temp table t4(x int)');
  const sql = Buffer.from('copy t4 from stdin');
  const send: Record<'simple' | 'extended', (handler: QueryHandler) => Promise<void>> = {
    simple: (handler) => client.query(sql, handler),
    extended: (handler) => client.execute(sql, [], { resultFormat: 0 }, handler),
  };
  for (const query of Object.values(send)) {
    const copy = async (use: (control: CopyInControl) => void): Promise<string[]> => {
      const { handler, got } = collector();
      await query({ ...handler, copyIn: use });
      assert.equal(client.state, 'ready');
      assert.deepEqual((await run(client, 'select 1')).events, ['columns', 'row', 'SELECT 1']);
      return got.events;
    };
    assert.deepEqual(
      await copy((control) => {
        control.write(Buffer.from('1\n2'));
        control.write(Buffer.from('3\n'));
        control.done();
        control.done();
        control.write(Buffer.from('late'));
      }),
      ['COPY 2'],
    );
    assert.deepEqual(await copy((control) => control.fail('because')), ['error 57014']);
    // The server finds a bad line while the client still writes.
    assert.deepEqual(
      await copy((control) => {
        control.write(Buffer.from('bad\n'));
        const timer = setInterval(() => control.write(Buffer.alloc(60_000, '1\n')), 5);
        setTimeout(() => {
          clearInterval(timer);
          control.done();
        }, 200);
      }),
      ['error 22P02'],
    );
    const { handler, got } = collector();
    await query(handler);
    assert.match(got.errors[0]!.message, /COPY FROM STDIN is not supported here/);
  }
  await run(client, 'truncate t4');
});

test('COPY in goes on when the socket has taken what was written', async () => {
  await run(client, 'create temp table t5(x text)');
  const line = Buffer.from(`${'y'.repeat(1000)}\n`);
  let left = 20_000;
  const { handler, got } = collector();
  await client.query(Buffer.from('copy t5 from stdin'), {
    ...handler,
    copyIn(control) {
      const pump = (): void => {
        while (left > 0) {
          left--;
          if (!control.write(line)) return;
        }
        control.done();
      };
      control.onDrain = pump;
      pump();
    },
  });
  assert.deepEqual(got.events, ['COPY 20000']);
});

test('notices and notifications, while idle and in a query', async () => {
  const notices: ErrorFields[] = [];
  const notifications: [number, string, string][] = [];
  const listener = await connectHere();
  listener.onNotice = (fields) => void notices.push(fields);
  listener.onNotification = (pid, channel, payload) =>
    void notifications.push([pid, channel.toString(), payload.toString()]);
  await run(listener, "listen chan; do $$begin raise notice 'hello'; end$$; notify chan, 'mine'");
  assert.deepEqual(
    notices.map(({ severity, message }) => [severity, message]),
    [['NOTICE', 'hello']],
  );
  await run(client, "notify chan, 'other'");
  for (let tries = 0; notifications.length < 2 && tries < 100; tries++) await sleep(10);
  assert.deepEqual(notifications, [
    [listener.processId, 'chan', 'mine'],
    [client.processId, 'chan', 'other'],
  ]);
  listener.close();
});

test('ParameterStatus is followed', async () => {
  await run(client, "set DateStyle = 'German'");
  assert.equal(client.parameters.get('DateStyle'), 'German, DMY');
  await run(client, 'reset DateStyle');
  assert.equal(client.parameters.get('DateStyle'), 'ISO, MDY');
});

test('a server whose protocol is older than what will do is not used', async () => {
  const wanted = { protocolVersion: protocolVersion(3, 2), minProtocolVersion: protocolVersion(3, 2) };
  (await connectHere(wanted)).close();
  const { host, port } = await extensionServer(15);
  await assert.rejects(connectTo({ host, port }, wanted), {
    message: /: server only supports protocol version 3\.0, but "min_protocol_version" was set to 3\.2$/,
  });
});

test('a cancel request stops the query and not the next one', async () => {
  for (const protocol of [protocolVersion(3, 0), protocolVersion(3, 2)]) {
    const other = await connectHere({ protocolVersion: protocol });
    for (let round = 0; round < 20; round++) {
      const { handler, got } = collector();
      // A request that comes before the server has begun is lost, so the query says that it runs.
      const begun = new Promise<void>((resolve) => {
        other.onNotice = () => resolve();
      });
      const sql = "do $$begin raise notice 'begun'; perform pg_sleep(10); end$$";
      const running = other.query(Buffer.from(sql), handler);
      await begun;
      const cancelled = other.cancel();
      await running;
      assert.deepEqual(
        got.errors.map(({ sqlstate }) => sqlstate),
        ['57014'],
      );
      // Started before the request has settled.
      assert.deepEqual((await run(other, 'select pg_sleep(0.002)')).errors, []);
      await cancelled;
    }
    other.close();
  }
});

test('cancel requests that race with the end of a query never hit the next one', async () => {
  for (let round = 0; round < 100; round++) {
    const running = client.query(Buffer.from('select 1'), {});
    const cancelled = client.cancel();
    await running;
    assert.deepEqual((await run(client, 'select pg_sleep(0.001)')).errors, []);
    await cancelled;
  }
});

test('pause stops the flow and resume continues it', async () => {
  let bytes = 0;
  let finished = false;
  const running = client
    .query(Buffer.from("select repeat('x', 1000) from generate_series(1, 40000)"), {
      rowDescription: () => 'raw',
      rawRows(chunk) {
        if (bytes === 0) client.pause();
        bytes += chunk.length;
      },
    })
    .then(() => void (finished = true));
  await sleep(300);
  assert.ok(bytes > 0 && bytes <= 2 * 65536, `${bytes} bytes came after pause`);
  assert.equal(finished, false);
  client.resume();
  await running;
  assert.ok(bytes > 40_000_000);
});

test('a server that ends the connection: while idle, in a query, in a result', async () => {
  const text =
    'FATAL:  terminating connection due to administrator command\n' +
    'server closed the connection unexpectedly\n' +
    '\tThis probably means the server terminated abnormally\n' +
    '\tbefore or while processing the request.';
  const check = (error: unknown): true => {
    assert.ok(error instanceof ConnectionLost);
    assert.equal(error.message, text);
    assert.equal(error.fields?.sqlstate, '57P01');
    return true;
  };
  const statements = [
    'select pg_sleep(10)',
    'select pg_terminate_backend(pg_backend_pid())',
    "select repeat('x', 1000), pg_sleep(i / 2000 * 0.01) from generate_series(1, 100000) i",
  ];
  for (const sql of statements) {
    const other = await connectHere();
    const reasons: ConnectionLost[] = [];
    other.onClose = (reason) => void reasons.push(reason);
    const errors: ErrorFields[] = [];
    const running = other.query(Buffer.from(sql), { error: (fields) => void errors.push(fields) });
    const lost = assert.rejects(running, check);
    await sleep(100);
    await run(client, `select pg_terminate_backend(${other.processId})`);
    await lost;
    assert.deepEqual(errors, []);
    assert.equal(other.state, 'closed');
    assert.equal(other.closedReason, text);
    assert.deepEqual(reasons, [other.lost]);
    await assert.rejects(other.query(Buffer.from('select 1'), {}), check);
    await assert.rejects(other.cancel(), check);
  }
  const idle = await connectHere();
  const closed = new Promise((resolve) => {
    idle.onClose = resolve;
  });
  await run(client, `select pg_terminate_backend(${idle.processId})`);
  check(await closed);
});

test('errors of the startup', async () => {
  const rejects = (options: object, message: string, sqlstate: string): Promise<void> =>
    assert.rejects(connectHere(options), (error) => {
      assert.ok(error instanceof ConnectError);
      assert.equal(
        error.message,
        `connection to server at "127.0.0.1", port ${server.port} failed: ${message}`,
      );
      assert.equal(error.sqlstate, sqlstate);
      return true;
    });
  await rejects(
    {
      startup: [
        ['user', 'postgres'],
        ['database', 'no such'],
      ],
    },
    'FATAL:  database "no such" does not exist',
    '3D000',
  );
  await rejects({ startup: [['user', 'no one']] }, 'FATAL:  role "no one" does not exist', '28000');
  await rejects(
    {
      startup: [
        ['user', 'postgres'],
        ['options', '-c nonsense=1'],
      ],
    },
    'FATAL:  unrecognized configuration parameter "nonsense"',
    '42704',
  );
});

test('addresses where nobody listens', async () => {
  const port = await unusedPort();
  const rejects = (attempt: Promise<unknown>, message: string, code: string | undefined): Promise<void> =>
    assert.rejects(attempt, (error) => {
      assert.ok(error instanceof ConnectError);
      assert.equal(error.message, message);
      assert.equal(error.stage, 'network');
      assert.equal(error.code, code);
      assert.equal(error.sqlstate, undefined);
      return true;
    });
  await rejects(
    connectTo({ host: '127.0.0.1', port }),
    `connection to server at "127.0.0.1", port ${port} failed: Connection refused\n` +
      '\tIs the server running on that host and accepting TCP/IP connections?',
    'ECONNREFUSED',
  );
  await rejects(
    connectTo({ host: '127.0.0.1', port }, { tls: { mode: 'prefer', serverName: 'some.test' } }),
    `connection to server at "some.test" (127.0.0.1), port ${port} failed: Connection refused\n` +
      '\tIs the server running on that host and accepting TCP/IP connections?',
    'ECONNREFUSED',
  );
  await rejects(
    connectTo({ path: '/nonexistent/.s.PGSQL.5432' }),
    'connection to server on socket "/nonexistent/.s.PGSQL.5432" failed: No such file or directory\n' +
      '\tIs the server running locally and accepting connections on that socket?',
    'ENOENT',
  );
  const long = `/tmp/${'x'.repeat(110)}`;
  await rejects(
    connectTo({ path: long }),
    `Unix-domain socket path "${long}" is too long (maximum 107 bytes)`,
    undefined,
  );
  await rejects(
    connectTo({ host: 'no-such-host.invalid', port }),
    'could not translate host name "no-such-host.invalid" to address: Name or service not known',
    'ENOTFOUND',
  ).catch((error) => {
    // Without any resolver the answer is another, but still the resolver's.
    assert.match(String(error), /Temporary failure in name resolution|EAI_AGAIN/);
  });
});

test('close and destroy end everything and reject what runs', async () => {
  const watcher = await connectHere();
  await leavesNothing(async () => {
    for (const end of ['close', 'destroy'] as const) {
      const idle = await connectHere();
      idle.onClose = () => assert.fail('this end was asked for');
      idle[end]();
      idle[end]();
      assert.equal(idle.state, 'closed');
      await assert.rejects(idle.query(Buffer.from('select 1'), {}), ConnectionLost);

      const busy = await connectHere();
      const running = busy.query(Buffer.from('select pg_sleep(0.3)'), {});
      busy[end]();
      await assert.rejects(running, ConnectionLost);

      const paused = await connectHere();
      const flooded = paused.query(Buffer.from('select generate_series(1, 1000000)'), {});
      paused.pause();
      // The server has to wait.
      await eventually('the server waits', async () => {
        const waiting = await run(watcher, "select 1 from pg_stat_activity where wait_event = 'ClientWrite'");
        return waiting.rows.length > 0;
      });
      paused[end]();
      await assert.rejects(flooded, ConnectionLost);
    }
  });
  await watcher.close();
});

test('server versions as numbers', () => {
  const cases: readonly (readonly [string | undefined, number])[] = [
    ['15.18 (Debian 15.18-0+deb12u1)', 150018],
    ['18.4', 180004],
    ['16devel', 160000],
    ['17beta2', 170000],
    ['9.6.3', 90603],
    ['9.2', 90200],
    ['nonsense', 0],
    [undefined, 0],
  ];
  for (const [text, expected] of cases) assert.equal(serverVersionNumber(text), expected);
});
