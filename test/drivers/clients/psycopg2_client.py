"""psycopg2: the flows in autocommit and in its implicit transactions, then what only psycopg2 does.

Reads the input of test/drivers as JSON from standard input and prints the transcript as JSON lines.
"""

import io
import json
import re
import socket
import sys
import threading
import time

import psycopg2
import psycopg2.extras

INPUT = json.load(sys.stdin)
TARGET = INPUT["target"]
REMOTE = TARGET["remote"]
NAP = TARGET["nap"]
FIELDS = [
    "severity",
    "sqlstate",
    "message_primary",
    "message_detail",
    "message_hint",
    "context",
    "statement_position",
    "internal_position",
    "internal_query",
    "schema_name",
    "table_name",
    "column_name",
    "datatype_name",
    "constraint_name",
]


def show(value):
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (tuple, list)):
        return [show(item) for item in value]
    if isinstance(value, memoryview):
        return "bytes " + value.hex()
    return f"{type(value).__name__} {value}"


def show_error(error):
    fields = {"class": type(error).__name__, "text": str(error)}
    for name in FIELDS:
        value = getattr(getattr(error, "diag", None), name, None)
        if value is not None:
            fields[name] = value
    return fields


def connect():
    return psycopg2.connect(
        host=TARGET["host"], port=TARGET["port"], user=TARGET["user"], dbname=TARGET["database"])


class Session:
    """A connection whose statements go into the transcript."""

    def __init__(self, flow, autocommit=True):
        self.flow = flow
        self.connection = connect()
        self.connection.autocommit = autocommit

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def note(self, at, **outcome):
        status = self.connection.info.transaction_status
        notices = self.connection.notices[:]
        self.connection.notices.clear()
        print(json.dumps({"flow": self.flow, "at": at, **outcome, "status": status, "notices": notices}), flush=True)

    def attempt(self, at, action):
        """Does something; an error is part of the transcript."""
        try:
            self.note(at, result=action())
            return True
        except psycopg2.Error as error:
            self.note(at, error=show_error(error))
            return False

    def run(self, sql, values=None, at=None):
        def action():
            with self.connection.cursor() as cursor:
                cursor.execute(sql, values)
                return outcome(cursor)

        return self.attempt(at or sql, action)


def outcome(cursor):
    described = cursor.description
    return {
        "columns": described and [[c.name, c.type_code, c.internal_size, c.precision, c.scale] for c in described],
        "rows": show(cursor.fetchall()) if described else None,
        "status": cursor.statusmessage,
        "count": cursor.rowcount,
    }


def positional(step):
    """The statement with psycopg2's placeholders, and its values."""
    if not step["values"]:
        return step["sql"], None
    return re.sub(r"\$\d+", "%s", step["sql"].replace("%", "%%")), step["values"]


def shared_flows():
    cleaning = Session("clean up")
    for flow in INPUT["flows"]:
        with Session(flow["name"] + " [autocommit]") as session:
            for step in flow["steps"]:
                session.run(*positional(step))
        with Session(flow["name"] + " [transactions]", autocommit=False) as session:
            for step in flow["steps"]:
                if session.run(*positional(step)):
                    continue
                session.attempt("rollback", session.connection.rollback)
            session.attempt("commit", session.connection.commit)
        # Leaves nothing for the next flow.
        cleaning.run("DELETE FROM log")
        cleaning.run("DELETE FROM archive")
    cleaning.connection.close()


def remote_sleeps():
    """Waits until the remote has a session that sleeps."""
    with socket.create_connection(("127.0.0.1", TARGET["watchPort"])) as watcher:
        watcher.sendall(f"{TARGET['database']} wait_event = 'PgSleep'\n".encode())
        answer = watcher.makefile().read()
    if answer != "yes\n":
        raise RuntimeError("the remote does not sleep: " + answer)


def cancel(session, sql, then):
    """Cancels a statement from another thread when the remote sleeps for it, and runs one after it."""
    started = time.monotonic()

    def cancel_asleep():
        remote_sleeps()
        session.connection.cancel()

    canceller = threading.Thread(target=cancel_asleep)
    canceller.start()
    session.run(sql)
    session.note("time of the cancel", elapsedMs=round((time.monotonic() - started) * 1000))
    canceller.join()
    session.run(then, at="after the cancel")


def own_flows():
    with Session("with connection", autocommit=False) as session:
        connection = session.connection
        session.run("SELECT dblink_connect('c', %s)", [REMOTE])
        connection.commit()

        def block(sql):
            def action():
                with connection, connection.cursor() as cursor:
                    cursor.execute("INSERT INTO log (line) VALUES ('x')")
                    cursor.execute(sql)
                    return outcome(cursor)

            return action

        session.attempt("committed", block("SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)"))
        session.attempt("rolled back", block("SELECT * FROM dblink('c', 'SELECT 1/0') AS t(a int)"))
        session.run("SELECT count(*) FROM log")
        session.run("DELETE FROM log")
        session.attempt("commit", connection.commit)

    with Session("executemany and execute_values") as session:
        session.run("SELECT dblink_connect('c', %s)", [REMOTE])

        def many():
            with session.connection.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO archive SELECT t.id + %s, t.item FROM dblink('c', %s) AS t(id int, item text)",
                    [(100, "SELECT id, item FROM orders"), (200, "SELECT 1, 'one'")])
                return cursor.statusmessage

        def pages():
            with session.connection.cursor() as cursor:
                psycopg2.extras.execute_batch(
                    cursor, "SELECT dblink_exec('c', %s)",
                    [(f"INSERT INTO log (line) VALUES ('{n}')",) for n in range(5)], page_size=3)
                return cursor.statusmessage

        session.attempt("executemany", many)
        session.attempt("execute_batch", pages)
        session.run("SELECT * FROM archive ORDER BY id")
        session.run("SELECT * FROM dblink('c', 'DELETE FROM log RETURNING line') AS t(line text)")
        session.run("DELETE FROM archive")

    with Session("serializable, read only", autocommit=False) as session:
        session.connection.set_session(isolation_level="SERIALIZABLE", readonly=True)
        session.run("SELECT dblink_connect('c', %s)", [REMOTE])
        session.run("SELECT * FROM dblink('c', 'INSERT INTO log (line) VALUES (''x'') RETURNING 1') AS t(a int)")
        session.run("INSERT INTO log (line) SELECT * FROM dblink('c', 'SELECT 1') AS t(a text)")
        session.attempt("rollback", session.connection.rollback)
        session.run("SELECT * FROM dblink('c', 'DELETE FROM log') AS t(a text)")

    with Session("COPY between", autocommit=False) as session:
        session.run("SELECT dblink_connect('c', %s)", [REMOTE])
        session.run("INSERT INTO log (line) SELECT * FROM dblink('c', 'SELECT item FROM orders') AS t(line text)")
        out = io.StringIO()
        session.connection.cursor().copy_expert("COPY (SELECT line FROM log ORDER BY id) TO STDOUT", out)
        session.note("copied", text=out.getvalue())
        session.connection.cursor().copy_expert("COPY log (line) FROM STDIN", io.StringIO("a\nb\n"))
        session.run("SELECT count(*) FROM log, dblink('c', 'SELECT 1') AS t(a int)")
        session.attempt("rollback", session.connection.rollback)

    with Session("two-phase commit", autocommit=False) as session:
        connection = session.connection
        xid = connection.xid(1, TARGET["database"], "branch")

        def begin():
            connection.tpc_begin(xid)
            with connection.cursor() as cursor:
                cursor.execute("SELECT dblink_connect('c', %s)", [REMOTE])
                cursor.execute("INSERT INTO log (line) SELECT * FROM dblink('c', 'SELECT item FROM orders') AS t(line text)")
                cursor.execute("SELECT dblink_exec('c', 'SET application_name = tpc')")
            connection.tpc_prepare()

        session.attempt("begin and prepare", begin)
        session.attempt("commit", connection.tpc_commit)
        session.run("SELECT count(*) FROM log")
        session.run("SELECT * FROM dblink('c', 'SHOW application_name') AS t(a text)")
        session.run("DELETE FROM log")
        connection.commit()

    for sql in (
        f"SELECT * FROM dblink('c', 'SELECT pg_sleep({NAP})') AS t(a text)",
        "SELECT count(*) FROM customers, dblink('c', 'SELECT a FROM slow') AS t(a text)",
    ):
        with Session("cancel() of " + sql) as session:
            session.run("SELECT dblink_connect('c', %s)", [REMOTE])
            cancel(session, sql, "SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)")


def bridged_flows():
    with Session("a named cursor over a view", autocommit=False) as session:

        def pages(sql):
            def action():
                with session.connection.cursor("pages") as cursor:
                    cursor.itersize = 2
                    cursor.execute(sql)
                    return [show(row) for row in cursor]

            return action

        session.attempt("rows", pages("SELECT id, item FROM far_orders ORDER BY id"))
        session.attempt("an error", pages("SELECT * FROM far_division"))
        session.attempt("rollback", session.connection.rollback)
        session.attempt("after the error", pages("SELECT far_item(id) FROM customers ORDER BY id"))
        session.attempt("commit", session.connection.commit)

    with Session("COPY from a view", autocommit=False) as session:

        def copy(sql):
            def action():
                out = io.StringIO()
                with session.connection.cursor() as cursor:
                    cursor.copy_expert(sql, out)
                return out.getvalue()

            return action

        session.attempt("rows", copy("COPY (SELECT * FROM far_orders ORDER BY id) TO STDOUT (FORMAT csv, HEADER)"))
        session.attempt("many rows", copy("COPY (SELECT count(*), md5(string_agg(line, ',' ORDER BY n)) FROM far_many) TO STDOUT"))
        session.attempt("an error", copy("COPY (SELECT * FROM far_division) TO STDOUT"))
        session.attempt("rollback", session.connection.rollback)

        def into():
            with session.connection.cursor() as cursor:
                cursor.copy_expert("COPY watched FROM STDIN", io.StringIO("1\tone\n2\ttwo\n"))
                return cursor.rowcount

        session.attempt("into a table whose trigger writes to the remote", into)
        session.run("SELECT * FROM dblink(%s, 'DELETE FROM log RETURNING line') AS t(line text)", [REMOTE])
        session.attempt("rollback", session.connection.rollback)

    for sql in ("SELECT * FROM far_sleep", f"SELECT unguarded('SELECT 1 FROM pg_sleep({NAP})')"):
        with Session("cancel() of " + sql) as session:
            cancel(session, sql, "SELECT far_item(1)")


shared_flows()
if TARGET["bridged"]:
    bridged_flows()
else:
    own_flows()
