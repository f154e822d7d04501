import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { decode } from './compare/decode.js';
import { fetch, open } from './compare/notation.js';
import { type Environment, startEnvironment } from './play/environment.js';
import { play } from './play/play.js';
import type { Step } from './play/types.js';

/**
 * Where the proxy knowingly differs and the extension cannot be asked, since it would spin, hang, or do what the proxy is
 * there to avoid: here, and only here, expectations are written down.
 */

let environment: Environment;

before(async () => {
  environment = await startEnvironment(18, 'proxy');
});

after(() => environment?.stop());

/** What the proxy answers to each step: SQLSTATE of an error, else the first row's values; nothing if there is no row. */
async function answers(steps: readonly Step[], { proxy } = environment): Promise<(string | null)[]> {
  const variant = { transport: 'simple', context: 'autocommit', session: 'utf8' } as const;
  const { exchanges } = await play(proxy, { name: 'known difference', steps }, variant);
  return steps.map((_, index) => {
    const messages = (exchanges.find(({ step }) => step === index)?.frames ?? []).map(decode);
    const failed = messages.find(({ name }) => name === 'ErrorResponse');
    const row = messages.find(({ name }) => name === 'DataRow');
    if (failed !== undefined) return failed.fields.find(([name]) => name === 'SQLSTATE')?.[1] ?? null;
    return row === undefined ? null : row.fields.map(([, value]) => value).join('|');
  });
}

const ONE = fetch('SELECT 1', 'a int');

test('COPY to the client inside dblink() is refused, and the connection stays usable', async () => {
  const steps = [open('c'), fetch('COPY people TO STDOUT', 'a text'), ONE];
  assert.deepEqual(await answers(steps), ['OK', '0A000', '1']);
});

test('COPY from the client inside dblink() is refused, and the connection stays usable', async () => {
  const steps = [open('c'), fetch('COPY people FROM STDIN', 'a text'), ONE];
  assert.deepEqual(await answers(steps), ['OK', '0A000', '1']);
});

test('COPY to or from the client inside dblink_exec() fails, and the connection stays usable', async () => {
  for (const copy of ['COPY people TO STDOUT', 'COPY people FROM STDIN']) {
    const steps = [open('c'), `SELECT dblink_exec('c', '${copy}')`, "SELECT dblink_exec('c', 'SET a.b = 1')"];
    assert.deepEqual(await answers(steps), ['OK', '08006', 'SET']);
  }
});

test('a COPY that was sent asynchronously gives its error once, and the connection is free', async () => {
  const result = "SELECT * FROM dblink_get_result('c') AS t(a text)";
  for (const copy of ['COPY people TO STDOUT', 'COPY people FROM STDIN']) {
    const steps = [open('c'), `SELECT dblink_send_query('c', '${copy}')`, result, result, ONE];
    assert.deepEqual(await answers(steps), ['OK', '1', '08006', null, '1']);
  }
});

test('a connection string without a database leads to the database of the session', async () => {
  const steps = [
    "SELECT * FROM dblink('', 'SELECT current_database()') AS t(d text)",
    'SELECT current_database()',
  ];
  assert.deepEqual(await answers(steps), ['app', 'app']);
});

test('bytes of a client_encoding that was changed on the remote are checked', async () => {
  const steps = [
    open('c'),
    "SELECT dblink_exec('c', 'SET client_encoding = LATIN1')",
    "SELECT a || '' FROM dblink('c', $$SELECT U&'caf\\00E9'$$) AS t(a text)",
    fetch('SELECT 1', 'a int'),
  ];
  assert.deepEqual(await answers(steps), ['OK', 'SET', '22021', '1']);
});

test('a time limit takes effect at once and cancels the remote statement', async () => {
  // It would never end: whoever waits for the remote is not answered.
  const steps = [open('c'), "SET statement_timeout = '200ms'", fetch('SELECT pg_sleep(3600)', 'a text'), ONE];
  assert.deepEqual(await answers(steps), ['OK', null, '57014', '1']);
});

test('exec can be used again after a time limit', async () => {
  const steps = [
    open('c'),
    "SET statement_timeout = '200ms'",
    "SELECT dblink_exec('c', 'DO $$ BEGIN PERFORM pg_sleep(3600); END $$')",
    "SELECT dblink_exec('c', 'SET a.b = 1')",
  ];
  assert.deepEqual(await answers(steps), ['OK', null, '57014', 'SET']);
});

test('a connection string is not captured by a name that shares its first 63 bytes', async () => {
  const named = "'{R} application_name=by_the_string_and_not_by_the_name_one'";
  const other = "'{R} application_name=by_the_string_and_not_by_the_name_two'";
  const shown = "SELECT current_setting('application_name')";
  const steps = [
    `SELECT dblink_connect(${named}, '{R} application_name=captured')`,
    fetch(shown, 'a text', `${other}, `),
  ];
  assert.deepEqual(await answers(steps), ['OK', 'by_the_string_and_not_by_the_name_two']);
});

test('a command in a select list that the proxy does not see returns no row', async () => {
  const steps = [
    open('c'),
    "DO $$ DECLARE r record; BEGIN SELECT dblink('c', 'SET a.b = 1') INTO r; PERFORM set_config('a.found', found::text, false); END $$",
    "SELECT current_setting('a.found')",
    fetch("SELECT current_setting('a.b')", 'a text'),
  ];
  assert.deepEqual(await answers(steps), ['OK', null, 'false', '1'], 'the command has run all the same');
});

test('connect_timeout is honoured, hence checked', async () => {
  assert.deepEqual(await answers(["SELECT dblink_connect('c', '{R} connect_timeout=soon')"]), ['08001']);
});

test('connection options newer than the primary are refused, whatever its minor release', async () => {
  const older = await startEnvironment(15, 'proxy');
  try {
    const steps = ["SELECT dblink_connect('c', '{R} sslkeylogfile=/dev/null')", open('c')];
    assert.deepEqual(await answers(steps, older), ['42501', 'OK']);
  } finally {
    await older.stop();
  }
});
