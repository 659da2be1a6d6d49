"""SQLite behind asyncio: one writer thread that commits in groups, a few reader threads; the stores' base.

A durable commit costs one fsync whatever it holds, so writes that arrive while a commit is under way share
the next one; each stands in a savepoint of its own and fails alone.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from leadline_common.telemetry.tracing import calling
from leadline_contracts.errors import Unavailable

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

_READERS = 2
_GROUP = 256
_PAGE_CACHE_KIB = 16_384
_PING_SECONDS = 2.0

# What the disk or another process causes; any other error is a fault of the statement.
# https://www.sqlite.org/rescode.html
_PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
    }
)


class Column(NamedTuple):
    """A column that may be NULL or has a default, which rows of an earlier version get."""

    table: str
    name: str
    type: str


@dataclass(slots=True)
class _Job:
    work: Work[Any]
    future: asyncio.Future[Any]
    result: object = None
    error: Exception | None = None

    def settle(self) -> None:
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class Database:
    """One SQLite file, in WAL mode with `synchronous=FULL`: what `write` returned survives `kill -9`."""

    def __init__(self, path: Path, schema: str, added: Sequence[Column] = (), indexes: str = "") -> None:
        """Open or create the file and apply `schema`, which must be safe to apply again.

        A file of an earlier version gets the columns that were `added` to its tables since, at their ends,
        and then the `indexes` on them. Raises Unavailable where that cannot be done.
        """
        self._path = path
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        try:
            writer = self._connect()
            writer.executescript(schema)
            for column in added:
                _add(writer, column)
            writer.executescript(indexes)
        except sqlite3.Error as error:
            raise Unavailable(f"{path} cannot be opened: {error}") from error
        self._closed = False
        self._writer = threading.Thread(
            target=self._write_loop, args=(writer,), name=f"write-{path.name}", daemon=True
        )
        self._writer.start()
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix=f"read-{path.name}")

    @property
    def name(self) -> str:
        """The name of the file, without its folder."""
        return self._path.name

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction and return its result once that is durable.

        What `work` raises is raised here and undoes what it wrote, nothing else. Raises Unavailable where
        the file cannot be written.
        """
        if self._closed:
            raise Unavailable(f"{self.name} is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._calling("write"):
            self._jobs.put(_Job(work, future))
            return await future

    async def read(self, work: Work[T]) -> T:
        """Run `work`, which only reads, beside the writer and on committed data.

        Raises Unavailable where the file cannot be read.
        """
        if self._closed:
            raise Unavailable(f"{self.name} is closed")
        loop = asyncio.get_running_loop()
        try:
            with self._calling("read"):
                return await loop.run_in_executor(self._readers, lambda: work(self._reader()))
        except sqlite3.Error as error:
            if not _passes(error):
                raise
            raise Unavailable(f"the data directory cannot be read: {error}") from error

    def close(self) -> None:
        """Finish what was handed in, then close the file. Call it where `write` is called."""
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        self._writer.join()
        self._readers.shutdown()
        for connection in self._connections:
            connection.close()

    def _calling(self, operation: str) -> AbstractContextManager[object]:
        named = {"db.system.name": "sqlite", "db.namespace": self.name, "db.operation.name": operation}
        return calling(f"{operation} {self.name}", named)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
        connection.row_factory = sqlite3.Row
        connection.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
            f"PRAGMA cache_size=-{_PAGE_CACHE_KIB};"
        )
        return connection

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
            self._connections.append(connection)
        return connection

    def _write_loop(self, connection: sqlite3.Connection) -> None:
        open_ = True
        while open_:
            jobs = [self._jobs.get()]
            with contextlib.suppress(queue.Empty):
                while jobs[-1] is not None and len(jobs) < _GROUP:
                    jobs.append(self._jobs.get_nowait())
            group = [job for job in jobs if job is not None]
            open_ = len(group) == len(jobs)
            _commit(connection, group)
            _report(group)
        connection.close()


class SqliteStore:
    """The base of every store over one SQLite file: it pings and closes the file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ping(self) -> None:
        """Raise Unavailable unless a transaction that writes can be had within two seconds.

        A file that another process holds locked can be read, but a store that cannot write is of no use.
        """
        try:
            async with asyncio.timeout(_PING_SECONDS):
                await self._database.write(lambda connection: None)
        except TimeoutError:
            raise Unavailable(
                f"{self._database.name} cannot be written: another process may hold it locked"
            ) from None

    async def close(self) -> None:
        """Finish what was handed in, then close the file; safe to call twice."""
        self._database.close()


def _add(connection: sqlite3.Connection, column: Column) -> None:
    known = {row["name"] for row in connection.execute(f"PRAGMA table_info({column.table})")}
    if column.name not in known:
        connection.execute(f"ALTER TABLE {column.table} ADD COLUMN {column.name} {column.type}")


def _commit(connection: sqlite3.Connection, group: list[_Job]) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        for job in group:
            if not job.future.cancelled():
                _attempt(connection, job)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        for job in group:
            job.error = Unavailable(f"the data directory cannot be written: {error}")


def _attempt(connection: sqlite3.Connection, job: _Job) -> None:
    connection.execute("SAVEPOINT work")
    try:
        job.result = job.work(connection)
    except Exception as error:
        if _passes(error):
            raise
        job.error = error
        connection.execute("ROLLBACK TO work")
    connection.execute("RELEASE work")


def _passes(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING


def _report(group: list[_Job]) -> None:
    """Wake each event loop once for all its jobs: a wake-up costs more than a small write."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job]] = defaultdict(list)
    for job in group:
        by_loop[job.future.get_loop()].append(job)
    for loop, jobs in by_loop.items():
        with contextlib.suppress(RuntimeError):  # that loop has ended, and nobody waits
            loop.call_soon_threadsafe(_settle, jobs)


def _settle(jobs: list[_Job]) -> None:
    for job in jobs:
        job.settle()
