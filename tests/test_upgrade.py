"""Messages that version 1 left in queues, or still sends while it is replaced, are handled by today's."""

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractQueue
from anyio.from_thread import BlockingPortal
from tests.conftest import FreshServers
from tests.support import Client, Leadline, behind_gateway

from leadline_common.ids import new_id
from leadline_contracts.inbound import (
    ClassifyStep,
    ExtractStep,
    JudgeStep,
    MessageAccepted,
    MessageSubmitted,
    RouteStep,
    StepFinished,
)
from leadline_contracts.scoring import (
    AiChunkScored,
    LeadsAccepted,
    LeadsSubmitted,
    RulesScored,
    RunPublished,
    RunStarted,
)
from leadline_contracts.topology import LEADLINE, RESULT_LEADS

pytestmark = [pytest.mark.servers, pytest.mark.slow]

GOLDEN = Path(__file__).parent / "golden"
T = TypeVar("T")


class OldVersion:
    """Publishes what version 1 wrote, with the headers of then: none."""

    def __init__(self, portal: BlockingPortal, channel: AbstractChannel, finished: AbstractQueue) -> None:
        self._portal = portal
        self._channel = channel
        self._finished = finished

    def publish(self, kind: str, queue: str | None = None, **changes: object) -> dict[str, Any]:
        """Publish the golden message of a type, to one queue where that is named; return its body."""
        body: dict[str, Any] = json.loads((GOLDEN / f"{kind}.json").read_text(encoding="utf-8")) | changes
        message = aio_pika.Message(
            json.dumps(body).encode(),
            type=kind,
            message_id=new_id(),
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        self._portal.call(self._publish, message, queue, kind)
        return body

    def finished_step(self, workflow_id: str) -> dict[str, Any]:
        """Wait for the answer to a step of a workflow that version 1 follows."""

        def answer() -> dict[str, Any] | None:
            incoming = self._portal.call(lambda: self._finished.get(fail=False, no_ack=True))
            body = json.loads(incoming.body) if incoming else {}
            return body if body.get("workflow_id") == workflow_id else None

        return until(answer)

    async def _publish(self, message: aio_pika.Message, queue: str | None, kind: str) -> None:
        if queue is None:
            exchange = await self._channel.get_exchange(LEADLINE.exchange)
            await exchange.publish(message, kind)
        else:
            await self._channel.default_exchange.publish(message, queue)


@asynccontextmanager
async def connected_to(broker_url: str) -> AsyncIterator[tuple[AbstractChannel, AbstractQueue]]:
    """Give a channel, and a queue that gets a copy of every step's answer."""
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()
        finished = await channel.declare_queue(exclusive=True)
        await finished.bind(LEADLINE.exchange, StepFinished.TYPE)
        yield channel, finished


@pytest.fixture(scope="module")
def leadline(
    portal: BlockingPortal, fresh_servers: FreshServers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Leadline]:
    """Today's four services."""
    log = tmp_path_factory.mktemp("upgrade") / "log"
    with fresh_servers() as urls, behind_gateway(portal, *urls, log) as (leadline, _):
        yield leadline


@pytest.fixture(scope="module")
def old(leadline: Leadline, portal: BlockingPortal) -> Iterator[OldVersion]:
    """Version 1, beside them."""
    assert leadline.broker_url is not None
    with portal.wrap_async_context_manager(connected_to(leadline.broker_url)) as (channel, finished):
        yield OldVersion(portal, channel, finished)


@pytest.fixture
def client(leadline: Leadline) -> Client:
    return leadline.client


def until(ask: Callable[[], T | None], seconds: float = 30) -> T:
    """Ask until there is an answer."""
    deadline = time.monotonic() + seconds
    while (answer := ask()) is None:
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)
    return answer


def test_a_run_that_an_older_ingest_published_is_scored(old: OldVersion, client: Client) -> None:
    """Its leads get a full score and the run ends."""
    ids = {"run_id": new_id(), "offer_id": new_id()}
    old.publish(RunStarted.TYPE, **ids)
    chunk = old.publish(LeadsAccepted.TYPE, **ids)
    old.publish(RunPublished.TYPE, **ids, total=1)
    run = client.finished_run(ids["run_id"])
    assert (run["total"], run["scored"], run["trace_id"] is None) == (1, 1, False)
    [result] = client.results(run_id=ids["run_id"])
    assert (result["name"], result["status"]) == (chunk["leads"][0]["name"], "scored")


def test_scores_of_an_older_rules_and_ai_are_merged(old: OldVersion, client: Client) -> None:
    """The points and the words of then stand in the result, and the lead is not scored again."""
    ids = {"run_id": new_id(), "offer_id": new_id()}
    by_rules = old.publish(RulesScored.TYPE, **ids)["scores"][0]
    by_ai = old.publish(AiChunkScored.TYPE, **ids)["scores"][0]
    old.publish(LeadsAccepted.TYPE, RESULT_LEADS.name, **ids)
    [result] = until(lambda: client.results(run_id=ids["run_id"]) or None)
    assert (result["rule_score"], result["reasoning"]) == (by_rules["points"], by_ai["reasoning"])


def test_a_message_that_an_older_ingest_accepted_ends(old: OldVersion, client: Client) -> None:
    """Its workflow goes through all steps."""
    workflow_id = new_id()
    old.publish(MessageAccepted.TYPE, owner="local", workflow_id=workflow_id)
    until(lambda: client.http.get(f"/leads/{workflow_id}").is_success or None)
    assert client.ended_workflow(workflow_id)["status"] == "completed"


@pytest.mark.parametrize("kind", [ClassifyStep.TYPE, ExtractStep.TYPE, RouteStep.TYPE, JudgeStep.TYPE])
def test_a_step_that_an_older_results_asked_for_is_answered(old: OldVersion, kind: str) -> None:
    """The answer names the step and the epoch that were asked for, and holds an output."""
    workflow_id = new_id()
    asked = old.publish(kind, workflow_id=workflow_id)
    answer = old.finished_step(workflow_id)
    assert (answer["step"], answer["epoch"]) == (asked["step"], asked["epoch"])
    assert answer["output"]


@pytest.mark.parametrize("kind", [LeadsSubmitted.TYPE, MessageSubmitted.TYPE])
def test_what_other_systems_submit_as_ever_is_taken(old: OldVersion, client: Client, kind: str) -> None:
    """The public contracts of the queue entrypoint hold."""
    before = len(client.results()), len(client.workflows())
    old.publish(kind, owner="local", **({"offer_id": None} if kind == LeadsSubmitted.TYPE else {}))
    until(lambda: (len(client.results()), len(client.workflows())) > before or None)
