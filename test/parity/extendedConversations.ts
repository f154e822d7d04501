import {
  ask,
  bind,
  type Conversation,
  close,
  copyData,
  copyDone,
  copyFail,
  describe,
  execute,
  extended,
  failing,
  flush,
  int32,
  latin1,
  one,
  parse,
  query,
  say,
  sync,
  text,
} from './conversation.js';

const copyIn = Buffer.concat([parse('', 'COPY copied FROM STDIN'), bind({}), execute('', 0)]);

const statements: readonly Conversation[] = [
  { name: 'one statement', steps: [say(one, sync())] },
  {
    name: 'parameters and results in text and binary, NULL, NUL bytes',
    steps: [
      say(
        parse('', 'SELECT $1::int4, $2::bytea, $3::text, $4::numeric', [23]),
        bind({
          values: [int32(7), Buffer.from([0, 1, 0]), null, text('1.50')],
          valueFormats: [1, 1, 0, 0],
          resultFormats: [1, 1, 0, 0],
        }),
        describe('P', ''),
        execute('', 0),
        sync(),
      ),
      say(extended('SELECT $1::text', [latin1('a\0b')]), sync()),
    ],
  },
  {
    name: 'a statement and its description',
    steps: [
      say(parse('s', 'SELECT $1::int + id AS sum, name FROM item WHERE id = $2'), describe('S', 's'), sync()),
      say(
        bind({ statement: 's', values: [text('1'), text('2')] }),
        describe('P', ''),
        execute('', 0),
        sync(),
      ),
      say(bind({ statement: 's', values: [text('5'), text('3')] }), execute('', 0), sync()),
      say(close('S', 's'), sync()),
      say(bind({ statement: 's' }), sync()),
    ],
  },
  {
    name: 'statements without result',
    steps: [
      say(
        parse('', 'SET application_name = x'),
        describe('S', ''),
        bind({}),
        describe('P', ''),
        execute('', 0),
        sync(),
      ),
      say(extended(''), sync()),
      say(extended('; ;'), sync()),
    ],
  },
  {
    name: 'statements of the same name',
    steps: [
      say(parse('s', 'SELECT 1'), parse('s', 'SELECT 2'), parse('t', 'SELECT 3'), sync()),
      say(bind({ statement: 's' }), execute('', 0), sync()),
      say(close('S', 'nobody'), close('P', 'nobody'), sync()),
    ],
  },
  {
    name: 'portals with row limits',
    steps: [
      say(query('BEGIN')),
      say(parse('', 'SELECT n FROM generate_series(1, 5) n'), bind({ portal: 'p' }), execute('p', 2), sync()),
      say(execute('p', 2), execute('p', 2), execute('p', 2), sync()),
      say(close('P', 'p'), sync()),
      say(execute('p', 1), sync()),
      say(query('ROLLBACK')),
    ],
  },
  {
    name: 'a portal that ends with its transaction',
    steps: [
      say(parse('', 'SELECT n FROM generate_series(1, 5) n'), bind({ portal: 'p' }), execute('p', 2), sync()),
      say(execute('p', 2), sync()),
      say(query('SELECT 1')),
    ],
  },
  {
    name: 'two portals side by side',
    steps: [
      say(query('BEGIN')),
      say(
        parse('s', 'SELECT n * $1 FROM generate_series(1, 4) n'),
        bind({ statement: 's', portal: 'a', values: [text('1')] }),
        bind({ statement: 's', portal: 'b', values: [text('10')] }),
        execute('a', 1),
        execute('b', 2),
        execute('a', 1),
        execute('b', 0),
        execute('a', 0),
        sync(),
      ),
      say(query('COMMIT')),
    ],
  },
  {
    name: 'requests about nothing',
    steps: [
      say(describe('S', 'missing'), sync()),
      say(describe('P', 'missing'), sync()),
      say(execute('missing', 0), sync()),
      say(bind({ statement: 'missing' }), sync()),
      say(query('SELECT 1')),
    ],
  },
  {
    name: 'bad parameters',
    steps: [
      say(parse('', 'SELECT $1::int'), bind({ values: [] }), sync()),
      say(parse('', 'SELECT $1::int'), bind({ values: [text('x')] }), sync()),
      say(parse('', 'SELECT $1::int'), bind({ values: [Buffer.from([1, 2])], valueFormats: [1] }), sync()),
      say(parse('', 'SELECT 1'), bind({ resultFormats: [7] }), execute('', 0), sync()),
    ],
  },
  {
    name: 'more than 1,000 parameters',
    steps: [
      say(
        parse('', `SELECT ${Array.from({ length: 1500 }, (_, n) => `$${n + 1}::int`).join(' + ')}`),
        bind({ values: Array.from({ length: 1500 }, () => text('1')) }),
        execute('', 0),
        sync(),
      ),
    ],
  },
];

const copies: readonly Conversation[] = [
  {
    name: 'COPY out',
    steps: [
      say(extended('COPY item TO STDOUT'), sync()),
      say(extended('COPY missing TO STDOUT'), sync()),
      say(extended('COPY (SELECT 1 / (3 - n) FROM generate_series(1, 5) n) TO STDOUT'), one, sync()),
    ],
  },
  {
    name: 'COPY in',
    interactive: true,
    steps: [
      ask('G', copyIn, flush()),
      { send: Buffer.concat([copyData(text('101\ta\n')), copyDone(), sync()]) },
      say(query('DELETE FROM copied WHERE id = 101 RETURNING *')),
    ],
  },
  {
    name: 'COPY in whose first Sync is swallowed',
    steps: [
      ask('G', copyIn, sync()),
      { send: Buffer.concat([copyData(text('102\ta\n')), copyDone(), sync()]) },
      say(query('DELETE FROM copied WHERE id = 102 RETURNING *')),
    ],
  },
  {
    name: 'COPY in that the client breaks off',
    steps: [
      ask('G', copyIn, sync()),
      { send: Buffer.concat([copyData(text('103\ta\n')), copyFail('no'), sync()]) },
      say(one, sync()),
    ],
  },
  {
    name: 'COPY in, an error in the data',
    steps: [
      ask('G', copyIn, sync()),
      { send: Buffer.concat([copyData(text('x\ta\n')), copyData(text('1\ta\n')), copyDone(), sync()]) },
      say(one, sync()),
    ],
  },
  {
    name: 'COPY in, an error in the data, no CopyDone',
    interactive: true,
    steps: [ask('G', copyIn, flush()), ask('E', copyData(text('x\ta\n'))), say(sync()), say(one, sync())],
  },
  {
    name: 'COPY in in a pipeline',
    steps: [
      ask('G', one, copyIn, sync()),
      {
        send: Buffer.concat([
          copyData(text('104\ta\n')),
          copyDone(),
          extended('DELETE FROM copied WHERE id = 104 RETURNING *'),
          failing,
          one,
          sync(),
        ]),
      },
      say(query('SELECT 1')),
    ],
  },
  {
    name: 'COPY in that fails before it begins',
    steps: [
      say(
        parse('', 'COPY missing FROM STDIN'),
        bind({}),
        execute('', 0),
        copyData(text('1\n')),
        copyDone(),
        sync(),
      ),
      say(one, sync()),
    ],
  },
];

const mixed: readonly Conversation[] = [
  {
    name: 'LISTEN and NOTIFY',
    steps: [say(extended('LISTEN here'), extended("NOTIFY here, 'x'"), sync()), say(one, sync())],
  },
  {
    name: 'cursors',
    steps: [
      say(
        extended('BEGIN'),
        extended('DECLARE c CURSOR FOR SELECT n FROM generate_series(1, 9) n'),
        extended('FETCH 2 FROM c'),
        sync(),
      ),
      say(extended('FETCH 3 FROM c', [], 2), execute('', 2), sync()),
      say(extended('COMMIT'), sync()),
    ],
  },
  {
    name: 'settings that are reported',
    steps: [
      say(
        extended("SET TimeZone = 'Asia/Tokyo'"),
        extended('SHOW TimeZone'),
        extended("SET client_encoding = 'LATIN1'"),
        sync(),
      ),
      say(query('SELECT name FROM item WHERE id = 2')),
      say(extended('DISCARD ALL'), sync()),
    ],
  },
  {
    name: 'DISCARD and DEALLOCATE',
    steps: [
      say(parse('s', 'SELECT 1'), sync()),
      say(query('DEALLOCATE s')),
      say(bind({ statement: 's' }), sync()),
      say(parse('s', 'SELECT 1'), sync()),
      say(query('DISCARD ALL')),
      say(bind({ statement: 's' }), sync()),
    ],
  },
  {
    name: 'simple and extended in turn',
    steps: [
      say(parse('', 'SELECT $1'), sync()),
      say(query('SELECT 2')),
      say(bind({ values: [text('1')] }), sync()),
      say(one, sync(), query('SELECT 3'), one, sync()),
    ],
  },
  { name: 'Terminate in a block with an open batch', steps: [say(query('BEGIN')), { send: one, until: '' }] },
];

/** Statements, portals, COPY and settings in the extended protocol. */
export const extendedConversations: readonly Conversation[] = [...statements, ...copies, ...mixed].map(
  (conversation) => ({ ...conversation, name: `extended: ${conversation.name}` }),
);
