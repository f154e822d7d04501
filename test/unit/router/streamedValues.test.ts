import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Client } from 'pg';
import type { ValueCheck } from '../../../src/dblink/remote/valueCheck.js';
import { streamCheck, type WritingStyle } from '../../../src/router/plans/stream/streamable.js';
import { testedMajors } from '../../support/majors.js';
import { primaryServer } from '../../support/postgres.js';

/** What is streamed: a type of the server, and expressions over the number g that give values of it. */
const TYPES: readonly (readonly [type: string, ...values: string[]])[] = [
  ['boolean', 'g % 2 = 0'],
  ['smallint', '(g * 37 % 65536 - 32768)::int2', '(ARRAY[32767, -32768, 0, -1])[g % 4 + 1]::int2'],
  [
    'integer',
    '(g::int8 * 858993459 % 4294967296 - 2147483648)::int4',
    '(ARRAY[2147483647, -2147483648, 0])[g % 3 + 1]',
  ],
  [
    'bigint',
    "('x' || md5(g::text))::bit(64)::int8",
    "('{9223372036854775807,-9223372036854775808,0}'::int8[])[g % 3 + 1]",
  ],
  ['text', 'repeat(chr(g + 32), g % 5)'],
  ['varchar', "repeat('é', g % 5)"],
  ['varchar(4)', "repeat('日', g % 5)"],
  ['char(3)', "repeat('ü', g % 4)"],
  ['bpchar', "repeat('ü ', g % 4)"],
  [
    'numeric',
    '(g::numeric - 50) / 7 * 10 ^ (g % 40 - 20)',
    "('{NaN,0,-0.000,1e131071,1e-16383,12345678901234567890.5}'::numeric[])[g % 6 + 1]",
  ],
  ['numeric(10,2)', '(g::numeric - 50) / 7', "('{NaN,0,99999999.99,-99999999.99}'::numeric[])[g % 4 + 1]"],
  ['numeric(5,0)', 'g * 123 % 99999'],
  [
    'real',
    '(g - 50)::float4 / 7 * 10 ^ (g % 70 - 35)::float4',
    "('{NaN,Infinity,-Infinity,-0,3.4028235e38,1e-45,1e15,1e-5}'::float4[])[g % 8 + 1]",
  ],
  [
    'double precision',
    '(g - 50)::float8 / 7 * 10 ^ (g % 600 - 300)::float8',
    "('{NaN,Infinity,-Infinity,-0,1.7976931348623157e308,5e-324,1e15,1e-5}'::float8[])[g % 8 + 1]",
  ],
  [
    'date',
    "'4713-01-01 BC'::date + g * 21483",
    "('{infinity,-infinity,5874897-12-31,2000-02-29,4714-11-24 BC,0001-12-31 BC}'::date[])[g % 6 + 1]",
  ],
  [
    'timestamp',
    "'1000-01-01'::timestamp + g * interval '25.123457 days'",
    "('{infinity,-infinity,294276-12-31 23:59:59.999999,4714-11-24 00:00:00 BC}'::timestamp[])[g % 4 + 1]",
  ],
  ['timestamp(3)', "'1000-01-01'::timestamp + g * interval '25.123457 days'"],
  [
    'timestamptz',
    "'1700-01-01'::timestamptz + g * interval '365.123457 days'",
    "('{infinity,-infinity,294276-12-31 23:59:59.999999+00,4714-11-24 00:00:00+00 BC,294276-12-31 12:00:00+00}'::timestamptz[])[g % 5 + 1]",
  ],
  ['time', "'00:00'::time + g * interval '1:02:03.456789'", "'24:00'::time"],
  ['time(2)', "'00:00'::time + g * interval '1:02:03.456789'"],
  [
    'timetz',
    "('00:00'::time + g * interval '1:02:03.456789')::text::timetz",
    "'24:00+15:59:59'::timetz",
    "'12:00-03:30'::timetz",
  ],
  [
    'interval',
    'make_interval(g % 3 - 1, g % 5 - 2, 0, g % 7 - 3, g % 11 - 5, g % 13 - 6, (g % 17 - 8) / 3.0)',
    "interval '178000000 years'",
    "interval '-178956970 years -8 mons'",
    "interval '178956970 years 7 mons 2147483647 days'",
    "interval '-2147483648 days'",
    "interval '-99999999 hours'",
    "interval '0.000001 s'",
    "interval '2562047788:00:54.775807'",
  ],
  ['bit(5)', 'g::bit(5)'],
  ['varbit', "repeat('10', g % 6)::varbit"],
  ['varbit(8)', "repeat('10', g % 5)::varbit"],
  ['uuid', 'md5(g::text)::uuid'],
  [
    'json',
    `('{"a":[1,2.5e3,-0,"\\u00e9\\n",{}, [] ,true,false,null,"' || repeat('é', g % 3) || '"]}')::json`,
    "' 1 '::json",
    `' "x" '::json`,
  ],
  [
    'jsonb',
    `jsonb_build_object('k' || g, g / 7.0, 'n', NULL, 'l', jsonb_build_array(g, g % 2 = 0, 'é"\\' || chr(g % 31 + 1), '{}'::jsonb))`,
    "'1e100'::jsonb",
    `'"\\u001f\\ud83d\\ude00"'::jsonb`,
  ],
];

/** Arrays of these are streamed as well. */
const WITH_ARRAYS =
  /^(boolean|smallint|integer|bigint|text|varchar|varchar\(4\)|numeric.*|real|double precision|date|timestamp|timestamp\(3\)|timestamptz|interval|uuid)$/;

const STYLES = ['ISO, MDY', 'SQL, DMY', 'German, DMY', 'ISO, DMY'];
const INTERVAL_STYLES = ['postgres', 'postgres_verbose', 'sql_standard', 'iso_8601'];
const ZONES = ['UTC', 'America/St_Johns', 'Asia/Kathmandu', 'Europe/Amsterdam'];

/** Changes of one place of a text. */
function* mutations(text: string, number: number): Generator<string> {
  const characters = [
    '',
    '0',
    '9',
    '-',
    '+',
    '.',
    ':',
    ' ',
    ',',
    '{',
    '}',
    '"',
    '\\',
    'e',
    'a',
    'N',
    'T',
    '[',
    ']',
    'é',
    '\n',
    '/',
  ];
  // A linear congruential generator: the same changes in every run.
  let state = number * 7919 + 13;
  const next = (below: number): number => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor(state / 65536) % below;
  };
  const letters = [...text];
  for (let i = 0; i < 12; i++) {
    const at = next(letters.length + 1);
    const put = characters[next(characters.length)]!;
    yield [...letters.slice(0, at), put, ...letters.slice(at + next(2))].join('');
  }
  yield `${text}${text}`;
  yield text.slice(0, next(text.length + 1));
  yield text.replace(/\d/g, () => String(next(10)));
  yield text.replace(/\d\d/, '99');
}

for (const major of testedMajors()) {
  describe(`values that are streamed, on PostgreSQL ${major}`, () => {
    const accepts = (check: ValueCheck, text: string): boolean => {
      const bytes = Buffer.from(`#${text}1`);
      // A number behind it belongs to the next value.
      const end = bytes.length - 1;
      const whole = end - 1 <= check.maxBytes && check.whole(bytes, 1, end);
      if (check.pieces !== undefined) {
        check.pieces.begin();
        let passes = true;
        for (let at = 1; passes && at < end; at++) passes = check.pieces.feed(bytes, at, at + 1);
        assert.equal(passes && check.pieces.end(), whole, text);
      }
      return whole;
    };

    it('pass when a server has written them, in every style; and nothing passes that the server would not read', async () => {
      const client = new Client({ connectionString: (await primaryServer(major)).url() });
      await client.connect();
      const refused: string[] = [];
      const unread: string[] = [];
      let passed = 0;
      for (const [i, dateStyle] of STYLES.entries()) {
        const intervalStyle = INTERVAL_STYLES[i % INTERVAL_STYLES.length]!;
        const timeZone = ZONES[i % ZONES.length]!;
        await client.query(
          `SET DateStyle = '${dateStyle}'; SET IntervalStyle = ${intervalStyle}; SET TimeZone = '${timeZone}'`,
        );
        const style: WritingStyle = {
          dateStyle,
          intervalStyle,
          timeZone,
          version: major * 10000,
          extraFloatDigits: 1,
        };
        for (const [name, ...expressions] of TYPES) {
          for (const type of WITH_ARRAYS.test(name) ? [name, `${name}[]`] : [name]) {
            const isArray = type !== name;
            const values = expressions.flatMap((value) =>
              isArray
                ? [
                    `ARRAY[${value}, NULL]::${type}`,
                    `ARRAY[ARRAY[${value}], ARRAY[${value}]]::${type}`,
                    `'[-1:0]={NULL,NULL}'::${type}`,
                    `'{}'::${type}`,
                  ]
                : [`(${value})::${type}`],
            );
            const sql = values
              .map((value) => `SELECT ${value} AS v FROM generate_series(1, 60) g`)
              .join(' UNION ALL ');
            const { fields } = await client.query({ text: `SELECT v FROM (${sql}) x LIMIT 0` });
            const { dataTypeID: oid, dataTypeModifier: typmod } = fields[0]!;
            const texts = (
              await client.query({ text: `SELECT v::text FROM (${sql}) x`, rowMode: 'array' })
            ).rows.map(
              // As the output function writes it, which the cast to text of char(n) and boolean is not.
              ([text]) => text as string,
            );
            const shown = texts.map((text) => {
              if (name === 'boolean' && !isArray) return text[0]!;
              if (name === 'char(3)') return text.padEnd(3);
              return text;
            });
            const column = { declaredOid: oid, oid, typmod };
            const field = {
              name: Buffer.from('v'),
              tableOid: 0,
              column: 0,
              typeOid: oid,
              typeLength: -1,
              typmod,
              format: 0,
            };
            const check = streamCheck(column, field, style, {
              ...style,
              encoding: 'UTF8',
              serverEncoding: 'UTF8',
            });
            const collected =
              (/^(date|timestamp)/.test(name) && !dateStyle.startsWith('ISO')) ||
              (name === 'interval' && intervalStyle !== 'postgres') ||
              type === 'varchar(4)[]';
            if (collected) {
              assert.equal(check, undefined, type);
              continue;
            }
            assert.ok(check !== undefined, type);
            refused.push(
              ...shown
                .filter((text) => !accepts(check, text))
                .map((text) => `${dateStyle}: ${type}: ${text}`),
            );
            const changed = [...new Set(shown)]
              .flatMap((text, n) => [...mutations(text, n + i)])
              .filter((text) => accepts(check, text));
            passed += changed.length;
            for (const text of await invalid(client, changed, type))
              unread.push(`${dateStyle}: ${type}: ${text}`);
          }
        }
      }
      await client.end();
      assert.deepEqual([refused, unread], [[], []]);
      assert.ok(passed > 1000, 'hardly any changed value has passed');
    });
  });
}

/** Those of the texts that the server does not read as values of the type. */
async function invalid(client: Client, texts: readonly string[], type: string): Promise<readonly string[]> {
  await client.query(`CREATE OR REPLACE FUNCTION pg_temp.reads(value text) RETURNS boolean LANGUAGE plpgsql AS
    $$ DECLARE x ${type}; BEGIN x := value::${type}; RETURN true; EXCEPTION WHEN data_exception OR program_limit_exceeded THEN RETURN false; END $$`);
  const { rows } = await client.query({
    text: 'SELECT v FROM unnest($1::text[]) v WHERE NOT pg_temp.reads(v)',
    values: [texts],
    rowMode: 'array',
  });
  return rows.map(([text]) => text as string);
}
