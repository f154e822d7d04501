import { frontend } from '../../support/wire.js';

/** Bytes that no correct client sends, each with a name, and the states of a session in which they are sent. */

/** A message with any length field. */
export function message(type: string, body: string | Buffer = '', length?: number): Buffer {
  const bytes = typeof body === 'string' ? Buffer.from(body, 'latin1') : body;
  const header = Buffer.alloc(5);
  header.write(type, 'latin1');
  header.writeInt32BE(length ?? bytes.length + 4, 1);
  return Buffer.concat([header, bytes]);
}

export type Named<T> = readonly (readonly [name: string, what: T])[];

const long = (bytes: number): Buffer => Buffer.alloc(bytes);

/** Messages whose beginning is wrong: where the next one begins is not known. */
const framing: Named<Buffer> = [
  ...[0, 1, 3, -1, -0x80000000].map(
    (length) => [`a Query of length ${length}`, message('Q', '', length)] as const,
  ),
  ['a Sync of length 3', message('S', '', 3)],
  ['a Bind of 2 GiB', message('B', 'x', 0x7fffffff)],
  ['a Query of more than 1 GiB', message('Q', 'x', 0x40000000)],
  ['an unknown type', message('z')],
  ['an unknown type with a body', message('z', 'body')],
  ['the first byte of an unknown type', Buffer.from('z')],
  ['type 0', message('\0')],
  ['a type of the backend', message('T', '\0\0')],
  ['a type beyond ASCII', message('\xff')],
  ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
  ['a TLS handshake', Buffer.from('1603010200010001fc0303', 'hex')],
  ['a password', message('p', 'secret\0')],
  ['a startup packet', frontend.startup({ user: 'postgres' })],
  ['a part of a header', Buffer.from('Q\0\0')],
  ['a part of a Query', message('Q', 'SELECT', 20)],
  ['a part of a Parse', message('P', 'x', 4000)],
  ['a part of a Bind', message('B', 'x', 4000)],
  ['a part of a Sync', message('S', 'x', 20)],
  ['nothing', Buffer.alloc(0)],
];

/** Messages that are longer than a server of PostgreSQL 14 or later takes. */
const tooLong: Named<Buffer> = ['S', 'H', 'D', 'E', 'C', 'X', 'c', 'f', 'd'].map((type) => [
  `${type} of 20,000 bytes`,
  message(type, long(20_000)),
]);

/** Whole messages whose fields are wrong. */
const fields: Named<Buffer> = [
  ['an empty Query', message('Q')],
  ['a Query without an end', message('Q', 'SELECT 1')],
  ['a Query with more behind its end', message('Q', 'SELECT 1\0more\0')],
  ['a Query of two texts', message('Q', 'SELECT 1\0SELECT 2\0')],
  ['a Query with a call and without an end', message('Q', "SELECT dblink('x', 'y')")],
  ['a Query with a call and more behind its end', message('Q', "SELECT dblink('x', 'y')\0more")],
  ['a Query of bad UTF-8', message('Q', 'SELECT \xff\0')],
  ['a Query of bad UTF-8 with a call', message('Q', "SELECT dblink('\xff', 'y')\0")],
  ['an empty Parse', message('P')],
  ['a Parse without types', message('P', '\0SELECT 1\0')],
  ['a Parse without the end of its name', message('P', 'name')],
  ['a Parse without the end of its text', message('P', '\0SELECT 1')],
  ['a Parse with fewer types than it says', message('P', '\0SELECT $1\0\0\x02\0\0\0\x17')],
  ['a Parse with negative types', message('P', '\0SELECT 1\0\xff\xff')],
  ['a Parse with more behind its end', message('P', '\0SELECT 1\0\0\0x')],
  ['a Parse with a call and without types', message('P', "\0SELECT dblink('x', 'y')\0")],
  ['a Parse with a call and more behind its end', message('P', "\0SELECT dblink('x', 'y')\0\0\0x")],
  [
    'a Parse with a call and fewer types than it says',
    message('P', "\0SELECT dblink('x', $1)\0\0\x02\0\0\0\x19"),
  ],
  ['an empty Bind', message('B')],
  ['a Bind to nothing', message('B', '\0nothing\0')],
  ['a Bind without an end', message('B', '\0known\0\0\0')],
  ['a Bind of a value that is cut', message('B', '\0known\0\0\0\0\x01\0\0\0\x09x')],
  ['a Bind of a value of length -2', message('B', '\0known\0\0\0\0\x01\xff\xff\xff\xfe\0\0')],
  ['a Bind of too many values', message('B', '\0known\0\0\0\0\x02\0\0\0\x01x\0\0\0\x01x\0\0')],
  ['a Bind of no value', message('B', '\0known\0\0\0\0\0\0\0')],
  ['a Bind of too many formats', message('B', '\0known\0\0\x02\0\0\0\0\0\x01\0\0\0\x01x\0\0')],
  ['a Bind of a format that is none', message('B', '\0known\0\0\x01\0\x07\0\x01\0\0\0\x01x\0\0')],
  ['a Bind of a result format that is none', message('B', '\0known\0\0\0\0\x01\0\0\0\x01x\0\x01\0\x07')],
  ['a Bind of too many result formats', message('B', '\0known\0\0\0\0\x01\0\0\0\x01x\0\x02\0\0\0\0')],
  ['a Bind with more behind its end', message('B', '\0known\0\0\0\0\x01\0\0\0\x01x\0\0x')],
  ['an empty Describe', message('D')],
  ['a Describe of what is neither', message('D', 'Xknown\0')],
  ['a Describe without an end', message('D', 'Sknown')],
  ['a Describe with more behind its end', message('D', 'Sknown\0x')],
  ['a Describe of nothing', message('D', 'Snothing\0')],
  ['an empty Execute', message('E')],
  ['an Execute without a count', message('E', '\0')],
  ['an Execute without an end', message('E', 'bound')],
  ['an Execute of a negative count', message('E', 'bound\0\xff\xff\xff\xff')],
  ['an Execute with more behind its end', message('E', 'bound\0\0\0\0\0x')],
  ['an Execute of nothing', message('E', 'nothing\0\0\0\0\0')],
  ['an empty Close', message('C')],
  ['a Close of what is neither', message('C', 'Xknown\0')],
  ['a Close without an end', message('C', 'Sknown')],
  ['a Close with more behind its end', message('C', 'Sknown\0x')],
  ['a Flush with a body', message('H', 'x')],
  ['a Sync with a body', message('S', 'x')],
  ['a Terminate with a body', message('X', 'x')],
  ['an empty FunctionCall', message('F')],
  ['a FunctionCall of nothing', message('F', '\0\0\0\0\0\0\0\0\0\0')],
  ['a FunctionCall that is cut', message('F', '\0\0\x05\x23\0\0\0\x01')],
  ['a FunctionCall with more behind its end', message('F', '\0\0\x05\x23\0\0\0\0\0\0x')],
  ['CopyData', message('d', 'x\n')],
  ['CopyDone', message('c')],
  ['CopyDone with a body', message('c', 'x')],
  ['CopyFail', message('f', 'why\0')],
  ['CopyFail without an end', message('f', 'why')],
  [
    'two Flushes and two Syncs',
    Buffer.concat([frontend.flush(), frontend.flush(), frontend.sync(), frontend.sync()]),
  ],
];

export const refused: Named<Buffer> = [...framing, ...tooLong, ...fields];

/** What is sent first. `asked` is answered up to this many ReadyForQuery messages or to the type; `flight` goes out with the bytes. */
export interface State {
  readonly asked: Buffer;
  readonly until: readonly [type: string, count: number];
  readonly flight?: Buffer;
}

const NONE = Buffer.alloc(0);

export const states: Named<State> = [
  ['at rest', { asked: NONE, until: ['Z', 0] }],
  ['in a block', { asked: frontend.query('BEGIN'), until: ['Z', 1] }],
  ['in a failed block', { asked: frontend.query('BEGIN; SELECT 1/0'), until: ['Z', 1] }],
  [
    'in a batch',
    {
      asked: Buffer.concat([
        frontend.parse('x', 'SELECT 1'),
        frontend.bind({ statement: 'x' }),
        frontend.flush(),
      ]),
      until: ['2', 1],
    },
  ],
  [
    'in a batch that has failed',
    { asked: Buffer.concat([frontend.parse('', 'nonsense'), frontend.flush()]), until: ['E', 1] },
  ],
  ['in COPY', { asked: frontend.query('COPY kept FROM STDIN'), until: ['G', 1] }],
  [
    'in COPY behind data',
    {
      asked: frontend.query('COPY kept FROM STDIN'),
      until: ['G', 1],
      flight: frontend.copyData(Buffer.from('1\n')),
    },
  ],
  [
    'in COPY of the extended protocol',
    {
      asked: Buffer.concat([
        frontend.parse('', 'COPY kept FROM STDIN'),
        frontend.bind({}),
        frontend.execute('', 0),
        frontend.flush(),
      ]),
      until: ['G', 1],
    },
  ],
  ['behind a statement', { asked: NONE, until: ['Z', 0], flight: frontend.query('SELECT 1') }],
];
