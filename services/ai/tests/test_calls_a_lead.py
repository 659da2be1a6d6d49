"""How many requests a lead is in, whatever goes wrong, counted at the local model server."""

import contextlib
import random
from dataclasses import replace

import pytest

from leadline_ai.leads.policy import Policy
from leadline_ai.limiter.adaptive import AdaptiveLimiter
from leadline_ai.limiter.breaker import CircuitBreaker
from leadline_ai.stores.sqlite import SqliteAiStore
from leadline_contracts.errors import Transient
from leadline_contracts.scoring import AiScored, Lead
from leadline_contracts.topology import MAX_ATTEMPTS
from leadline_testing import model_behaviour as behaviour
from leadline_testing.model_behaviour import OK
from leadline_testing.model_server import ModelServer

from .lead_cases import (
    FAILING,
    SLOW,
    about_each,
    answered_rightly,
    asked,
    brief_for,
    cache_of,
    chunk,
    lead_replica,
    leads,
)

ENDS_EARLY = {"refused", "refused-midway", "declined", "wrong-key", "unknown-model", "missing-lead"}
# What is slow may run out of time before it is sent, on a machine that is busy.
SPENDS_ALL_CALLS = FAILING.keys() - ENDS_EARLY - SLOW


ANSWER = about_each
pytestmark = pytest.mark.usefixtures("quick_probes")


@pytest.mark.parametrize("leads_per_request", [1, 10])
@pytest.mark.parametrize("name", sorted(FAILING))
async def test_no_lead_is_in_more_requests_than_it_is_worth(
    server: ModelServer, store: SqliteAiStore, name: str, leads_per_request: int
) -> None:
    """Retries have one owner: whatever goes wrong each time, repairs and splits count as calls as well."""
    some = leads(4)
    server.behave(default=FAILING[name])
    async with lead_replica(
        server, store, ai_leads_per_request=leads_per_request, **brief_for(name, 0.1)
    ) as policy:
        for attempts in (1, 2, 3):
            server.requests.clear()
            worth = at_another_replica(policy, calls_a_lead=attempts)
            cache_of(worth).assessor.asker.limiter.record_success()
            scored = await worth.score(chunk(some, run_id=f"run-{attempts}", refresh=True), 1)

            calls = asked(server)
            assert 1 <= max(calls.values()) <= attempts
            if name in SPENDS_ALL_CALLS:
                assert set(calls.values()) == {attempts}
            assert_all_told(scored.scores, some)


@pytest.mark.parametrize("seed", range(12))
async def test_no_mixture_of_failures_passes_the_bound(
    server: ModelServer, store: SqliteAiStore, seed: int
) -> None:
    """The bound holds for any order of failures over all deliveries of a message, and answers stay right.

    Each delivery is taken by another replica, whose breaker knows nothing of the earlier one.
    """
    dice = random.Random(seed)
    attempts, many = dice.choice([1, 2, 3, 4]), leads(dice.choice([5, 12]))
    later = replace(behaviour.RATE_LIMITED, retry_after=60)
    choices = [*(FAILING[name] for name in sorted(FAILING) if name not in {"wrong-key", "unknown-model"})]
    server.behave(choose=lambda _: dice.choice([OK, OK, later, later, dice.choice(choices)]))
    scores: list[AiScored] = []
    async with lead_replica(
        server, store, ai_leads_per_request=dice.choice([1, 3, 10]), ai_timeout_seconds=0.1
    ) as policy:
        for delivery in range(1, MAX_ATTEMPTS + 1):
            with contextlib.suppress(Transient):
                replica = at_another_replica(policy, calls_a_lead=attempts)
                scores = (await replica.score(chunk(many), delivery)).scores
                break

    assert max(asked(server).values()) <= attempts
    assert_all_told(scores, many)


def at_another_replica(policy: Policy, calls_a_lead: int) -> Policy:
    """Return the policy behind a breaker that knows nothing of the provider yet."""
    cache = cache_of(policy)
    limiter = AdaptiveLimiter(CircuitBreaker("anthropic"), 32)
    asker = replace(cache.assessor.asker, limiter=limiter)
    assessor = replace(cache.assessor, asker=asker, calls_a_lead=calls_a_lead)
    return replace(policy, cache=replace(cache, assessor=assessor))


def assert_all_told(scores: list[AiScored], leads: list[Lead]) -> None:
    """Every lead has one score in order, by the model and about itself or with the reason why not."""
    assert [score.lead_id for score in scores] == [lead.id for lead in leads]
    for score, lead in zip(scores, leads, strict=True):
        if score.status == "answered":
            assert answered_rightly([score], [lead])
        else:
            assert score.status == "fallback"
            assert score.fallback
