"""The gateway of docker-compose.yml, on a real nginx: a request goes where the table says, as it came."""

import asyncio
import http.client
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from anyio.from_thread import BlockingPortal
from deploy.render import nginx_routes
from litestar.types import Receive, Scope, Send
from tests.deploy.gateway import EXPORT_PIECES, Echo, Gateway, served, start_gateway

from leadline_common.http.api import without_api_prefix
from leadline_common.http.service_map import ROUTES, service_for
from leadline_ingest.prospects.upload_routes import MAX_UPLOAD
from leadline_testing.pytest_servers import while_running
from leadline_testing.running_server import RunningServer, free_port
from leadline_testing.tables import every_row

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SOME_ID = "01980000-0000-7000-8000-000000000000"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LISTED = [route.path.replace("*", SOME_ID) for route in ROUTES]
FURTHER = [
    *(
        "/",
        "/api",
        "/api/",
        "/health",
        "/health/live",
        "/healthy",
        "/schema",
        "/schema/assets/swagger-ui.css",
    ),
    *("/metrics", "/metrics/", "/api/metrics", "/api//metrics", "/%6detrics", "//metrics"),
    *("/offers", "/runs", "/auth", "/results/export/more", "/leads/upload/a/b", "/leads/a/b/c"),
    *("/export", "/api/export", "/api/export/", "/api/api/leads", "/apileads", "/LEADS"),
    *("//leads", "/leads//", "/leads//retry", "/leads/a%2Fb", "/leads/a%2Fb/retry", "/leads/%20"),
]
SMALL_LIMIT = 2 << 20


class Running(NamedTuple):
    """The gateway and the two servers behind it."""

    gateway: Gateway
    ingest: Echo
    results: Echo


@pytest.fixture(scope="module")
def running(portal: BlockingPortal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Started once for all tests."""
    ingest, results = Echo("ingest"), Echo("results")
    with served(portal, ingest) as ingest_port, served(portal, results) as results_port:
        ports = {"ingest": ingest_port, "results": results_port}
        for gateway in while_running(lambda at: start_gateway(at, ports), tmp_path_factory.mktemp("nginx")):
            assert isinstance(gateway, Gateway)
            yield Running(gateway, ingest, results)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[RunningServer]:
    """A gateway whose services are down."""
    ports = {"ingest": free_port(), "results": free_port()}
    yield from while_running(lambda at: start_gateway(at, ports), tmp_path)


@pytest.fixture
def connection(running: Running) -> Iterator[http.client.HTTPConnection]:
    """A connection to the gateway that sends a path as it is written."""
    connection = http.client.HTTPConnection(urlsplit(running.gateway.url).netloc, timeout=10)
    yield connection
    connection.close()


def test_the_committed_map_is_the_tables() -> None:
    """A route added to the table reaches the gateway's configuration."""
    assert nginx_routes.TARGET.read_text() == nginx_routes.render()


def test_every_request_goes_where_the_table_says(connection: http.client.HTTPConnection) -> None:
    """Any method on any path, under /api or not, is answered by the service of the table or by nobody."""
    paths = [*LISTED, *(f"{path}/" for path in LISTED), *(f"/api{path}" for path in LISTED), *FURTHER]
    asked = [(method, path) for path in paths for method in METHODS]
    answered = {(method, path): who_answers(connection, method, path) for method, path in asked}
    assert answered == {(method, path): service_for(method, without_prefix(path)) for method, path in asked}
    assert set(answered.values()) == {"ingest", "results", None}


@every_row(
    ("path", "service"),
    [
        ("/leads/../metrics", None),
        ("/leads/%2e%2e/metrics", None),
        ("/leads/..%2fmetrics", None),
        ("/leads/%2e%2e%2Fmetrics", None),
        ("/schema/../metrics", None),
        ("/health/./../metrics", None),
        ("/./metrics", None),
        ("/api/../metrics", None),
        ("/metrics#/../leads", None),
        ("/metrics?/../leads", None),
        ("/metrics/../leads", "results"),
        ("/leads/../results", "results"),
    ],
)
def test_a_path_is_judged_by_where_it_leads(
    connection: http.client.HTTPConnection, path: str, service: str | None
) -> None:
    """No spelling with dots reaches the metrics."""
    assert who_answers(connection, "GET", path) == service


def test_a_request_is_sent_on_as_it_came(connection: http.client.HTTPConnection) -> None:
    """Path, query, host and traceparent are the caller's; connections to a service are used again."""
    target = "/leads/a%2Fb?since=2026-01-01T00%3A00%3A00Z&x=a+b"
    told = [answer(connection, "GET", target, {"traceparent": TRACEPARENT}) for _ in range(2)]
    headers = dict(told[0]["headers"])
    assert told[0]["target"] == target
    assert headers["traceparent"] == TRACEPARENT
    assert headers["host"] == f"{connection.host}:{connection.port}"
    assert told[0]["connection"] == told[1]["connection"]
    told = [answer(connection, "POST", "/offer", body=b"{}") for _ in range(2)]
    assert told[0]["connection"] == told[1]["connection"]


def test_the_caller_is_added_once(connection: http.client.HTTPConnection) -> None:
    """With LEADLINE_TRUSTED_PROXIES=1 the client is whom the gateway saw, whatever the client writes."""
    for sent, received in ({}, "127.0.0.1"), ({"X-Forwarded-For": "203.0.113.7"}, "203.0.113.7, 127.0.0.1"):
        told = answer(connection, "GET", "/leads", sent)
        assert [value for name, value in told["headers"] if name == "x-forwarded-for"] == [received]


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_arrives_while_it_is_sent(
    running: Running, connection: http.client.HTTPConnection, *, chunked: bool
) -> None:
    """The gateway holds back no part of a body, so that an upload is bounded by no disk of its own."""
    running.ingest.arrived.clear()
    connection.putrequest("POST", "/leads/upload")
    connection.putheader(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", "10")))
    connection.endheaders()
    first, second = (b"5\r\nfirst\r\n", b"5\r\nlater\r\n0\r\n\r\n") if chunked else (b"first", b"later")
    connection.send(first)
    assert running.ingest.arrived.wait(5)
    connection.send(second)
    assert json.loads(connection.getresponse().read())["size"] == 10


def test_events_arrive_as_they_are_sent(running: Running, connection: http.client.HTTPConnection) -> None:
    """The gateway holds back no part of an answer."""
    running.results.go_on.clear()
    connection.request("GET", f"/leads/{SOME_ID}/events")
    response = connection.getresponse()
    assert response.readline() == b"data: first\n"
    running.results.go_on.set()
    assert response.read() == b"\ndata: second\n\n"


def test_an_export_waits_for_its_reader(running: Running, connection: http.client.HTTPConnection) -> None:
    """An answer that nobody reads does not pile up in the gateway, whose only disk is its memory."""
    connection.request("GET", "/results/export")
    response = connection.getresponse()
    before = 0
    while (exported := running.results.exported) > before:
        before = exported
        time.sleep(0.5)
    assert 0 < exported < EXPORT_PIECES
    assert len(response.read()) == EXPORT_PIECES << 20


def test_a_big_body_is_refused_where_none_belongs(
    running: Running, connection: http.client.HTTPConnection
) -> None:
    """A service's own limit stays its own to explain; what is far over it does not reach the service."""
    fits = answer(connection, "POST", "/offer", body=bytes(SMALL_LIMIT))
    assert fits["size"] == SMALL_LIMIT
    running.ingest.arrived.clear()
    connection.request("POST", "/offer", body=bytes(SMALL_LIMIT + 1))
    assert_problem(connection.getresponse(), 413)
    assert not running.ingest.arrived.is_set()


@pytest.mark.parametrize("path", ["/leads/upload", f"/leads/upload/{SOME_ID}", "/api/leads/upload/"])
def test_an_upload_may_be_as_big_as_the_service_takes(
    running: Running, connection: http.client.HTTPConnection, path: str
) -> None:
    """The gateway refuses no upload that ingest would take, nor one that ingest itself refuses."""
    running.ingest.arrived.clear()
    connection.putrequest("POST", path)
    connection.putheader("Content-Length", str(MAX_UPLOAD + 1))
    connection.endheaders(b"first")
    assert running.ingest.arrived.wait(5)


def test_no_service_no_answer(connection: http.client.HTTPConnection) -> None:
    """A path that nobody serves is answered by the gateway, in the form of all other errors."""
    connection.request("GET", "/offerings")
    response = connection.getresponse()
    assert response.headers["Server"] == "nginx"
    assert_problem(response, 404)


def test_a_service_that_is_down_is_a_problem_of_a_moment(alone: RunningServer) -> None:
    """A call while a service is being started anew is answered 503, with when to come back."""
    refused = httpx.get(f"{alone.url}/leads", trust_env=False)
    assert refused.status_code == refused.json()["status"] == 503
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert int(refused.headers["Retry-After"]) > 0
    assert "results" in refused.json()["detail"]


def test_the_log_has_the_trace_and_no_query(running: Running, connection: http.client.HTTPConnection) -> None:
    """A line a request, with its trace and service; what may be text of a lead is not in it."""
    path = f"/leads/logged-{time.monotonic_ns()}"
    answer(connection, "GET", f'{path}?name=Secret"Name', {"traceparent": TRACEPARENT})
    deadline = time.monotonic() + 5
    while path not in (text := running.gateway.access_log.read_text()):
        assert time.monotonic() < deadline, "not logged"
    line = json.loads(next(line for line in text.splitlines() if path in line))
    assert (line["path"], line["service"], line["status"]) == (path, "results", "200")
    assert line["traceparent"] == TRACEPARENT
    assert "Secret" not in text


def who_answers(connection: http.client.HTTPConnection, method: str, path: str) -> str | None:
    """Return the service that answered; None where the gateway found none."""
    connection.request(method, path)
    response = connection.getresponse()
    response.read()
    assert response.status == (200 if "x-service" in response.headers else 404), (method, path)
    return response.headers["x-service"]


def answer(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Any:
    """Return what reached the service that answered."""
    connection.request(method, target, body=body, headers=dict(headers or {}))
    return json.loads(connection.getresponse().read())


def assert_problem(response: http.client.HTTPResponse, status: int) -> None:
    """The answer is a problem of this status."""
    problem = json.loads(response.read())
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.status == problem["status"] == status
    assert response.headers.get_all("Cache-Control") == ["no-store"]
    assert response.headers.get_all("X-Content-Type-Options") == ["nosniff"]
    assert problem["type"] == f"urn:leadline:problem:{problem['code']}"
    assert problem["title"]
    assert problem["detail"]


def without_prefix(path: str) -> str:
    """Return what a service takes the path for."""
    taken = []

    async def note(scope: Scope, _receive: Receive, _send: Send) -> None:
        taken.append(scope["path"])

    scope: Any = {"type": "http", "path": unquote(path)}
    asyncio.run(without_api_prefix(note)(scope, None, None))  # type: ignore[arg-type]
    return str(taken[0])
