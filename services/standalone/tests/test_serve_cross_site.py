"""`leadline serve` asks nobody for a token, so it takes nothing from the pages of other sites."""

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from leadline_testing.services import standalone
from leadline_testing.tables import every_row

from .conftest import EXAMPLES

PAGE = "https://example.com"
SCRIPT = {
    "Origin": PAGE,
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "no-cors",
    "Sec-Fetch-Dest": "empty",
}
FORM = {**SCRIPT, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
TEXT = {"Content-Type": "text/plain;charset=UTF-8"}
JSON = {"Content-Type": "application/json"}
OFFER = (EXAMPLES / "offer.json").read_bytes()
FILE = {"file": (EXAMPLES / "leads.csv").read_bytes()}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a server is that holds the example prospects, scored."""
    folder = tmp_path_factory.mktemp("served")
    with standalone(folder / "data", {"LEADLINE_AI": "offline"}, folder / "log") as process:
        with httpx.Client(base_url=process.address, timeout=90, trust_env=False) as http:
            http.post("/offer", content=OFFER, headers=JSON).raise_for_status()
            http.post("/leads/upload", files=FILE).raise_for_status()
            http.post("/score", headers={"Prefer": "wait=60"}).raise_for_status()
        yield process.address


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    """A client that says no more about itself than curl does."""
    with httpx.Client(base_url=address, timeout=90, trust_env=False) as http:
        yield http


def refused(answer: httpx.Response, status: int) -> str:
    """Check that the answer is a problem of this status and return what it advises."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


def raw(address: str, request: str) -> httpx.Response:
    """Send a request that no client library would, and read the answer to its end."""
    target = urlsplit(address)
    with socket.create_connection((target.hostname, target.port), timeout=30) as connection:
        connection.sendall(request.encode())
        head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return httpx.Response(int(first.split()[1]), headers=headers, content=body)


@every_row("prefix", ["", "/api"])
@every_row(
    ("path", "sent"),
    [
        ("/leads/upload", {"files": FILE}),
        ("/score", {}),
        ("/score", {"content": b'{"refresh": true}', "headers": TEXT}),
        ("/offer", {"content": OFFER, "headers": TEXT}),
        ("/auth/signup", {"content": b"{}", "headers": TEXT}),
        ("/leads/1/retry", {}),
    ],
)
@every_row("browser", [SCRIPT, FORM, {"Origin": PAGE}, {"Origin": "null"}, {"Sec-Fetch-Site": "same-site"}])
def test_a_page_elsewhere_gives_no_orders(
    client: httpx.Client, prefix: str, path: str, sent: Mapping[str, Any], browser: Mapping[str, str]
) -> None:
    """What a browser sends for another site without asking first is refused: nothing is stored or spent."""
    headers = {**browser, **sent.get("headers", {})}
    detail = refused(client.post(prefix + path, **{**sent, "headers": headers}), 403)
    assert "LEADLINE_AUTH=required" in detail


def test_nothing_came_of_it(client: httpx.Client) -> None:
    """A refusal leaves no prospects behind that a later run would score."""
    client.post("/score", headers={"Prefer": "wait=60"}).raise_for_status()
    client.post("/leads/upload", files=FILE, headers=SCRIPT)
    run = client.post("/score", headers={"Prefer": "wait=60"}).raise_for_status().json()
    assert run["queued"] == 0


@every_row("path", ["/results", "/api/results", "/results/export", "/metrics", "/schema", "/nothing"])
@every_row("host", ["rebound.example.com:8000", "127.0.0.1.example.com", "192.168.1.7:8000", "[::2]"])
def test_a_name_that_was_pointed_here_reads_nothing(client: httpx.Client, host: str, path: str) -> None:
    """A page whose own name leads to this machine (DNS rebinding) is recognised by the Host it asks for."""
    detail = refused(client.get(path, headers={"Host": host}), 421)
    assert "http://127.0.0.1" in detail
    assert "LEADLINE_AUTH=required" in detail


@pytest.mark.parametrize(
    "request_head",
    [
        "GET /results HTTP/1.0\r\n",
        "GET /results HTTP/1.1\r\nConnection: close\r\n",
        "GET /results HTTP/1.1\r\nConnection: close\r\nHost: {host}\r\nHost: {host}\r\n",
        "GET /results HTTP/1.1\r\nConnection: close\r\nHost: {host}\r\nHost: example.com\r\n",
    ],
    ids=["none, HTTP/1.0", "none, HTTP/1.1", "the same twice", "two"],
)
def test_there_is_one_host(address: str, request_head: str) -> None:
    """A request that names no host, or two, is not guessed about."""
    answer = raw(address, request_head.format(host=urlsplit(address).netloc) + "\r\n")
    assert "one Host header" in refused(answer, 400)


def test_a_probe_needs_no_host(address: str) -> None:
    """A load balancer's health check names the service, or in HTTP/1.0 nothing; it learns a status."""
    assert raw(address, "GET /health/ready HTTP/1.0\r\n\r\n").json()["status"] == "ok"
    for path in ("/health", "/health/live", "/health/ready"):
        assert httpx.get(address + path, headers={"Host": "leadline"}, trust_env=False).status_code == 200


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3"])
def test_this_machine_is_let_in(client: httpx.Client, name: str) -> None:
    """What curl and scripts send works as before, by each name of this machine."""
    host = {"Host": f"{name}:{client.base_url.port}"}
    assert client.post("/offer", content=OFFER, headers={**host, **JSON}).status_code == 201
    assert client.post("/leads/upload", files=FILE, headers=host).status_code == 201
    assert client.post("/score", headers=host).is_success
    assert client.get("/results?limit=5", headers=host).raise_for_status().json()


def test_leadlines_own_page_is_let_in(client: httpx.Client, address: str) -> None:
    """The schema page's "Try it out" sends its own origin."""
    own = {"Origin": address, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    assert client.post("/offer", content=OFFER, headers={**own, **JSON}).status_code == 201
    assert client.post("/leads/upload", files=FILE, headers=own).status_code == 201


def test_a_link_elsewhere_opens_the_schema_page(client: httpx.Client) -> None:
    """A link in a README leads to the page, which holds no data; one to the results does not open them."""
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.get("/schema", headers=link).status_code == 200
    refused(client.get("/schema", headers={**link, "Sec-Fetch-Dest": "iframe"}), 403)
    refused(client.get("/results/export", headers=link), 403)


@every_row("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
@every_row("path", ["/offer", "/score", "/leads", "/auth/signup", "/auth/login", "/api/offer/"])
def test_json_is_called_json(client: httpx.Client, path: str, kind: str | None) -> None:
    """A body that any page may send unasked is not read as JSON, and the sender learns the header to add."""
    headers = {"Content-Type": kind} if kind else {}
    detail = refused(client.post(path, content=b'{"name": "x"}', headers=headers), 415)
    assert "-H 'Content-Type: application/json'" in detail


def test_a_page_that_is_named_calls(tmp_path: Path) -> None:
    """With its origin in LEADLINE_CORS_ORIGINS a page's scripts send and read; no other page's do."""
    settings = {"LEADLINE_AI": "offline", "LEADLINE_CORS_ORIGINS": PAGE}
    script = {**SCRIPT, **JSON, "Sec-Fetch-Mode": "cors"}
    with (
        standalone(tmp_path / "data", settings, tmp_path / "log") as process,
        httpx.Client(base_url=process.address, timeout=30, trust_env=False) as http,
    ):
        asked = http.options("/offer", headers={**script, "Access-Control-Request-Method": "POST"})
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (204, PAGE)
        made = http.post("/offer", content=OFFER, headers=script)
        assert (made.status_code, made.headers["access-control-allow-origin"]) == (201, PAGE)
        refused(http.post("/offer", content=OFFER, headers={**script, "Origin": f"{PAGE}:8443"}), 403)
