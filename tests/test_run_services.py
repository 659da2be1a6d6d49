"""`make run-services`: the four services and their gateway as one command."""

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from tests.conftest import FreshServers
from tests.support import EXAMPLES, OFFLINE

from leadline_testing.running_server import free_port
from leadline_testing.services import ServiceProcess

pytestmark = [pytest.mark.servers, pytest.mark.slow]


@pytest.fixture
def command(fresh_servers: FreshServers, tmp_path: Path) -> Iterator[ServiceProcess]:
    """The running command, over servers that are there already."""
    port = free_port()
    with fresh_servers() as urls:
        settings = {"LEADLINE_BROKER_URL": urls.broker_url, "LEADLINE_STORE_URL": urls.store_url, **OFFLINE}
        process = ServiceProcess(
            "run_services",
            ["leadline_testing.run_services", "--port", str(port)],
            port=port,
            settings=settings,
            log=tmp_path / "log",
        )
        process.await_ready()
        yield process
        process.stop()


def test_it_serves_until_interrupted_and_leaves_nothing_behind(
    command: ServiceProcess, tmp_path: Path
) -> None:
    """Ctrl-C ends the gateway and all four services, quietly, also after a sender that hung up."""
    hang_up_in_an_upload(command.address)
    with httpx.Client(base_url=command.address, trust_env=False) as http:
        offer = http.post("/offer", json=json.loads((EXAMPLES / "offer.json").read_bytes()))
        assert offer.status_code == 201
        assert offer.headers.get_list("date", split_commas=False) == [offer.headers["date"]]
    services = psutil.Process(command.process.pid).children()
    assert len(services) == 4
    command.process.send_signal(signal.SIGINT)
    assert command.process.wait(120) == 0
    assert not any(service.is_running() for service in services)
    assert "Traceback" not in (tmp_path / "log").read_text(encoding="utf-8")


def hang_up_in_an_upload(address: str) -> None:
    """Start to send a file and go away."""
    place = urlsplit(address)
    with socket.create_connection((place.hostname, place.port)) as sender:
        sender.sendall(
            b"POST /leads/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nname,role\r\nAnn'
        )
