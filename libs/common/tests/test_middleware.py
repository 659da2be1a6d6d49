"""What is told of requests: traces that go on, log lines, and nothing of what was sent."""

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import structlog
from litestar import get
from litestar.params import FromPath, FromQuery

from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.broker.port import Broker, Message
from leadline_common.http.api import build_app
from leadline_common.http.auth import Authentication, Tokens
from leadline_common.process.service import Health
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_contracts.errors import Problem
from leadline_contracts.scoring import LeadsSubmitted
from leadline_contracts.topology import SUBMISSIONS

TRACE = "0af7651916cd43dd8448eb211c80319c"
GIVEN = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    broker = EmbeddedBroker(tmp_path / "broker.db")
    yield broker
    await broker.close()


@pytest.fixture
async def client(broker: Broker) -> AsyncIterator[httpx.AsyncClient]:
    @get("/publish/{name:str}")
    async def publish(name: FromPath[str], q: FromQuery[str | None] = None) -> None:
        assert q in {None, "secret"}
        await broker.publish([Message(type=LeadsSubmitted.TYPE, id=name, body=b"{}")])

    @get("/refuse")
    async def refuse() -> None:
        raise Problem(409, "No", "Not now.")

    app = build_app(
        "Things",
        [publish, refuse],
        Health([]),
        Metrics(new_registry()),
        Authentication(Tokens([]), open_to_all=True),
    )
    transport = httpx.ASGITransport(cast(Any, app))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as entries:
        yield entries


async def published(broker: Broker) -> Message:
    return (await (await broker.subscribe(SUBMISSIONS, 1)).receive()).message


async def test_a_request_s_trace_goes_on_in_what_it_publishes(
    client: httpx.AsyncClient, broker: EmbeddedBroker
) -> None:
    """Whoever reads the message finds the request that led to it, under a span of Leadline's own.

    What others noted in `tracestate`, be it in several headers, goes on with it.
    """
    noted = [("tracestate", "first=1"), ("tracestate", "second=2")]
    await client.get("/publish/secret", headers=[*GIVEN.items(), *noted])
    headers = (await published(broker)).headers
    assert headers["traceparent"].startswith(f"00-{TRACE}-")
    assert headers["traceparent"] != GIVEN["traceparent"]
    assert headers["tracestate"] == "first=1,second=2"


@pytest.mark.parametrize("headers", [{}, {"traceparent": "nonsense"}])
async def test_a_request_without_a_trace_gets_one(
    client: httpx.AsyncClient, headers: Mapping[str, str], logs: list[Any]
) -> None:
    """Its problem and its log line name the same trace, so that one leads to the other."""
    told = (await client.get("/refuse", headers=headers)).json()
    [line] = logs
    assert told["trace_id"] == line["trace_id"] != TRACE


async def test_of_two_traces_none_is_believed(client: httpx.AsyncClient) -> None:
    """A header that comes twice is no header, as W3C has it."""
    headers = [("traceparent", GIVEN["traceparent"])] * 2
    assert (await client.get("/refuse", headers=headers)).json()["trace_id"] != TRACE


async def test_a_log_line_tells_of_a_request_what_holds_no_text(
    client: httpx.AsyncClient, logs: list[Any]
) -> None:
    """Method, route, status, time and trace, but no value of path or query; and no line for probes."""
    await client.get("/publish/secret?q=secret", headers=GIVEN)
    await client.get("/health/live")
    await client.get("/metrics")
    [line] = logs
    assert (line["event"], line["route"], line["status"]) == ("request", "/publish/{name}", 200)
    assert line["trace_id"] == TRACE
    assert "secret" not in str(line)
