import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { withoutFrames } from '../../../src/bridge/exchange/contextFrames.js';
import { errorResponse, PgError } from '../../../src/wire/errors.js';

/** Contexts as servers have shown them, innermost first, and what is left of them. */

const CANCELED = '57014';

interface Of {
  readonly sqlstate?: string;
  readonly routine?: string;
  readonly shadowed?: readonly string[];
}

/** The lines that are left. */
function left(
  lines: readonly string[],
  { sqlstate = CANCELED, routine = 'ProcessInterrupts', shadowed = [] }: Of = {},
): string[] {
  const error = new PgError(sqlstate, 'm', { context: lines.join('\n'), routine, file: 'f.c' });
  const of = { shadowed: new Set(shadowed), unmarked: false };
  const changed = withoutFrames(errorResponse(error), (same) => same, of) ?? error;
  return changed.fields.context?.split('\n') ?? [];
}

const ASK = 'PL/pgSQL function dblink_proxy.ask(text,text,text[]) line 64 at PERFORM';
const DBLINK = 'PL/pgSQL function dblink(text,text) line 14 at assignment';
const CALLER = 'PL/pgSQL function app.report() line 3 at FOR over SELECT rows';
const MARKED = [
  'SQL statement "/*dblink-proxy*/ SELECT c1 FROM pg_catalog.json_to_recordset($1) AS t(c1 app.even) /*dblink-proxy*/"',
  'PL/pgSQL function dblink(text,text) line 52 at RETURN QUERY',
];

describe('the frames of the bridge', () => {
  it('are taken away with whatever a function behind them was doing', () => {
    for (const inside of [
      [],
      ['SQL statement "SELECT pg_sleep(least(0.001 * (1 + attempt / 5), 0.05))"'],
      [
        'PL/pgSQL assignment "types := array_append(types, coalesce(',
        "      (SELECT format_type(t.oid, -1)), 'text'))\"",
      ],
      ['PL/pgSQL-Ausdruck »session IS NULL«'],
    ]) {
      assert.deepEqual(left([...inside, ASK, DBLINK, CALLER]), [CALLER]);
      assert.deepEqual(left([...inside, ASK, DBLINK, CALLER], { sqlstate: '54001' }), [CALLER]);
    }
    const prove = 'PL/pgSQL function dblink_proxy.prove(text) line 6 at assignment';
    assert.deepEqual(left([ASK, prove, DBLINK]), []);
  });

  it('are taken away where a cancel comes between what is marked', () => {
    for (const inside of [
      [],
      ['PL/pgSQL expression "answer[1] OPERATOR(pg_catalog.=) \'prove\'"'],
      ['SQL statement "SELECT pg_catalog.set_config(\'datestyle\', coalesce(answer[5], style[1]), true)"'],
      [
        'PL/pgSQL assignment "answer := dblink_proxy.ask(\'dblink(text,text)\', current_user::pg_catalog.text, ARRAY[$1, $2])"',
      ],
    ]) {
      for (const frame of [DBLINK, 'PL/pgSQL関数pg_temp_3.dblink_exec(text,text,boolean)の5行目 - 代入']) {
        assert.deepEqual(left([...inside, frame, CALLER]), [CALLER]);
      }
    }
  });

  it('are left where they may be those of a function that a user has made', () => {
    const own = [
      'SQL statement "SELECT pg_sleep(9)"',
      'PL/pgSQL function app.dblink_exec(text) line 3 at PERFORM',
    ];
    assert.deepEqual(left(own, { shadowed: ['dblink_exec'] }), own);
    assert.deepEqual(left(own, { sqlstate: '22012' }), own);
    assert.deepEqual(left([ASK, DBLINK, ...own], { shadowed: ['dblink_exec'] }), own);
  });

  it('of another function within the conversion of a value are left', () => {
    const check = [
      'SQL statement "SELECT pg_sleep(9)"',
      'PL/pgSQL function app.is_even(integer) line 1 at PERFORM',
    ];
    assert.deepEqual(left([...check, ...MARKED, CALLER]), [...check, CALLER]);
  });

  it('of the row that a command gives are taken away', () => {
    const reading = [
      'SQL statement "/*dblink-proxy*/ SELECT * FROM dblink_proxy.status($1) AS t(c1 text) /*dblink-proxy*/"',
      'PL/pgSQL function dblink(text,text) line 50 at RETURN QUERY',
    ];
    for (const frame of ['SQL function "status" during startup', 'SQL-Funktion »status« Anweisung 1']) {
      assert.deepEqual(left([frame, ...reading, CALLER]), [CALLER]);
    }
    // A user's own is none of them.
    const own = 'SQL function "status" statement 1';
    assert.deepEqual(left([own, ...MARKED]), [own]);
  });

  it('hold the lines of what is told, unless a cancel came before it was', () => {
    const hex = Buffer.from('while executing query on unnamed dblink connection').toString('hex');
    const told = [
      'PL/pgSQL function dblink_proxy.tell(text[]) line 5 at RAISE',
      `SQL statement "SELECT dblink_proxy.tell(answer) /*dblink-proxy ${hex}*/"`,
      'PL/pgSQL function dblink(text,text) line 20 at EXECUTE',
    ];
    const raised = { sqlstate: '42601', routine: 'exec_stmt_raise' };
    assert.deepEqual(left([...told, CALLER], raised), [
      'while executing query on unnamed dblink connection',
      CALLER,
    ]);
    assert.deepEqual(left([...told, CALLER]), [CALLER]);
  });

  it('are taken away as deep as calls can be inside of one another, whatever comes behind', () => {
    const level = [...MARKED, CALLER];
    const within = Array.from({ length: 100 }, () => level).flat();
    const others = Array.from({ length: 100_000 }, () => 'SQL statement "/* dblink */"');
    assert.deepEqual(left([...within, ...others]), [...within.filter((line) => line === CALLER), ...others]);
  });

  it('of what the extension executes as well are left', () => {
    const lookedUp = 'SQL statement "SELECT a, b FROM keyed WHERE a = \'1\'"';
    const build = (at: string): string =>
      `PL/pgSQL function dblink_build_sql_delete(text,int2vector,integer,text[]) line 30 at ${at}`;
    assert.deepEqual(left([lookedUp, build('EXECUTE'), CALLER]), [lookedUp, CALLER]);
    assert.deepEqual(left(['PL/pgSQL expression "key_count"', build('IF'), CALLER]), [CALLER]);
  });
});
