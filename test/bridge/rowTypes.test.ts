import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { escapeLiteral } from 'pg';
import { SERVICE_SCHEMA_SQL } from '../../src/bridge/installed/serviceSchema.js';
import { createDatabase, execute, primaryServer } from '../support/postgres.js';

/**
 * Which types a caller's column definition list has, only the server's complaint tells, in the language of lc_messages.
 * These are the complaints of PostgreSQL's own translations, of 15 (a column by its number) and 18 (by its name as well);
 * the tests' servers speak English, so that here they are raised by hand.
 */

interface Language {
  readonly name: string;
  readonly message: string;
  /** Its DETAIL: the returned type, the expected one, the column's name and number. */
  readonly detail: (returned: string, expected: string, column: string, position: number) => string;
  /** DETAIL of another number of columns. */
  readonly count: string;
}

const GERMAN = 'Struktur der Anfrage stimmt nicht mit Rückgabetyp der Funktion überein';

const LANGUAGES: readonly Language[] = [
  {
    name: 'English, 15',
    message: 'structure of query does not match function result type',
    detail: (returned, expected, _, position) =>
      `Returned type ${returned} does not match expected type ${expected} in column ${position}.`,
    count: 'Number of returned columns (2) does not match expected column count (3).',
  },
  {
    name: 'English, 18',
    message: 'structure of query does not match function result type',
    detail: (returned, expected, column, position) =>
      `Returned type ${returned} does not match expected type ${expected} in column "${column}" (position ${position}).`,
    count: 'Number of returned columns (2) does not match expected column count (3).',
  },
  {
    name: 'German, 15: the column stands between the types',
    message: GERMAN,
    detail: (returned, expected, _, position) =>
      `Zurückgegebener Typ ${returned} stimmt in Spalte ${position} nicht mit erwartetem Typ ${expected} überein.`,
    count: 'Anzahl der zurückgegebenen Spalten (2) entspricht nicht der erwarteten Spaltenanzahl (3).',
  },
  {
    name: 'German, 18',
    message: GERMAN,
    detail: (returned, expected, column, position) =>
      `Zurückgegebener Typ ${returned} stimmt nicht mit erwartetem Typ ${expected} in Spalte »${column}« (Position ${position}) überein.`,
    count: 'Anzahl der zurückgegebenen Spalten (2) entspricht nicht der erwarteten Spaltenanzahl (3).',
  },
  {
    name: 'Japanese, 15: the column comes first',
    message: '問い合わせの構造が関数の結果の型と一致しません',
    detail: (returned, expected, _, position) =>
      `列${position}で返された${returned}型が、期待している${expected}型と一致しません。`,
    count: '返された列数(2)が、期待する列数(3)と一致しません。',
  },
  {
    name: 'Korean, 15: the column comes last',
    message: '쿼리 구조가 함수 결과 형식과 일치하지 않음',
    detail: (returned, expected, _, position) =>
      `반환 자료형으로 ${returned} 형을 지정했지만, 칼럼은 ${expected} 자료형입니다. 해당 칼럼: ${position} 번째 칼럼`,
    count: '반환할 칼럼 수(2)와 예상되는 칼럼수(3)가 다릅니다.',
  },
  {
    name: 'Chinese, 15',
    message: '查询的结构与函数的返回类型不匹配',
    detail: (returned, expected, _, position) =>
      `在第${position}列中返回类型${returned}与期望的类型${expected}不匹配.`,
    count: '所返回列的数量(2)与所期望列的数量(3)不匹配.',
  },
];

/** dblink_proxy.sample() of a server that speaks the language. */
const sample = ({ message, detail }: Language): string =>
  `CREATE OR REPLACE FUNCTION dblink_proxy.sample() RETURNS SETOF record LANGUAGE plpgsql AS $$ BEGIN
     RAISE EXCEPTION USING ERRCODE = '42804', MESSAGE = ${escapeLiteral(message)},
       DETAIL = ${escapeLiteral(detail('circle', 'macaddr', 'dblink_proxy', 2))}; END $$`;

describe('complaints about a row type', () => {
  let url: string;

  before(async () => {
    const primary = await primaryServer(18);
    url = await createDatabase(primary, 'row_types');
    await execute(url, SERVICE_SCHEMA_SQL);
  });

  const corrected = async (message: string, detail: string): Promise<unknown> => {
    const [row] = await execute(
      url,
      `SELECT dblink_proxy.corrected('{text,text,text}', ${escapeLiteral(message)}, ${escapeLiteral(detail)})`,
    );
    return row?.[0];
  };

  for (const language of LANGUAGES) {
    const { name, message, detail, count } = language;

    it(`${name}: the expected type of a column`, async () => {
      await execute(url, sample(language));
      for (const type of [
        'integer',
        'character varying(3)',
        'numeric(8,3)',
        'timestamp(3) with time zone[]',
        '"char"',
      ]) {
        assert.deepEqual(await corrected(message, detail('text', type, 'a', 2)), ['text', type, 'text']);
      }
    });

    it(`${name}: another number of columns`, async () => {
      await execute(url, sample(language));
      assert.deepEqual(await corrected(message, count), []);
    });

    it(`${name}: names of columns and types do not lead astray`, async () => {
      await execute(url, sample(language));
      const columns = ['2', 'macaddr', 'in column "x" (position 7).', detail('text', 'date', 'c', 9)];
      for (const column of columns) {
        const types = await corrected(message, detail('text', 'integer', column, 1));
        // Whatever is made of it, no other column is taken for the one that is meant.
        if (types !== null) assert.deepEqual(types, ['integer', 'text', 'text']);
      }
    });

    it(`${name}: what is no type is not taken for one`, async () => {
      await execute(url, sample(language));
      for (const type of ['integer; SELECT 1', 'integer) AS t(a', 'nosuch', "'x'", 'text, text', 'int4']) {
        const found = corrected(message, detail('text', type, 'a', 1));
        // Its syntax may be refused at once.
        assert.equal(
          await found.catch((error: { code?: string }) => (error.code === '42601' ? null : error)),
          null,
        );
      }
    });

    it(`${name}: an error about something else`, async () => {
      await execute(url, sample(language));
      assert.equal(await corrected('something else', 'Detail of something else.'), null);
    });
  }
});
