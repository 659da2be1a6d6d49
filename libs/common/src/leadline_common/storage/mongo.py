"""MongoDB for the store adapters: their common base, and the translation of driver errors."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import pymongo
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from pymongo import IndexModel
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from leadline_common.telemetry.metrics import Metrics
from leadline_common.telemetry.tracing import Span, client_span, fail
from leadline_contracts.errors import SettingsError, Unavailable

DUPLICATE_KEY = 11000
_INDEX_SECONDS = 6 * 3600.0
_CLOSE_SECONDS = 2.0

# What whoever runs the server mends, or a node behind it; any other code is a fault of the command.
# https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
_REFUSALS = {
    11: "UserNotFound",
    13: "Unauthorized",
    18: "AuthenticationFailed",
    391: "ReauthenticationRequired",
    14031: "OutOfDiskSpace",
}
_OUTAGES = {
    6: "HostUnreachable",
    7: "HostNotFound",
    89: "NetworkTimeout",
    134: "ReadConcernMajorityNotAvailableYet",
    262: "ExceededTimeLimit",
    9001: "SocketException",
}

Document = dict[str, Any]
Database = AsyncIOMotorDatabase[Document]


class _Timing(CommandListener):
    """Times the commands of one client, from the threads that its driver works in."""

    def __init__(self, metrics: Metrics) -> None:
        self._operations = metrics.store_operations

    def started(self, event: CommandStartedEvent) -> None:
        """Wait for how it ends."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        self._operations.labels(event.command_name, "ok").observe(event.duration_micros / 1e6)

    def failed(self, event: CommandFailedEvent) -> None:
        self._operations.labels(event.command_name, "failed").observe(event.duration_micros / 1e6)


class _Spans(CommandListener):
    """Records the commands of one client as spans of the work that they are part of, never what they say."""

    def __init__(self) -> None:
        self._open: dict[int, Span] = {}

    def started(self, event: CommandStartedEvent) -> None:
        """Begin a span; the driver's thread has the context of whoever asked."""
        operation, (host, port) = event.command_name, event.connection_id
        target = event.command.get(operation)
        collection = {"db.collection.name": target} if isinstance(target, str) else {}
        span = client_span(
            " ".join([operation, *collection.values()]),
            {
                "db.system.name": "mongodb",
                "db.namespace": event.database_name,
                "db.operation.name": operation,
                "server.address": host,
                **collection,
                **({} if port is None else {"server.port": port}),
            },
        )
        if span is not None:
            self._open[event.request_id] = span

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """End its span."""
        self._end(event.request_id, None)

    def failed(self, event: CommandFailedEvent) -> None:
        """End its span as failed, by the server's code where it named one."""
        self._end(
            event.request_id, str(event.failure.get("code") or event.failure.get("errtype") or "failed")
        )

    def _end(self, request_id: int, error: str | None) -> None:
        span = self._open.pop(request_id, None)
        if span is not None:
            if error is not None:
                fail(span, error)
            span.end()


class MongoStore:
    """The base of every store over MongoDB: it opens, pings and closes the database's connections."""

    application: ClassVar[str]
    """The name under which the server knows the store's connections."""
    indexes: ClassVar[Mapping[str, Sequence[IndexModel]]]
    """The store's collections with the indexes of each, which are created when the store is opened."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def connect(cls, url: str, metrics: Metrics | None = None) -> Self:
        """Open the database that the URL names, `leadline` where it names none, and create its indexes.

        Raises SettingsError where the URL cannot be read and Unavailable where no server answers within five
        seconds; no connection is left open then, nor after any other failure.
        """
        store = cls(connect(url, cls.application, metrics))
        try:
            with reaching_mongo():
                await store._read()  # where there are no indexes, nothing else would ask
            with building_indexes():
                for collection, indexes in cls.indexes.items():
                    if indexes:
                        await store._database[collection].create_indexes(indexes)
        except BaseException:
            await store.close()
            raise
        return store

    async def ping(self) -> None:
        """Raise Unavailable unless the server lets the store read within two seconds."""
        with reaching_mongo(), pymongo.timeout(2):
            await self._read()

    async def _read(self) -> None:
        """Read nothing: a server answers the command `ping` also to whom it refuses all else."""
        await self._database[next(iter(self.indexes))].find_one({"_id": None})

    async def close(self) -> None:
        """Close every connection, within about two seconds whether the server answers or not."""
        # The driver says goodbye to the server and waits for its answer, in the thread that calls it.
        with pymongo.timeout(_CLOSE_SECONDS):
            await asyncio.to_thread(self._database.client.close)


def connect(url: str, application: str, metrics: Metrics | None = None) -> Database:
    """Return the database that the URL names, `leadline` where it names none; connects at first use.

    Its commands are timed where there are metrics. Call it inside the running loop. Writes wait for the
    journals of a majority, datetimes come back in UTC. Raises SettingsError where the URL cannot be read.
    """
    try:
        client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
            url,
            appname=application,
            event_listeners=[_Spans(), *([_Timing(metrics)] if metrics else [])],
            tz_aware=True,
            w="majority",
            journal=True,
            wTimeoutMS=10_000,
            serverSelectionTimeoutMS=5_000,
            connectTimeoutMS=5_000,
            socketTimeoutMS=30_000,
        )
    except (ConfigurationError, ValueError):
        # The driver's own words may quote the password.
        raise SettingsError(
            "LEADLINE_STORE_URL cannot be read; write it like mongodb://host:27017/leadline"
        ) from None
    return client.get_default_database("leadline")


@contextmanager
def reaching_mongo() -> Iterator[None]:
    """Raise Unavailable in place of the driver's error where the server did not answer or confirm.

    So too where it refuses the login or the right to do this, or has no room: the same command succeeds once
    that is mended. An error of the command itself comes out as it is.
    """
    try:
        yield
    except PyMongoError as error:
        problem = _problem(error)
        if problem is None:
            raise
        raise Unavailable(f"MongoDB (LEADLINE_STORE_URL) {problem}") from error


@contextmanager
def building_indexes() -> Iterator[None]:
    """As `reaching_mongo`, for commands that may take as long as it takes to read a whole collection."""
    with reaching_mongo(), pymongo.timeout(_INDEX_SECONDS):
        yield


def _problem(error: PyMongoError) -> str | None:
    """Say what keeps the server from doing this now, None where the command is at fault.

    Never in the server's words, which may quote the command with all it holds.
    """
    for code in _codes(error):
        if code in _REFUSALS:
            return (
                f"refuses this: {_REFUSALS[code]}; check its users, their passwords and roles, and its disk"
            )
        if code in _OUTAGES:
            return f"does not answer: {_OUTAGES[code]}"
    if isinstance(error, BulkWriteError):
        passes = bool(error.details and error.details["writeConcernErrors"])
    else:
        passes = error.timeout or isinstance(error, ConnectionFailure | ExecutionTimeout | WriteConcernError)
    return f"does not answer: {type(error).__name__}" if passes else None


def _codes(error: PyMongoError) -> list[int | None]:
    if isinstance(error, BulkWriteError):
        return [one["code"] for one in (error.details or {}).get("writeErrors", ())]
    return [error.code] if isinstance(error, OperationFailure) else []
