"""One trace from a request through every message to the result, over RabbitMQ and in one process."""

import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractQueue
from anyio.from_thread import BlockingPortal
from tests.conftest import FreshServers
from tests.support import Leadline, behind_gateway, embedded, make_csv, numbered

from leadline_common.telemetry.tracing import trace_id_of
from leadline_contracts.inbound import (
    ClassifyStep,
    ExtractStep,
    JudgeStep,
    MessageAccepted,
    RouteStep,
    StepFinished,
    WorkflowEnded,
)
from leadline_contracts.scoring import (
    AiChunkScored,
    LeadsAccepted,
    ResultsScored,
    RulesScored,
    RunFinished,
    RunPublished,
    RunStarted,
)
from leadline_contracts.topology import LEADLINE

TRACE = "0af7651916cd43dd8448eb211c80319c"
HEADERS = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
OF_A_RUN = {
    kind.TYPE
    for kind in (
        RunStarted,
        LeadsAccepted,
        RulesScored,
        AiChunkScored,
        ResultsScored,
        RunPublished,
        RunFinished,
    )
}
OF_A_WORKFLOW = {
    kind.TYPE
    for kind in (
        MessageAccepted,
        ClassifyStep,
        ExtractStep,
        RouteStep,
        JudgeStep,
        StepFinished,
        WorkflowEnded,
    )
}


@pytest.fixture(scope="module", params=["one process", pytest.param("services", marks=pytest.mark.servers)])
def leadline(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leadline]:
    """A Leadline of each kind, with a log of its own."""
    folder = tmp_path_factory.mktemp("traced")
    if request.param == "one process":
        with embedded(folder) as leadline:
            yield leadline
        return
    portal: BlockingPortal = request.getfixturevalue("portal")
    fresh: FreshServers = request.getfixturevalue("fresh_servers")
    with fresh() as urls, behind_gateway(portal, *urls, folder / "log") as (leadline, _):
        yield leadline


def test_a_run_is_found_by_the_trace_of_its_request(leadline: Leadline, portal: BlockingPortal) -> None:
    """Every message of the run, its log lines and the run itself name the trace of POST /score."""
    client = leadline.client
    client.upload_new(make_csv(numbered("Ada", 120)))
    with listening(leadline, portal) as heard:
        client.http.headers.update(HEADERS)
        run_id = client.score()["run_id"]
        del client.http.headers["traceparent"]
        assert client.finished_run(run_id)["trace_id"] == TRACE
        heard.await_types(OF_A_RUN, ("run_id", run_id))
    lines = traced_lines(leadline.log, "run_published", "run_finished")
    assert {line.get("run_id") for line in lines} == {run_id}


def test_a_workflow_is_found_by_the_trace_of_its_message(leadline: Leadline, portal: BlockingPortal) -> None:
    """Every step's message and answer, handled many together, stay in the trace of POST /leads."""
    client = leadline.client
    with listening(leadline, portal) as heard:
        for _ in range(5):
            client.submit("Another message, of another trace")
        client.http.headers.update(HEADERS)
        workflow_id = client.submit("What does it cost for 40 seats? I can pay 1,500 dollars.")
        del client.http.headers["traceparent"]
        assert client.ended_workflow(workflow_id)["trace_id"] == TRACE
        heard.await_types(OF_A_WORKFLOW, ("workflow_id", workflow_id))


def test_a_refusal_names_the_trace_of_its_request(leadline: Leadline) -> None:
    """Who reports a problem gives the id under which its log line is found."""
    trace = "1" * 32
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    answer = leadline.client.http.get("/runs/nobody-knows", headers=headers)
    assert (answer.status_code, answer.json()["trace_id"]) == (404, trace)
    [line] = traced_lines(leadline.log, "request", trace=trace)
    assert (line["route"], line["status"]) == ("/runs/{run_id}", 404)


def traced_lines(log: Path, *events: str, trace: str = TRACE) -> list[dict[str, Any]]:
    """Return the log lines of those events in the trace, once there are some."""
    deadline = time.monotonic() + 60
    while True:
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line[:1] == "{"]
        found = [line for line in lines if line["event"] in events and line.get("trace_id") == trace]
        if len({line["event"] for line in found}) == len(events):
            return found
        assert time.monotonic() < deadline, f"no {events} in {lines}"
        time.sleep(0.05)


class Heard:
    """What was published meanwhile; where it cannot be listened to, nothing is awaited."""

    def __init__(self, portal: BlockingPortal | None, queue: Any) -> None:
        self._portal = portal
        self._queue = queue

    def await_types(self, types: set[str], about: tuple[str, str], seconds: float = 20) -> None:
        """Wait for a message of each type in the trace; each names what it is about, each hop has a span."""
        if self._portal is None:
            return
        missing, spans = set(types), set()
        deadline = time.monotonic() + seconds
        while missing and time.monotonic() < deadline:
            incoming = self._portal.call(lambda: self._queue.get(fail=False))
            if incoming is None:
                time.sleep(0.05)
            elif trace_id_of(traceparent := incoming.headers.get("traceparent")) == TRACE:
                assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", traceparent)
                assert about in incoming.headers.items()
                spans.add(traceparent)
                missing.discard(incoming.type)
        assert not missing
        assert HEADERS["traceparent"] not in spans
        assert len(spans) > 2


@contextmanager
def listening(leadline: Leadline, portal: BlockingPortal) -> Iterator[Heard]:
    """Hear all messages of a Leadline over RabbitMQ."""
    if leadline.broker_url is None:
        yield Heard(None, None)
        return
    with portal.wrap_async_context_manager(all_messages(leadline.broker_url)) as queue:
        yield Heard(portal, queue)


@asynccontextmanager
async def all_messages(broker_url: str) -> AsyncIterator[AbstractQueue]:
    """Give a queue that gets a copy of every message."""
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(LEADLINE.exchange, "#")
        yield queue
