import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { message, type Named } from '../relay/refusals/refusedMessages.js';
import { testedMajors } from '../support/majors.js';
import { type Frame, frontend, WireConnection } from '../support/wire.js';
import { type Environment, fillIn, type Side, startEnvironment } from './play/environment.js';

/** Messages of the extended protocol that are wrong, for statements that call dblink: what comes back, and how the session goes on. */

const STATEMENTS = {
  rows: "SELECT a, $2::text AS b FROM dblink($1, 'SELECT 1 UNION ALL SELECT 2') AS t(a int)",
  stream: "SELECT * FROM dblink('{R}', 'SELECT 7 UNION ALL SELECT 8') AS t(a int)",
  done: "SELECT dblink_exec($1, 'SET application_name = ''x''') AS done",
  count: 'SELECT array_length(dblink_get_connections(), 1)',
  computed: "SELECT dblink_exec(lower($1), 'SET application_name = ''x''')",
  local: 'SELECT $1::int AS one',
};
type Name = keyof typeof STATEMENTS;

const int16 = (value: number): Buffer => Buffer.from([(value >> 8) & 0xff, value & 0xff]);
const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};
const text = (value: string): Buffer => Buffer.from(`${value}\0`, 'latin1');
const value = (bytes: string, length = bytes.length): Buffer =>
  Buffer.concat([int32(length), Buffer.from(bytes, 'latin1')]);

/** The parameters that a statement wants. */
const given = (name: Name): readonly string[] =>
  name === 'rows'
    ? ['conn', 'x']
    : name === 'done' || name === 'computed'
      ? ['conn']
      : name === 'local'
        ? ['1']
        : [];

interface BindParts {
  readonly portal?: string;
  readonly formats?: readonly number[];
  readonly formatCount?: number;
  readonly values?: readonly Buffer[];
  readonly valueCount?: number;
  readonly results?: readonly number[];
  readonly resultCount?: number;
  readonly more?: string;
}

function bind(name: string, parts: BindParts): Buffer {
  const { portal = 'p', formats = [], values = [], results = [], more = '' } = parts;
  return message(
    'B',
    Buffer.concat([
      text(portal),
      text(name),
      int16(parts.formatCount ?? formats.length),
      ...formats.map(int16),
      int16(parts.valueCount ?? values.length),
      ...values,
      int16(parts.resultCount ?? results.length),
      ...results.map(int16),
      Buffer.from(more, 'latin1'),
    ]),
  );
}

/** What is wrong with a statement of a name, portal `p`. */
function wrong(name: Name): Named<readonly Buffer[]> {
  const values = given(name).map((one) => value(one));
  const good = bind(name, { values });
  const execute = frontend.execute('p', 0);
  const whole = good.subarray(5);
  const cut = (bytes: number): Buffer => message('B', whole.subarray(0, bytes));
  return [
    ['good', [good, execute]],
    ['a value too many', [bind(name, { values: [...values, value('x')] }), execute]],
    ['a value too few', [bind(name, { values: values.slice(1) }), execute]],
    ['a count of values that is too high', [bind(name, { values, valueCount: values.length + 1 }), execute]],
    ['a count of values that is negative', [bind(name, { values, valueCount: -1 }), execute]],
    ['too many formats', [bind(name, { values, formats: [0, 0, 0] }), execute]],
    ['a count of formats that is too high', [bind(name, { values, formatCount: 9 }), execute]],
    ['a format that is none', [bind(name, { values, formats: values.map(() => 7) }), execute]],
    ['one format that is none', [bind(name, { values, formats: [7] }), execute]],
    ['too many result formats', [bind(name, { values, results: [0, 0, 0] }), execute]],
    ['a result format that is none', [bind(name, { values, results: [7] }), execute]],
    ['a negative result format', [bind(name, { values, results: [-1] }), execute]],
    ['a count of result formats that is too high', [bind(name, { values, resultCount: 4 }), execute]],
    ['no result formats where there is to be a count', [cut(whole.length - 2), execute]],
    ['half a count', [cut(whole.length - 1), execute]],
    ['no end of the name', [message('B', Buffer.from(`p\0${name}`)), execute]],
    ['no end of the portal', [message('B', Buffer.from('p')), execute]],
    ['nothing', [message('B'), execute]],
    ['more behind the end', [bind(name, { values, more: 'x' }), execute]],
    ['a value of length -2', [bind(name, { values: [value('', -2), ...values.slice(1)] }), execute]],
    ['a value that is longer than the message', [bind(name, { values: [value('x', 1000)] }), execute]],
    [
      'a value that takes what is behind it',
      [bind(name, { values: values.map((_, i) => value('y', 2 + i)) }), execute],
    ],
    ['a NULL', [bind(name, { values: values.map(() => int32(-1)) }), execute]],
    ['a value with a zero byte', [bind(name, { values: values.map(() => value('co\0nn')) }), execute]],
    ['a value of bad UTF-8', [bind(name, { values: values.map(() => value('\xff')) }), execute]],
    ['binary values', [bind(name, { values, formats: [1], results: [1] }), execute]],
    ['a portal that there is', [good, bind(name, { values }), execute]],
    ['a Bind to a statement that there is not', [good, bind(`${name}x`, { values, portal: 'q' }), execute]],
    ['Execute of a portal that there is not', [good, frontend.execute('q', 0)]],
    ['Execute without a count', [good, message('E', 'p\0')]],
    ['Execute without an end', [good, message('E', 'p')]],
    ['Execute of nothing', [good, message('E')]],
    [
      'Execute with more behind its end',
      [good, message('E', Buffer.concat([text('p'), int32(0), Buffer.from('x')]))],
    ],
    ['Execute of a negative count', [good, frontend.execute('p', 0xffffffff)]],
    ['Execute of the lowest count', [good, frontend.execute('p', 0x80000000)]],
    [
      'Execute of one row',
      [good, frontend.execute('p', 1), frontend.execute('p', 1), frontend.execute('p', 1)],
    ],
    ['Execute of a finished portal', [good, execute, execute, frontend.execute('p', 1)]],
    ['Execute of a finished portal, after all its rows', [good, frontend.execute('p', 9), execute]],
    ['Describe of a finished portal', [good, execute, frontend.describe('P', 'p')]],
    ['Describe of a portal that there is not', [good, frontend.describe('P', 'q'), execute]],
    ['Describe of a statement that there is not', [good, frontend.describe('S', `${name}x`), execute]],
    ['Describe of what is neither', [good, message('D', 'Xp\0'), execute]],
    ['Describe without an end', [good, message('D', 'Pp'), execute]],
    ['Describe of a statement without an end', [good, message('D', `S${name}`), execute]],
    ['Describe of nothing', [good, message('D'), execute]],
    ['Describe with more behind its end', [good, message('D', 'Pp\0x'), execute]],
    ['Describe of a statement, with more behind its end', [good, message('D', `S${name}\0x`), execute]],
    ['Close of what is neither', [good, message('C', 'Xp\0'), execute]],
    ['Close without an end', [good, message('C', 'Pp'), execute]],
    ['Close of a statement without an end', [good, message('C', `S${name}`), execute]],
    ['Close with more behind its end', [good, message('C', 'Pp\0x'), execute]],
    ['Close of a portal, then Execute', [good, frontend.close('P', 'p'), execute]],
    ['Close of a statement, then Execute', [good, frontend.close('S', name), execute]],
    ['Close of a statement, then Describe', [good, frontend.close('S', name), frontend.describe('S', name)]],
    ['Close of nothing', [good, frontend.close('P', 'nothing'), frontend.close('S', 'nothing'), execute]],
    ['a statement that there is', [frontend.parse(name, 'SELECT 1'), good, execute]],
    [
      'a statement with a call under a name that there is',
      [frontend.parse('local', STATEMENTS.count), good, execute],
    ],
    ['a Flush with a body', [good, message('H', 'x'), execute]],
    ['a Sync with a body', [good, execute, message('S', 'x')]],
  ];
}

for (const major of testedMajors()) {
  describe(`malformed messages for calls, PostgreSQL ${major}`, () => {
    let environment: Environment;
    before(async () => {
      environment = await startEnvironment(major, 'proxy');
    });
    after(() => environment?.stop());

    async function play(side: Side, block: boolean, name: Name, bytes: readonly Buffer[]): Promise<string[]> {
      const { connection } = await WireConnection.open({
        ...side.client,
        parameters: { user: 'postgres', database: 'app' },
      });
      const prepare = Object.entries(STATEMENTS).map(([one, sql]) => frontend.parse(one, fillIn(sql, side)));
      connection.send(
        frontend.query(fillIn("SELECT dblink_connect('conn', '{R}')", side)),
        ...prepare,
        frontend.sync(),
        ...(block ? [frontend.query('BEGIN')] : []),
      );
      await connection.collect(block ? 3 : 2);
      // How the session goes on: the portal and the statement may still be there or not.
      const behind = [
        frontend.execute('p', 0),
        frontend.sync(),
        bind(name, { values: given(name).map((one) => value(one)), portal: '' }),
        frontend.describe('P', ''),
        frontend.execute('', 0),
        frontend.sync(),
        frontend.query("SELECT 'next', dblink_get_connections()"),
      ];
      connection.send(...bytes, frontend.sync(), ...behind);
      const syncs = bytes.filter((one) => one[0] === 'S'.charCodeAt(0)).length;
      const frames = await connection.collect(4 + syncs);
      await connection.end();
      return frames.map(shown);
    }

    for (const name of Object.keys(STATEMENTS) as Name[]) {
      for (const block of [false, true]) {
        it(`are answered alike: ${name}${block ? ', in a block' : ''}`, async () => {
          const differences: string[] = [];
          for (const [what, bytes] of wrong(name)) {
            const [extension, proxy] = await Promise.all([
              play(environment.extension, block, name, bytes),
              play(environment.proxy, block, name, bytes),
            ]);
            const at = extension.findIndex((line, i) => line !== proxy[i]);
            if (at >= 0 || extension.length !== proxy.length)
              differences.push(
                `${what}: ${extension.slice(Math.max(0, at - 1)).join(' | ')}
 through the proxy: ${proxy.slice(Math.max(0, at - 1)).join(' | ')}`,
              );
          }
          assert.ok(differences.length === 0, `\n${differences.join('\n')}`);
        });
      }
    }
  });
}

/** A message without the place in the server's source. */
const shown = ({ type, body }: Frame): string =>
  `${type} ${body
    .toString('latin1')
    .split('\0')
    .filter((field) => type !== 'E' || !/^[FLR]/.test(field))
    .join('.')}`;
