"""What a run costs, as the server counts it, and the limits it never passes."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leadline_ai.budget.prices import NANO_PER_USD, Price
from leadline_ai.leads.policy import Policy
from leadline_ai.providers.port import Usage
from leadline_ai.stores.sqlite import SqliteAiStore
from leadline_testing import model_behaviour as behaviour
from leadline_testing.model_behaviour import OK, Behaviour
from leadline_testing.model_server import ModelServer
from leadline_testing.model_usage import count_input_tokens, count_tokens

from .lead_cases import (
    OFFER,
    about_each,
    answered_rightly,
    cache_of,
    chunk,
    lead_replica,
    leads,
)

PRICE = Price.of("claude-haiku-5-5")
MANY = leads(50)


ANSWER = about_each
pytestmark = pytest.mark.usefixtures("quick_probes")


def bill(server: ModelServer, cut: float = 1.0) -> tuple[int, int, int]:
    """Return what the server counted: input tokens, output tokens, and their price in 10^-9 dollars."""
    usages = []
    for request in server.requests:
        text = json.dumps(about_each(request.body))
        said = count_tokens(text[: int(len(text) * cut)])
        usages.append(Usage(input_tokens=count_input_tokens(request), output_tokens=said))
    sent, said = sum(usage.input_tokens for usage in usages), sum(usage.output_tokens for usage in usages)
    return sent, said, sum(PRICE.cost(usage) for usage in usages)


@pytest.mark.parametrize(
    ("treated", "calls", "failed"),
    [
        (OK, 5, 0),
        (behaviour.MALFORMED, 60, 60),
        (behaviour.TRUNCATED, 65, 65),
        (behaviour.MISSING_LEAD, 15, 10),
    ],
)
async def test_spend_is_what_the_server_counted(
    server: ModelServer, store: SqliteAiStore, treated: Behaviour, calls: int, failed: int
) -> None:
    """Tokens and money of every call are counted, of those as well that brought nothing usable."""
    server.behave(default=treated)
    async with lead_replica(server, store) as policy:
        spend = (await policy.score(chunk(MANY), 1)).spend

    assert spend is not None
    assert (spend.calls, spend.failed_calls) == (server.count, failed) == (calls, failed)
    if treated is not behaviour.MISSING_LEAD:
        counted = (spend.input_tokens, spend.output_tokens, spend.nano_usd)
        assert counted == bill(server, treated.cut)
    assert await store.committed("run:run-1") == spend.nano_usd


async def dollars(server: ModelServer, store: SqliteAiStore, requests: float) -> float:
    """Return a budget that has room for so many requests about ten leads each, however long the answers."""
    async with lead_replica(server, store) as policy:
        [question] = cache_of(policy).assessor.questions(OFFER, leads(10, first=100))
    return requests * PRICE.bound(question) / NANO_PER_USD


@pytest.mark.parametrize("treated", [OK, behaviour.MALFORMED])
@pytest.mark.parametrize("concurrency", [1, 32])
@pytest.mark.parametrize("whose", ["run", "day"])
async def test_no_budget_is_passed_whatever_the_concurrency(
    server: ModelServer, store: SqliteAiStore, treated: Behaviour, concurrency: int, whose: str
) -> None:
    """Replicas that work on several chunks at once never spend more than the limit; the rest says so."""
    budget = await dollars(server, store, 1.2)
    server.behave(default=treated)
    settings: dict[str, Any] = {f"ai_{whose}_budget_usd": budget, "ai_concurrency": concurrency}
    chunks = [chunk(leads(20, first), chunk=str(first)) for first in range(0, 120, 20)]
    async with lead_replica(server, store, **settings) as one, lead_replica(server, store, **settings) as two:
        scored = await asyncio.gather(
            *(policy.score(each, 1) for policy, each in zip([one, two] * 3, chunks, strict=True))
        )

    scores = [score for each in scored for score in each.scores]
    skipped = [score for score in scores if score.status == "skipped_budget"]
    assert skipped
    assert len(skipped) < 120 or treated is not OK
    for score in skipped:
        assert (score.source, score.intent, score.fallback) == ("anthropic", None, None)
        assert f"LEADLINE_AI_{whose.upper()}_BUDGET_USD" in str(score.error)
    paid = bill(server, treated.cut)[2]
    assert 0 < paid <= budget * NANO_PER_USD
    assert max(each.spend.nano_usd for each in scored if each.spend) == paid
    assert await store.committed("run:run-1") == paid


@pytest.mark.parametrize("on_failure", ["fallback", "fail"])
async def test_a_budget_of_nothing_asks_nobody(
    server: ModelServer, store: SqliteAiStore, on_failure: str
) -> None:
    """Over budget nobody answers in the model's place: the rules alone give the score."""
    async with lead_replica(server, store, ai_run_budget_usd=0, ai_on_failure=on_failure) as policy:
        scored = await policy.score(chunk(MANY), 1)

    assert server.count == 0
    assert {(score.status, score.intent) for score in scored.scores} == {("skipped_budget", None)}
    assert scored.spend is None


async def test_a_raised_budget_goes_on_where_the_money_ended(
    server: ModelServer, store: SqliteAiStore
) -> None:
    """What was answered is stored; scored again, the rest alone is asked about."""
    async with lead_replica(server, store, ai_run_budget_usd=await dollars(server, store, 1.2)) as policy:
        first = await policy.score(chunk(MANY), 1)
    answered = sum(score.status == "answered" for score in first.scores)
    async with lead_replica(server, store) as policy:
        second = await policy.score(chunk(MANY, run_id="run-2"), 1)

    assert 0 < answered < 50
    assert second.spend is not None
    assert second.spend.cached == answered
    assert sum(len(request.leads) for request in server.requests) == 50
    assert answered_rightly(second.scores, MANY)


async def test_a_new_day_has_a_new_budget(server: ModelServer, store: SqliteAiStore) -> None:
    """The day's budget is shared by runs and owners, and starts anew at midnight UTC."""
    evening = datetime(2026, 11, 21, 23, 59, tzinfo=UTC)
    statuses: list[str] = []
    async with lead_replica(server, store, ai_day_budget_usd=await dollars(server, store, 1.2)) as policy:
        for n, moment in enumerate([evening] * 12 + [evening + timedelta(minutes=1)]):
            at = at_moment(policy, moment)
            scored = await at.score(chunk(leads(10, 10 * n), owner=f"owner-{n}", run_id=f"run-{n}"), 1)
            statuses += {score.status for score in scored.scores}

    assert statuses[0] == statuses[-1] == "answered"
    assert statuses[-2] == "skipped_budget"
    assert statuses == [*sorted(statuses[:-1]), "answered"]


def at_moment(policy: Policy, moment: datetime) -> Policy:
    cache = cache_of(policy)
    reservations = replace(cache.reservations, clock=lambda: moment)
    return replace(policy, cache=replace(cache, reservations=reservations))
