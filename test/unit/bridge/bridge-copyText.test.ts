import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { CopyText } from '../../../src/bridge/rows/copyText.js';
import { RowGate } from '../../../src/dblink/remote/rowGate.js';
import { type QueryHandler, WireClient } from '../../../src/wire/outbound/index.js';
import { Backend, Frontend } from '../../../src/wire/protocol.js';
import { MessageWriter } from '../../../src/wire/writer.js';
import { createDatabase, primaryServer } from '../../support/postgres.js';

type Row = readonly (Buffer | null)[];

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

function dataRow(values: Row): Buffer {
  const writer = new MessageWriter(Backend.dataRow).int16(values.length);
  for (const value of values) writer.value(value);
  return writer.end();
}

const dataRows = (rows: readonly Row[]): Buffer => Buffer.concat(rows.map(dataRow));

/** The pieces of a buffer that end at these places. */
function cut(whole: Buffer, cuts: readonly number[]): readonly Buffer[] {
  const places = [...new Set([...cuts.map((place) => place % (whole.length + 1)), whole.length])];
  places.sort((a, b) => a - b);
  return places.map((place, i) => whole.subarray(places[i - 1] ?? 0, place));
}

/** The content of the one CopyData message that it makes. */
function encode(text: CopyText, messages: Buffer): Buffer {
  const message = text.encode(messages);
  assert.equal(message[0], Frontend.copyData);
  assert.equal(message.readInt32BE(1), message.length - 1);
  return message.subarray(5);
}

const encodeAll = (columns: number, pieces: readonly Buffer[]): Buffer => {
  const text = new CopyText(columns);
  return Buffer.concat(pieces.map((piece) => encode(text, piece)));
};

const values: readonly (readonly [string, string | null, string])[] = [
  ['nothing special', 'abc', 'abc'],
  ['NULL', null, '\\N'],
  ['an empty string', '', ''],
  ['what looks like NULL', '\\N', '\\\\N'],
  ['what looks like the end of the data', '\\.', '\\\\.'],
  ['a backslash', '\\', '\\\\'],
  ['backslashes', '\\\\', '\\\\\\\\'],
  ['a tab', 'a\tb', 'a\\tb'],
  ['a newline', 'a\nb', 'a\\nb'],
  ['a carriage return', 'a\rb', 'a\\rb'],
  ['only special bytes', '\b\t\n\v\f\r\\', '\\b\\t\\n\\v\\f\\r\\\\'],
  ['other control characters', '\x01\x07\x0e\x1f\x7f', '\x01\x07\x0e\x1f\x7f'],
  ['bytes from 0x80 on', '\x80\x89\x8a\xdc\xff', '\x80\x89\x8a\xdc\xff'],
  ['letters that stand for special bytes', 'btnvfrN', 'btnvfrN'],
  ['a bytea', '\\x00ff', '\\\\x00ff'],
  ['a long value', 'x'.repeat(100_000), 'x'.repeat(100_000)],
  ['a long value with one special byte', `${'x'.repeat(50_000)}\n`, `${'x'.repeat(50_000)}\\n`],
  ['a long value of special bytes', '\t'.repeat(20_000), '\\t'.repeat(20_000)],
];

for (const [name, value, expected] of values) {
  test(`a value: ${name}`, () => {
    const row = dataRow([value === null ? null : bytes(value)]);
    assert.equal(encode(new CopyText(1), row).toString('latin1'), `${expected}\n`);
  });
}

test('every special byte is found at every place of a long value', () => {
  for (const special of bytes('\b\t\n\v\f\r\\')) {
    for (const place of [0, 1, 2, 3, 4, 383, 384, 4095, 4096, 4097, 8191, 9999]) {
      const value = Buffer.alloc(10_000, 'x');
      value[place] = special;
      const line = encode(new CopyText(1), dataRow([value]));
      assert.equal(line.length, 10_002);
      assert.equal(line[place], 0x5c);
    }
  }
});

test('lines of several columns', () => {
  const rows: Row[] = [
    [bytes('a'), bytes('b'), bytes('c')],
    [null, bytes(''), null],
    [bytes(''), null, bytes('')],
  ];
  assert.equal(encode(new CopyText(3), dataRows(rows)).toString('latin1'), 'a\tb\tc\n\\N\t\t\\N\n\t\\N\t\n');
});

test('rows without columns are empty lines', () => {
  assert.equal(encode(new CopyText(0), dataRows([[], [], []])).toString('latin1'), '\n\n\n');
});

test('no rows, no bytes', () => {
  assert.equal(encode(new CopyText(2), Buffer.alloc(0)).length, 0);
});

test('what was returned stays as it is', () => {
  const text = new CopyText(1);
  const first = encode(text, dataRow([bytes('first')]));
  const second = encode(text, dataRow([bytes('\n\n\n\n\n')]));
  assert.equal(first.toString('latin1'), 'first\n');
  assert.equal(second.toString('latin1'), '\\n\\n\\n\\n\\n\n');
});

const anyValue = fc.option(
  fc.oneof(
    fc.uint8Array({ maxLength: 12 }),
    fc.array(fc.constantFrom(...bytes('\\\t\n\r\b\v\fN.x')), { maxLength: 12 }),
    fc.array(fc.constantFrom(...bytes('xyz\n')), { minLength: 380, maxLength: 400 }),
  ),
  { nil: null },
);
const rowsOf = (value: fc.Arbitrary<Row[number]>, maxColumns: number) =>
  fc.integer({ min: 1, max: maxColumns }).chain((columns) =>
    fc.record({
      columns: fc.constant(columns),
      rows: fc.array(fc.array(value, { minLength: columns, maxLength: columns }), { maxLength: 10 }),
    }),
  );
const cuts = fc.array(fc.nat(), { maxLength: 20 });

test('rows in any pieces give the same lines', () => {
  const value = anyValue.map((content) => content && Buffer.from(content));
  fc.assert(
    fc.property(rowsOf(value, 5), cuts, ({ columns, rows }, places) => {
      const whole = dataRows(rows);
      const expected = encodeAll(columns, rows.map(dataRow));
      assert.deepEqual(encodeAll(columns, [whole]), expected);
      assert.deepEqual(encodeAll(columns, cut(whole, places)), expected);
      const single = Array.from(whole, (_, i) => whole.subarray(i, i + 1));
      assert.deepEqual(encodeAll(columns, single), expected);
    }),
    { seed: 31, numRuns: 300 },
  );
});

/** One connection to a database of this encoding, whose text it gets and sends unconverted. */
class Database {
  readonly #client: WireClient;

  private constructor(client: WireClient) {
    this.#client = client;
  }

  static async open(encoding: string): Promise<Database> {
    const server = await primaryServer(18);
    const database = `copy_text_${encoding.toLowerCase()}`;
    await createDatabase(server, database, { encoding });
    const client = await WireClient.connect({
      address: { host: server.host, port: server.port },
      tls: { mode: 'disable' },
      startup: [
        ['user', 'postgres'],
        ['database', database],
        ['client_encoding', encoding],
      ],
    });
    return new Database(client);
  }

  close(): void {
    this.#client.close();
  }

  /** @throws Error whose message is the SQLSTATE */
  async #run(sql: string, handler: QueryHandler): Promise<void> {
    let failure: string | undefined;
    await this.#client.query(bytes(sql), { ...handler, error: ({ sqlstate }) => void (failure = sqlstate) });
    if (failure !== undefined) throw new Error(failure);
  }

  run(sql: string): Promise<void> {
    return this.#run(sql, {});
  }

  /** The DataRow messages as they come. */
  async select(sql: string): Promise<Buffer> {
    const pieces: Buffer[] = [];
    await this.#run(sql, {
      rowDescription: () => 'raw',
      rawRows: (raw) => void pieces.push(Buffer.from(raw)),
    });
    return Buffer.concat(pieces);
  }

  async copyOut(table: string): Promise<Buffer> {
    const pieces: Buffer[] = [];
    await this.#run(`COPY ${table} TO STDOUT`, { copyData: (data) => void pieces.push(Buffer.from(data)) });
    return Buffer.concat(pieces);
  }

  copyIn(table: string, lines: readonly Buffer[]): Promise<void> {
    return this.#run(`COPY ${table} FROM STDIN`, {
      copyIn(control) {
        for (const piece of lines) control.write(piece);
        control.done();
      },
    });
  }

  /** Copies the rows into an empty table and checks that they are in it then, and that COPY TO writes them alike. */
  async roundTrip(table: string, columns: number, rows: Buffer): Promise<void> {
    await this.run(`TRUNCATE ${table}`);
    const lines = encode(new CopyText(columns), rows);
    await this.copyIn(table, [lines]);
    const back = await this.select(`SELECT * FROM ${table} ORDER BY ctid`);
    assert.ok(
      back.equals(rows),
      `other rows came back from ${JSON.stringify(lines.toString('latin1', 0, 500))}`,
    );
    const written = await this.copyOut(table);
    assert.ok(
      written.equals(lines),
      `other lines than ${JSON.stringify(written.toString('latin1', 0, 500))}`,
    );
  }
}

const special = fc.array(
  fc.constantFrom('\\', '\t', '\n', '\r', '\b', '\v', '\f', 'N', '.', 'x', '\\.', '\\N'),
  {
    maxLength: 8,
  },
);
const unicode = fc
  .string({ unit: 'binary', maxLength: 20 })
  .map((text) => Buffer.from(text.replaceAll('\0', ''), 'utf8'));
const latin1 = fc.uint8Array({ min: 1, maxLength: 20 }).map((content) => Buffer.from(content));

const MEGABYTE = 1 << 20;

for (const [encoding, text] of [
  ['UTF8', unicode],
  ['LATIN1', latin1],
] as const) {
  describe(`through COPY in a ${encoding} database`, () => {
    let database: Database;
    before(async () => {
      database = await Database.open(encoding);
    });
    after(() => database.close());

    const value: fc.Arbitrary<Row[number]> = fc.option(
      fc.oneof(
        text,
        special.map((parts) => bytes(parts.join(''))),
      ),
      { nil: null },
    );

    test('random rows', async () => {
      for (let columns = 1; columns <= 4; columns++) {
        const list = Array.from({ length: columns }, (_, i) => `c${i} text`).join();
        await database.run(`CREATE TABLE random${columns} (${list})`);
      }
      await fc.assert(
        fc.asyncProperty(rowsOf(value, 4), ({ columns, rows }) =>
          database.roundTrip(`random${columns}`, columns, dataRows(rows)),
        ),
        { seed: 17, numRuns: 150 },
      );
    });

    test('values that mean something to COPY, alone on their line', async () => {
      await database.run('CREATE TABLE alone (c text)');
      const rows = ['\\.', '\\N', '', '\\', '\n', '\r', '\r\n', '\\x', '\\056', null, ' ', 'NULL', '""'];
      await database.roundTrip('alone', 1, dataRows(rows.map((row) => [row === null ? null : bytes(row)])));
    });

    test('bytea', async () => {
      await database.run('CREATE TABLE binary_values (c bytea, d bytea)');
      const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
      const hex = bytes(`\\x${every.toString('hex')}`);
      const rows = dataRows([
        [hex, null],
        [bytes('\\x'), hex],
      ]);
      await database.roundTrip('binary_values', 2, rows);
      // The older format, with octal escapes.
      await database.run("SET bytea_output = 'escape'");
      const escaped = await database.select('SELECT * FROM binary_values ORDER BY ctid');
      assert.ok(!escaped.equals(rows));
      await database.roundTrip('binary_values', 2, escaped);
      await database.run('RESET bytea_output');
    });

    test('1600 columns', async () => {
      const columns = Array.from({ length: 1600 }, (_, i) => `c${i} text`);
      await database.run(`CREATE TABLE wide (${columns.join()})`);
      const short = [null, bytes(''), bytes('\\'), bytes('\t'), bytes('\n'), bytes('ab'), bytes('\\N')];
      const rows = [0, 1, 2].map((shift) => columns.map((_, i) => short[(i + shift) % short.length]!));
      await database.roundTrip('wide', 1600, dataRows(rows));
    });

    test('a table without columns', async () => {
      await database.run('CREATE TABLE narrow ()');
      await database.roundTrip('narrow', 0, dataRows([[], [], []]));
    });

    test('values of 1 MB', async () => {
      await database.run('CREATE TABLE big (c text, d text)');
      const plain = Buffer.alloc(MEGABYTE, 'abcdefghijklmno');
      const lines = Buffer.alloc(MEGABYTE, 'some words in a line of text\r\n');
      const specials = Buffer.alloc(MEGABYTE, '\\\t\n');
      await database.roundTrip(
        'big',
        2,
        dataRows([
          [plain, lines],
          [specials, null],
        ]),
      );
    });

    test("a server's rows, short ones and long ones, in the pieces that RowGate makes", async () => {
      const source = `SELECT i::text, repeat(E'\\\\\\t\\n' || i, CASE WHEN i % 20 = 0 THEN 50000 ELSE 5 END),
        CASE WHEN i % 3 > 0 THEN repeat('x', i) END FROM generate_series(1, 400) i`;
      await database.run('CREATE TABLE piecewise (a text, b text, c text)');
      const rows = await database.select(source);
      const encoder = new CopyText(3);
      const lines: Buffer[] = [];
      let partial = 0;
      const gate = new RowGate(
        { columns: 3, maxRowBytes: 1 << 24, each: false },
        {
          row: () => assert.fail('a row came alone'),
          raw: (piece, count) => {
            if (count === 0) partial++;
            lines.push(encode(encoder, piece));
          },
          strange: () => assert.fail('a value was strange'),
        },
      );
      for (let from = 0; from < rows.length; from += 7919) gate.push(rows.subarray(from, from + 7919));
      assert.ok(partial > 0);
      await database.copyIn('piecewise', lines);
      const back = await database.select('SELECT * FROM piecewise ORDER BY ctid');
      assert.ok(back.equals(rows));
    });

    test('a zero byte is refused by the server', async () => {
      await database.run('CREATE TABLE zero (c text)');
      const lines = encode(new CopyText(1), dataRow([bytes('a\0b')]));
      await assert.rejects(database.copyIn('zero', [lines]), { message: '22021' });
    });
  });
}
