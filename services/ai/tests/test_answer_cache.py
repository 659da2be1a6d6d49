"""The answer cache: what was paid for is stored before it is given out, used again, never paid for twice."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leadline_ai.budget.store import Budget
from leadline_ai.cache import retry
from leadline_ai.cache.store import StoredAnswer
from leadline_ai.leads.policy import Policy
from leadline_ai.stores.sqlite import SqliteAiStore
from leadline_contracts.errors import Unavailable
from leadline_contracts.scoring import IcpSpec, LeadsAccepted
from leadline_testing import model_behaviour as behaviour
from leadline_testing.model_behaviour import OK, Behaviour
from leadline_testing.model_server import ModelServer

from .lead_cases import (
    OFFER,
    about_each,
    answered_rightly,
    asked,
    cache_of,
    chunk,
    lead_replica,
    leads,
    sizes,
)

TEN = leads(10)
FIFTY = leads(50)
WITH_MORE = [
    lead.model_copy(
        update={"row": n, "external_id": f"crm-{n}", "extra": {"Private note": f"cell {n}", "": "x"}}
    )
    for n, lead in enumerate(TEN, 2)
]
"""The same leads with all that their sender's file held besides."""
AN_HOUR = replace(behaviour.RATE_LIMITED, retry_after=3_600)


ANSWER = about_each


class StoreWithOutages(SqliteAiStore):
    """Does not answer the calls of a method for which its script says so."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.script: dict[str, list[str]] = {}

    async def keep_answers(self, owner: str, answers: Sequence[StoredAnswer]) -> None:
        self._fail("keep_answers")
        await super().keep_answers(owner, answers)

    async def note_calls(self, run_id: str, calls: Mapping[str, int]) -> None:
        self._fail("note_calls")
        await super().note_calls(run_id, calls)

    async def reserve(self, budgets: Sequence[Budget], amount: int) -> Budget | None:
        self._fail("reserve")
        return await super().reserve(budgets, amount)

    def _fail(self, method: str) -> None:
        if (script := self.script.get(method)) and script.pop(0) == "away":
            raise Unavailable("the store is away")


@pytest.fixture
async def failing_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StoreWithOutages]:
    monkeypatch.setattr(retry, "_RETRY_SECONDS", 0.01)
    opened = StoreWithOutages(tmp_path / "failing.db")
    yield opened
    await opened.close()


SAME = [
    pytest.param(chunk(TEN), id="redelivered"),
    pytest.param(chunk(TEN, run_id="run-2"), id="next-run"),
    pytest.param(chunk(TEN, model="graded"), id="other-scoring-model"),
    pytest.param(chunk([lead.model_copy(update={"id": f"new-{lead.id}"}) for lead in TEN]), id="other-ids"),
    pytest.param(chunk(TEN, offer=OFFER.model_copy(update={"id": "offer-2"})), id="other-offer-id"),
    pytest.param(chunk([lead.model_copy(update={"role": " CEO\n"}) for lead in TEN]), id="other-space"),
    pytest.param(chunk(WITH_MORE), id="other-columns"),
]


@pytest.mark.parametrize("again", SAME)
async def test_the_same_input_returns_the_stored_answers(
    server: ModelServer, store: SqliteAiStore, again: LeadsAccepted
) -> None:
    """What offer and leads say is asked about once; ids, runs and scoring models make no difference."""
    async with lead_replica(server, store) as policy:
        first = await policy.score(chunk(TEN), 1)
        second = await policy.score(again, 1)

    assert server.count == 1
    assert answered_rightly(second.scores, again.leads)
    assert [score.intent for score in second.scores] == [score.intent for score in first.scores]
    assert [score.confidence for score in second.scores] == [score.confidence for score in first.scores]
    assert second.spend is not None
    assert (second.spend.calls, second.spend.cached) == (1 if again.run_id == "run-1" else 0, 10)


async def test_other_columns_never_reach_a_provider(server: ModelServer, store: SqliteAiStore) -> None:
    """What a file holds besides the six fields, its row numbers and external ids stay here."""
    async with lead_replica(server, store) as policy:
        scored = await policy.score(chunk(WITH_MORE), 1)

    assert answered_rightly(scored.scores, WITH_MORE)
    [request] = server.requests
    sent = json.dumps(request.body)
    assert TEN[0].name in sent
    assert not [word for word in ("Private note", "cell 2", "crm-2", "external_id", "extra") if word in sent]


async def test_answers_survive_a_restart(server: ModelServer, tmp_path: Path) -> None:
    """A process that starts over the same file asks for nothing that it holds."""
    scores = []
    for _ in range(2):
        store = SqliteAiStore(tmp_path / "ai.db")
        async with lead_replica(server, store) as policy:
            scores.append((await policy.score(chunk(TEN), 1)).scores)
        await store.close()

    assert server.count == 1
    assert scores[0] == scores[1]


OTHER = [
    pytest.param({"owner": "ben"}, id="owner"),
    pytest.param({"offer": OFFER.model_copy(update={"name": "Cold Chain"})}, id="offer-name"),
    pytest.param({"offer": OFFER.model_copy(update={"value_props": ["24/7"]})}, id="value-props"),
    pytest.param({"offer": OFFER.model_copy(update={"icp": IcpSpec(roles=["CEO"])})}, id="icp"),
    pytest.param({"leads": [lead.model_copy(update={"role": "CTO"}) for lead in TEN]}, id="lead"),
    pytest.param({"leads": [lead.model_copy(update={"linkedin_bio": "x"}) for lead in TEN]}, id="bio"),
]


@pytest.mark.parametrize("changes", OTHER)
async def test_another_input_is_asked_about(
    server: ModelServer, store: SqliteAiStore, changes: dict[str, Any]
) -> None:
    """Entries belong to their owner, and a change of anything in the prompt is a new question."""
    async with lead_replica(server, store) as policy:
        await policy.score(chunk(TEN), 1)
        await policy.score(chunk(TEN).model_copy(update=changes), 1)

    assert sizes(server) == [10, 10]


def with_earlier_prompt(policy: Policy) -> Policy:
    assessor = cache_of(policy).assessor
    assessor = replace(assessor, prompt=replace(assessor.prompt, version="intent.v0"))
    return replace(policy, cache=replace(cache_of(policy), assessor=assessor))


@pytest.mark.parametrize("what", ["model", "endpoint", "prompt"])
async def test_another_assessor_is_asked(server: ModelServer, store: SqliteAiStore, what: str) -> None:
    """An answer of another model, server or prompt version is not passed off as this one's."""
    async with lead_replica(server, store) as policy:
        await policy.score(chunk(TEN), 1)
    settings: dict[str, dict[str, Any]] = {
        "model": {"ai_model": "claude-opus-5"},
        "endpoint": {"anthropic_base_url": f"{server.base_url}/"},
    }
    async with lead_replica(server, store, **settings.get(what, {})) as policy:
        scored = await (with_earlier_prompt(policy) if what == "prompt" else policy).score(chunk(TEN), 1)

    assert sizes(server) == [10, 10]
    assert scored.spend is not None
    assert scored.spend.cached == 0


async def test_only_what_is_lacking_is_asked_about(server: ModelServer, store: SqliteAiStore) -> None:
    """A chunk of known and new leads makes requests for the new ones, and comes back in its order."""
    mixed = [lead for pair in zip(TEN, leads(10, first=100), strict=True) for lead in pair]
    async with lead_replica(server, store) as policy:
        await policy.score(chunk(TEN), 1)
        scored = await policy.score(chunk(mixed), 1)

    assert sizes(server) == [10, 10]
    assert set(asked(server).values()) == {1}
    assert answered_rightly(scored.scores, mixed)


async def test_leads_that_say_the_same_are_one_question(server: ModelServer, store: SqliteAiStore) -> None:
    """A row that stands in a file five times is paid for once."""
    doubles = [TEN[0].model_copy(update={"id": f"double-{n}"}) for n in range(5)]
    async with lead_replica(server, store) as policy:
        scored = await policy.score(chunk([*doubles, TEN[1]]), 1)

    assert sizes(server) == [2]
    assert answered_rightly(scored.scores, [*doubles, TEN[1]])


async def test_a_failed_question_fails_all_that_say_the_same(
    server: ModelServer, store: SqliteAiStore
) -> None:
    """No lead is lost from its chunk, whichever of the doubles stood for the others."""
    doubles = [TEN[0].model_copy(update={"id": f"double-{n}"}) for n in range(5)]
    server.behave(default=behaviour.REFUSED)
    async with lead_replica(server, store, ai_on_failure="fail") as policy:
        scored = await policy.score(chunk(doubles), 1)

    assert server.count == 1
    assert [(score.lead_id, score.status) for score in scored.scores] == [(d.id, "failed") for d in doubles]


async def test_failures_are_not_stored(server: ModelServer, store: SqliteAiStore) -> None:
    """An outage is no answer: the next run asks again and gets one."""
    server.behave(default=behaviour.SERVER_ERROR)
    async with lead_replica(server, store) as policy:
        failed = await policy.score(chunk(leads(1)), 1)
        server.behave(default=OK)
        scored = await policy.score(chunk(leads(1), run_id="run-2"), 1)

    assert failed.scores[0].status == "fallback"
    assert answered_rightly(scored.scores, leads(1))


async def test_refresh_asks_anew_once_a_run(server: ModelServer, store: SqliteAiStore) -> None:
    """A run that wants new answers pays for them once, however often its messages come; others share them."""
    async with lead_replica(server, store) as policy:
        await policy.score(chunk(TEN), 1)
        for attempt in (1, 2):
            scored = await policy.score(chunk(TEN, run_id="run-2", refresh=True), attempt)
            assert server.count == 2
            assert answered_rightly(scored.scores, TEN)
        await policy.score(chunk(TEN, run_id="run-3"), 1)
        assert server.count == 2
        await policy.score(chunk(TEN, run_id="run-4", refresh=True), 1)

    assert server.count == 3


async def test_an_answer_is_stored_before_it_is_given_out(
    server: ModelServer, failing_store: StoreWithOutages
) -> None:
    """While the store is away paid answers are held, then stored; none is paid for a second time."""
    failing_store.script = {"keep_answers": ["away"] * 5}
    async with lead_replica(server, failing_store, ai_leads_per_request=5) as policy:
        scored = await policy.score(chunk(TEN), 1)
        assert failing_store.script == {"keep_answers": []}
        again = await policy.score(chunk(TEN), 1)

    assert set(asked(server).values()) == {1}
    assert answered_rightly(scored.scores, TEN)
    assert again.scores == scored.scores


async def test_a_budget_that_cannot_be_read_stops_calls_and_loses_none(
    server: ModelServer, failing_store: StoreWithOutages
) -> None:
    """Without a reservation nothing is asked; the chunk is held, and what the cache has is used."""
    failing_store.script = {"reserve": ["away"] * 2}
    async with lead_replica(server, failing_store, ai_leads_per_request=5) as policy:
        with pytest.raises(Unavailable):
            await policy.score(chunk(TEN), 1)
        assert server.count == 0
        scored = await policy.score(chunk(TEN), 1)

    assert set(asked(server).values()) == {1}
    assert answered_rightly(scored.scores, TEN)


async def test_an_outage_of_the_store_gives_no_lead_more_calls(
    server: ModelServer, failing_store: StoreWithOutages
) -> None:
    """A chunk that is held in the middle and handled again goes on counting where it was."""
    failing_store.script = {"reserve": ["there", "away"], "note_calls": ["away"] * 3}
    server.behave(default=behaviour.MALFORMED)
    async with lead_replica(server, failing_store, ai_attempts=3) as policy:
        with pytest.raises(Unavailable):
            await policy.score(chunk(leads(1)), 1)
        assert server.count == 1
        scored = await policy.score(chunk(leads(1)), 1)

    assert server.count == 3
    assert scored.scores[0].status == "fallback"


@pytest.mark.parametrize("stored_before", [10, 20, 30])
async def test_a_crash_asks_again_only_for_what_was_under_way(
    server: ModelServer, store: SqliteAiStore, tmp_path: Path, stored_before: int
) -> None:
    """A process that ends in the middle of a chunk has what is stored; only the rest is asked about."""
    server.behave(default=Behaviour(latency=0.02))
    async with lead_replica(server, store, ai_concurrency=2) as policy:
        under_way = asyncio.create_task(policy.score(chunk(FIFTY), 1))
        while len(_kept(tmp_path)) < stored_before:  # noqa: ASYNC110 - only the file tells
            await asyncio.sleep(0.002)
        under_way.cancel()
        with pytest.raises(asyncio.CancelledError):
            await under_way
    kept, sent = _kept(tmp_path), server.count
    async with lead_replica(server, store, ai_concurrency=2) as policy:
        scored = await policy.score(chunk(FIFTY), 1)

    assert stored_before <= len(kept) < 50
    assert len(kept) + 10 * (server.count - sent) == 50
    twice = {name for name, calls in asked(server).items() if calls == 2}
    assert len(twice) <= 20 + 10, "two requests under way, one that may have been on its way to the store"
    assert not twice & kept
    assert answered_rightly(scored.scores, FIFTY)


def _kept(folder: Path) -> set[str]:
    """Return the names of the leads whose answers are in the file."""
    with contextlib.closing(sqlite3.connect(folder / "ai.db")) as connection:
        told = connection.execute("SELECT answer ->> 'reasoning' FROM answers").fetchall()
    return {reasoning.removeprefix("About ").removesuffix(".") for (reasoning,) in told}
