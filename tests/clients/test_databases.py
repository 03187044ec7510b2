"""A database in a container that is killed with the engine: what was committed is there."""

from __future__ import annotations

import threading

import pytest

from tests.clients.conftest import load_servers
from tests.engine_fixture import ScratchEngine, await_until

psycopg = pytest.importorskip("psycopg")

pytestmark = [pytest.mark.root, pytest.mark.alone]

ROWS, BATCH = 100_000, 1_000


def url(engine: ScratchEngine) -> str:
    port = engine.docker("port", "db", "5432/tcp").stdout.splitlines()[0].rpartition(":")[2]
    return f"postgresql://test:secret@127.0.0.1:{port}/test"


def answers(engine: ScratchEngine) -> bool:
    try:
        with psycopg.connect(url(engine), connect_timeout=5) as connection:
            return bool(connection.execute("select 1").fetchone())
    except (psycopg.OperationalError, AssertionError, IndexError):
        return False


def test_what_was_committed_is_there(own_engine: ScratchEngine) -> None:
    load_servers(own_engine)
    own_engine.docker(
        "run", "-d", "--name", "db", "-v", "rows:/var/lib/postgresql/data", "-P", "-e", "POSTGRES_USER=test",
        "-e", "POSTGRES_PASSWORD=secret", "-e", "POSTGRES_DB=test", "postgres:15",
    )  # fmt: skip
    await_until(lambda: answers(own_engine), "the database to answer", 120)
    committed = 0
    halfway = threading.Event()

    def write() -> None:
        nonlocal committed
        with psycopg.connect(url(own_engine)) as connection:
            connection.execute("create table rows (n int primary key, text text)")
            connection.commit()
            for start in range(0, ROWS * 10, BATCH):
                with connection.cursor() as cursor, cursor.copy("copy rows from stdin") as copy:
                    for number in range(start, start + BATCH):
                        copy.write_row((number, f"row {number}"))
                connection.commit()
                committed = start + BATCH
                if committed >= ROWS:
                    halfway.set()

    def until_killed() -> None:
        with pytest.raises(psycopg.OperationalError):
            write()

    writer = threading.Thread(target=until_killed)
    writer.start()
    assert halfway.wait(120)
    own_engine.docker("kill", "db")
    own_engine.kill9()
    writer.join()
    assert committed >= ROWS

    own_engine.restart()
    own_engine.docker("start", "db")
    await_until(lambda: answers(own_engine), "the database to answer again", 120)
    with psycopg.connect(url(own_engine)) as connection:
        count, least, most = connection.execute("select count(*), min(n), max(n) from rows").fetchone()
    assert (least, most) == (0, count - 1)
    # A batch may have been committed whose answer did not arrive.
    assert committed <= count <= committed + BATCH
    own_engine.docker("rm", "-f", "db")
    own_engine.docker("volume", "rm", "rows")
