"""The base of the MongoDB stores over a real server: nothing is left open, and nobody waits for a goodbye."""

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymongo import ASCENDING, IndexModel, MongoClient
from pymongo.errors import OperationFailure

from leadline_common.storage.mongo import MongoStore
from leadline_testing.processes import PrivateServer
from leadline_testing.running_server import RunningServer

pytestmark = pytest.mark.servers


class Notes(MongoStore):
    """A store of one collection, whose connections no other test has."""

    application = "leadline-notes"
    indexes = {"notes": [IndexModel([("day", ASCENDING)], name="by_day")]}


@pytest.fixture
def url(mongodb_url: str, mongodb_database_name: str) -> str:
    """The address of a database of the test's own."""
    return urlsplit(mongodb_url)._replace(path=f"/{mongodb_database_name}").geturl()


@pytest.fixture
def server(url: str) -> Iterator[MongoClient[dict[str, Any]]]:
    """A client of the server, to look behind the store."""
    client: MongoClient[dict[str, Any]]
    with MongoClient(url) as client:
        yield client


def connections(server: MongoClient[dict[str, Any]]) -> list[dict[str, Any]]:
    """The store's connections as the server knows them, the idle ones too."""
    stages: list[dict[str, Any]] = [
        {"$currentOp": {"idleConnections": True}},
        {"$match": {"appName": Notes.application}},
    ]
    return list(server.admin.aggregate(stages))


async def test_a_store_is_opened_with_its_indexes(url: str, server: MongoClient[dict[str, Any]]) -> None:
    """What the store needs is there before its first use, and it answers."""
    store = await Notes.connect(url)
    assert "by_day" in server.get_default_database()["notes"].index_information()
    assert connections(server)
    await store.ping()
    await store.close()
    await store.close()


async def test_a_store_that_cannot_be_opened_leaves_no_connection(
    url: str, server: MongoClient[dict[str, Any]]
) -> None:
    """Whatever fails after the client was made, such as an index that contradicts an old one, closes it."""
    server.get_default_database()["notes"].create_index([("month", ASCENDING)], name="by_day")
    with pytest.raises(OperationFailure, match="by_day"):
        await Notes.connect(url)
    async with asyncio.timeout(30):
        while connections(server):  # noqa: ASYNC110 - the server alone knows when it has noticed
            await asyncio.sleep(0.05)


async def test_closing_does_not_hold_up_the_event_loop(url: str, mongodb_server: RunningServer) -> None:
    """A server that is silent keeps the driver waiting for its goodbye, and nobody else."""
    if not isinstance(mongodb_server, PrivateServer):
        pytest.skip("only a private server can be paused")
    store = await Notes.connect(url)
    mongodb_server.pause()
    try:
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0)
        held_up = closing.done()
        await closing
    finally:
        mongodb_server.resume()
    assert not held_up
