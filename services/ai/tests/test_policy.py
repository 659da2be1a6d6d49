"""Who answers for a chunk, what it says when nobody does, and what it costs."""

import asyncio

import pytest

from leadline_ai.budget.prices import Price
from leadline_ai.leads.policy import Policy, Scored
from leadline_ai.stores.sqlite import SqliteAiStore
from leadline_contracts.scoring import Lead, Offer
from leadline_testing import model_behaviour as behaviour
from leadline_testing.model_behaviour import OK, Behaviour
from leadline_testing.model_server import ModelServer

from .lead_cases import OFFER, about_each, answered_rightly, chunk, lead_replica, leads, names

PRICE = Price.of("claude-haiku-5-5")
MANY = leads(50)


ANSWER = about_each
pytestmark = pytest.mark.usefixtures("quick_probes")


async def test_answers_are_marked_with_who_gave_them(server: ModelServer, store: SqliteAiStore) -> None:
    """Source, model and prompt version travel with every score, and nothing is marked that did not happen."""
    async with lead_replica(server, store) as policy:
        scored = await policy.score(chunk(MANY), 1)

    assert answered_rightly(scored.scores, MANY)
    for score in scored.scores:
        assert (score.assessor, score.prompt) == ("claude-haiku-5-5", "intent.v2")
        assert score.intent
        assert (score.fallback, score.error) == (None, None)


async def test_chunks_at_once_do_not_mix(server: ModelServer, store: SqliteAiStore) -> None:
    """One policy serves several chunks at the same time, each with its own leads and offer."""
    other = OFFER.model_copy(update={"id": "offer-2", "name": "Cold Chain"})
    chunks = [chunk(leads(25, first), offer=offer) for offer in (OFFER, other) for first in (0, 25)]
    async with lead_replica(server, store, ai_concurrency=3) as policy:
        together = await asyncio.gather(*(policy.score(each, 1) for each in chunks))

    for each, scored in zip(chunks, together, strict=True):
        assert answered_rightly(scored.scores, each.leads)
    offers = {request.user_text.split("</offer>")[0] for request in server.requests}
    assert len(offers) == 2
    assert server.count == 4 * 3


async def test_a_chunk_of_nothing_asks_nobody(server: ModelServer, store: SqliteAiStore) -> None:
    """An empty chunk is no special case for a caller, and costs nothing."""
    async with lead_replica(server, store) as policy:
        assert await policy.score(chunk([]), 1) == Scored([])

    assert server.count == 0


FAILURES = [
    pytest.param(behaviour.OVERLOADED, 3, "Anthropic has too much to do (529)", id="overloaded"),
    pytest.param(behaviour.SERVER_ERROR, 3, "Anthropic answered 500", id="server-error"),
    pytest.param(behaviour.DROPPED, 3, "broke before the answer was there", id="dropped"),
    pytest.param(behaviour.SLOW, 3, "no answer within 0.3 s", id="slow"),
    pytest.param(behaviour.MALFORMED, 3, "could not be used: the answer does not fit", id="malformed"),
    pytest.param(behaviour.WRONG_ENUM, 3, "Input should be 'High', 'Medium' or 'Low'", id="wrong-enum"),
    pytest.param(behaviour.EMPTY_REASONING, 3, "reasoning: ", id="empty-reasoning"),
    pytest.param(behaviour.LONG_REASONING, 3, "at most 600 characters", id="long-reasoning"),
    pytest.param(behaviour.MISSING_LEAD, 3, "left out", id="missing-lead"),
    pytest.param(behaviour.TRUNCATED, 3, "grew too long", id="truncated"),
    pytest.param(behaviour.REFUSED, 1, "the model declines to judge this lead", id="refused"),
    pytest.param(behaviour.DECLINED, 1, "Anthropic declines this request (400)", id="declined"),
    pytest.param(behaviour.WRONG_KEY, 1, "set ANTHROPIC_API_KEY", id="wrong-key"),
    pytest.param(behaviour.UNKNOWN_MODEL, 1, "set LEADLINE_AI_MODEL", id="unknown-model"),
]


@pytest.mark.parametrize(("treated", "calls", "reason"), FAILURES)
async def test_a_failure_falls_back_or_fails_by_setting(
    server: ModelServer, store: SqliteAiStore, treated: Behaviour, calls: int, reason: str
) -> None:
    """`fallback` answers offline and keeps the reason, `fail` gives it in place of an answer."""
    [lead] = leads(1)
    server.behave(default=treated)
    seconds = 0.3 if treated is behaviour.SLOW else 5.0
    scores = []
    for on_failure in ("fallback", "fail"):
        # Each with a breaker of its own, which has yet to learn that a key is wrong.
        async with lead_replica(
            server, store, ai_on_failure=on_failure, ai_timeout_seconds=seconds
        ) as policy:
            scores += (await policy.score(chunk([lead], run_id=on_failure), 1)).scores
    fallen, failed = scores

    assert server.count == 2 * calls
    assert (fallen.status, fallen.source, fallen.intent, fallen.error) == (
        "fallback",
        "offline",
        "High",
        None,
    )
    assert (failed.status, failed.source, failed.intent, failed.reasoning) == (
        "failed",
        "anthropic",
        None,
        "",
    )
    assert failed.fallback is None
    assert reason in str(fallen.fallback)
    assert failed.error == fallen.fallback


async def test_only_what_failed_falls_back(server: ModelServer, store: SqliteAiStore) -> None:
    """One refused lead falls back alone and says why; the chunk keeps its order."""
    server.behave(choose=lambda body: behaviour.REFUSED if "Lead 3" in names(body) else OK)
    async with lead_replica(server, store) as policy:
        scored = await policy.score(chunk(leads(10)), 1)

    assert [score.lead_id for score in scored.scores] == [lead.id for lead in leads(10)]
    assert [score.source for score in scored.scores] == ["anthropic"] * 3 + ["offline"] + ["anthropic"] * 6
    assert [score.fallback for score in scored.scores if score.fallback] == [
        "the model declines to judge this lead"
    ]


@pytest.mark.parametrize("treated", [behaviour.WRONG_KEY, behaviour.UNKNOWN_MODEL])
async def test_a_misconfigured_provider_is_asked_once(
    server: ModelServer, store: SqliteAiStore, treated: Behaviour
) -> None:
    """A million leads with a wrong key are not a million requests; each says what to set."""
    server.behave(default=treated)
    async with lead_replica(server, store, ai_concurrency=1, ai_leads_per_request=1) as policy:
        first = await policy.score(chunk(MANY), 1)
        second = await policy.score(chunk(leads(50, first=50)), 1)

    assert server.count == 1
    reasons = {score.fallback for score in [*first.scores, *second.scores]}
    assert len(reasons) == 1
    assert "set " in str(reasons.pop())
    assert first.spend is not None
    assert (first.spend.calls, first.spend.failed_calls, first.spend.nano_usd) == (1, 1, 0)


async def test_spend_is_told_only_where_something_was_asked_for(
    server: ModelServer, store: SqliteAiStore
) -> None:
    """A chunk that asked nobody and found nothing says nothing about money."""
    server.behave(default=behaviour.WRONG_KEY)
    async with lead_replica(server, store, ai_concurrency=1) as policy:
        await policy.score(chunk(leads(1), run_id="run-0"), 1)
        unasked = await policy.score(chunk(leads(2)), 1)

    assert unasked.spend is None
    assert {score.status for score in unasked.scores} == {"fallback"}


async def test_the_offline_assessor_can_be_the_chosen_one(offer: Offer, leads: list[Lead]) -> None:
    """Without a key the offline answer is the answer, not a fallback, and free."""
    scored = await Policy().score(chunk(leads, offer=offer), 1)

    assert [score.lead_id for score in scored.scores] == [lead.id for lead in leads]
    assert [score.intent for score in scored.scores] == ["High", "Low", "Low", "Low"]
    for score in scored.scores:
        assert (score.source, score.assessor, score.prompt) == ("offline", "offline", "offline.v1")
        assert (score.status, score.fallback, score.error) == ("answered", None, None)
    assert scored.spend is None
