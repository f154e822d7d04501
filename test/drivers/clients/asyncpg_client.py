"""asyncpg: the flows as prepared statements and as simple queries, then what only asyncpg does.

Reads the input of test/drivers as JSON from standard input and prints the transcript as JSON lines.
"""

import asyncio
import datetime
import hashlib
import json
import sys
import time

import asyncpg

INPUT = json.load(sys.stdin)
TARGET = INPUT["target"]
REMOTE = TARGET["remote"]
SLEEP = f"SELECT pg_sleep({TARGET['nap']})"
# Long enough for a statement to have arrived, shorter than the remote sleeps.
TIMEOUT = 1
FIELDS = [
    "severity",
    "sqlstate",
    "message",
    "detail",
    "hint",
    "context",
    "position",
    "internal_position",
    "internal_query",
    "schema_name",
    "table_name",
    "column_name",
    "data_type_name",
    "constraint_name",
]


def show(value):
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (asyncpg.Record, tuple)):
        return [show(item) for item in value]
    if isinstance(value, list):
        return [show(item) for item in value]
    if isinstance(value, bytes):
        return "bytes " + value.hex()
    return f"{type(value).__name__} {value}"


def show_error(error):
    fields = {"class": type(error).__name__}
    for name in FIELDS:
        if getattr(error, name, None) is not None:
            fields[name] = getattr(error, name)
    if not isinstance(error, asyncpg.PostgresError):
        fields["message"] = str(error)
    return fields


class Session:
    """A connection whose statements go into the transcript."""

    def __init__(self, flow):
        self.flow = flow
        self.notices = []
        self.connection = None

    async def __aenter__(self):
        self.connection = await connect()
        self.connection.add_log_listener(lambda _, notice: self.notices.append(show_error(notice)))
        return self

    async def __aexit__(self, *_):
        await self.connection.close(timeout=5)

    def note(self, at, **outcome):
        notices = self.notices[:]
        self.notices.clear()
        print(json.dumps({"flow": self.flow, "at": at, **outcome, "notices": notices}), flush=True)

    async def run(self, at, action):
        """Awaits an action; an error is part of the transcript."""
        try:
            self.note(at, result=await action)
        except Exception as error:  # noqa: BLE001 - whatever the driver makes of it is to be compared
            self.note(at, error=show_error(error))

    async def fetch(self, sql, *values):
        await self.run(sql, fetch(self.connection, sql, *values))


def connect(**options):
    return asyncpg.connect(
        host=TARGET["host"], port=TARGET["port"], user=TARGET["user"], database=TARGET["database"], **options
    )


def attributes(statement):
    return {
        "columns": [[a.name, a.type.schema, a.type.name] for a in statement.get_attributes()],
        "parameters": [p.name for p in statement.get_parameters()],
    }


async def fetch(connection, sql, *values):
    """Prepares, describes and then runs a statement."""
    statement = await connection.prepare(sql)
    described = attributes(statement)
    rows = await statement.fetch(*values)
    return {**described, "rows": show(rows), "status": statement.get_statusmsg()}


async def shared_flows():
    for flow in INPUT["flows"]:
        if not flow["simpleOnly"]:
            async with Session(flow["name"] + " [prepared]") as session:
                for step in flow["steps"]:
                    await session.fetch(step["sql"], *step["values"])
            async with Session(flow["name"] + " [fetch]") as session:
                for step in flow["steps"]:
                    await session.run(step["sql"], shown(session.connection.fetch(step["sql"], *step["values"])))
        if not any(step["values"] for step in flow["steps"]):
            async with Session(flow["name"] + " [execute]") as session:
                for step in flow["steps"]:
                    await session.run(step["sql"], session.connection.execute(step["sql"]))


async def shown(action):
    return show(await action)


async def pages(connection, sql, *values):
    """All rows of a statement, fetched two at a time."""
    async with connection.transaction():
        return [show(row) async for row in connection.cursor(sql, *values, prefetch=2)]


async def digest(connection, sql, *values):
    """How many rows of two columns a statement has, and a digest of them."""
    count, md5 = 0, hashlib.md5()
    async with connection.transaction():
        async for number, text in connection.cursor(sql, *values, prefetch=500):
            count += 1
            md5.update(f"{number} {text}".encode())
    return [count, md5.hexdigest()]


FIVE = "SELECT * FROM dblink($1, $2) AS t(id int, item text)"
# Enough rows that no buffer on the way holds them all.
MANY = "SELECT g, repeat(md5(g::text), 10) FROM generate_series(1, 20000) g"
ORDERS = "SELECT id, item FROM orders ORDER BY id"


async def cursors():
    async with Session("a cursor with prefetch 2 over five rows") as session:
        connection = session.connection
        await session.fetch("SELECT dblink_connect('c', $1)", REMOTE)

        await session.run("five rows", pages(connection, FIVE, "c", ORDERS))
        await session.run("with a local table", pages(
            connection,
            "SELECT c.name, t.item FROM customers c JOIN dblink('c', $1) AS t(id int, item text) ON t.id = c.id"
            " ORDER BY c.id", ORDERS))
        await session.run("an error in mid-fetch", pages(
            connection, "SELECT * FROM dblink('c', $1) AS t(a int)", "SELECT 1/(3 - g) FROM generate_series(1, 5) g"))
        await session.run("after the error", pages(connection, FIVE, "c", ORDERS))

        await session.run("many rows", digest(connection, FIVE, "c", MANY))

        async def by_hand():
            async with connection.transaction():
                cursor = await connection.cursor(FIVE, "c", ORDERS)
                first = await cursor.fetch(2)
                between = await connection.fetchval("SELECT count(*) FROM customers")
                remote = await connection.fetchval("SELECT a FROM dblink('c', 'SELECT 7') AS t(a int)")
                second = await cursor.fetchrow()
                skipped = await cursor.forward(1)
                rest = await cursor.fetch(10)
                return show([first, between, remote, second, skipped, rest])

        await session.run("other statements between the pages", by_hand())

        async def abandoned():
            async with connection.transaction():
                cursor = await connection.cursor(FIVE, "c", ORDERS)
                return show(await cursor.fetch(2))

        await session.run("left after two rows", abandoned())
        await session.fetch("SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)")


async def batches():
    async with Session("executemany") as session:
        connection = session.connection
        await session.fetch("SELECT dblink_connect('c', $1)", REMOTE)
        await session.run("inserts", connection.executemany(
            "INSERT INTO archive SELECT t.id + $1, t.item FROM dblink('c', $2) AS t(id int, item text)",
            [(100, ORDERS), (200, ORDERS), (300, "SELECT 1, 'one'")]))
        await session.fetch("SELECT * FROM archive ORDER BY id")
        await session.run("calls", connection.executemany(
            "SELECT dblink_exec('c', $1)", [("INSERT INTO log (line) VALUES ('a')",), ("INSERT INTO log (line) VALUES ('b')",)]))
        await session.run("an error in the middle", connection.executemany(
            "INSERT INTO archive SELECT t.id, t.item FROM dblink('c', $1) AS t(id int, item text)",
            [("SELECT 1, 'lost'",), ("SELECT 2, 1/0",), ("SELECT 3, 'never'",)]))
        await session.fetch("SELECT count(*) FROM archive")
        await session.fetch("SELECT * FROM dblink('c', 'DELETE FROM log RETURNING line') AS t(line text)")
        await session.fetch("DELETE FROM archive")


async def transactions():
    async with Session("transactions and savepoints") as session:
        connection = session.connection
        await session.fetch("SELECT dblink_connect('c', $1)", REMOTE)

        async def nested():
            seen = []
            async with connection.transaction(isolation="repeatable_read"):
                await connection.execute("INSERT INTO log (line) SELECT a FROM dblink('c', 'SELECT ''kept''') AS t(a text)")
                try:
                    async with connection.transaction():
                        await connection.execute("INSERT INTO log (line) VALUES ('lost')")
                        await connection.fetch("SELECT * FROM dblink('c', $1) AS t(a int)", "SELECT 1/0")
                except asyncpg.PostgresError as error:
                    seen.append(show_error(error))
                seen.append(show(await connection.fetch("SELECT line FROM log")))
            return seen

        await session.run("nested", nested())

        async def failed():
            async with connection.transaction():
                await connection.execute("INSERT INTO log (line) VALUES ('lost')")
                await connection.fetch("SELECT * FROM dblink('nosuch', 'SELECT 1') AS t(a int)")

        await session.run("failed", failed())
        await session.fetch("SELECT line FROM log")
        await session.fetch("DELETE FROM log")


async def values():
    async with Session("values of Python's types") as session:
        await session.fetch("SELECT dblink_connect('c', $1)", REMOTE)
        await session.fetch(
            "SELECT t.* FROM dblink('c', 'SELECT id, ordered_on, amount FROM orders') AS t(id bigint, d date, amount numeric)"
            " WHERE t.d > $1 AND t.id = ANY($2) AND t.amount > $3::numeric ORDER BY 1",
            datetime.date(2024, 12, 1), [3, 4, 5], 1)
        for _ in range(3):
            await session.fetch("SELECT * FROM dblink($1, 'SELECT ia, tsz, u, jb FROM kinds WHERE n = 1')"
                                " AS t(ia int[], tsz timestamptz, u uuid, jb jsonb)", "c")
        await session.run("fetchval", session.connection.fetchval(
            "SELECT * FROM dblink('c', 'SELECT count(*) FROM orders') AS t(n bigint)"))
        await session.run("fetchrow", shown(session.connection.fetchrow(FIVE, "c", ORDERS)))
        await session.fetch("SELECT dblink_get_connections()")
        # Whether the function is called at all depends on a parameter, which is not known when the statement is prepared.
        await session.fetch("SELECT dblink_open('c', 'pages', 'SELECT item, amount FROM orders ORDER BY id')")
        await session.fetch("SELECT item FROM dblink_fetch('c', $1, 9) AS t(item text, n numeric) WHERE $2 AND n < $3",
                            "pages", True, 100)


async def pool():
    flow = "a pool"
    created = await asyncpg.create_pool(
        host=TARGET["host"], port=TARGET["port"], user=TARGET["user"], database=TARGET["database"], min_size=1, max_size=1)
    session = Session(flow)
    for turn in range(3):
        async with created.acquire() as connection:
            session.connection = connection
            if turn == 0:
                await session.fetch("SELECT dblink_connect('c', $1)", REMOTE)
                await session.run("SET", connection.execute("SET datestyle = 'SQL, DMY'"))
            await session.fetch("SELECT dblink_get_connections()")
            await session.fetch(FIVE, "c", ORDERS)
    await created.close()


async def timeouts():
    async with Session("statement_timeout") as session:
        await session.fetch("SELECT dblink_connect('c', $1)", REMOTE)
        await session.run("SET", session.connection.execute("SET statement_timeout = 300"))
        started = time.monotonic()
        await session.fetch(f"SELECT * FROM dblink('c', '{SLEEP}') AS t(a text)")
        session.note("time of the timeout", elapsedMs=round((time.monotonic() - started) * 1000))
        await session.fetch("SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)")
    async with Session("a timeout of the driver") as session:
        await session.fetch("SELECT dblink_connect('c', $1)", REMOTE)
        started = time.monotonic()
        await session.run("sleep", session.connection.fetch(
            f"SELECT * FROM dblink('c', '{SLEEP}') AS t(a text)", timeout=TIMEOUT))
        await session.run("after the cancel", fetch(
            session.connection, "SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)"))
        session.note("time of the cancel", elapsedMs=round((time.monotonic() - started) * 1000))


async def bridged():
    async with Session("a cursor with prefetch 2 over a view") as session:
        connection = session.connection

        await session.run("rows", pages(connection, "SELECT id, item FROM far_orders WHERE id > $1 ORDER BY id", 1))
        await session.run("an error", pages(connection, "SELECT * FROM far_division"))
        await session.run("functions", pages(connection, "SELECT far_item(id) FROM customers ORDER BY id"))

        await session.run("many rows", digest(connection, "SELECT n, line FROM far_many"))
        await session.run("executemany", connection.executemany(
            "INSERT INTO watched VALUES ($1, $2)", [(1, "one"), (2, "two"), (3, "refused")]))
        await session.fetch("SELECT * FROM dblink($1, 'DELETE FROM log RETURNING line') AS t(line text)", REMOTE)
        await session.fetch("SELECT count(*) FROM watched")

    async with Session("COPY from a view") as session:

        async def copy(query):
            parts = []

            async def take(data):
                parts.append(data)

            status = await session.connection.copy_from_query(query, output=take)
            return [status, b"".join(parts).decode()]

        await session.run("rows", copy("SELECT * FROM far_orders ORDER BY id"))
        await session.run("an error", copy("SELECT * FROM far_division"))
        await session.run("after the error", copy("SELECT far_item(id) FROM customers ORDER BY id"))

    for sql in ("SELECT * FROM far_sleep", f"SELECT unguarded('SELECT 1 FROM pg_sleep({TARGET['nap']})')"):
        async with Session("a timeout of the driver for " + sql) as session:
            started = time.monotonic()
            await session.run("sleep", session.connection.fetch(sql, timeout=TIMEOUT))
            await session.run("after the cancel", fetch(session.connection, "SELECT far_item(1)"))
            session.note("time of the cancel", elapsedMs=round((time.monotonic() - started) * 1000))


async def main():
    await shared_flows()
    own = (bridged,) if TARGET["bridged"] else (cursors, batches, transactions, values, pool, timeouts)
    for part in own:
        await part()


asyncio.run(main())
