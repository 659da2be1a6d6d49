"""Runs that were cancelled: nobody is asked any more, and what is paid for stays."""

import asyncio
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from leadline_ai.cancelled import lookup
from leadline_ai.cancelled.handler import CancelledRunsHandler
from leadline_ai.cancelled.lookup import CancelledRuns
from leadline_ai.leads.handler import AiHandler
from leadline_ai.leads.policy import Policy
from leadline_ai.metrics import AiMetrics
from leadline_ai.stores.sqlite import SqliteAiStore
from leadline_common.broker.chunks import chunk_message, message_of
from leadline_common.broker.port import Message
from leadline_common.clock import now
from leadline_contracts.scoring import CANCELLED, AiChunkScored, RunCancelled
from leadline_testing.model_behaviour import OK
from leadline_testing.model_server import ModelServer

from .lead_cases import about_each, cache_of, chunk, lead_replica, leads

ANSWER = about_each


class CountingStore(SqliteAiStore):
    """The real store, which counts how often it is asked for a cancelled run."""

    looked_up = 0

    async def cancelled(self, owner: str, run_id: str) -> bool:
        self.looked_up += 1
        return await super().cancelled(owner, run_id)


def cancellation(run_id: str = "run-1", owner: str = "ann") -> Message:
    event = RunCancelled(owner=owner, run_id=run_id, offer_id="offer-1", model="standard", total=50)
    return message_of(event, f"{run_id}:{RunCancelled.TYPE}")


def handler_of(policy: Policy) -> AiHandler:
    return AiHandler(policy, cache_of(policy).cancelled_runs, AiMetrics(CollectorRegistry()))


async def test_a_chunk_of_a_cancelled_run_is_dropped_by_every_replica(
    server: ModelServer, store: SqliteAiStore
) -> None:
    """The replica that takes in the word tells the others, and none of them asks or falls back."""
    async with lead_replica(server, store) as first, lead_replica(server, store) as second:
        await CancelledRunsHandler(cache_of(first).cancelled_runs).handle([cancellation()])
        for policy in (first, second):
            [message] = await handler_of(policy).handle([chunk_message(chunk(leads(10)))])
            answer = AiChunkScored.decode(message.body)
            assert [(score.status, score.error) for score in answer.scores] == [("failed", CANCELLED)] * 10
            assert answer.spend is None
        assert server.count == 0
        for other in (chunk(leads(10), owner="bob"), chunk(leads(10), run_id="run-2")):
            [message] = await handler_of(second).handle([chunk_message(other)])
            assert {score.status for score in AiChunkScored.decode(message.body).scores} == {"answered"}


async def test_the_offline_assessor_drops_as_well(store: SqliteAiStore) -> None:
    """A cancelled run is scored no further where nothing is paid for either."""
    cancelled_runs = CancelledRuns(store, now)
    await cancelled_runs.note("ann", "run-1")
    handler = AiHandler(Policy(), cancelled_runs, AiMetrics(CollectorRegistry()))
    [message] = await handler.handle([chunk_message(chunk(leads(3)))])
    assert {score.error for score in AiChunkScored.decode(message.body).scores} == {CANCELLED}


async def test_what_is_under_way_is_kept_and_no_more_is_asked(
    server: ModelServer, store: SqliteAiStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled in the middle of a chunk, the request under way is answered and paid, the rest never sent."""
    monkeypatch.setattr(lookup, "_FRESH_SECONDS", 0.0)
    server.behave(default=replace(OK, latency=0.3))
    async with lead_replica(server, store, ai_concurrency=1, ai_leads_per_request=5) as policy:
        scoring = asyncio.create_task(handler_of(policy).handle([chunk_message(chunk(leads(50)))]))
        async with asyncio.timeout(10):
            while not server.count:  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0.01)
        await store.note_cancelled("ann", "run-1", now())
        [message] = await scoring
    answer = AiChunkScored.decode(message.body)
    answered = [score for score in answer.scores if score.status == "answered"]
    assert len(answered) == 5
    assert {score.error for score in answer.scores if score not in answered} == {CANCELLED}
    assert server.count == 1
    assert answer.spend is not None
    assert answer.spend.calls == 1
    assert await store.committed("run:run-1") == answer.spend.nano_usd


async def test_looking_up_costs_one_question_a_second(tmp_path_factory: pytest.TempPathFactory) -> None:
    """However many chunks of a run come, the store is asked once a second, and after its yes never."""
    store = CountingStore(tmp_path_factory.mktemp("ai") / "ai.db")
    cancelled_runs = CancelledRuns(store, now)
    assert not any([await cancelled_runs.includes("ann", "run-1") for _ in range(100)])
    assert store.looked_up == 1
    await store.note_cancelled("ann", "run-1", now())
    async with asyncio.timeout(10):
        while not await cancelled_runs.includes("ann", "run-1"):  # noqa: ASYNC110 - the time is what is tested
            await asyncio.sleep(0.05)
    asked = store.looked_up
    assert all([await cancelled_runs.includes("ann", "run-1") for _ in range(100)])
    assert store.looked_up == asked
    await store.close()


async def test_what_is_remembered_of_runs_is_bounded(
    store: SqliteAiStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After many runs a process remembers the newest only, and still answers rightly for the oldest."""
    monkeypatch.setattr(lookup, "_REMEMBERED", 5)
    cancelled_runs = CancelledRuns(store, now)
    for number in range(20):
        await cancelled_runs.note("ann", f"cancelled-{number}")
        await cancelled_runs.includes("ann", f"open-{number}")
    assert len(cancelled_runs._cancelled) == len(cancelled_runs._fresh_until) == 5
    assert await cancelled_runs.includes("ann", "cancelled-0")
    assert not await cancelled_runs.includes("ann", "open-0")
