import {
  ask,
  type Conversation,
  copyData,
  copyDone,
  copyFail,
  functionCall,
  int32,
  latin1,
  queries,
  query,
  say,
  sync,
  text,
} from './conversation.js';

const COPY_IN = query('COPY copied FROM STDIN');
const UNDO = query('ROLLBACK');
const BEGIN = query('BEGIN');

const copies: readonly Conversation[] = [
  queries(
    'COPY out',
    'COPY item TO STDOUT',
    'COPY item TO STDOUT (FORMAT csv, HEADER)',
    'COPY (SELECT * FROM item WHERE false) TO STDOUT',
    'COPY item TO STDOUT (FORMAT binary)',
    "COPY (SELECT repeat('z', 100) FROM generate_series(1, 2000)) TO STDOUT",
    'COPY (SELECT 1 / (3 - n) FROM generate_series(1, 5) n) TO STDOUT',
    'COPY missing TO STDOUT',
  ),
  {
    name: 'COPY in',
    steps: [
      say(BEGIN),
      ask('G', COPY_IN),
      {
        send: Buffer.concat([
          copyData(text('1\ta\n2\tb\n')),
          copyData(text('3\t')),
          copyData(text('c\n4\t\\N\n')),
          copyDone(),
        ]),
      },
      say(query('SELECT * FROM copied ORDER BY id')),
      say(UNDO),
    ],
  },
  {
    name: 'COPY in that the client breaks off',
    steps: [
      ask('G', COPY_IN),
      { send: Buffer.concat([copyData(text('1\ta\n')), copyFail('I changed my mind: ä')]) },
      say(query('SELECT count(*) FROM copied')),
    ],
  },
  {
    name: 'COPY in without any data',
    steps: [
      ask('G', COPY_IN),
      { send: copyDone() },
      ask('G', COPY_IN),
      { send: copyFail('') },
      say(query('SELECT 1')),
    ],
  },
  {
    name: 'COPY in, an error in the data, and data that follows it',
    steps: [
      ask('G', COPY_IN),
      {
        send: Buffer.concat([
          copyData(text('1\ta\nx\tb\n')),
          copyData(text('2\tc\n'.repeat(500))),
          copyDone(),
        ]),
      },
      say(query('SELECT 1')),
    ],
  },
  {
    name: 'COPY in, an error after the end of the data',
    steps: [
      ask('G', COPY_IN),
      { send: Buffer.concat([copyData(text('1\ta\n2')), copyDone()]) },
      ask('G', query('COPY deferred FROM STDIN')),
      { send: Buffer.concat([copyData(text('1\n1\n')), copyDone()]) },
      say(query('SELECT 1')),
    ],
  },
  {
    name: 'COPY in, an error before it, its data all the same',
    steps: [
      say(query('COPY missing FROM STDIN')),
      {
        send: Buffer.concat([copyData(text('1\n')), copyDone(), copyFail('x'), copyData(text('2\n'))]),
        until: '',
      },
      say(query('SELECT 1')),
    ],
  },
  {
    name: 'two COPYs in one query',
    steps: [
      say(BEGIN),
      ask('G', query("COPY copied FROM STDIN; SELECT 'between'; COPY deferred FROM STDIN; SELECT 'behind'")),
      ask('G', copyData(text('1\ta\n')), copyDone()),
      { send: Buffer.concat([copyData(text('5\n')), copyDone()]) },
      say(UNDO),
    ],
  },
  {
    name: 'two COPYs in one query, the first fails',
    steps: [
      ask('G', query('COPY copied FROM STDIN; COPY deferred FROM STDIN')),
      { send: Buffer.concat([copyData(text('bad\n')), copyDone(), copyData(text('5\n')), copyDone()]) },
      say(query('SELECT 1')),
    ],
  },
  {
    name: 'COPY in with Sync and Flush between the data',
    steps: [
      say(BEGIN),
      ask('G', COPY_IN),
      { send: Buffer.concat([copyData(text('1\ta\n')), sync(), copyData(text('2\tb\n')), copyDone()]) },
      say(query('TABLE copied')),
      say(UNDO),
    ],
  },
  {
    name: 'COPY in binary, with NUL bytes',
    steps: [
      say(BEGIN),
      ask('G', query('COPY copied FROM STDIN (FORMAT binary)')),
      {
        send: Buffer.concat([
          copyData(
            Buffer.concat([
              latin1('PGCOPY\n\xff\r\n\0'),
              int32(0),
              int32(0),
              Buffer.from([0, 2]),
              int32(4),
              int32(7),
              int32(2),
              text('ab'),
              Buffer.from([255, 255]),
            ]),
          ),
          copyDone(),
        ]),
      },
      say(query('TABLE copied')),
      say(UNDO),
    ],
  },
  {
    name: 'COPY in of text with a NUL byte',
    steps: [
      ask('G', COPY_IN),
      { send: Buffer.concat([copyData(latin1('1\ta\0b\n')), copyDone()]) },
      say(query('SELECT 1')),
    ],
  },
];

const functionCalls: readonly Conversation[] = [
  {
    name: 'FunctionCall',
    steps: [
      say(functionCall(177, [int32(40), int32(2)])),
      say(functionCall(177, [int32(1), int32(2)], 0)),
      say(functionCall(177, [int32(1), null])),
      say(functionCall(154, [int32(1), int32(0)])),
      say(functionCall(999_999, [])),
      say(functionCall(177, [int32(1)])),
      say(query('SELECT 1')),
    ],
  },
  {
    name: 'FunctionCall in a block',
    steps: [
      say(BEGIN),
      say(functionCall(177, [int32(1), int32(2)])),
      say(functionCall(154, [int32(1), int32(0)])),
      say(functionCall(177, [int32(1), int32(2)])),
      say(UNDO),
    ],
  },
  {
    name: 'large objects by FunctionCall, as libpq does it',
    steps: [
      say(BEGIN),
      say(functionCall(715, [int32(471148)])),
      say(functionCall(952, [int32(471148), int32(0x60000)])),
      say(functionCall(955, [int32(0), Buffer.from([0, 1, 2, 255])])),
      say(functionCall(956, [int32(0), int32(1), int32(0)])),
      say(functionCall(954, [int32(0), int32(100)])),
      say(functionCall(953, [int32(0)])),
      say(functionCall(964, [int32(471148)])),
      say(UNDO),
    ],
  },
  {
    name: 'FunctionCalls in a pipeline with queries',
    steps: [
      say(
        functionCall(177, [int32(1), int32(2)]),
        query('SELECT 1'),
        functionCall(154, [int32(1), int32(0)]),
        query('SELECT 2'),
      ),
    ],
  },
];

/** COPY in the simple protocol, and FunctionCall. */
export const copyConversations: readonly Conversation[] = [...copies, ...functionCalls];
