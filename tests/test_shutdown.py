"""Every kind of process, told to stop or losing a part of itself, at whatever moment."""

import re
import secrets
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pymongo
import pytest
from tests.conftest import FreshServers, Servers
from tests.support import OFFLINE

from leadline_testing.running_server import LOOPBACK, free_port
from leadline_testing.services import SERVICES, ServiceProcess, standalone

_DELAYS = (0.0, 0.1, 0.3, 0.6, 1.0, 1.6, 2.4)
"""Seconds from the moment when a process heeds signals: while it loads, connects, and once it is ready."""
_SECONDS = 120.0
_REDRIVE = "the background task 'results: Redrive.run'"

Start = Callable[[Path], ServiceProcess]


@pytest.fixture
def silent() -> Iterator[Servers]:
    """Servers that accept connections and say nothing."""
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        yield Servers(
            f"amqp://guest:guest@{LOOPBACK}:{port}/", f"mongodb://{LOOPBACK}:{port}/?replicaSet=rs0"
        )


def service(name: str, servers: Servers, log: Path) -> ServiceProcess:
    settings = {
        "LEADLINE_BROKER_URL": servers.broker_url,
        "LEADLINE_STORE_URL": servers.store_url,
        "LEADLINE_JWT_SECRET": secrets.token_urlsafe(48),
        "LEADLINE_PORT": str(port := free_port()),
        "LEADLINE_LOG_LEVEL": "ERROR",
    }
    return ServiceProcess(
        name, [f"leadline_{name}"], port=port, settings={**OFFLINE, **settings}, log=log, fresh=True
    )


def await_heeding(process: ServiceProcess) -> None:
    """Return once the process has a handler for SIGTERM."""
    deadline = time.monotonic() + _SECONDS
    heeds = False
    while not heeds and time.monotonic() < deadline:
        status = Path(f"/proc/{process.process.pid}/status").read_text(encoding="ascii")
        caught = re.search(r"^SigCgt:\s*(\w+)$", status, re.MULTILINE)
        heeds = caught is not None and bool(int(caught[1], 16) & 1 << (signal.SIGTERM - 1))


def stopped_after(start: Start, folder: Path) -> dict[float, tuple[int, str]]:
    """Start a process for each delay, tell it to stop then, and return its exit code and log."""
    ends = {}
    for delay in _DELAYS:
        log = folder / f"log-{delay}"
        process = start(log)
        try:
            await_heeding(process)
            time.sleep(delay)
            process.process.terminate()
            ends[delay] = process.process.wait(_SECONDS), log.read_text(encoding="utf-8")
        finally:
            process.kill()
    return ends


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_stops_at_any_moment_of_a_start_in_vain(silent: Servers, tmp_path: Path, name: str) -> None:
    """While its servers say nothing a service that is told to stop ends with 0, and logs no error."""
    ends = stopped_after(lambda log: service(name, silent, log), tmp_path)
    assert ends == dict.fromkeys(_DELAYS, (0, ""))


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_stops_at_any_moment_of_its_start(
    fresh_servers: FreshServers, tmp_path: Path, name: str
) -> None:
    """Loading, connecting, making indexes or ready: told to stop it ends with 0, and logs no error."""
    with fresh_servers() as servers:
        ends = stopped_after(lambda log: service(name, servers, log), tmp_path)
    assert ends == dict.fromkeys(_DELAYS, (0, ""))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_leadline_serve_stops_at_any_moment(tmp_path: Path) -> None:
    """Loading, opening its data or ready: told to stop it ends with 0, without an error."""

    def start(log: Path) -> ServiceProcess:
        port = free_port()
        command = [
            "leadline_standalone",
            "serve",
            "--port",
            str(port),
            "--data-dir",
            str(log.with_suffix(".d")),
        ]
        return ServiceProcess("leadline serve", command, port=port, settings=OFFLINE, log=log, fresh=True)

    ends = stopped_after(start, tmp_path)
    assert {delay: code for delay, (code, _) in ends.items()} == dict.fromkeys(_DELAYS, 0)
    assert not any(re.search("Traceback|rror", log) for _, log in ends.values())


def test_leadline_serve_ends_when_a_part_of_it_dies(tmp_path: Path) -> None:
    """Whoever restarts it gets exit code 1, and one line says which part died of what."""
    log = tmp_path / "log"
    with standalone(tmp_path / "data", OFFLINE, log) as serving:
        with closing(sqlite3.connect(tmp_path / "data" / "results.db")) as database:
            database.execute("DROP TABLE runs")
        assert serving.process.wait(_SECONDS) == 1
    last = log.read_text(encoding="utf-8").splitlines()[-1]
    assert last == f"leadline: {_REDRIVE} died of OperationalError: no such table: runs"


@pytest.mark.servers
def test_a_service_ends_when_a_part_of_it_dies(fresh_servers: FreshServers, tmp_path: Path) -> None:
    """A document that nobody can read ends the loop that meets it, and with it the process, with 1."""
    log = tmp_path / "log"
    with fresh_servers() as servers:
        results = service("results", servers, log)
        try:
            results.await_ready()
            with pymongo.MongoClient[dict[str, object]](servers.store_url) as client:
                client.get_default_database().runs.insert_one({"announced": False})
            assert results.process.wait(_SECONDS) == 1
        finally:
            results.kill()
    last = log.read_text(encoding="utf-8").splitlines()[-1]
    assert last.startswith(f"leadline: {_REDRIVE} died of ValidationError: ")
