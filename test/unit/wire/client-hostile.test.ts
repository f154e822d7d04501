import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import {
  ConnectError,
  ConnectionLost,
  type ConnectOptions,
  type WireClient,
} from '../../../src/wire/outbound/index.js';
import {
  answering,
  collector,
  connectTo,
  leavesNothing,
  message,
  run,
  type ScriptedServer,
  scriptedServer,
  WELCOME,
} from './client-support.js';

const at = (server: ScriptedServer, options: Partial<ConnectOptions> = {}): Promise<WireClient> =>
  connectTo({ host: '127.0.0.1', port: server.port }, options);

const CLOSED =
  'server closed the connection unexpectedly\n' +
  '\tThis probably means the server terminated abnormally\n' +
  '\tbefore or while processing the request.';

/** What the startup fails with when the server answers it like this. */
async function startupFailure(answer: Buffer, options: Partial<ConnectOptions> = {}): Promise<ConnectError> {
  const server = await scriptedServer((socket) => socket.once('data', () => socket.write(answer)));
  try {
    await at(server, { timeoutMs: 5000, ...options });
  } catch (error) {
    assert.ok(error instanceof ConnectError, String(error));
    const prefix = `connection to server at "127.0.0.1", port ${server.port} failed: `;
    assert.ok(error.message.startsWith(prefix), error.message);
    error.message = error.message.slice(prefix.length);
    return error;
  } finally {
    await server.close();
  }
  return assert.fail('the connection was made');
}

/** What a query is rejected with when the server answers it like this. */
async function queryFailure(answer: Buffer, end = false): Promise<ConnectionLost> {
  const server = await answering(answer, end);
  const client = await at(server);
  try {
    await client.query(Buffer.from('select'), collector().handler);
  } catch (error) {
    assert.ok(error instanceof ConnectionLost, String(error));
    assert.equal(client.state, 'closed');
    return error;
  } finally {
    client.destroy();
    await server.close();
  }
  return assert.fail('the query was answered');
}

test('startups that go wrong', async () => {
  const ok = message.authentication(0);
  const cases: readonly (readonly [string, Buffer, string, ConnectError['stage']])[] = [
    [
      'another protocol',
      Buffer.from('HTTP/1.1 400 Bad Request\r\n'),
      'expected authentication request from server, but received H',
      'auth',
    ],
    [
      'one byte of another protocol',
      Buffer.from('+'),
      'expected authentication request from server, but received +',
      'auth',
    ],
    ['an unknown code', message.authentication(99), 'authentication method 99 not supported', 'auth'],
    ['GSSAPI', message.authentication(7), 'GSSAPI authentication not supported', 'auth'],
    [
      'a request that is too short',
      message.header('R', 5),
      'received invalid authentication request',
      'auth',
    ],
    [
      'a request that is too long',
      message.header('R', 2001),
      'received invalid authentication request',
      'auth',
    ],
    [
      'a negative length',
      message.header('R', -7),
      'lost synchronization with server: got message type "R", length -7',
      'auth',
    ],
    ['an error of 1 GB', message.header('E', 1 << 30), 'received invalid error message', 'auth'],
    [
      'rows before authentication',
      message.header('D', 20),
      'expected authentication request from server, but received D',
      'auth',
    ],
    [
      'a second authentication',
      Buffer.concat([ok, message.authentication(3)]),
      'unexpected response from server; first received character was "R"',
      'startup',
    ],
    [
      'rows before the first query',
      Buffer.concat([ok, message.row('x')]),
      'unexpected message from server during startup',
      'startup',
    ],
    [
      'a key of 300 bytes',
      Buffer.concat([ok, message.key(1, Buffer.alloc(300))]),
      'received invalid BackendKeyData message',
      'startup',
    ],
    [
      'a transaction status that is none',
      Buffer.concat([ok, message.ready('x')]),
      'server sent an unknown transaction status',
      'startup',
    ],
    [
      'a damaged ParameterStatus',
      Buffer.concat([ok, message.header('S', 6), Buffer.from('ab')]),
      'invalid string in message',
      'startup',
    ],
  ];
  for (const [name, answer, expected, stage] of cases) {
    const error = await startupFailure(answer);
    assert.equal(error.message, expected, name);
    assert.equal(error.stage, stage, name);
    assert.equal(error.fields, undefined, name);
  }
});

test('errors of the server during the startup are rendered whole', async () => {
  const fields = Buffer.from('SFATAL\0C28000\0Mno\0Dbecause\0Hask\0\0');
  const error = await startupFailure(Buffer.concat([message.header('E', fields.length + 4), fields]));
  assert.equal(error.message, 'FATAL:  no\nDETAIL:  because\nHINT:  ask');
  assert.equal(error.sqlstate, '28000');
  assert.equal(error.refused, true);
  const late = await startupFailure(
    Buffer.concat([message.authentication(0), message.error('FATAL', '3D000', 'no database')]),
  );
  assert.equal(late.message, 'FATAL:  no database');
  assert.equal(late.refused, false);
  assert.equal(late.stage, 'startup');
});

test('NegotiateProtocolVersion and long cancel keys are tolerated', async () => {
  const key = Buffer.alloc(256, 7);
  let packet: Buffer | undefined;
  const server = await scriptedServer((socket, number) => {
    socket.once('data', (bytes: Buffer) => {
      if (number > 0) {
        packet = bytes;
        socket.end();
        return;
      }
      const negotiate = Buffer.concat([message.header('v', 12), Buffer.alloc(8)]);
      const welcome = [negotiate, message.authentication(0), message.key(-5, key), message.ready()];
      socket.write(Buffer.concat(welcome));
    });
  });
  const client = await at(server);
  await client.cancel();
  assert.equal(packet!.readInt32BE(0), 12 + 256);
  assert.equal(packet!.readInt32BE(8), -5);
  assert.ok(packet!.subarray(12).equals(key));
  client.destroy();
  await server.close();
});

test('a server that gives no key cannot be asked to cancel', async () => {
  const server = await scriptedServer((socket) =>
    socket.once('data', () => socket.write(Buffer.concat([message.authentication(0), message.ready()]))),
  );
  const client = await at(server);
  await assert.rejects(client.cancel(), { name: 'ConnectError', message: 'no cancellation key received' });
  client.destroy();
  await server.close();
});

test('a cancel request that is never answered ends in time and leaves nothing', async () => {
  const server = await scriptedServer((socket, number) => {
    if (number === 0) socket.once('data', () => socket.write(WELCOME));
  });
  const client = await at(server);
  await leavesNothing(async () => {
    await assert.rejects(client.cancel(50), {
      name: 'ConnectError',
      message: `connection to server at "127.0.0.1", port ${server.port} failed: cancel request timed out`,
    });
  });
  client.destroy();
  await server.close();
});

test('a SCRAM exchange that asks for ten million iterations is refused', async () => {
  const server = await scriptedServer((socket) => {
    socket.once('data', () => {
      socket.write(message.authentication(10, 'SCRAM-SHA-256\0\0'));
      socket.once('data', (first: Buffer) => {
        const nonce = /r=(.*)$/.exec(first.toString('latin1'))![1];
        socket.write(message.authentication(11, `r=${nonce}x,s=AAAA,i=10000000`));
      });
    });
  });
  await assert.rejects(
    at(server, { password: Buffer.from('p') }),
    /server requested 10000000 SCRAM iterations/,
  );
  await server.close();
});

test('endless parameters and notices do not pile up', async () => {
  const parameters = Array.from({ length: 1001 }, (_, index) => message.parameter(`p${index}`, 'x'));
  const many = await startupFailure(Buffer.concat([message.authentication(0), ...parameters]));
  assert.equal(many.message, 'received too many parameters');
  const long = await startupFailure(Buffer.concat([message.authentication(0), message.header('S', 40_000)]));
  assert.equal(long.message, 'lost synchronization with server: got message type "S", length 40000');
});

test('answers that break the protocol end the connection with a clear error', async () => {
  const columns = message.columns('a');
  const cases: readonly (readonly [string, Buffer, string])[] = [
    [
      'a row without columns',
      message.row('x'),
      'server sent data ("D" message) without prior row description ("T" message)',
    ],
    [
      'a row after the result',
      Buffer.concat([columns, message.complete('SELECT 0'), message.row('x')]),
      'server sent data ("D" message) without prior row description ("T" message)',
    ],
    [
      'an unknown type',
      message.header('~', 10),
      'unexpected response from server; first received character was "~"',
    ],
    [
      'COPY data without COPY',
      message.header('d', 10),
      'unexpected response from server; first received character was "d"',
    ],
    [
      'an answer to Parse',
      message.header('1', 4),
      'unexpected response from server; first received character was "1"',
    ],
    [
      'a length below 4',
      message.header('C', 3),
      'lost synchronization with server: got message type "C", length 3',
    ],
    [
      'a row of 4 GB',
      Buffer.concat([columns, message.header('D', 0xffffffff)]),
      'lost synchronization with server: got message type "D", length -1',
    ],
    [
      'a row of 2 GB',
      Buffer.concat([columns, message.header('D', 0x7fffffff)]),
      'lost synchronization with server: got message type "D", length 2147483647',
    ],
    [
      'a tag of 1 MB',
      message.header('C', 1 << 20),
      'lost synchronization with server: got message type "C", length 1048576',
    ],
    [
      'an error of 17 MB',
      message.header('E', 17 << 20),
      'lost synchronization with server: got message type "E", length 17825792',
    ],
    ['a status that is none', message.ready('?'), 'server sent an unknown transaction status'],
    ['a ReadyForQuery without status', message.header('Z', 4), 'server sent an unknown transaction status'],
    [
      'a damaged notification',
      Buffer.concat([message.header('A', 8), Buffer.alloc(4)]),
      'invalid string in message',
    ],
  ];
  for (const [name, answer, expected] of cases)
    assert.equal((await queryFailure(answer)).message, expected, name);
});

test('a connection that ends in mid-result', async () => {
  const columns = message.columns('a');
  const part = Buffer.concat([columns, message.row('1'), message.row('2').subarray(0, 7)]);
  assert.equal((await queryFailure(part, true)).message, CLOSED);
  const fatal = Buffer.concat([columns, message.row('1'), message.error('FATAL', '57P02', 'crashed')]);
  const lost = await queryFailure(fatal, true);
  assert.equal(lost.message, `FATAL:  crashed\n${CLOSED}`);
  assert.equal(lost.fields?.sqlstate, '57P02');
});

test('a FATAL error that does not end the connection is an error of the query', async () => {
  const server = await answering(
    Buffer.concat([message.error('FATAL', '08P01', 'not that bad'), message.ready()]),
  );
  const client = await at(server);
  assert.deepEqual((await run(client, 'x')).events, ['error 08P01']);
  assert.equal(client.state, 'ready');
  client.destroy();
  await server.close();
});

test('a row with wrong counts is handed on as it is; reading it fails, not the connection', async () => {
  const lying = Buffer.from([0x44, 0, 0, 0, 6, 0xff, 0xff]);
  const server = await answering(
    Buffer.concat([message.columns('a'), lying, message.complete('SELECT 1'), message.ready()]),
  );
  const client = await at(server);
  await assert.rejects(client.query(Buffer.from('x'), collector().handler), {
    name: 'PgError',
    sqlstate: '08P01',
  });
  assert.equal(client.state, 'ready');
  client.destroy();
  await server.close();
});

test('a declared gigabyte takes only the memory of what arrives', async () => {
  const answer = Buffer.concat([
    message.columns('a'),
    message.header('D', 0x3fffffff),
    Buffer.alloc(1 << 20),
  ]);
  const server = await answering(answer);
  const client = await at(server);
  const before = process.memoryUsage().arrayBuffers;
  const running = client.query(Buffer.from('x'), { row: () => assert.fail('the row never was complete') });
  await sleep(200);
  const grown = process.memoryUsage().arrayBuffers - before;
  assert.ok(grown < 16 << 20, `${grown} bytes`);
  client.destroy();
  await assert.rejects(running, ConnectionLost);
  await server.close();
});

test('messages while nothing was asked', async () => {
  const lostBy = async (bytes: Buffer): Promise<string> => {
    const server = await scriptedServer((socket) =>
      socket.once('data', () => {
        socket.write(WELCOME);
        setTimeout(() => socket.write(bytes), 20);
      }),
    );
    const client = await at(server);
    const reason = await new Promise<ConnectionLost>((resolve) => {
      client.onClose = resolve;
    });
    await server.close();
    return reason.message;
  };
  assert.equal(await lostBy(message.ready()), 'message type 0x5a arrived from server while idle');
  assert.equal(
    await lostBy(message.header('D', 1 << 29)),
    'message type 0x44 arrived from server while idle',
  );
});

test('what comes together with the end of the startup is not lost', async () => {
  const notification = message.notification(9, 'chan', 'payload');
  const fatal = message.error('FATAL', '57P01', 'going down');
  const server = await scriptedServer((socket) =>
    socket.once('data', () => socket.end(Buffer.concat([WELCOME, notification, fatal]))),
  );
  const client = await at(server);
  const notifications: string[] = [];
  client.onNotification = (_, channel) => void notifications.push(channel.toString());
  const lost = await new Promise<ConnectionLost>((resolve) => {
    client.onClose = resolve;
  });
  assert.deepEqual(notifications, ['chan']);
  assert.equal(lost.message, `FATAL:  going down\n${CLOSED}`);
  await server.close();
});

test('a server that ends while a password is being computed', async () => {
  const server = await scriptedServer((socket) => {
    socket.once('data', () => {
      socket.write(message.authentication(10, 'SCRAM-SHA-256\0\0'));
      socket.once('data', (first: Buffer) => {
        const nonce = /r=(.*)$/.exec(first.toString('latin1'))![1];
        const next = message.authentication(11, `r=${nonce}x,s=AAAA,i=50000`);
        socket.end(Buffer.concat([next, message.error('FATAL', '57P03', 'no time')]));
      });
    });
  });
  await leavesNothing(async () => {
    await assert.rejects(at(server, { password: Buffer.from('p') }), /failed: FATAL: {2}no time$/);
  });
  await server.close();
});

test('replication is ended as soon as it begins', async () => {
  const copyBoth = Buffer.concat([message.header('W', 7), Buffer.alloc(3)]);
  const data = Buffer.concat([message.header('d', 9), Buffer.from('bytes')]);
  const server = await scriptedServer((socket) => {
    socket.once('data', () => {
      socket.write(WELCOME);
      socket.once('data', () => {
        socket.write(Buffer.concat([copyBoth, data]));
        socket.once('data', (bytes: Buffer) => {
          assert.deepEqual(bytes, message.header('c', 4));
          socket.write(
            Buffer.concat([
              data,
              message.header('c', 4),
              message.complete('START_STREAMING'),
              message.ready(),
            ]),
          );
        });
      });
    });
  });
  const client = await at(server);
  assert.deepEqual((await run(client, 'x')).events, ['START_STREAMING']);
  client.destroy();
  await server.close();
});

test('garbage at any point ends the connection and nothing else', async () => {
  const pieces = fc.oneof(
    fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
    fc.constantFrom(
      message.authentication(0),
      message.authentication(5, 'salt'),
      message.authentication(10, 'SCRAM-SHA-256\0\0'),
      message.key(),
      message.ready(),
      message.ready('T'),
      message.columns('a', 'b'),
      message.row('1', null),
      message.row('1').subarray(0, 8),
      message.complete('SELECT 1'),
      message.error('ERROR', '42601', 'oops'),
      message.error('FATAL', '57P01', 'bye'),
      message.parameter('a', 'b'),
      message.notification(1, 'c', 'p'),
      message.header('G', 4),
      message.header('H', 4),
      message.header('c', 4),
      message.header('d', 100),
      message.header('n', 4),
    ),
  );
  let script: readonly Buffer[] = [];
  const server = await scriptedServer((socket) => {
    socket.once('data', () => {
      for (const piece of script) socket.write(piece);
      socket.end();
    });
  });
  const outcomes = new Set<string>();
  await leavesNothing(async () => {
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.array(pieces, { maxLength: 12 }), async (welcome, random) => {
        script = welcome ? [WELCOME, ...random] : random;
        try {
          const client = await at(server, { password: Buffer.from('p'), timeoutMs: 5000 });
          for (let round = 0; round < 4; round++) await run(client, 'x');
          client.destroy();
          outcomes.add('answered');
        } catch (error) {
          assert.ok(error instanceof Error);
          outcomes.add(error.name);
          assert.ok(['ConnectError', 'ConnectionLost', 'PgError'].includes(error.name), String(error));
          assert.doesNotMatch(error.message, /undefined|timeout expired|is not a function|Cannot read/);
        }
      }),
      { numRuns: 400, seed: 7 },
    );
  });
  assert.ok(outcomes.has('ConnectError') && outcomes.has('ConnectionLost'), [...outcomes].join());
  await server.close();
});
