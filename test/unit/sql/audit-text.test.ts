import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { Analyzer, loadParser, readAuditText } from '../../../src/sql/index.js';

const SECRET = 'hunter2';

describe('what the audit is told of SQL for a remote', () => {
  before(loadParser);

  const fingerprint = (sql: string): string | undefined =>
    readAuditText(Buffer.from(sql), false)?.fingerprint;
  const full = (sql: string): string | undefined => readAuditText(Buffer.from(sql), true)?.text;

  it('is the same fingerprint for what differs in literals, comments and blanks', () => {
    for (const [one, other] of [
      ['SELECT 1', 'select  2'],
      ["SELECT a FROM t WHERE b = 'x'", 'SELECT a FROM t\nWHERE b = $$y$$ -- comment'],
      ["SELECT E'a\\'b', B'101', X'1F'", "SELECT E'', B'1', X'0'"],
      ['FETCH 100 FROM c', 'FETCH 5 FROM c'],
      ["ALTER ROLE r PASSWORD 'a'", "ALTER ROLE r PASSWORD 'b'"],
      [
        "CREATE USER MAPPING FOR u SERVER s OPTIONS (password 'a')",
        "CREATE USER MAPPING FOR u SERVER s OPTIONS (password 'b')",
      ],
      ['DO $$BEGIN PERFORM 1; END$$', 'DO $x$BEGIN NULL; END$x$'],
      ["SELECT U&'!0061' UESCAPE '!'", "SELECT ''"],
      ['SELECT 1; SELECT 2', 'SELECT 3; SELECT 4'],
    ] as const) {
      assert.match(fingerprint(one) ?? '', /^[0-9a-f]{16}$/, one);
      assert.equal(fingerprint(one), fingerprint(other), `${one} | ${other}`);
    }
    for (const [one, other] of [
      ['SELECT a', 'SELECT b'],
      ['SELECT a FROM t', 'SELECT a FROM u'],
      ["SELECT 'a'", "INSERT INTO t VALUES ('a')"],
    ] as const)
      assert.notEqual(fingerprint(one), fingerprint(other));
  });

  it('is nothing of a text that cannot be read for certain', () => {
    for (const sql of [
      '',
      'no SQL',
      "SELECT 'a",
      'SELECT 1 FROM',
      `ALTER ROLE x PASSWORD ${SECRET}`,
      "SELECT 'a\\' , 'b\\''",
    ])
      assert.equal(readAuditText(Buffer.from(sql), true), undefined, sql);
  });

  it('is the text where nothing in it speaks of secrets', () => {
    for (const sql of [
      "SELECT a, 'b' FROM t WHERE c = 5 AND d IN ('x', $$y$$)",
      'UPDATE "T" SET a = b',
      "INSERT INTO t VALUES (1, 'é')",
      "SET datestyle TO 'ISO'",
    ])
      assert.equal(Buffer.from(full(sql) ?? '', 'latin1').toString('utf8'), sql);
    assert.equal(full('SELECT /* a */ 1 -- b\n , 2'), 'SELECT 1 , 2');
  });

  it('has no secret in it', () => {
    for (const sql of [
      `CREATE ROLE r LOGIN PASSWORD '${SECRET}'`,
      `CREATE USER r WITH ENCRYPTED PASSWORD '${SECRET}' VALID UNTIL '2030-01-01'`,
      `ALTER ROLE r PASSWORD $$${SECRET}$$`,
      `ALTER USER r PASSWORD E'${SECRET}'`,
      `CREATE USER MAPPING FOR u SERVER s OPTIONS (user 'u', password '${SECRET}')`,
      `ALTER USER MAPPING FOR u SERVER s OPTIONS (SET password '${SECRET}')`,
      `ALTER USER MAPPING FOR u SERVER s OPTIONS (SET x '${SECRET}')`,
      `CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (host 'h', sslpassword '${SECRET}')`,
      `CREATE SUBSCRIPTION s CONNECTION 'host=h password=${SECRET}' PUBLICATION p`,
      `ALTER SUBSCRIPTION s CONNECTION 'postgresql://u:${SECRET}@h/d'`,
      `SELECT dblink_connect('host=h password=${SECRET}')`,
      `SELECT * FROM dblink('host=h password=''${SECRET}''', 'SELECT 1') AS t(a int)`,
      `SELECT * FROM dblink('postgres://u:${SECRET}@h/d', 'SELECT 1') AS t(a int)`,
      `SELECT * FROM dblink('postgres://u:pa/${SECRET}@h/d', 'SELECT 1') AS t(a int)`,
      `SELECT * FROM dblink('host=h apitoken=${SECRET} password=1', 'SELECT 1') AS t(a int)`,
      `SELECT dblink_connect(E'host=h password=${SECRET}')`,
      `DO $$BEGIN EXECUTE 'ALTER ROLE r PASSWORD ''${SECRET}'''; END$$`,
      `CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$SELECT dblink_connect('password=${SECRET}')$$`,
      `SET app.password = '${SECRET}'`,
      `SET app.password TO ${SECRET}`,
      `ALTER ROLE r SET app.api_token = ${SECRET}`,
      `SELECT set_config('app.token', '${SECRET}', false)`,
      `UPDATE users SET password = '${SECRET}' WHERE name = 'x'`,
      `INSERT INTO users (name, password) VALUES ('x', '${SECRET}')`,
      `SELECT '${SECRET}' AS password`,
      `SELECT pgp_sym_encrypt('x', '${SECRET}'), crypt('${SECRET}', gen_salt('bf'))`,
      `SELECT 1 /* password ${SECRET} */ -- ${SECRET}`,
      `SELECT 1; ALTER ROLE r PASSWORD '${SECRET}'; SELECT 'x'`,
      `SELECT format('ALTER ROLE %I PASSWORD %L', 'bob', '${SECRET}')`,
      `SELECT 'ALTER ROLE bob PASSWORD ' || quote_literal('${SECRET}')`,
      `SELECT * FROM dblink('host=h password=' || '${SECRET}', 'SELECT 1') AS t(a int)`,
      `SELECT dblink_connect(format('host=h password=%s', '${SECRET}'))`,
      `SELECT dblink_connect('host=h password=x' || '${SECRET}')`,
      `SELECT dblink_connect('postgresql://h/db?user=u&%70assword=${SECRET}')`,
      `SELECT dblink_connect(E'host=h p\\x61ssword=${SECRET}')`,
      `SELECT dblink_connect(U&'host=h p\\0061ssword=${SECRET}')`,
      `SELECT dblink_connect('host=h pass'\n  'word=${SECRET}')`,
      `SELECT dblink_connect('dbname=postgres://u:${SECRET}@h/db')`,
      `SELECT dblink_connect('postgres://u%3A${SECRET}@h/db')`,
    ]) {
      const shown = full(sql);
      assert.ok(shown !== undefined, sql);
      assert.ok(!shown.includes(SECRET), shown);
    }
  });

  it('shows a connection string without its secrets', () => {
    assert.equal(
      full("SELECT dblink_connect('host=h password=x dbname=''my db''')"),
      "SELECT dblink_connect('host=h password=*** dbname=''my db''')",
    );
  });

  it('masks the literals of a statement that speaks of secrets, and no others', () => {
    assert.equal(
      full("SELECT 'a'; ALTER ROLE r PASSWORD 'b' CONNECTION LIMIT 5; SELECT 'c'"),
      "SELECT 'a'; ALTER ROLE r PASSWORD '***' CONNECTION LIMIT '***'; SELECT 'c'",
    );
  });

  it('is read in a thread when it is long, and is the same', async () => {
    const analyzer = new Analyzer();
    try {
      const long = `SELECT ${Array.from({ length: 5000 }, (_, i) => `'${i}'`).join(', ')}`;
      const found = analyzer.readAuditText(Buffer.from(long), true);
      assert.ok(found instanceof Promise);
      assert.deepEqual(await found, readAuditText(Buffer.from(long), true));
      const short = Buffer.from("SELECT a FROM t WHERE b = 'x'");
      assert.deepEqual(analyzer.readAuditText(short, false), readAuditText(short, false));
      assert.deepEqual(
        analyzer.readAuditText(Buffer.from("SELECT a FROM t WHERE b = 'z'"), false),
        readAuditText(short, false),
      );
    } finally {
      await analyzer.close();
    }
  });
});
