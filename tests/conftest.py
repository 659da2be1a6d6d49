"""Real servers, a virtual host and a database of one's own each time, and Leadline over them."""

import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from tests.support import Leadline, behind_gateway

from leadline_testing import mongodb, rabbitmq


class Servers(NamedTuple):
    """Where RabbitMQ and MongoDB are, on a virtual host and a database that nobody else uses."""

    broker_url: str
    store_url: str


class FreshServers(Protocol):
    """Gives both servers, empty, and empties them afterwards."""

    def __call__(self) -> AbstractContextManager[Servers]: ...


@pytest.fixture(scope="session")
def portal() -> Iterator[BlockingPortal]:
    """An event loop in a thread, for what is asynchronous beside tests that are not."""
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="session")
def fresh_servers(rabbitmq_url: str, mongodb_url: str) -> FreshServers:
    """Both real servers, as if new."""

    @contextmanager
    def fresh() -> Iterator[Servers]:
        name = f"leadline_test_{uuid.uuid4().hex}"
        broker_url = rabbitmq.create_vhost(rabbitmq_url, name)
        yield Servers(broker_url, urlsplit(mongodb_url)._replace(path=f"/{name}").geturl())
        rabbitmq.delete_vhost(rabbitmq_url, name)
        mongodb.drop_database(mongodb_url, name)

    return fresh


@pytest.fixture(scope="session")
def services(
    portal: BlockingPortal, fresh_servers: FreshServers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Leadline]:
    """The four services behind the gateway, started once; each test works on an offer of its own."""
    log = tmp_path_factory.mktemp("services") / "log"
    with fresh_servers() as urls, behind_gateway(portal, *urls, log) as (leadline, _):
        yield leadline
