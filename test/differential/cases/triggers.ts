import { open, testCase } from '../compare/notation.js';
import type { Case } from '../play/types.js';

/** Triggers that call dblink, those that a transaction's end runs among them. */

/** A trigger's function. */
const triggerFunction = (body: string, name = 'trig'): string =>
  `CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN ${body} END $body$;\n`;
const PUSH =
  "PERFORM dblink_exec('c', format('INSERT INTO w VALUES (%s, %L)', coalesce(NEW.a, OLD.a), TG_OP || TG_WHEN));";
const TABLE = 'CREATE TABLE l (a int, b text);\n';
const W = { remote: 'CREATE TABLE w (a int, b text)' };
const UNIQUE = { remote: 'CREATE TABLE w (a int PRIMARY KEY, b text)' };
/** Runs when the transaction commits. */
const DEFERRED =
  'CREATE CONSTRAINT TRIGGER t AFTER INSERT OR UPDATE ON l DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION trig();';
const AT_COMMIT = TABLE + triggerFunction(`${PUSH} RETURN NULL;`) + DEFERRED;

function trigger(
  name: string,
  local: string,
  statements: Case['steps'],
  more: Omit<Case, 'name' | 'steps' | 'local'> = {},
): Case {
  return testCase(`triggers: ${name}`, [open('c'), ...statements], { local, ...W, ...more, bridged: true });
}

export const triggerCases: readonly Case[] = [
  trigger(
    'BEFORE, for each row',
    TABLE +
      triggerFunction(
        "IF TG_OP <> 'DELETE' THEN SELECT x INTO NEW.b FROM dblink('c', format('SELECT name FROM people WHERE id = %s', NEW.a)) AS t(x text); RETURN NEW; END IF; PERFORM dblink_exec('c', format('INSERT INTO w VALUES (%s)', OLD.a)); RETURN OLD;",
      ) +
      'CREATE TRIGGER t BEFORE INSERT OR UPDATE OR DELETE ON l FOR EACH ROW EXECUTE FUNCTION trig()',
    [
      'INSERT INTO l VALUES (1), (2), (9) RETURNING *',
      'UPDATE l SET a = 4 WHERE a = 9 RETURNING *',
      'DELETE FROM l WHERE a < 3',
    ],
  ),
  trigger(
    'AFTER, for each row',
    `${TABLE}${triggerFunction(`${PUSH} RETURN NULL;`)}CREATE TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON l FOR EACH ROW EXECUTE FUNCTION trig()`,
    [
      'INSERT INTO l SELECT id FROM items',
      'UPDATE l SET b = a WHERE a > 2',
      'DELETE FROM l WHERE a = 1',
      'COPY l (a) FROM PROGRAM \'printf "11\\n12\\n"\'',
      'WITH d AS (DELETE FROM l RETURNING a) SELECT count(*) FROM d',
    ],
  ),
  trigger(
    'for each statement, with transition tables',
    TABLE +
      triggerFunction(
        "PERFORM dblink_exec('c', (SELECT 'INSERT INTO w VALUES ' || string_agg(format('(%s, %L)', a, b), ', ' ORDER BY a) FROM n)); RETURN NULL;",
      ) +
      triggerFunction(
        "PERFORM dblink_exec('c', format('INSERT INTO w VALUES (0, %L)', TG_OP)); RETURN NULL;",
        'before',
      ) +
      'CREATE TRIGGER t AFTER INSERT ON l REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION trig(); CREATE TRIGGER s BEFORE INSERT OR TRUNCATE ON l EXECUTE FUNCTION before()',
    ["INSERT INTO l VALUES (1, 'x'), (2, NULL)", 'TRUNCATE l'],
  ),
  trigger(
    'INSTEAD OF',
    'CREATE VIEW v AS SELECT * FROM dblink($$c$$, $$SELECT a, b FROM w$$) AS t(a int, b text);' +
      triggerFunction(
        "CASE TG_OP WHEN 'INSERT' THEN PERFORM dblink_exec('c', format('INSERT INTO w VALUES (%L, %L)', NEW.a, NEW.b)); RETURN NEW; WHEN 'UPDATE' THEN PERFORM dblink_exec('c', format('UPDATE w SET b = %L WHERE a = %L', NEW.b, OLD.a)); RETURN NEW; ELSE PERFORM dblink_exec('c', format('DELETE FROM w WHERE a = %L', OLD.a)); RETURN OLD; END CASE;",
      ) +
      'CREATE TRIGGER t INSTEAD OF INSERT OR UPDATE OR DELETE ON v FOR EACH ROW EXECUTE FUNCTION trig()',
    [
      "INSERT INTO v VALUES (1, 'x'), (2, 'y'), (3, NULL) RETURNING *",
      "UPDATE v SET b = 'new' WHERE a > 1",
      'DELETE FROM v WHERE a = 1 RETURNING b',
      'SELECT * FROM v ORDER BY a',
    ],
  ),
  trigger(
    'WHEN calls dblink',
    `${TABLE}${triggerFunction("NEW.b := 'by the trigger'; RETURN NEW;")}CREATE TRIGGER t BEFORE INSERT ON l FOR EACH ROW WHEN (NEW.a > 1 AND dblink_exec('c', 'INSERT INTO w VALUES (' || NEW.a || ')') = 'INSERT 0 1') EXECUTE FUNCTION trig()`,
    ['INSERT INTO l VALUES (1), (2)', 'SELECT * FROM l ORDER BY a'],
  ),
  trigger(
    'an error of the remote ends the statement',
    `${TABLE}${triggerFunction(`${PUSH} RETURN NEW;`)}CREATE TRIGGER t BEFORE INSERT ON l FOR EACH ROW EXECUTE FUNCTION trig()`,
    ['INSERT INTO l VALUES (1), (2), (1), (3)', 'SELECT count(*) FROM l', 'INSERT INTO l VALUES (3)'],
    UNIQUE,
  ),
  trigger(
    'the trigger catches the error',
    TABLE +
      triggerFunction(
        `${PUSH} RETURN NEW; EXCEPTION WHEN unique_violation THEN RAISE NOTICE '% at %', SQLERRM, NEW.a; NEW.b := SQLSTATE; RETURN NEW;`,
      ) +
      'CREATE TRIGGER t BEFORE INSERT ON l FOR EACH ROW EXECUTE FUNCTION trig()',
    ['INSERT INTO l VALUES (1), (1), (2) RETURNING *'],
    UNIQUE,
  ),
  trigger(
    'a connection of its own for each row',
    TABLE +
      triggerFunction(
        "PERFORM dblink_connect('own', '{R}'); PERFORM dblink_exec('own', format('INSERT INTO w VALUES (%s)', NEW.a)); PERFORM dblink_disconnect('own'); RETURN NULL;",
      ) +
      'CREATE TRIGGER t AFTER INSERT ON l FOR EACH ROW EXECUTE FUNCTION trig()',
    ['INSERT INTO l VALUES (1), (2), (3)'],
  ),
  trigger(
    'ON CONFLICT, cascades and another trigger',
    `CREATE TABLE l (a int PRIMARY KEY, b text); CREATE TABLE m (a int REFERENCES l ON DELETE CASCADE ON UPDATE CASCADE);
     ${triggerFunction(`${PUSH} RETURN NULL;`)}${triggerFunction('INSERT INTO m VALUES (NEW.a); RETURN NULL;', 'other')}
     CREATE TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON m FOR EACH ROW EXECUTE FUNCTION trig();
     CREATE TRIGGER s AFTER INSERT ON l FOR EACH ROW EXECUTE FUNCTION other()`,
    [
      'INSERT INTO l VALUES (1), (2)',
      "INSERT INTO l VALUES (2), (3) ON CONFLICT (a) DO UPDATE SET b = 'twice'",
      'UPDATE l SET a = a + 10',
      'DELETE FROM l WHERE a = 11',
    ],
  ),
  trigger(
    'MERGE',
    `${TABLE}INSERT INTO l VALUES (1), (2);${triggerFunction(`${PUSH} RETURN NULL;`)}CREATE TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON l FOR EACH ROW EXECUTE FUNCTION trig()`,
    [
      "MERGE INTO l USING (SELECT * FROM dblink('c', 'SELECT id, name FROM people ORDER BY id LIMIT 3') AS t(id int, name text)) s ON s.id = l.a WHEN MATCHED AND s.id = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET b = s.name WHEN NOT MATCHED THEN INSERT VALUES (s.id, dblink_exec('c', 'SET a.b = 1'))",
      'SELECT * FROM l ORDER BY a',
    ],
    { minMajor: 15 },
  ),
  trigger(
    'partitions and a table column default',
    `CREATE TABLE l (a int, b text DEFAULT dblink_exec('c', 'SET a.b = 1')) PARTITION BY LIST (a); CREATE TABLE l1 PARTITION OF l FOR VALUES IN (1); CREATE TABLE l2 PARTITION OF l DEFAULT;
     ${triggerFunction(`${PUSH} RETURN NULL;`)}CREATE TRIGGER t AFTER INSERT OR UPDATE ON l FOR EACH ROW EXECUTE FUNCTION trig()`,
    ['INSERT INTO l (a) VALUES (1), (2) RETURNING b', 'UPDATE l SET a = 2 WHERE a = 1'],
  ),
  trigger(
    'rolled back here, kept there',
    `${TABLE}${triggerFunction(`${PUSH} RETURN NULL;`)}CREATE TRIGGER t AFTER INSERT ON l FOR EACH ROW EXECUTE FUNCTION trig()`,
    [
      'BEGIN',
      'SAVEPOINT s',
      'INSERT INTO l VALUES (1)',
      'ROLLBACK TO s',
      'INSERT INTO l VALUES (2)',
      'ROLLBACK',
      'SELECT * FROM l',
    ],
    { contexts: ['autocommit'] },
  ),
  trigger('deferred', AT_COMMIT, [
    'INSERT INTO l VALUES (1), (2)',
    "SELECT a, b FROM dblink('c', 'SELECT * FROM w') AS t(a int, b text)",
  ]),
  trigger(
    'deferred, in a block',
    AT_COMMIT,
    [
      'BEGIN',
      'INSERT INTO l VALUES (1)',
      'SAVEPOINT s',
      'INSERT INTO l VALUES (2)',
      'ROLLBACK TO s',
      'UPDATE l SET a = 3',
      "SELECT * FROM dblink('c', 'SELECT count(*) FROM w') AS t(n int)",
      'COMMIT',
      "SELECT * FROM dblink('c', 'SELECT * FROM w ORDER BY a') AS t(a int, b text)",
    ],
    { contexts: ['autocommit'] },
  ),
  trigger(
    'deferred, SET CONSTRAINTS IMMEDIATE',
    AT_COMMIT,
    [
      'BEGIN',
      'INSERT INTO l VALUES (1), (1)',
      'SET CONSTRAINTS ALL IMMEDIATE',
      'INSERT INTO l VALUES (2)',
      'COMMIT',
      'SELECT * FROM l',
    ],
    { contexts: ['autocommit'], ...UNIQUE },
  ),
  trigger(
    'an error of the remote at COMMIT',
    AT_COMMIT,
    [
      'BEGIN',
      'INSERT INTO l VALUES (1), (1)',
      'COMMIT',
      'SELECT * FROM l',
      "SELECT dblink_exec('c', 'SET a.b = 1')",
    ],
    { contexts: ['autocommit'], ...UNIQUE },
  ),
  trigger(
    'an error of the remote at the end of a single statement',
    AT_COMMIT,
    ['INSERT INTO l VALUES (1), (1)', 'SELECT * FROM l', "SELECT dblink_error_message('c')"],
    UNIQUE,
  ),
  trigger(
    'at COMMIT a connection opens, and fails to',
    TABLE + triggerFunction("PERFORM dblink_connect(NEW.b, '{R}'); RETURN NULL;") + DEFERRED,
    [
      "INSERT INTO l VALUES (1, 'late')",
      'SELECT dblink_get_connections()',
      'BEGIN',
      "INSERT INTO l VALUES (2, 'late')",
      'COMMIT',
      'SELECT dblink_get_connections()',
    ],
    { contexts: ['autocommit'] },
  ),
  trigger(
    'at COMMIT the error is caught',
    TABLE +
      triggerFunction(
        `${PUSH} RETURN NULL; EXCEPTION WHEN OTHERS THEN RAISE WARNING '% %', SQLSTATE, SQLERRM; PERFORM dblink_exec('c', 'INSERT INTO w VALUES (99)'); RETURN NULL;`,
      ) +
      DEFERRED,
    ['INSERT INTO l VALUES (1), (1)', 'SELECT * FROM l'],
    UNIQUE,
  ),
  testCase(
    'triggers: deferred, at COMMIT of isolated transactions',
    [
      'BEGIN ISOLATION LEVEL SERIALIZABLE',
      open('c'),
      'INSERT INTO l VALUES (1)',
      'COMMIT',
      'BEGIN ISOLATION LEVEL REPEATABLE READ',
      'INSERT INTO l VALUES (1)',
      'COMMIT',
      'SELECT * FROM l',
    ],
    { local: AT_COMMIT, contexts: ['autocommit'], bridged: true, ...UNIQUE },
  ),
  trigger(
    'deferred, at PREPARE TRANSACTION',
    AT_COMMIT,
    [
      'BEGIN',
      'INSERT INTO l VALUES (1)',
      "PREPARE TRANSACTION 'deferred'",
      "SELECT * FROM dblink('c', 'SELECT a FROM w') AS t(a int)",
      "COMMIT PREPARED 'deferred'",
      'SELECT * FROM l',
    ],
    // In one pipeline it leaves a prepared transaction behind.
    { contexts: ['autocommit'], transports: ['simple', 'multi', 'extended', 'binary', 'pipeline-syncs'] },
  ),
  trigger(
    'deferred, at COMMIT in a procedure',
    `${AT_COMMIT} CREATE PROCEDURE p() LANGUAGE plpgsql AS $body$ BEGIN INSERT INTO l VALUES (1); COMMIT; INSERT INTO l VALUES (1); COMMIT; END $body$`,
    ['CALL p()', 'SELECT * FROM l'],
    { contexts: ['autocommit'], ...UNIQUE },
  ),
];
