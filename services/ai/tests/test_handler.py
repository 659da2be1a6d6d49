"""Chunks in, answers out: the service's messages, through the real SDK and a real store."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from leadline_ai.cancelled.lookup import CancelledRuns
from leadline_ai.leads.handler import AiHandler
from leadline_ai.leads.policy import Policy
from leadline_ai.metrics import AiMetrics
from leadline_ai.stores.sqlite import SqliteAiStore
from leadline_common.broker.chunks import chunk_message
from leadline_common.broker.port import Message
from leadline_common.clock import now
from leadline_contracts.errors import Permanent, Transient
from leadline_contracts.scoring import AiChunkScored, LeadsAccepted
from leadline_testing import model_behaviour as behaviour
from leadline_testing.model_behaviour import OK
from leadline_testing.model_server import ModelServer

from .lead_cases import about_each, answered_rightly, cache_of, chunk, lead_replica, leads, names, sizes

TEN = leads(10)
UNREADABLE = Message(type=LeadsAccepted.TYPE, id="x", body=b'{"owner": "ann"}')


ANSWER = about_each


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def handler(
    server: ModelServer, store: SqliteAiStore, registry: CollectorRegistry
) -> AsyncIterator[AiHandler]:
    metrics = AiMetrics(registry)
    async with lead_replica(server, store, metrics) as policy:
        yield AiHandler(policy, cache_of(policy).cancelled_runs, metrics)


@pytest.fixture
def offline(store: SqliteAiStore) -> AiHandler:
    return AiHandler(Policy(), CancelledRuns(store, now), AiMetrics(CollectorRegistry()))


async def test_every_chunk_is_answered_by_one_message(server: ModelServer, handler: AiHandler) -> None:
    """An answer names its chunk, holds a score a lead in order, and what the run has spent."""
    chunks = [chunk(leads(25, first), chunk=str(first)) for first in (0, 25)]

    messages = await handler.handle([chunk_message(each) for each in chunks])

    assert [message.id for message in messages] == ["run-1:0:scores.ai.v1", "run-1:25:scores.ai.v1"]
    answers = [AiChunkScored.decode(message.body) for message in messages]
    for each, answer in zip(chunks, answers, strict=True):
        told = (answer.owner, answer.run_id, answer.chunk, answer.offer_id, answer.model)
        assert told == ("ann", "run-1", each.chunk, "offer-1", "standard")
        assert answered_rightly(answer.scores, each.leads)
    spends = [answer.spend for answer in answers]
    assert [spend.calls for spend in spends if spend] == [3, 6]
    assert server.count == 6


async def test_a_redelivered_chunk_gets_the_same_message(server: ModelServer, handler: AiHandler) -> None:
    """A consumer that died before it acknowledged says the same again, and pays nothing for it."""
    [first] = await handler.handle([chunk_message(chunk(TEN))])
    [second] = await handler.handle([replace(chunk_message(chunk(TEN)), attempt=2)])

    assert server.count == 1
    assert first.id == second.id
    assert AiChunkScored.decode(first.body).scores == AiChunkScored.decode(second.body).scores


async def test_the_attempt_decides_between_later_and_never(server: ModelServer, handler: AiHandler) -> None:
    """A provider that is away for an hour sends the message to its retry queue, until the last delivery."""
    server.behave(default=replace(behaviour.RATE_LIMITED, retry_after=3_600))
    message = chunk_message(chunk(TEN))

    for attempt in (1, 4):
        with pytest.raises(Transient):
            await handler.handle([replace(message, attempt=attempt)])
    [last] = await handler.handle([replace(message, attempt=5)])

    assert {score.status for score in AiChunkScored.decode(last.body).scores} == {"fallback"}


async def test_metrics_tell_what_became_of_leads_calls_and_money(
    server: ModelServer, handler: AiHandler, registry: CollectorRegistry
) -> None:
    """Whoever watches the service sees sources, statuses, outcomes of calls, tokens and dollars."""
    server.behave(choose=lambda body: behaviour.REFUSED if "Lead 3" in names(body) else OK)
    for _ in range(2):
        messages = await handler.handle([chunk_message(chunk(TEN))])

    def value(name: str, **labels: str) -> Any:
        return registry.get_sample_value(f"leadline_ai_{name}", labels)

    assert value("leads_total", source="anthropic", status="answered") == 18
    assert value("leads_total", source="offline", status="fallback") == 2
    assert value("cached_leads_total") == 9
    assert value("call_duration_seconds_count", model="claude-haiku-5-5", outcome="refused") == 2
    assert value("call_duration_seconds_count", model="claude-haiku-5-5", outcome="complete") == 9
    spend = AiChunkScored.decode(messages[0].body).spend
    assert spend is not None
    assert value("tokens_total", model="claude-haiku-5-5", kind="input") == spend.input_tokens
    assert value("tokens_total", model="claude-haiku-5-5", kind="output") == spend.output_tokens
    assert value("cost_usd_total", model="claude-haiku-5-5") == pytest.approx(spend.nano_usd / 1e9)


async def test_what_is_no_chunk_can_never_succeed(server: ModelServer, handler: AiHandler) -> None:
    """A body of another shape is refused before anybody is asked."""
    with pytest.raises(Permanent, match=re.escape(LeadsAccepted.TYPE)):
        await handler.handle([UNREADABLE])

    assert server.count == 0


async def test_a_chunk_is_split_in_halves(offline: AiHandler) -> None:
    """One lead that breaks the service ends up alone; what cannot be halved or read is not."""
    halves = [LeadsAccepted.decode(part.body) for part in offline.bisect(chunk_message(chunk(TEN)))]

    assert [len(half.leads) for half in halves] == [5, 5]
    assert offline.bisect(chunk_message(chunk(leads(1)))) == []
    assert offline.bisect(UNREADABLE) == []


@pytest.mark.parametrize(
    ("on_failure", "expected"),
    [("fallback", ("fallback", "offline", "High")), ("fail", ("failed", "anthropic", None))],
)
async def test_giving_up_answers_by_the_setting(
    server: ModelServer, store: SqliteAiStore, on_failure: str, expected: tuple[str, str, str | None]
) -> None:
    """A run does not wait for leads whose message is dead: they fall back or fail, with the reason."""
    async with lead_replica(server, store, ai_on_failure=on_failure) as policy:
        handler = AiHandler(policy, cache_of(policy).cancelled_runs, AiMetrics(CollectorRegistry()))
        [message] = handler.on_dead_letter(chunk_message(chunk(TEN)), "KeyError")

    answer = AiChunkScored.decode(message.body)
    assert message.id == "run-1:0:scores.ai.v1"
    assert [score.lead_id for score in answer.scores] == [lead.id for lead in TEN]
    assert {(score.status, score.source, score.intent) for score in answer.scores} == {expected}
    assert {score.fallback or score.error for score in answer.scores} == {"KeyError"}
    assert answer.spend is None
    assert sizes(server) == []


async def test_giving_up_what_cannot_be_read_answers_nobody(offline: AiHandler) -> None:
    """There is no lead to answer for where the chunk cannot be read."""
    assert offline.on_dead_letter(UNREADABLE, "no chunk") == []
