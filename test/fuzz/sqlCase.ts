import { frontend } from '../support/wire.js';
import type { Choices } from './choices.js';
import { lines } from './corpus.js';
import { piece, trace } from './pieces.js';
import { extended } from './serverCases.js';
import { FuzzClient } from './wire.js';
import { startup, type World } from './world.js';

const RULES = new Map<string, string[]>();
for (const line of lines('sql.txt')) {
  const [, name = '', alternative = ''] = /^(\w+) -> (.*)$/.exec(line) ?? [];
  RULES.set(name, [...(RULES.get(name) ?? []), alternative]);
}

/** Deeper than this the first alternative is taken that stands for itself. */
const DEPTH = 9;
const LONGEST = 200_000;

function derive(rule: string, choices: Choices, depth = 0): string {
  const all = RULES.get(rule)!;
  const ends = all.filter((text) => !text.includes('<'));
  const chosen = depth > DEPTH && ends.length > 0 ? ends[0]! : choices.pick(all);
  return chosen.replace(/<(\w+)>/g, (_, name: string) => derive(name, choices, depth + 1));
}

const PUMPED: readonly ((sql: string, count: number) => string)[] = [
  (_sql, count) => `SELECT ${'('.repeat(count)}dblink_get_connections()${')'.repeat(count)}`,
  (sql, count) => `${sql} /* ${'dblink('.repeat(count)} */`,
  (_sql, count) => `SELECT 1 WHERE 1 IN (${'1,'.repeat(count)}1) AND dblink_get_connections() IS NULL`,
  (_sql, count) => `SELECT 1 WHERE ${'true AND '.repeat(count)}dblink_get_connections() IS NULL`,
  (_sql, count) => `SELECT dblink_exec('c', 'SELECT 1${' '.repeat(count)}')`,
  (_sql, count) => `SELECT dblink_exec('c', 'SELECT 1', '${' '.repeat(count)}f')`,
  (_sql, count) => `SELECT dblink_connect('c', '${' '.repeat(count)}dbname=app user=postgres')`,
  (_sql, count) => `SELECT dblink_connect('c', '${'dbname=app '.repeat(count)} user=postgres')`,
  (_sql, count) => `SELECT ${'dblink_get_connections(), '.repeat(Math.min(count, 1600))}1`,
  (sql, count) => `${'/*'.repeat(count)} dblink ${'*/'.repeat(count)} ${sql}`,
  (sql, count) => `${sql}; ${"SELECT E'\\\\dblink(';".repeat(Math.min(count, 300))}`,
  (_sql, count) => `do $$ begin execute '/* dblink ${'PL/pgSQL '.repeat(count)}*/ select 1/0'; end $$`,
];

/** One statement: from the grammar, now and then with its words mixed up, or much longer. */
function statement(choices: Choices): string {
  const sql = derive('STATEMENT', choices);
  if (choices.chance(0.06))
    return choices
      .pick(PUMPED)(sql, 2 ** choices.int(choices.chance(0.2) ? 15 : 10))
      .slice(0, LONGEST);
  if (choices.chance(0.65)) return sql.slice(0, LONGEST);
  const words = sql.split(/(\s+|(?=[(),;'"])|(?<=[(),;'"]))/).filter((word) => word !== '');
  for (let i = 1 + choices.int(3); i > 0; i--) {
    const at = choices.int(words.length);
    const other = choices.int(words.length);
    switch (choices.int(4)) {
      case 0:
        words.splice(at, 1);
        break;
      case 1:
        words.splice(at, 0, words[other] ?? '');
        break;
      case 2:
        [words[at], words[other]] = [words[other] ?? '', words[at] ?? ''];
        break;
      default:
        words.splice(
          at,
          0,
          choices.pick([
            "'",
            '"',
            '$$',
            '/*',
            '--',
            '(',
            ')',
            ';',
            '\\',
            'dblink(',
            ',',
            '$1',
            'é',
            '\u0000',
          ]),
        );
    }
  }
  return words.join('').slice(0, LONGEST);
}

/** SQL around calls of dblink, against a real primary: every statement is answered, and the session goes on. */
export async function sqlCase(world: World, choices: Choices): Promise<string | undefined> {
  const client = new FuzzClient(world.proxy.port);
  try {
    client.write(startup({ options: '-c statement_timeout=3s' }));
    await world.wait(
      client,
      () => client.readies > 0 || client.closed,
      () => 'no login',
    );
    const statements = Array.from({ length: 2 + choices.int(8) }, () => statement(choices));
    if (choices.chance(0.7)) statements.unshift("SELECT dblink_connect('c', 'dbname=app user=postgres')");
    for (const sql of statements) {
      trace([piece('Q', sql)]);
      const readies = client.readies + 1;
      const text = Buffer.from(sql);
      const done = (): boolean => client.closed || client.readies >= readies;
      client.write(choices.chance(0.6) ? frontend.query(text) : extended(sql));
      // A zero byte cuts a Query short, which PostgreSQL answers with the end of the session, and a COPY waits for data.
      if (!(await client.until(done, 1000))) {
        client.write(Buffer.concat([frontend.copyFail('no'), frontend.sync()]));
        await world.wait(client, done, () => `not answered: ${sql.slice(0, 500)}`);
        await client.until(() => client.silentMs > 100, 5000);
      }
      if (client.internalError !== undefined) return `${client.internalError} after ${sql.slice(0, 500)}`;
      if (client.closed) {
        return sql.includes('\0') && client.tail.endsWith('E')
          ? undefined
          : `closed after ${sql.slice(0, 500)}`;
      }
    }
    client.write(frontend.query('ROLLBACK'));
    client.write(frontend.query("SELECT 'alive'"));
    const alive = (): boolean => client.values.some((value) => value.includes('alive'));
    await world.wait(client, alive, () => `not alive after ${statements.at(-1)?.slice(0, 500)}`);
    client.write(frontend.terminate());
    await world.wait(
      client,
      () => client.closed,
      () => 'not closed',
    );
    return client.internalError;
  } finally {
    client.destroy();
  }
}
