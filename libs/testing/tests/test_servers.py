"""Real servers are found or started, break on demand, and are gone when nobody needs them."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from pymongo import MongoClient
from pymongo.errors import ConnectionFailure

from leadline_testing import mongodb, rabbitmq, servers
from leadline_testing.processes import PrivateServer
from leadline_testing.pytest_servers import while_running
from leadline_testing.running_server import (
    RunningServer,
    ServerFailed,
    ServersMissing,
    free_port,
    remembered_port,
)

pytestmark = pytest.mark.slow


def connect(url: str, patience_ms: int = 10_000) -> MongoClient[dict[str, Any]]:
    """Open a client that waits so long for a server, and for an answer."""
    return MongoClient(url, serverSelectionTimeoutMS=patience_ms, socketTimeoutMS=patience_ms)


def eventually(holds: Callable[[], bool], seconds: float = 10) -> bool:
    """Poll until `holds` says yes or the time is up."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def sleeper(folder: Path, ready: Callable[[], bool]) -> PrivateServer:
    """A private process that does nothing, with a child of its own whose pid it notes."""
    return PrivateServer(
        url="none:",
        how="sleeper",
        port=free_port(),
        command=["/bin/sh", "-c", 'sleep 60 & echo $! > "$1/child"; wait', "sleeper", str(folder)],
        environment={},
        log=folder / "log",
        ready=ready,
    )


def is_alive(pid: int) -> bool:
    """Say whether the process runs; one that is dead and not yet reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("start", "variable"),
    [(servers.start_rabbitmq, servers.BROKER_URL), (servers.start_mongodb, servers.STORE_URL)],
)
def test_a_named_server_comes_first(
    start: Callable[[Path], RunningServer],
    variable: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An address in the environment is used as it is, and stopping it is left to its owner."""
    monkeypatch.setenv(variable, "scheme://elsewhere:1/")
    server = start(tmp_path)
    server.stop()
    assert server.url == "scheme://elsewhere:1/"
    assert variable in server.how
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("module", [rabbitmq, mongodb])
def test_missing_servers_say_how_to_get_them(
    module: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no binary is found, one line names the variable and the package that would help."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ServersMissing, match=r"set LEADLINE_\w+_URL.*install") as missing:
        module.start_private(tmp_path)  # type: ignore[attr-defined]
    assert "\n" not in str(missing.value)


@pytest.mark.parametrize(("required", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_missing_servers_skip_on_a_laptop_and_fail_in_ci(
    required: str, outcome: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test without its server never passes silently where servers are required."""

    def start(_folder: Path) -> RunningServer:
        raise ServersMissing("no server here")

    monkeypatch.setenv("LEADLINE_REQUIRE_SERVERS", required)
    with pytest.raises(outcome, match="no server here"):
        next(while_running(start, tmp_path))


def test_a_server_that_ends_at_once_shows_its_log(tmp_path: Path) -> None:
    """A server that does not boot is reported with the end of what it wrote."""
    with pytest.raises(ServerFailed, match="no such data"):
        PrivateServer(
            url="none:",
            how="broken",
            port=free_port(),
            command=["/bin/sh", "-c", "echo no such data; exit 1"],
            environment={},
            log=tmp_path / "log",
            ready=lambda: False,
        )


def test_a_failed_start_leaves_nothing_behind(tmp_path: Path) -> None:
    """An interrupted start ends the whole process group, children included."""

    def interrupted() -> bool:
        if (tmp_path / "child").exists():
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        sleeper(tmp_path, interrupted)
    assert eventually(lambda: not is_alive(int((tmp_path / "child").read_text())))


def test_stop_ends_the_children_as_well(tmp_path: Path) -> None:
    """What a server started goes with it, and stopping twice is harmless."""
    server = sleeper(tmp_path, lambda: bool((tmp_path / "child").exists()))
    child = int((tmp_path / "child").read_text())
    assert is_alive(child)
    server.stop()
    server.stop()
    assert eventually(lambda: not is_alive(child))


def test_a_kept_folder_keeps_its_port(tmp_path: Path) -> None:
    """Servers over kept data come back at the address that clients already know."""
    assert remembered_port(tmp_path / "kept") == remembered_port(tmp_path / "kept")


@pytest.mark.servers
def test_mongodb_keeps_its_data_and_port_over_a_crash(tmp_path: Path) -> None:
    """An acknowledged majority write survives kill and restart, at the same address."""
    try:
        server = mongodb.start_private(tmp_path)
    except ServersMissing as missing:
        pytest.skip(str(missing))
    try:
        with connect(server.url) as client:
            client.get_database("crash").get_collection("writes").insert_one({"_id": 1})
            server.kill()
            with (
                pytest.raises(ConnectionFailure),
                connect(server.url, patience_ms=100) as other,
            ):
                other.admin.command("ping")
            server.restart()
            assert client.get_database("crash").get_collection("writes").count_documents({}) == 1
    finally:
        server.stop()


@pytest.mark.servers
def test_a_paused_server_is_silent_until_resumed(mongodb_server: RunningServer) -> None:
    """Pause makes an outage without a closed connection, and resume ends it."""
    if not isinstance(mongodb_server, PrivateServer):
        pytest.skip("only a private server can be paused")
    with connect(mongodb_server.url, patience_ms=300) as client:
        client.admin.command("ping")
        mongodb_server.pause()
        try:
            with pytest.raises(ConnectionFailure):
                client.admin.command("ping")
        finally:
            mongodb_server.resume()
    with connect(mongodb_server.url) as client:
        client.admin.command("ping")


@pytest.mark.servers
def test_mongodb_is_a_replica_set_with_transactions(mongodb_url: str, mongodb_database_name: str) -> None:
    """Tests may rely on what a lone mongod refuses: transactions and majority writes."""
    with connect(mongodb_url) as client, client.start_session() as session:
        leads = client.get_database(mongodb_database_name).get_collection("leads")
        session.with_transaction(lambda inside: leads.insert_one({"_id": 1}, session=inside))
        assert leads.count_documents({}) == 1


@pytest.mark.servers
async def test_a_vhost_starts_empty_and_takes_quorum_queues(rabbitmq_vhost_url: str) -> None:
    """A test's own virtual host routes a persistent message through a quorum queue."""
    async with await aio_pika.connect(rabbitmq_vhost_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("leads", durable=True, arguments={"x-queue-type": "quorum"})
        await channel.default_exchange.publish(aio_pika.Message(b"one"), routing_key="leads")
        message = await queue.get(timeout=60)
        await message.ack()
        assert message.body == b"one"


@pytest.mark.servers
async def test_vhosts_do_not_see_each_other(rabbitmq_url: str, rabbitmq_vhost_url: str) -> None:
    """A queue of one virtual host does not exist in another, and goes when its host is deleted."""
    name = f"other_{uuid.uuid4().hex}"
    other_url = rabbitmq.create_vhost(rabbitmq_url, name)
    async with await aio_pika.connect(other_url) as connection:
        await (await connection.channel()).declare_queue("leads", durable=True)
    async with await aio_pika.connect(rabbitmq_vhost_url) as connection:
        with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
            await (await connection.channel()).declare_queue("leads", passive=True)
    rabbitmq.delete_vhost(rabbitmq_url, name)
    with pytest.raises(OSError, match="404"):
        rabbitmq.delete_vhost(rabbitmq_url, name)


@pytest.mark.servers
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_server_outlives_its_starter(end: signal.Signals, tmp_path: Path) -> None:
    """However the process that started a server ends, the server ends with it."""
    script = (
        "import signal, sys, pathlib\n"
        "from leadline_testing import mongodb\n"
        "server = mongodb.start_private(pathlib.Path(sys.argv[1]))\n"
        "print(flush=True); signal.pause()\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert starter.stdout is not None
    try:
        if not starter.stdout.readline():
            pytest.skip("no mongod here")
        mongod = int((tmp_path / "data" / "mongod.lock").read_text())
        assert is_alive(mongod)
        os.kill(starter.pid, end)
        starter.wait(10)
        assert eventually(lambda: not is_alive(mongod))
    finally:
        starter.kill()
        starter.communicate()


@pytest.mark.servers
def test_the_command_prints_addresses_and_stops_when_told(rabbitmq_url: str, mongodb_url: str) -> None:
    """A script can read both addresses from the first two lines, and SIGTERM is a normal end."""
    environment = {**os.environ, servers.BROKER_URL: rabbitmq_url, servers.STORE_URL: mongodb_url}
    with subprocess.Popen(
        [sys.executable, "-m", "leadline_testing.servers"], env=environment, stdout=subprocess.PIPE, text=True
    ) as command:
        assert command.stdout is not None
        lines = [command.stdout.readline().strip() for _ in range(3)]
        command.terminate()
        assert command.wait(10) == 0
    assert lines[:2] == [f"LEADLINE_BROKER_URL={rabbitmq_url}", f"LEADLINE_STORE_URL={mongodb_url}"]
    assert "Ctrl-C" in lines[2]
