import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { analyze, type DblinkCall, loadParser, type Statement } from '../../../src/sql/index.js';

before(loadParser);

const OPTIONS = { schemas: ['public', 'extensions', 'Public'] };

const statements = (sql: string, encoding: BufferEncoding = 'utf8'): readonly Statement[] =>
  analyze(Buffer.from(sql, encoding), OPTIONS)?.statements ?? [];

function onlyCall(sql: string, encoding: BufferEncoding = 'utf8'): DblinkCall {
  const calls = statements(sql, encoding).flatMap((statement) => statement.calls);
  assert.equal(calls.length, 1, sql);
  return calls[0]!;
}

const textOf = (sql: string, span: { start: number; end: number }): string =>
  Buffer.from(sql).subarray(span.start, span.end).toString();

describe('finding dblink calls', () => {
  it('recognises every function by name, in any case, quoted, and by known schemas', () => {
    const forms: readonly [string, string, string | undefined][] = [
      [`SELECT dblink_connect('c', 'x')`, 'dblink_connect', undefined],
      [`SELECT DBLINK_Connect_U('x')`, 'dblink_connect_u', undefined],
      [`SELECT "dblink_disconnect"()`, 'dblink_disconnect', undefined],
      [`SELECT public . dblink_exec ( 'c' , 'x' )`, 'dblink_exec', 'public'],
      [`SELECT extensions.dblink_get_connections()`, 'dblink_get_connections', 'extensions'],
      [`SELECT "Public".dblink_error_message('c')`, 'dblink_error_message', 'Public'],
      [`SELECT * FROM PUBLIC.dblink('x') t(a int)`, 'dblink', 'public'],
    ];
    for (const [sql, name, schema] of forms) {
      const call = onlyCall(sql);
      assert.equal(call.name, name);
      assert.equal(call.schema, schema);
    }
  });

  it('takes no other function for one', () => {
    for (const sql of [
      `SELECT other.dblink_exec('c', 'x')`,
      `SELECT db.public.dblink_exec('c', 'x')`,
      `SELECT "DBLINK_EXEC"('c', 'x')`,
      `SELECT dblink_execute('c')`,
      `SELECT 'dblink_exec(''c'')' AS dblink FROM dblink`,
      `SELECT dblink -- dblink('x')\n FROM t`,
      `CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT * FROM dblink('x') t(a int) $$`,
      `GRANT EXECUTE ON FUNCTION dblink_connect_u(text) TO r`,
      `DO $$ BEGIN PERFORM dblink_exec('c', 'x'); END $$`,
    ]) {
      assert.equal(analyze(Buffer.from(sql), OPTIONS), undefined, sql);
    }
  });

  it('leaves calls to PostgreSQL that it refuses itself', () => {
    for (const sql of [
      `SELECT dblink_exec()`,
      `SELECT dblink_exec(1)`,
      `SELECT dblink_exec('c', 42)`,
      `SELECT dblink_exec('c', 'x', true, 1)`,
      `SELECT dblink_exec(true, 'x')`,
      `SELECT dblink_get_connections(1)`,
      `SELECT dblink_exec(DISTINCT 'c')`,
      `SELECT dblink_exec(conn => 'c')`,
      `SELECT dblink_exec(VARIADIC ARRAY['c'])`,
      `SELECT dblink_exec('c') OVER ()`,
      `SELECT dblink_exec('c') FILTER (WHERE true)`,
      `SELECT dblink_exec('c' ORDER BY 1)`,
    ]) {
      assert.equal(analyze(Buffer.from(sql), OPTIONS), undefined, sql);
    }
  });

  it('leaves text that it cannot read alone', () => {
    for (const sql of [
      `SELECT dblink_exec(`,
      `SELECT dblink_exec('c','x') \0 SELECT 1`,
      ``,
      ` -- dblink_exec('c')`,
    ]) {
      assert.equal(analyze(Buffer.from(sql), OPTIONS), undefined, sql);
    }
  });

  it('gives the spans of calls and arguments, whatever blanks, comments and characters stand around', () => {
    const sql = `/* é */ SELECT 'ü', /* a, ) */ dblink_exec -- (\n ( 'é'::text , /* , */ concat('a', (1), ']') /* c */ ) AS é`;
    const call = onlyCall(sql);
    assert.equal(textOf(sql, call.span), sql.slice(sql.indexOf('dblink_exec'), sql.indexOf(' AS é')));
    assert.deepEqual(
      call.args.map((argument) => textOf(sql, argument.span)),
      [`'é'::text`, `concat('a', (1), ']')`],
    );
  });

  it('counts bytes, not characters, and takes any byte above 127 for a letter', () => {
    const sql = `SELECT '\xe9\xa0\xff' AS \xe9, dblink_exec('\xa4', 'x\xe9') AS "\xdf"`;
    const bytes = Buffer.from(sql, 'latin1');
    const call = onlyCall(sql, 'latin1');
    assert.equal(
      bytes.subarray(call.span.start, call.span.end).toString('latin1'),
      `dblink_exec('\xa4', 'x\xe9')`,
    );
    assert.deepEqual(
      call.args.map((argument) => argument.constant),
      [
        { kind: 'string', value: '\xa4' },
        { kind: 'string', value: 'x\xe9' },
      ],
    );
  });
});

describe('arguments', () => {
  const constantOf = (literal: string) => onlyCall(`SELECT dblink_exec(${literal})`).args[0]!;

  it('are constants where the text alone says their value', () => {
    const string = (value: string) => ({ kind: 'string' as const, value });
    const forms: readonly [string, unknown, string][] = [
      [`'a''b'`, string(`a'b`), 'unknown'],
      [`$$a'b$$`, string(`a'b`), 'unknown'],
      [`$q$ $$ \\n $q$`, string(` $$ \\n `), 'unknown'],
      [`E'a\\n\\'\\\\0'`, string(`a\n'\\0`), 'unknown'],
      [`'a'\n 'b'`, string('ab'), 'unknown'],
      [`'a\\x41'`, string('a\\x41'), 'unknown'],
      [`''`, string(''), 'unknown'],
      [`NULL`, { kind: 'null' }, 'unknown'],
      [`'a'::text`, string('a'), 'text'],
      [`CAST('a' AS varchar)`, string('a'), 'text'],
      [`'a'::pg_catalog.text::text`, string('a'), 'text'],
      [`NULL::text`, { kind: 'null' }, 'text'],
      [`'a'::varchar(1)`, undefined, 'expression'],
      [`'a'::name`, undefined, 'expression'],
      [`E'\\x41'`, undefined, 'unknown'],
      [`E'\\303\\251'`, undefined, 'unknown'],
      [`E'\\u00e9'`, undefined, 'unknown'],
      [`U&'\\00e9'`, undefined, 'unknown'],
      [`'a' || 'b'`, undefined, 'expression'],
      [`$1`, undefined, 'parameter'],
    ];
    for (const [literal, constant, type] of forms) {
      const argument = constantOf(literal);
      assert.deepEqual(argument.constant, constant, literal);
      assert.equal(argument.type, type, literal);
    }
  });

  it('in the place of a boolean are read as one, as PostgreSQL reads it', () => {
    const flag = (literal: string) => onlyCall(`SELECT dblink_exec('c', 'x', ${literal})`).args[2]!;
    for (const [literal, value] of [
      ['true', true],
      [`'f'`, false],
      [`' YE '`, true],
      [`'of'`, false],
      [`'1'`, true],
      [`'t'::boolean`, true],
      [`'no'::bool`, false],
    ] as const) {
      assert.deepEqual(flag(literal).constant, { kind: 'boolean', value }, literal);
    }
    for (const literal of [`'o'`, `''`, `'maybe'`, `'2'`])
      assert.equal(flag(literal).constant, undefined, literal);
    // A literal that could be either is text: the overload is dblink_exec(text, text).
    assert.deepEqual(onlyCall(`SELECT dblink_exec('c', 'false')`).args[1]!.constant, {
      kind: 'string',
      value: 'false',
    });
    assert.deepEqual(onlyCall(`SELECT dblink_exec('c', false)`).args[1]!.constant, {
      kind: 'boolean',
      value: false,
    });
  });

  it('tell the parameters that they use', () => {
    const sql = `SELECT * FROM dblink('x' || $3 || $1 || $3, $2) t(a int) WHERE a = $5`;
    assert.deepEqual(
      onlyCall(sql).args.map((argument) => argument.parameters),
      [[1, 3], [2]],
    );
    assert.equal(statements(sql)[0]!.parameters, 5);
  });

  it('are harmless when they can neither fail nor be noticed', () => {
    for (const literal of [
      `'dbname=' || current_database()`,
      `format('host=%s port=%s dbname=%I', inet_server_addr(), current_setting('port'), current_database())`,
      `format('select * from t where id=%L', $1)`,
      `'x' || quote_literal($1) || quote_ident(current_user) || session_user`,
      `$1`,
      `format('100%% of %s', $1)`,
      `lower(coalesce($1, 'x'))`,
      `to_char(now(), 'YYYY')`,
      `format('%L', now() - interval '1 day')`,
      `current_setting('app.dsn', true)`,
      `CASE WHEN $1 = 'x' THEN 'a' ELSE 'b' END`,
      `(SELECT connstr FROM conf WHERE k = 'erp' LIMIT 1)`,
      `(SELECT max(connstr) FROM conf)`,
      `array_to_string(ARRAY(SELECT k FROM conf ORDER BY k), ',')`,
    ]) {
      assert.equal(constantOf(literal).harmless, true, literal);
    }
    for (const literal of [
      `my_conninfo()`,
      `my.format('x')`,
      `(1/0)::text`,
      `$1::int::text`,
      `format($1, 'x')`,
      `format('%%%s %s', 'x')`,
      `format('%I', NULL)`,
      `format('%I', $1)`,
      `format('%10$s', 'x')`,
      `current_setting('app.dsn')`,
      `(SELECT connstr FROM conf WHERE k = 'erp')`,
      `(SELECT my_function(connstr) FROM conf LIMIT 1)`,
      `(SELECT connstr FROM conf WHERE a / b = 1 LIMIT 1)`,
      `(SELECT connstr FROM conf LIMIT 1 FOR UPDATE)`,
      `(WITH d AS (DELETE FROM conf RETURNING k) SELECT max(k) FROM d)`,
      `nextval('s')::text`,
      `current_query()`,
      `chr($1)`,
      `'x'::my_type::text`,
    ]) {
      assert.equal(constantOf(literal).harmless, false, literal);
    }
  });

  it('say when a sub-select may take a column from outside', () => {
    const argument = (sql: string) => onlyCall(sql).args[0]!.perhapsOuter;
    assert.equal(argument(`SELECT * FROM o, dblink((SELECT c FROM conf LIMIT 1), 'x') t(a int)`), true);
    assert.equal(argument(`SELECT * FROM o, dblink((SELECT conf.c FROM conf LIMIT 1), 'x') t(a int)`), false);
    assert.equal(argument(`SELECT * FROM dblink((SELECT c FROM conf LIMIT 1), 'x') t(a int), o`), false);
    assert.equal(argument(`SELECT * FROM dblink((SELECT c FROM conf LIMIT 1), 'x') t(a int)`), false);
  });
});
