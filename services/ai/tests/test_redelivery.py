"""Messages that come again, since the provider or the time told them to wait."""

import asyncio
import time
from dataclasses import replace

import pytest

from leadline_ai.leads import assessor
from leadline_ai.stores.sqlite import SqliteAiStore
from leadline_contracts.errors import Transient
from leadline_contracts.topology import MAX_ATTEMPTS
from leadline_testing import model_behaviour as behaviour
from leadline_testing.model_behaviour import OK, Behaviour
from leadline_testing.model_server import ModelServer

from .lead_cases import about_each, answered_rightly, asked, chunk, lead_replica, leads, names

TEN = leads(10)
FIFTY = leads(50)
AN_HOUR = replace(behaviour.RATE_LIMITED, retry_after=3_600)


ANSWER = about_each


async def test_a_redelivery_asks_only_about_what_waits(server: ModelServer, store: SqliteAiStore) -> None:
    """Half a chunk is answered, the other half told to wait for an hour: that half alone is asked again."""
    server.behave(choose=lambda body: AN_HOUR if "Lead 5" in names(body) else OK)
    async with lead_replica(server, store, ai_leads_per_request=5) as policy:
        with pytest.raises(Transient, match="left alone"):
            await policy.score(chunk(TEN), 1)
    server.behave(choose=lambda _: OK)
    async with lead_replica(server, store, ai_leads_per_request=5) as policy:
        scored = await policy.score(chunk(TEN), 2)

    assert asked(server) == {lead.name: 1 if n < 5 else 2 for n, lead in enumerate(TEN)}
    assert answered_rightly(scored.scores, TEN)


async def test_calls_count_over_redeliveries(server: ModelServer, store: SqliteAiStore) -> None:
    """A message that comes again has the calls left that its leads have, not as many as at first."""
    server.behave(default=replace(behaviour.RATE_LIMITED, retry_after=60))
    for attempt in (1, 2):
        async with lead_replica(server, store, ai_attempts=3) as policy:
            with pytest.raises(Transient):
                await policy.score(chunk(TEN), attempt)
    async with lead_replica(server, store, ai_attempts=3) as policy:
        scored = await policy.score(chunk(TEN), 3)

    assert server.count == 3
    assert {score.fallback for score in scored.scores} == {"Anthropic has too much to do (429)"}


async def test_retry_after_within_the_cap_is_waited_for(server: ModelServer, store: SqliteAiStore) -> None:
    """A provider that asks for some time gets it, and then the question."""
    server.behave(replace(behaviour.RATE_LIMITED, retry_after=0.3), default=OK)
    started = time.monotonic()
    async with lead_replica(server, store) as policy:
        scored = await policy.score(chunk(TEN), 1)

    assert time.monotonic() - started >= 0.3
    assert server.count == 2
    assert answered_rightly(scored.scores, TEN)


@pytest.mark.parametrize(("on_failure", "status"), [("fallback", "fallback"), ("fail", "failed")])
async def test_retry_after_beyond_the_cap_is_left_to_the_retry_queue(
    server: ModelServer, store: SqliteAiStore, on_failure: str, status: str
) -> None:
    """No message is held for an hour: it comes again, asks nobody, and ends at its last delivery."""
    server.behave(default=AN_HOUR)
    async with lead_replica(server, store, ai_on_failure=on_failure) as policy:
        for attempt in range(1, MAX_ATTEMPTS):
            with pytest.raises(Transient, match="asks to be left alone"):
                await policy.score(chunk(TEN), attempt)
        scored = await policy.score(chunk(TEN), MAX_ATTEMPTS)

    assert server.count == 1
    assert {score.status for score in scored.scores} == {status}
    assert {score.fallback or score.error for score in scored.scores} == {
        "anthropic asks to be left alone for a while"
    }


async def test_a_chunk_ends_in_time_and_keeps_what_was_answered(
    server: ModelServer, store: SqliteAiStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow provider does not hold a message for ever: the rest comes again and goes on where it stopped."""
    monkeypatch.setattr(assessor, "MESSAGE_SECONDS", 0.3)
    server.behave(default=Behaviour(latency=0.12))
    async with lead_replica(server, store, ai_concurrency=1) as policy:
        with pytest.raises(Transient, match="the time for its chunk was over"):
            await policy.score(chunk(FIFTY), 1)
        first = server.count
        assert 1 <= first < 5
        server.behave(default=OK)
        scored = await policy.score(chunk(FIFTY), 2)

    assert server.count == 5
    assert answered_rightly(scored.scores, FIFTY)


async def test_the_last_delivery_gives_out_what_the_time_allowed(
    server: ModelServer, store: SqliteAiStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no sixth delivery: what was not asked about in time falls back, and says so."""
    monkeypatch.setattr(assessor, "MESSAGE_SECONDS", 0.3)
    server.behave(default=Behaviour(latency=0.2))
    async with lead_replica(server, store, ai_concurrency=1) as policy:
        scored = await policy.score(chunk(FIFTY), MAX_ATTEMPTS)

    reasons = [score.fallback for score in scored.scores]
    assert 10 <= reasons.count(None) < 50
    assert {reason for reason in reasons if reason} == {
        "the time for its chunk was over before its turn came"
    }


async def test_two_deliveries_at_once_ask_once(server: ModelServer, store: SqliteAiStore) -> None:
    """A broker that lost its connection delivers again what is still being answered: nobody pays twice."""
    server.behave(default=Behaviour(latency=0.05))
    async with lead_replica(server, store) as policy:
        first, second = await asyncio.gather(*(policy.score(chunk(TEN), 1) for _ in range(2)))
    assert server.count == 1
    assert first.scores == second.scores


async def test_calls_count_on_after_a_chunk_that_failed(server: ModelServer, store: SqliteAiStore) -> None:
    """A message that comes again after its answer was lost gives no lead more calls than it is worth."""
    server.behave(default=behaviour.MALFORMED)
    async with lead_replica(server, store, ai_attempts=3) as policy:
        for _ in range(2):
            await policy.score(chunk(TEN), 1)
    assert max(asked(server).values()) == 3
