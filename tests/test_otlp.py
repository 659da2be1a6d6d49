"""Spans at a collector: one trace over all services and of each kind; nothing where nobody asked for them."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal
from tests.conftest import FreshServers
from tests.otlp_collector import Collector, Received, collector
from tests.support import (
    OFFLINE,
    Client,
    Leadline,
    answer_step,
    asking,
    behind_gateway,
    connected,
    embedded,
    make_csv,
    numbered,
)

from leadline_testing.model_server import ModelServer
from leadline_testing.running_server import free_port
from leadline_testing.services import standalone

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STATE = "vendor=p1-q2,rojo@tenant=00f067aa0ba902b7"
HEADERS = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": STATE}
SECRET = "Quetzalcoatlus"
"""A word of leads and messages, which no span may have."""
AT_THE_END = {"OTEL_BSP_SCHEDULE_DELAY": "600000"}
"""Send what there is when stopped, not before."""
AT_ONCE = {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}


@pytest.fixture
def spans() -> Iterator[Collector]:
    """A collector."""
    with collector() as running:
        yield running


@pytest.fixture
def provider(portal: BlockingPortal) -> Iterator[ModelServer]:
    """A local model that can judge leads and answer the steps of a workflow."""
    with portal.wrap_async_context_manager(ModelServer(answer=answer_step)) as server:
        yield server


def test_one_trace_has_spans_of_every_kind_in_one_process(
    spans: Collector, provider: ModelServer, tmp_path: Path
) -> None:
    """What upload, score and message lead to is one tree under the caller's span, sent by its end."""
    settings = {**asking(provider), **AT_THE_END, "OTEL_EXPORTER_OTLP_ENDPOINT": spans.endpoint}
    with embedded(tmp_path, settings) as leadline:
        work_through(leadline)
    check_trace(spans, provider, {"leadline"}, "leadline", "sqlite")


@pytest.mark.servers
def test_one_trace_has_spans_of_every_kind_over_four_services(
    spans: Collector,
    provider: ModelServer,
    portal: BlockingPortal,
    fresh_servers: FreshServers,
    tmp_path: Path,
) -> None:
    """The same over RabbitMQ and MongoDB, where each service sends what it did under its own name."""
    settings = {**asking(provider), **AT_THE_END, "OTEL_EXPORTER_OTLP_ENDPOINT": spans.endpoint}
    with (
        fresh_servers() as urls,
        behind_gateway(portal, *urls, tmp_path / "log", settings) as (leadline, _),
    ):
        work_through(leadline)
    check_trace(spans, provider, {"ingest", "rules", "ai", "results"}, "rabbitmq", "mongodb")


def work_through(leadline: Leadline) -> None:
    """Upload, score and send a message, all as calls of one span, and wait for the end of each."""
    client = leadline.client
    client.create_offer()
    client.http.headers.update(HEADERS)
    client.upload(make_csv(numbered(SECRET, 60)))
    assert client.score()["processed"] == 60
    workflow_id = client.submit(f"What do 40 seats cost? My name is {SECRET}.")
    for name in HEADERS:
        del client.http.headers[name]
    assert client.ended_workflow(workflow_id)["status"] == "completed"


def check_trace(spans: Collector, provider: ModelServer, services: set[str], broker: str, store: str) -> None:
    """Hold what was received against the pipeline."""
    found = [span for span in spans.spans if span.trace_id == TRACE]
    assert {span.service for span in found} == services
    named = {(span.kind, span.name) for span in found}
    assert {
        ("server", "POST /leads/upload"),
        ("server", "POST /score"),
        ("server", "POST /leads"),
        ("internal", "publish run"),
        ("producer", "publish leads.accepted.v1"),
        ("consumer", "process leadline.rules.leads"),
        ("consumer", "process leadline.ai.leads"),
        ("producer", "publish scores.ai.v1"),
        ("consumer", "process leadline.results.ai"),
        ("consumer", "process leadline.ai.classify"),
        ("producer", "publish workflows.ended.v1"),
    } <= named
    ids = {span.span_id for span in found} | {CALLER}
    assert {span.name for span in found if span.parent not in ids} == set()
    assert {span.state for span in found} == {STATE}
    assert not [span for span in found if span.failed]
    check_calls(found, provider, broker, store)
    # A batch of several messages belongs to no trace alone.
    batches = [span for span in spans.spans if "messaging.batch.message_count" in span.attributes]
    assert all(len(span.links) == int(span.attributes["messaging.batch.message_count"]) for span in batches)
    assert not [body for body in spans.bodies if SECRET.encode() in body]


def check_calls(found: list[Received], provider: ModelServer, broker: str, store: str) -> None:
    """The calls to others name whom they called, in the words of OpenTelemetry's conventions."""
    [score] = [span for span in found if span.name == "POST /score"]
    assert score.attributes.items() >= {"http.route": "/score", "http.response.status_code": "200"}.items()
    chats = [span for span in found if span.attributes.get("gen_ai.operation.name") == "chat"]
    assert {span.attributes["gen_ai.provider.name"] for span in chats} == {"anthropic"}
    assert len(chats) == provider.count
    assert all(int(span.attributes["gen_ai.usage.output_tokens"]) > 0 for span in chats)
    assert not [one for one in provider.requests if {"traceparent", "tracestate"} & one.headers.keys()]
    calls = [span for span in found if "db.system.name" in span.attributes]
    assert {span.attributes["db.system.name"] for span in calls} == {store}
    assert {span.kind for span in [*chats, *calls]} == {"client"}
    messages = [span for span in found if span.kind in {"producer", "consumer"}]
    assert {span.attributes["messaging.system"] for span in messages} == {broker}


def test_probes_have_no_spans(spans: Collector, tmp_path: Path) -> None:
    """Health checks and metrics come every few seconds and would bury the rest."""
    with embedded(
        tmp_path, {**OFFLINE, **AT_THE_END, "OTEL_EXPORTER_OTLP_ENDPOINT": spans.endpoint}
    ) as leadline:
        for path in ("/health", "/health/live", "/metrics", "/nowhere"):
            leadline.client.http.get(path)
    assert [span.name for span in spans.spans if span.kind == "server"] == ["GET"]


def test_a_service_can_have_another_name(spans: Collector, tmp_path: Path) -> None:
    """OTEL_SERVICE_NAME and what the SDK reads besides hold."""
    settings = {
        **{**OFFLINE, **AT_THE_END, "OTEL_EXPORTER_OTLP_ENDPOINT": f"{spans.endpoint}/"},
        "OTEL_SERVICE_NAME": "scoring",
        "OTEL_TRACES_SAMPLER": "parentbased_always_off",
    }
    with embedded(tmp_path, settings) as leadline:
        assert leadline.client.http.get("/nowhere").status_code == 404
        assert leadline.client.http.get("/nowhere", headers=HEADERS).json()["trace_id"] == TRACE
    assert {(span.service, span.trace_id) for span in spans.spans if span.kind == "server"} == {
        ("scoring", TRACE)
    }


@pytest.mark.parametrize("disabled", [False, True])
def test_nothing_is_loaded_or_sent_unasked(spans: Collector, tmp_path: Path, disabled: bool) -> None:
    """Without an endpoint, also an empty one, there is no SDK; OTEL_SDK_DISABLED has nothing sent either.

    Requests have a trace all the same.
    """
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": spans.endpoint, "OTEL_SDK_DISABLED": "true"}
    settings = {
        **{**OFFLINE, **AT_ONCE, "PYTHONPROFILEIMPORTTIME": "1", "OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        **(asked if disabled else {}),
    }
    with embedded(tmp_path, settings, fresh=True) as leadline:
        answer = leadline.client.http.get("/nowhere", headers=HEADERS)
        assert answer.json()["trace_id"] == TRACE
        assert len(leadline.client.http.get("/nowhere").json()["trace_id"]) == len(TRACE)
    log = (tmp_path / "log").read_text()
    assert "opentelemetry.trace\n" in log
    assert ("opentelemetry.sdk" in log, "opentelemetry.exporter" in log) == (disabled, disabled)
    assert not spans.bodies


@pytest.mark.slow
def test_a_collector_that_fails_is_told_of_once(spans: Collector, tmp_path: Path) -> None:
    """One line when spans are first lost and one when they are taken again, however long it lasts."""
    spans.status = 500
    settings = {**OFFLINE, **AT_ONCE, "OTEL_EXPORTER_OTLP_ENDPOINT": spans.endpoint}
    with embedded(tmp_path, settings) as leadline:
        ask_until(leadline.client, lambda: len(spans.bodies) >= 3)
        spans.status = 200
        ask_until(leadline.client, lambda: "spans_exported_again" in told(leadline.log))
    events = [event for event in told(leadline.log) if "export" in event.lower()]
    assert events == ["spans_not_exported", "spans_exported_again"]


@pytest.mark.slow
@pytest.mark.parametrize("silent", [False, True], ids=["not there", "silent"])
def test_an_end_does_not_wait_for_a_collector(spans: Collector, tmp_path: Path, silent: bool) -> None:
    """Requests are answered, and the process ends in order, though nobody takes its spans."""
    spans.silent.set()
    endpoint = spans.endpoint if silent else f"http://127.0.0.1:{free_port()}"
    settings = {**OFFLINE, "OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    # A minute for a single attempt, far beyond what the process may take.
    settings |= {"OTEL_EXPORTER_OTLP_TIMEOUT": "60"}
    log = tmp_path / "log"
    with standalone(tmp_path / "data", settings, log) as process, connected(process.address) as client:
        ask_until(client, lambda: bool(spans.bodies) or not silent)
        assert process.stop() == 0
    assert "end_forced" not in told(log)
    assert not [event for event in told(log) if "export" in event.lower()]


def ask_until(client: Client, seen: Callable[[], bool], seconds: float = 60) -> None:
    """Make requests, which are answered, until something is seen."""
    deadline = time.monotonic() + seconds
    while True:
        assert client.http.get("/nowhere").status_code == 404
        if seen():
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def told(log: Path) -> list[str]:
    """Return the events of a log."""
    lines = log.read_text(encoding="utf-8").splitlines()
    return [str(json.loads(line)["event"]) for line in lines if line.startswith("{")]
