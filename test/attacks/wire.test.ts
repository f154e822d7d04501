import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createDatabase, execute, extensionServer, primaryServer } from '../support/postgres.js';
import type { Message } from '../support/rawClient.js';
import { logIn, type RelayProxy, startRelay } from '../support/relay.js';
import { frontend } from '../support/wire.js';

/**
 * Clients that break the protocol around calls of dblink. The rule that each tries to break: the proxy reads no message
 * otherwise than PostgreSQL, so a client is answered alike, and neither waits for ever nor ends more than its own session.
 */

const PATIENCE_MS = 60_000;
const DATABASE = 'wire_attacks';
/** Without a host: where the primary is. */
const CONNINFO = `dbname=${DATABASE} user=postgres`;
const CALL = `SELECT a FROM dblink('${CONNINFO}', 'SELECT 1') AS t(a int)`;
const END = Buffer.concat([frontend.sync(), frontend.query("SELECT 'the end'")]);

/** Any message, with any length. */
function raw(type: string, body: Buffer | string = '', length?: number): Buffer {
  const content = typeof body === 'string' ? Buffer.from(body, 'latin1') : body;
  const head = Buffer.alloc(5);
  head.write(type, 0, 'latin1');
  head.writeInt32BE((length ?? content.length + 4) | 0, 1);
  return Buffer.concat([head, content]);
}

/** What came, in short: types in order, errors with their code. */
const brief = (messages: readonly Message[]): string =>
  messages
    .filter(({ type }) => type !== 'S')
    .map((message) => (message.type === 'E' ? `E:${message.fields['C']}` : message.type))
    .join(' ');

const bound = (statement: string, ...values: (Buffer | null)[]): Buffer =>
  frontend.bind({ statement, values });

describe('a client that breaks the protocol', () => {
  let proxy: RelayProxy;
  let extensionPort: number;
  before(async () => {
    const primary = await primaryServer(18);
    const extension = await extensionServer(18);
    await createDatabase(primary, DATABASE);
    const url = await createDatabase(extension, DATABASE);
    await execute(url, 'CREATE EXTENSION dblink');
    extensionPort = extension.port;
    // With an account, CREATE EXTENSION makes the functions of the bridge.
    proxy = await startRelay(primary, {
      flags: { primary: `postgres://postgres@127.0.0.1:${primary.port}/${DATABASE}?sslmode=disable` },
    });
    await execute(proxy.url(DATABASE), 'CREATE EXTENSION dblink');
  });
  after(() => proxy?.stop());

  /** What comes back for some bytes, up to the end of the connection or of a last query. */
  async function play(
    port: number,
    conninfo: string,
    bytes: (text: (sql: string) => string) => Buffer,
    pieceBytes = Number.POSITIVE_INFINITY,
  ): Promise<string> {
    const { client } = await logIn(port, { database: DATABASE, options: '-c statement_timeout=50s' });
    const all = Buffer.concat([bytes((sql) => sql.replaceAll(CONNINFO, conninfo)), END]);
    for (let sent = 0; sent < all.length; sent += pieceBytes) {
      if (sent > 0) await delay(1);
      client.write(all.subarray(sent, Math.min(sent + pieceBytes, all.length)));
    }
    const messages: Message[] = [];
    for (;;) {
      const message = await client.message(PATIENCE_MS);
      if (message === undefined) break;
      messages.push(message);
      if (message.type === 'D' && message.body.includes('the end')) {
        messages.push(...(await client.until('Z', 1, PATIENCE_MS)));
        break;
      }
    }
    client.destroy();
    return brief(messages);
  }

  const attacks: readonly (readonly [rule: string, bytes: (text: (sql: string) => string) => Buffer])[] = [
    [
      'a Query with a call in the place of COPY data does not wait for that data',
      (text) => Buffer.concat([frontend.query('COPY kept FROM STDIN'), frontend.query(text(CALL))]),
    ],
    [
      'a Parse with a call in the place of COPY data does not wait for it either',
      (text) =>
        Buffer.concat([
          frontend.query('COPY kept FROM STDIN'),
          frontend.parse('', text(CALL)),
          frontend.sync(),
        ]),
    ],
    [
      'an Execute of a call in the place of COPY data of the extended protocol',
      (text) =>
        Buffer.concat([
          frontend.parse('s', text(CALL)),
          bound('s'),
          frontend.parse('k', 'COPY kept FROM STDIN'),
          frontend.bind({ portal: 'k', statement: 'k' }),
          frontend.execute('k', 0),
          frontend.execute('', 0),
          frontend.sync(),
        ]),
    ],
    [
      'a Query with a call behind COPY data that is never ended',
      (text) =>
        Buffer.concat([
          frontend.query('COPY kept FROM STDIN'),
          frontend.copyData(Buffer.from('1\n')),
          frontend.sync(),
          frontend.query(text(CALL)),
        ]),
    ],
    [
      'a Query with a call in the place of COPY data, whose end never comes, does not wait for it',
      (text) => Buffer.concat([frontend.query('COPY kept FROM STDIN'), raw('Q', text(CALL), 10_000)]),
    ],
    [
      'a Flush with something in it among COPY data is ignored, and a call behind that is answered',
      (text) =>
        Buffer.concat([
          frontend.query('COPY kept FROM STDIN'),
          raw('H', 'x'),
          frontend.copyData(Buffer.from('1\n')),
          raw('H', 'x'),
          frontend.copyDone(),
          frontend.query(text(CALL)),
        ]),
    ],
    [
      'a Flush with something in it is an error, and what is behind it is skipped to the Sync',
      (text) => Buffer.concat([raw('H', 'x'), frontend.query(text(CALL)), frontend.query(text(CALL))]),
    ],
    [
      'such a Flush in the midst of a batch with a call',
      (text) =>
        Buffer.concat([
          frontend.parse('s', text(CALL)),
          bound('s'),
          raw('H', '\0'),
          frontend.execute('', 0),
          frontend.sync(),
          frontend.query(text(CALL)),
        ]),
    ],
    [
      'a Sync with something in it is an error of its own, and the session goes on',
      (text) => Buffer.concat([frontend.parse('', text(CALL)), raw('S', 'xyz'), frontend.query(text(CALL))]),
    ],
    [
      'bytes behind the text of a Query are refused, not run',
      (text) => Buffer.concat([raw('Q', `${text(CALL)}\0${text(CALL)}\0`), frontend.query(text(CALL))]),
    ],
    ['a Query without an end', (text) => raw('Q', text(CALL))],
    ['a Parse that counts more types than it has', (text) => raw('P', `\0${text(CALL)}\0\0\x05`)],
    ['a Parse with bytes behind it', (text) => raw('P', `\0${text(CALL)}\0\0\0more`)],
    ['a Parse that ends in its text', (text) => raw('P', `s\0${text(CALL)}`)],
    ...(
      [
        ['that ends early', '\0s\0\0\0\0'],
        ['that counts 65,535 values', '\0s\0\0\0\xff\xff\0\0'],
        ['with a value of negative length', '\0s\0\0\0\0\x01\xff\xff\xff\xf9\0\0'],
        ['with a value of two gigabytes', '\0s\0\0\0\0\x01\x7f\xff\xff\xff\0\0'],
        ['with bytes behind it', '\0s\0\0\0\0\0\0\0more'],
        ['with formats that are none', '\0s\0\0\x01\0\x07\0\0\0\x01\0\x07'],
        ['with a name that has no end', 'portal'],
      ] as const
    ).map(
      ([what, body]) =>
        [
          `a Bind of a call ${what} is an error of its batch, not the end of the session`,
          (text: (sql: string) => string) =>
            Buffer.concat([
              frontend.parse('s', text(CALL)),
              raw('B', body),
              frontend.execute('', 0),
              frontend.sync(),
              bound('s'),
              frontend.execute('', 0),
              frontend.sync(),
            ]),
        ] as const,
    ),
    ...(['D', 'E', 'C'] as const).flatMap((type) =>
      ['', 'S', 'Xs\0', 'Ss', 'Ss\0more'].map(
        (body) =>
          [
            `a ${type} with the body ${JSON.stringify(body)} around a prepared call does nothing but fail`,
            (text: (sql: string) => string) =>
              Buffer.concat([
                frontend.parse('s', text(CALL)),
                raw(type, body),
                frontend.sync(),
                bound('s'),
                frontend.execute('', 0),
                frontend.sync(),
              ]),
          ] as const,
      ),
    ),
    [
      'a Close that is skipped, because something before it failed, closes nothing',
      (text) =>
        Buffer.concat([
          frontend.parse('s', text(CALL)),
          frontend.sync(),
          frontend.parse('', 'SELECT 1/'),
          frontend.close('S', 's'),
          frontend.sync(),
          bound('s'),
          frontend.execute('', 0),
          frontend.sync(),
        ]),
    ],
    [
      'a Close that is carried out does',
      (text) =>
        Buffer.concat([
          frontend.parse('s', text(CALL)),
          frontend.close('S', 's'),
          bound('s'),
          frontend.execute('', 0),
          frontend.sync(),
          frontend.parse('s', text(CALL)),
          bound('s'),
          frontend.execute('', 0),
          frontend.sync(),
        ]),
    ],
    [
      'a portal that is closed and bound again in one flight is the new one',
      (text) =>
        Buffer.concat([
          frontend.parse('s', text(CALL)),
          frontend.bind({ portal: 'p', statement: 's' }),
          frontend.close('P', 'p'),
          frontend.bind({ portal: 'p', statement: 's' }),
          frontend.execute('p', 0),
          frontend.execute('p', 0),
          frontend.sync(),
        ]),
    ],
    [
      'names as long as a message of PostgreSQL’s allows, and of any bytes',
      (text) => {
        const name = `${'n'.repeat(9000)}\xff'"\\`;
        return Buffer.concat([
          raw('P', `${name}\0${text(CALL)}\0\0\0`),
          raw('B', `${name}\0${name}\0\0\0\0\0\0\0`),
          raw('D', `S${name}\0`),
          raw('E', `${name}\0\0\0\0\0`),
          frontend.sync(),
        ]);
      },
    ],
    ['a type that no client sends ends the session at its first byte', () => Buffer.from('v')],
    ['a message of the server’s, with a call in it', (text) => raw('T', text(CALL))],
    [
      'a Terminate with something in it',
      (text) => Buffer.concat([raw('X', 'bye'), frontend.query(text(CALL))]),
    ],
    [
      'a FunctionCall that lies about its arguments, and a call behind it',
      (text) => Buffer.concat([raw('F', '\0\0\x05\xd8\0\x01\0\x01\0\x05'), frontend.query(text(CALL))]),
    ],
    [
      'CopyData, CopyDone and CopyFail while nobody copies, around a call',
      (text) =>
        Buffer.concat([
          frontend.copyData(Buffer.from('x')),
          frontend.query(text(CALL)),
          frontend.copyDone(),
          frontend.copyFail('no'),
          frontend.query(text(CALL)),
        ]),
    ],
  ];
  for (const [rule, bytes] of attacks) {
    it(rule, async () => {
      for (const url of [proxy.url(DATABASE), `postgres://postgres@127.0.0.1:${extensionPort}/${DATABASE}`])
        await execute(url, 'CREATE TABLE IF NOT EXISTS kept (a int)');
      const expected = await play(extensionPort, `${CONNINFO} host=127.0.0.1 port=${extensionPort}`, bytes);
      assert.equal(await play(proxy.port, CONNINFO, bytes), expected);
    });
  }

  it('a Query in the place of COPY data that comes in pieces, and never ends, ends its session once', async () => {
    const bytes = (text: (sql: string) => string): Buffer =>
      Buffer.concat([
        frontend.query('COPY kept FROM STDIN'),
        frontend.copyData(Buffer.from('1\n')),
        raw('Q', text(CALL), 10_000),
      ]);
    const conninfo = `${CONNINFO} host=127.0.0.1 port=${extensionPort}`;
    assert.equal(await play(proxy.port, CONNINFO, bytes, 7), await play(extensionPort, conninfo, bytes, 7));
  });
});
