"""Pytest fixtures over real servers: `pytest_plugins = ["leadline_testing.pytest_servers"]`.

Where a server is missing the test is skipped, or fails if LEADLINE_REQUIRE_SERVERS=1.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from leadline_testing import mongodb, rabbitmq
from leadline_testing.running_server import RunningServer, ServersMissing
from leadline_testing.servers import start_mongodb, start_rabbitmq


@pytest.fixture(scope="session")
def rabbitmq_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One RabbitMQ for the whole session; a PrivateServer can also be paused, killed and restarted."""
    yield from while_running(start_rabbitmq, tmp_path_factory.mktemp("rabbitmq"))


@pytest.fixture(scope="session")
def rabbitmq_url(rabbitmq_server: RunningServer) -> str:
    """The session's RabbitMQ, on a virtual host that all tests share."""
    return rabbitmq_server.url


@pytest.fixture
def rabbitmq_vhost_url(rabbitmq_url: str) -> Iterator[str]:
    """The session's RabbitMQ on a virtual host of the test's own, deleted afterwards with its queues."""
    name = _fresh_name()
    yield rabbitmq.create_vhost(rabbitmq_url, name)
    rabbitmq.delete_vhost(rabbitmq_url, name)


@pytest.fixture(scope="session")
def mongodb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One MongoDB for the whole session; a PrivateServer can also be paused, killed and restarted."""
    yield from while_running(start_mongodb, tmp_path_factory.mktemp("mongodb"))


@pytest.fixture(scope="session")
def mongodb_url(mongodb_server: RunningServer) -> str:
    """The session's MongoDB, a replica set of one."""
    return mongodb_server.url


@pytest.fixture
def mongodb_database_name(mongodb_url: str) -> Iterator[str]:
    """A database of the test's own, dropped afterwards."""
    name = _fresh_name()
    yield name
    mongodb.drop_database(mongodb_url, name)


def while_running(start: Callable[[Path], RunningServer], folder: Path) -> Iterator[RunningServer]:
    """Yield the started server and stop it; a missing one skips the test, or fails it where required."""
    try:
        server = start(folder)
    except ServersMissing as missing:
        do_without(str(missing))
    yield server
    server.stop()


def do_without(missing: str) -> NoReturn:
    """Skip the test since something is missing, or fail it where that is required."""
    if os.environ.get("LEADLINE_REQUIRE_SERVERS") == "1":
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)


def _fresh_name() -> str:
    return f"leadline_test_{uuid.uuid4().hex}"
