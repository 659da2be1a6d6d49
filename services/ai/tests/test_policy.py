"""Attempts, waits, fallback and failure, counted at the local model server."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from leadline_ai.assessors.anthropic import AnthropicAssessor
from leadline_ai.assessors.offline import OfflineAssessor
from leadline_ai.policy import Policy
from leadline_common.messages import Lead, Offer
from leadline_testing import model_behaviour as behaviour
from leadline_testing.model_behaviour import Behaviour
from leadline_testing.model_server import ModelServer


@pytest.fixture
async def policy(server: ModelServer) -> AsyncIterator[Policy]:
    assessor = AnthropicAssessor("sk-test", base_url=server.base_url, deadline=0.8)
    yield Policy(assessor=assessor, offline=OfflineAssessor(), first_wait=0.01, longest_wait=0.5)
    await assessor.close()


async def test_answers_are_marked_with_who_gave_them(policy: Policy, offer: Offer, leads: list[Lead]) -> None:
    """Source, model and prompt version travel with every score, and nothing is marked that did not happen."""
    scores = await policy.score(offer, "standard", leads)

    assert [score.lead_id for score in scores] == [lead.id for lead in leads]
    for score in scores:
        assert (score.source, score.assessor, score.prompt) == ("anthropic", "claude-haiku-5-5", "intent.v1")
        assert score.intent
        assert score.reasoning
        assert (score.fallback, score.error) == (None, None)


FAILURES = [
    pytest.param(behaviour.RATE_LIMITED, 3, id="rate-limited"),
    pytest.param(behaviour.OVERLOADED, 3, id="overloaded"),
    pytest.param(behaviour.SERVER_ERROR, 3, id="server-error"),
    pytest.param(behaviour.DROPPED, 3, id="dropped"),
    pytest.param(behaviour.SLOW, 3, id="slow"),
    pytest.param(behaviour.MALFORMED, 3, id="malformed"),
    pytest.param(behaviour.WRONG_ENUM, 3, id="wrong-enum"),
    pytest.param(behaviour.EXTRA_KEY, 3, id="extra-key"),
    pytest.param(behaviour.TRUNCATED, 3, id="truncated"),
    pytest.param(behaviour.REFUSED, 1, id="refused"),
    pytest.param(behaviour.WRONG_KEY, 1, id="wrong-key"),
    pytest.param(behaviour.UNKNOWN_MODEL, 1, id="unknown-model"),
]


@pytest.mark.parametrize(("treated", "calls"), FAILURES)
async def test_a_provider_that_fails_sees_no_more_calls_than_attempts(
    server: ModelServer, policy: Policy, offer: Offer, treated: Behaviour, calls: int
) -> None:
    """Retries have one owner: three attempts at what may pass, one at what will not."""
    server.behave(default=replace(treated, retry_after=None))

    (score,) = await policy.score(offer, "standard", [Lead(id="x", role="CEO", industry="SaaS")])

    assert server.count == calls
    assert (score.source, score.intent, score.error) == ("offline", "High", None)
    assert score.fallback


@pytest.mark.parametrize(
    ("treated", "calls"),
    [(behaviour.OVERLOADED, 3), (behaviour.MALFORMED, 3), (behaviour.REFUSED, 1), (behaviour.WRONG_KEY, 1)],
)
async def test_failing_by_setting_keeps_the_error_and_invents_no_answer(
    server: ModelServer, policy: Policy, offer: Offer, treated: Behaviour, calls: int
) -> None:
    """`fail` gives the reason in place of an intent, after the same number of calls."""
    server.behave(default=treated)

    (score,) = await replace(policy, on_failure="fail").score(offer, "standard", [Lead(id="x", role="CEO")])

    assert server.count == calls
    assert (score.source, score.intent, score.reasoning, score.fallback) == ("anthropic", None, "", None)
    assert score.error


async def test_only_what_failed_is_asked_again(
    server: ModelServer, policy: Policy, offer: Offer, leads: list[Lead]
) -> None:
    """An answer once paid for is kept while its neighbours are tried again."""
    server.behave(behaviour.OVERLOADED, behaviour.MALFORMED, default=behaviour.OK)

    scores = await policy.score(offer, "standard", leads)

    assert server.count == len(leads) + 2
    assert {score.source for score in scores} == {"anthropic"}
    assert all(score.intent and not score.fallback for score in scores)


async def test_a_mixed_chunk_keeps_its_order_and_each_reason(
    server: ModelServer, policy: Policy, offer: Offer, leads: list[Lead]
) -> None:
    """One refused lead falls back alone, and says why."""
    server.behave(behaviour.REFUSED, default=behaviour.OK)

    scores = await policy.score(offer, "standard", leads)

    assert [score.lead_id for score in scores] == [lead.id for lead in leads]
    assert sorted(score.source for score in scores) == ["anthropic"] * 3 + ["offline"]
    assert [score.fallback for score in scores if score.fallback] == ["the model declines to judge this lead"]


async def test_retry_after_is_waited_for(server: ModelServer, policy: Policy, offer: Offer) -> None:
    """A provider that asks for time gets it before the next call."""
    server.behave(replace(behaviour.RATE_LIMITED, retry_after=0.4), default=behaviour.OK)

    start = time.monotonic()
    (score,) = await policy.score(offer, "standard", [Lead(id="x")])

    assert time.monotonic() - start >= 0.4
    assert score.source == "anthropic"


async def test_retry_after_is_waited_for_up_to_a_cap(
    server: ModelServer, policy: Policy, offer: Offer
) -> None:
    """An hour of retry-after does not hold a chunk for an hour."""
    server.behave(replace(behaviour.RATE_LIMITED, retry_after=3_600), default=behaviour.OK)

    start = time.monotonic()
    await policy.score(offer, "standard", [Lead(id="x")])

    assert time.monotonic() - start < 5


async def test_waits_grow_from_attempt_to_attempt(server: ModelServer, policy: Policy, offer: Offer) -> None:
    """A provider in trouble is left alone longer each time: 0.1 s, then 0.2 s."""
    server.behave(default=behaviour.OVERLOADED)

    start = time.monotonic()
    await replace(policy, first_wait=0.1).score(offer, "standard", [Lead(id="x")])

    assert time.monotonic() - start >= 0.3


async def test_the_offline_assessor_can_be_the_chosen_one(offer: Offer, leads: list[Lead]) -> None:
    """Without a key the offline answer is the answer, not a fallback."""
    offline = OfflineAssessor()

    scores = await Policy(assessor=offline, offline=offline).score(offer, "standard", leads)

    assert [score.intent for score in scores] == ["High", "Low", "Low", "Low"]
    assert all((score.source, score.fallback, score.error) == ("offline", None, None) for score in scores)
