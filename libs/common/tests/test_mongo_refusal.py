"""A MongoDB that refuses the login of a store, or what it asks for: an outage that an operator mends."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import structlog
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from leadline_common.process.periodic import every
from leadline_common.process.service import Health, Service, running
from leadline_common.storage.mongo import MongoStore, reaching_mongo
from leadline_contracts.errors import TaskDied, Unavailable
from leadline_testing import mongodb
from leadline_testing.processes import PrivateServer
from leadline_testing.pytest_servers import while_running

Admin = MongoClient[dict[str, Any]]


class Notes(MongoStore):
    """A store of one collection."""

    application = "leadline-notes"
    indexes = {"notes": ()}

    async def add(self) -> None:
        """Write."""
        with reaching_mongo():
            await self._database["notes"].insert_one({"text": "secret"})

    async def misspell(self) -> None:
        """Ask for what no server does."""
        with reaching_mongo():
            await self._database["notes"].update_one({}, {"$st": {"text": ""}})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServer]:
    """A server that asks who one is."""
    folder = tmp_path_factory.mktemp("guarded")
    key = folder / "key"
    key.write_text("A" * 32)
    key.chmod(0o600)
    for found in while_running(lambda place: mongodb.start_private(place, "--keyFile", str(key)), folder):
        assert isinstance(found, PrivateServer)
        yield found


@pytest.fixture(scope="module")
def users(server: PrivateServer) -> Iterator[Admin]:
    """Who may change users, the store's own being `app`."""
    with MongoClient[dict[str, Any]](server.url) as first:
        first.admin.command("createUser", "boss", pwd="boss", roles=["root"])
    with MongoClient[dict[str, Any]](server.url, username="boss", password="boss") as admin:
        admin.admin.command("createUser", "app", pwd="right", roles=["readWriteAnyDatabase"])
        yield admin


@pytest.fixture
def url(server: PrivateServer, users: Admin) -> str:
    """The store's address, with a login that is right."""
    place = urlsplit(server.url)
    login = {"netloc": f"app:right@{place.netloc}", "query": f"{place.query}&authSource=admin"}
    return place._replace(**login).geturl()


def refused_role(server: PrivateServer, users: Admin) -> None:
    """Take from the user what it may do."""
    users.admin.command("updateUser", "app", roles=[])


def refused_login(server: PrivateServer, users: Admin) -> None:
    """Change the password and have everybody log in anew."""
    users.admin.command("updateUser", "app", pwd="changed")
    server.restart()


async def until(health: Health, *, ready: bool) -> dict[str, str]:
    """Return what the checks say once the process is, or is not, ready."""
    async with asyncio.timeout(60):
        while (answer := await health.ready()).ready is not ready:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return answer.checks


@pytest.mark.servers
@pytest.mark.parametrize(
    ("refuse", "name"), [(refused_role, "Unauthorized"), (refused_login, "AuthenticationFailed")]
)
async def test_a_refusal_is_an_outage(
    url: str,
    server: PrivateServer,
    users: Admin,
    refuse: Callable[[PrivateServer, Admin], None],
    name: str,
) -> None:
    """While the server refuses, the process is unready and says why; its loops go on until it is mended."""
    store = await Notes.connect(url)
    service = Service(
        "notes",
        loops=[lambda: every(0.05, store.add, failed="note_not_added")],
        checks={"store": store.ping},
    )
    with structlog.testing.capture_logs() as logs:
        async with running([service], 1) as health:
            await until(health, ready=True)
            await asyncio.to_thread(refuse, server, users)
            async with asyncio.timeout(60):
                # First the server is away, as it is started anew; then it refuses.
                while name not in (checks := await until(health, ready=False))["store"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                while not any(name in str(entry.get("error")) for entry in logs):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert health.death is None
            users.admin.command("updateUser", "app", pwd="right", roles=["readWriteAnyDatabase"])
            await until(health, ready=True)
    await store.close()
    assert name in checks["store"]
    assert {entry["event"] for entry in logs} == {"note_not_added"}
    assert "secret" not in str(logs)


@pytest.mark.servers
async def test_a_fault_of_the_program_ends_it(url: str, users: Admin) -> None:
    """What the server cannot understand is no outage: the process ends, and says of what."""
    store = await Notes.connect(url)
    service = Service("notes", loops=[lambda: every(0.05, store.misspell, failed="note_not_changed")])

    async def live() -> None:
        async with running([service], 1) as health:
            async with asyncio.timeout(60):
                await health.until_ending()

    with pytest.raises(TaskDied, match=r"died of WriteError: Unknown modifier: \$st"):
        await live()
    await store.close()


@pytest.mark.servers
async def test_a_login_that_is_wrong_at_the_start_is_named(url: str) -> None:
    """Whoever starts a service with a wrong password reads which setting to mend, and not the password."""
    with pytest.raises(Unavailable, match=r"LEADLINE_STORE_URL.*AuthenticationFailed") as refused:
        await Notes.connect(url.replace("right", "wrong"))
    assert "wrong" not in str(refused.value)


@pytest.mark.parametrize("code", [11, 13, 18, 391, 14031])
def test_what_an_operator_mends_is_an_outage(code: int) -> None:
    """Logins, rights and a full disk are put right while the process waits."""
    with pytest.raises(Unavailable), reaching_mongo():
        raise OperationFailure("{find: 'secret'}", code)


@pytest.mark.parametrize("code", [2, 9, 26, 59, 121, 11000, None])
def test_what_the_program_did_wrong_is_none(code: int | None) -> None:
    """Bad values, unknown commands and duplicate keys come out as they are."""
    with pytest.raises(OperationFailure), reaching_mongo():
        raise OperationFailure("no such command", code)
