import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Flow, Value } from '../flows/types.js';
import { emit, readInput, remoteShows } from './support.js';

/**
 * psql: the flows as scripts, each in several modes, then what only psql does. What it prints on standard output and
 * standard error, in this order, is the transcript.
 */
const { target, flows } = readInput();
const { remote } = target;
const directory = mkdtempSync(join(tmpdir(), 'psql-'));

/** The script's own lines between what psql prints. */
const FLOW = '@flow ';
const STEP = '@step ';

interface Outcome {
  readonly output: string;
  readonly status: number | null;
}

interface Run {
  readonly output: string;
  /** psql itself, and what to wait for. */
  readonly child: ChildProcess;
}

/** Runs psql with both its outputs in one file, in the order of writing, as in a terminal. */
async function psql(
  args: readonly string[],
  script: string,
  meanwhile?: (run: Run) => Promise<void>,
): Promise<Outcome> {
  const file = join(mkdtempSync(join(directory, 'run-')), 'output');
  const output = openSync(file, 'w+');
  const address = ['-h', target.host, '-p', String(target.port), '-U', target.user, '-d', target.database];
  const child = spawn('psql', ['-X', '-q', ...address, ...args], { stdio: ['pipe', output, output] });
  child.stdin?.on('error', () => {}); // psql may end before it has read everything.
  child.stdin?.end(script);
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  await meanwhile?.({ output: file, child });
  const status = await ended;
  closeSync(output);
  return { output: readFileSync(file, 'utf8'), status };
}

/** Lines that name a place in the server's source, which the proxy does not have. */
function withoutLocations(text: string): string {
  return text.replace(/^LOCATION: .*\n/gm, '');
}

const PREAMBLE = "\\set VERBOSITY verbose\n\\set SHOW_CONTEXT always\n\\pset null '<null>'\n";

/** psql has no parameters before release 16: they become literals. */
function withLiterals(sql: string, values: readonly Value[]): string {
  return sql.replace(/\$(\d+)/g, (_, index: string) => literal(values[Number(index) - 1] ?? null));
}

function literal(value: Value): string {
  if (value === null) return 'NULL';
  if (Array.isArray(value)) return `ARRAY[${value.map(literal).join(', ')}]`;
  return typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : String(value);
}

interface Mode {
  readonly name: string;
  /** Set before the flow begins. */
  readonly settings?: string;
  readonly script: (statements: readonly string[]) => readonly (readonly [title: string, lines: string])[];
  readonly accepts?: (flow: Flow) => boolean;
}

const MODES: readonly Mode[] = [
  { name: 'plain', script: (statements) => statements.map((sql) => [sql, `${sql};`]) },
  {
    name: 'gdesc',
    script: (statements) =>
      statements.map((sql) => [
        sql,
        /^(BEGIN|COMMIT|ROLLBACK)/.test(sql) ? `${sql};` : `${sql} \\gdesc\n\\gx`,
      ]),
    accepts: ({ simpleOnly }) => !simpleOnly,
  },
  {
    name: 'ON_ERROR_ROLLBACK',
    settings: '\\set ON_ERROR_ROLLBACK on\n\\set AUTOCOMMIT off',
    script: (statements) => [
      ...statements.map((sql) => [sql, `${sql};`] as const),
      ['the end of the block', 'ROLLBACK;'],
    ],
    accepts: ({ simpleOnly }) => !simpleOnly,
  },
  {
    name: 'one string',
    script: (statements) => [['everything', `${statements.map(escapeSemicolon).join(' \\; ')} ;`]],
    // psql would take the semicolons inside a string for the end.
    accepts: ({ simpleOnly }) => !simpleOnly,
  },
];

/** A comment at the end would swallow what follows. */
function escapeSemicolon(sql: string): string {
  return sql.includes('--') ? `${sql}\n` : sql;
}

async function sharedFlows(): Promise<void> {
  for (const { name: mode, settings = '', script, accepts } of MODES) {
    const lines = [PREAMBLE];
    const titles: string[] = [];
    for (const { name, steps } of flows.filter((flow) => accepts?.(flow) ?? true)) {
      lines.push(
        '\\set ON_ERROR_ROLLBACK off\n\\set AUTOCOMMIT on\n\\connect',
        settings,
        `\\echo '${FLOW}${name} [${mode}]'`,
      );
      for (const [title, text] of script(steps.map(({ sql, values }) => withLiterals(sql, values)))) {
        lines.push(`\\echo '${STEP}${titles.push(title) - 1}'`, text);
      }
    }
    const { output } = await psql([], `${lines.join('\n')}\n`);
    let flow = '';
    let at = '';
    for (const part of withoutLocations(output).split(/^(?=@(?:flow|step) )/m)) {
      const end = part.indexOf('\n');
      const head = part.slice(0, end);
      const text = part.slice(end + 1);
      if (head.startsWith(FLOW)) {
        flow = head.slice(FLOW.length);
        at = 'start';
      } else if (head.startsWith(STEP)) at = titles[Number(head.slice(STEP.length))] ?? '';
      if (text !== '' || at !== 'start') emit(flow, at, { output: text.split('\n') });
    }
  }
}

/** A run of psql of its own. */
async function run(flow: string, args: readonly string[], script = ''): Promise<void> {
  const { output, status } = await psql(args, script);
  emit(flow, args.join(' '), { output: withoutLocations(output).split('\n'), status });
}

const FIVE = "SELECT * FROM dblink('c', 'SELECT id, item FROM orders ORDER BY id') AS t(id int, item text)";

async function ownFlows(): Promise<void> {
  const verbose = ['-v', 'VERBOSITY=verbose'];
  const connect = `SELECT dblink_connect('c', '${remote}')`;
  await run('-c', [...verbose, '-c', connect, '-c', FIVE, '-c', "SELECT dblink_disconnect('c')"]);
  await run('-c with several statements', [
    ...verbose,
    '-c',
    `${connect}; ${FIVE}; SELECT 1; SELECT dblink_disconnect('c')`,
  ]);
  await run('-c with an error in the middle', [
    ...verbose,
    '-c',
    `${connect}; INSERT INTO log (line) VALUES ('lost'); SELECT * FROM dblink('c', 'SELECT 1/0') AS t(a int); SELECT 2`,
    '-c',
    'SELECT count(*) FROM log',
  ]);
  await run(
    '--single-transaction',
    [...verbose, '-1', '-v', 'ON_ERROR_STOP=1', '-f', '-'],
    `${connect};\nINSERT INTO log (line) VALUES ('lost');\n${FIVE};\nSELECT dblink_exec('c', 'SELEC');\nSELECT 'never';\n`,
  );
  await run(
    'variables and commands',
    [...verbose, '-v', `dsn=${remote}`, '-v', 'query=SELECT id FROM orders WHERE id < 3', '-f', '-'],
    [
      "SELECT dblink_connect('c', :'dsn') AS answer \\gset",
      '\\echo :answer',
      "SELECT * FROM dblink('c', :'query') AS t(id int) \\g",
      "SELECT format('SELECT * FROM dblink(%L, %L) AS t(id int)', 'c', q) FROM (VALUES ('SELECT 1'), ('SELECT 1/0'), ('SELECT 3')) v(q) \\gexec",
      "SELECT * FROM dblink('nosuch', 'SELECT 1') AS t(id int);",
      '\\echo :ERROR :SQLSTATE :LAST_ERROR_MESSAGE :ROW_COUNT',
      '\\errverbose',
      "SELECT * FROM dblink('c', 'SELECT id, item, shipped FROM orders') AS t(id int, item text, shipped bool) \\crosstabview id shipped item",
      'PREPARE p(int) AS SELECT name FROM customers WHERE id = $1;\nEXECUTE p(1);',
      "\\pset format csv\nSELECT * FROM dblink('c', 'SELECT id, item FROM orders ORDER BY id') AS t(id int, item text);",
      '\\pset format unaligned\n\\pset tuples_only on',
      "SELECT * FROM dblink('c', 'SELECT id, item FROM orders ORDER BY id') AS t(id int, item text);",
      '',
    ].join('\n'),
  );
  await run(
    'COPY between',
    [...verbose, '-f', '-'],
    [
      connect,
      'BEGIN',
      "INSERT INTO log (line) SELECT item FROM dblink('c', 'SELECT item FROM orders WHERE id = 1') AS t(item text)",
      'COPY log (line) FROM STDIN;\none\ntwo\n\\.\n',
      FIVE,
      'COPY (SELECT line FROM log ORDER BY id) TO STDOUT',
      "\\copy log (line) from program 'echo three'\n",
      "SELECT l.line, t.a FROM log l, dblink('c', 'SELECT 1') AS t(a int) ORDER BY l.id",
      'ROLLBACK',
      '',
    ].join(';\n'),
  );
  await run('-a -e echo', ['-a', '-e', '-f', '-'], `${connect};\n${FIVE}\n  WHERE id > 2;\nSELECT\n  1;\n`);
}

/** With views and functions that call dblink. */
async function bridgedFlows(): Promise<void> {
  const verbose = ['-v', 'VERBOSITY=verbose'];
  await run(
    'COPY and a view',
    [...verbose, '-f', '-'],
    [
      'COPY (SELECT * FROM far_orders ORDER BY id) TO STDOUT',
      '\\copy (SELECT id, far_item(id) FROM customers ORDER BY id) to stdout with (format csv)\n',
      'COPY (SELECT * FROM far_division) TO STDOUT',
      'COPY watched FROM STDIN;\n1\tone\n2\ttwo\n\\.\n',
      'COPY watched FROM STDIN;\n3\tthree\n4\trefused\n\\.\n',
      'SELECT * FROM watched ORDER BY id',
      'DELETE FROM watched',
      `SELECT * FROM dblink('${remote}', 'DELETE FROM log RETURNING line') AS t(line text) ORDER BY 1`,
      '',
    ].join(';\n'),
  );
  await run(
    'FETCH_COUNT over a view',
    [...verbose, '-v', 'FETCH_COUNT=2', '-f', '-'],
    'SELECT id, item FROM far_orders ORDER BY id;\nSELECT * FROM far_division;\nSELECT far_item(1);\n',
  );
  await run(
    '\\gexec, \\gset and \\d',
    [...verbose, '-f', '-'],
    [
      "SELECT format('SELECT far_item(%s)', id) FROM customers WHERE id < 3 ORDER BY id \\gexec",
      'SELECT count(*) FROM far_orders \\gset n_\n\\echo :n_count',
      '\\d far_orders',
      '',
    ].join('\n'),
  );
}

/** Ctrl-C during a long query of the remote: psql ends the script and says what it was told. */
async function interrupt(flow: string, statement: string): Promise<void> {
  let interrupted = 0;
  const { output, status } = await psql(
    ['-v', 'VERBOSITY=verbose', '-f', '-'],
    `SELECT dblink_connect('c', '${remote}');\n${statement};\nSELECT 'never';\n`,
    async (run) => {
      await remoteShows(target);
      interrupted = performance.now();
      run.child.kill('SIGINT');
    },
  );
  emit(flow, statement, { output: withoutLocations(output).split('\n'), status });
  const elapsedMs = Math.round(performance.now() - interrupted);
  emit(flow, 'time of the cancel', { elapsedMs });
}

async function interruptsOfCalls(): Promise<void> {
  await interrupt(
    'Ctrl-C in dblink()',
    `SELECT * FROM dblink('c', 'SELECT pg_sleep(${target.nap})') AS t(a text)`,
  );
  await interrupt(
    'Ctrl-C in dblink_exec()',
    `SELECT dblink_exec('${remote}', 'DO $$ BEGIN PERFORM pg_sleep(${target.nap}); END $$')`,
  );
  await interrupt(
    'Ctrl-C in a join',
    "SELECT * FROM customers c JOIN dblink('c', 'SELECT a FROM slow') AS t(a int) ON t.a = c.id",
  );
}

async function interruptsInFunctions(): Promise<void> {
  await interrupt('Ctrl-C in a view', 'SELECT * FROM far_sleep');
  await interrupt('Ctrl-C in a function', `SELECT unguarded('SELECT 1 FROM pg_sleep(${target.nap})')`);
  await interrupt('Ctrl-C in COPY', 'COPY (SELECT * FROM far_sleep) TO STDOUT');
}

try {
  await sharedFlows();
  await (target.bridged ? bridgedFlows() : ownFlows());
  const interrupts = target.bridged ? interruptsInFunctions : interruptsOfCalls;
  await interrupts();
} finally {
  rmSync(directory, { recursive: true, force: true });
}
