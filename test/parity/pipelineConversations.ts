import {
  ask,
  bind,
  type Conversation,
  close,
  copyData,
  copyDone,
  describe,
  execute,
  extended,
  failing,
  flush,
  functionCall,
  int32,
  one,
  parse,
  query,
  say,
  sync,
  text,
} from './conversation.js';

/** Pipelines of the extended protocol, and errors in them. */
export const pipelineConversations: readonly Conversation[] = [
  { name: 'a pipeline', steps: [say(one, one, extended('SELECT complain()'), sync(), one, sync(), sync())] },
  { name: 'an error in mid-pipeline', steps: [say(one, failing, one, close('S', 's'), sync(), one, sync())] },
  {
    name: 'errors at every place of a pipeline',
    steps: [
      say(parse('', 'SELEC'), bind({}), execute('', 0), sync()),
      say(parse('', 'SELECT 1'), bind({ statement: 'x' }), execute('', 0), sync()),
      say(parse('', 'SELECT 1'), bind({}), describe('P', 'x'), execute('', 0), sync()),
      say(parse('', 'SELECT 1'), bind({}), execute('x', 0), close('P', ''), sync()),
      say(one, sync()),
    ],
  },
  {
    name: 'what an error skips',
    steps: [
      {
        send: Buffer.concat([
          failing,
          one,
          query('SELECT 1'),
          functionCall(177, [int32(1), int32(2)]),
          flush(),
          copyData(text('x')),
          copyDone(),
          close('P', ''),
          sync(),
        ]),
      },
      say(one, sync()),
    ],
  },
  {
    name: 'an implicit transaction that fails and is undone',
    steps: [
      say(extended("INSERT INTO item VALUES (50, 'x')"), failing, sync()),
      say(query('SELECT count(*) FROM item')),
    ],
  },
  {
    name: 'an error when the Sync commits',
    steps: [say(extended('INSERT INTO deferred VALUES (1), (1)'), sync()), say(query('TABLE deferred'))],
  },
  {
    name: 'blocks',
    steps: [
      say(extended('BEGIN'), sync()),
      say(failing, sync()),
      say(one, sync()),
      say(extended('ROLLBACK'), sync()),
      say(one, sync()),
    ],
  },
  {
    name: 'Flush without Sync',
    interactive: true,
    steps: [
      ask('1', parse('', 'SELECT $1::int'), flush()),
      ask('T', describe('S', ''), flush()),
      ask('2', bind({ values: [text('5')] }), flush()),
      ask('C', execute('', 0), flush()),
      ask('3', close('P', ''), flush()),
      ask('E', parse('', 'SELEC'), flush()),
      say(sync()),
      say(query('SELECT 1')),
    ],
  },
  {
    name: 'a Query in an open batch',
    steps: [
      {
        send: Buffer.concat([extended('SELECT complain()'), query('SELECT count(*) FROM item')]),
        count: 1,
      },
      say(sync()),
    ],
  },
  {
    name: 'a FunctionCall in an open batch',
    steps: [
      {
        send: Buffer.concat([
          parse('s', 'SELECT 1'),
          functionCall(177, [int32(1), int32(2)]),
          bind({ statement: 's' }),
          execute('', 0),
          sync(),
        ]),
        count: 2,
      },
    ],
  },
  {
    name: 'a large pipeline',
    steps: [
      say(
        ...Array.from({ length: 200 }, (_, n) => (n % 17 === 0 ? failing : one)).flatMap((request, n) =>
          n % 5 === 0 ? [request, sync()] : [request],
        ),
        sync(),
      ),
    ],
  },
];
