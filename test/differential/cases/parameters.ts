import { bind, describeStatement, execute, flow, open, parse, sync, testCase } from '../compare/notation.js';
import type { Case, FlowItem } from '../play/types.js';

/** Parameters of the extended protocol: formats, values, stated types, wrong numbers of them. */

const JOIN =
  'SELECT i.id, t.n FROM items i JOIN dblink($1, $2) AS t(id int, n text) ON t.id = i.id WHERE i.id > $3 ORDER BY i.id';
/** The transport of the variant does not matter here: one that sends plain steps is enough for each context. */
const once = { transports: ['simple', 'extended'] } as const;

const on = (name: string, ...items: readonly FlowItem[]): Case =>
  testCase(`protocol: ${name}`, [open('c'), flow(...items)], once);

export const parameterCases: readonly Case[] = [
  on(
    'unknown parameter format',
    parse('SELECT dblink_exec($1, $2)'),
    bind({ params: ['c', 'SET a.b = 1'], paramFormats: [7] }),
    execute(),
    sync,
  ),
  on(
    'parameters in binary',
    parse('SELECT dblink_exec($1, $2, $3)'),
    bind({ params: ['c', 'SELEC', false], paramFormats: [1] }),
    execute(),
    sync,
  ),
  on(
    'parameters in both formats',
    parse('SELECT dblink_exec($1, $2, $3)'),
    bind({ params: ['c', 'SELEC', false], paramFormats: [1, 0, 1] }),
    execute(),
    sync,
  ),
  on(
    'a bad boolean parameter',
    parse('SELECT dblink_exec($1, $2, $3)'),
    bind({ params: ['c', 'SELEC', 'perhaps'] }),
    execute(),
    sync,
  ),
  on(
    'a bad binary boolean',
    parse('SELECT dblink_exec($1, $2, $3)'),
    bind({ params: ['c', 'SELEC', Buffer.from([1, 2])], paramFormats: [0, 0, 1] }),
    execute(),
    sync,
  ),
  on(
    'a parameter that is not text in the encoding',
    parse('SELECT dblink_exec($1, $2)'),
    bind({ params: ['c', Buffer.from([0xc3, 0x28])] }),
    execute(),
    sync,
  ),
  on(
    'a parameter with a zero byte',
    parse('SELECT dblink_exec($1, $2)'),
    bind({ params: ['c', Buffer.from('SET a.b\0 = 1')] }),
    execute(),
    sync,
  ),
  on(
    'a parameter that converts badly beside dblink',
    parse(JOIN),
    bind({ params: ['c', 'SELECT id, name FROM people', 'x'] }),
    execute(),
    sync,
  ),
  on(
    'too few parameter values',
    parse('SELECT dblink_exec($1, $2)'),
    bind({ params: ['c'] }),
    execute(),
    sync,
  ),
  on(
    'stated parameter types',
    parse('SELECT dblink_exec($1, $2)', '', [25, 25]),
    describeStatement(),
    bind({ params: ['c', 'SET a.b = 1'] }),
    execute(),
    sync,
  ),
  on(
    'stated parameter types, varchar and unknown',
    parse('SELECT dblink_exec($1, $2)', '', [1043, 705]),
    describeStatement(),
    bind({ params: ['c', 'SET a.b = 1'] }),
    execute(),
    sync,
  ),
  on(
    'stated parameter types that do not fit',
    parse('SELECT dblink_exec($1, $2)', '', [23, 25]),
    describeStatement(),
    sync,
  ),
];
