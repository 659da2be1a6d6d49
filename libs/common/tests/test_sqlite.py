"""The SQLite database behind asyncio: durable, in groups, each write on its own."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from leadline_common.storage.sqlite import Column, Database, SqliteStore, Work
from leadline_contracts.errors import Unavailable

SCHEMA = "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "notes.db", SCHEMA)
    yield database
    database.close()


def note(identifier: int, text: str | None = "") -> Work[int]:
    """Insert a note and return its id."""

    def insert(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO notes VALUES (?, ?)", (identifier, text))
        return identifier

    return insert


def ids(connection: sqlite3.Connection) -> list[int]:
    return [row["id"] for row in connection.execute("SELECT id FROM notes ORDER BY id")]


async def test_what_is_written_is_read_and_kept(database: Database, tmp_path: Path) -> None:
    """A write returns what its work returned; readers and the next opening see it."""
    assert await database.write(note(7)) == 7
    assert await database.read(ids) == [7]
    database.close()
    again = Database(tmp_path / "notes.db", SCHEMA)
    assert await again.read(ids) == [7]
    again.close()


async def test_a_failing_write_fails_alone(database: Database) -> None:
    """In a group of writes the one that breaks a rule is undone whole and told; the others stay."""

    def half(connection: sqlite3.Connection) -> None:
        note(50)(connection)
        note(51, None)(connection)

    outcomes = await asyncio.gather(
        database.write(note(1)), database.write(half), database.write(note(2)), return_exceptions=True
    )
    assert outcomes[0] == 1
    assert isinstance(outcomes[1], sqlite3.IntegrityError)
    assert outcomes[2] == 2
    assert await database.read(ids) == [1, 2]


async def test_many_writes_share_commits(database: Database) -> None:
    """Writes that arrive together all land, in the order they were handed in."""
    order: list[int] = []

    def work(number: int) -> Work[None]:
        def insert(connection: sqlite3.Connection) -> None:
            note(number)(connection)
            order.append(number)

        return insert

    await asyncio.gather(*(database.write(work(number)) for number in range(1000)))
    assert order == list(range(1000))
    assert await database.read(ids) == order


async def test_a_full_disk_is_unavailable_until_there_is_room(database: Database) -> None:
    """A write that does not fit says Unavailable and leaves nothing; with room again it goes in."""

    def limit_pages(count: int) -> Work[None]:
        return lambda connection: connection.execute(f"PRAGMA max_page_count = {count}").close()

    await database.write(limit_pages(3))
    with pytest.raises(Unavailable, match="full"):
        await database.write(note(1, "x" * 100_000))
    assert await database.read(ids) == []
    await database.write(limit_pages(1_000_000))
    assert await database.write(note(1, "x" * 100_000)) == 1


async def test_a_closed_database_is_unavailable(database: Database) -> None:
    """Reads and writes after close say so instead of waiting for ever."""
    pending = asyncio.create_task(database.write(note(1)))
    await asyncio.sleep(0)
    database.close()
    assert await pending == 1
    with pytest.raises(Unavailable, match=r"notes\.db is closed"):
        await database.write(note(2))
    with pytest.raises(Unavailable, match=r"notes\.db is closed"):
        await database.read(ids)


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """Opening something else raises Unavailable with the path."""
    path = tmp_path / "letter.db"
    path.write_text("Dear reader, this is no database. " * 100)
    with pytest.raises(Unavailable, match=r"letter\.db cannot be opened: file is not a database"):
        Database(path, SCHEMA)


def test_the_writer_outlives_a_loop(database: Database) -> None:
    """A loop that ended while its write was under way does not take the writer with it."""

    async def leave() -> None:
        asyncio.create_task(database.write(note(1)))  # noqa: RUF006 - abandoned on purpose
        await asyncio.sleep(0)

    asyncio.run(leave())
    assert asyncio.run(database.write(note(2))) == 2


async def test_a_file_that_cannot_be_read_is_an_outage(database: Database) -> None:
    """What the disk does wrong to a reader is Unavailable, what the statement does wrong is not."""

    def unreadable(_: sqlite3.Connection) -> int:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    with pytest.raises(Unavailable, match="cannot be read"):
        await database.read(unreadable)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await database.read(lambda connection: connection.execute("SELECT * FROM elsewhere"))


async def test_a_file_of_an_earlier_version_gets_the_columns_added_since(tmp_path: Path) -> None:
    """Rows of then stay and have nothing there; opening the file again adds nothing more."""
    earlier = Database(tmp_path / "x.db", "CREATE TABLE IF NOT EXISTS things (name TEXT)")
    await earlier.write(lambda connection: connection.execute("INSERT INTO things VALUES ('old')"))
    earlier.close()
    now = "CREATE TABLE IF NOT EXISTS things (name TEXT, trace TEXT)"
    for name in ("new", "newer"):
        database = Database(tmp_path / "x.db", now, [Column("things", "trace", "TEXT")])
        await database.write(
            lambda connection, name=name: connection.execute("INSERT INTO things VALUES (?, 't')", [name])  # type: ignore[misc]
        )
        database.close()
    database = Database(tmp_path / "x.db", now)
    rows = await database.read(
        lambda connection: [tuple(row) for row in connection.execute("SELECT * FROM things")]
    )
    database.close()
    assert [tuple(row) for row in rows] == [("old", None), ("new", "t"), ("newer", "t")]


async def test_a_store_is_well_only_while_it_can_be_written(database: Database, tmp_path: Path) -> None:
    """A file that another process holds locked can be read, but fails the ping until it is let go."""
    store = SqliteStore(database)
    await store.ping()
    other = sqlite3.connect(tmp_path / "notes.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert await database.read(ids) == []
    with pytest.raises(Unavailable, match=r"notes\.db"):
        await store.ping()
    other.close()
    await database.write(note(1))
    await store.ping()
