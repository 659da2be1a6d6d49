"""Leads that share requests: repairs, splits and the bound on calls, counted at the local model server."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from leadline_ai.stores.sqlite import SqliteAiStore
from leadline_testing import model_behaviour as behaviour
from leadline_testing.model_behaviour import OK, Behaviour
from leadline_testing.model_request import Body
from leadline_testing.model_server import ModelServer

from .lead_cases import (
    FAILING,
    SLOW,
    about_each,
    answered_rightly,
    asked,
    brief_for,
    chunk,
    correction_in,
    lead_replica,
    leads,
    names,
    sizes,
)

TEN = leads(10)
POISON = "Lead 3"
# These are about the provider as a whole, or leave the last lead out.
SPARES_OTHERS = {"wrong-key", "unknown-model", "overloaded", "rate-limited", "missing-lead"}


ANSWER = about_each
pytestmark = pytest.mark.usefixtures("quick_probes")


def changing(change: Callable[[list[dict[str, Any]], Body], object]) -> Behaviour:
    """Return the behaviour of a model whose valid answer has had its entries changed in place."""

    def spoil(answer: Any, body: Body) -> Any:
        change(answer["answers"], body)
        return answer

    return Behaviour(spoil=spoil)


def when_asked_about(name: str, treated: Behaviour) -> Callable[[Body], Behaviour]:
    return lambda body: treated if name in names(body) else OK


@pytest.mark.parametrize(("leads_per_request", "expected"), [(10, [10, 10, 5]), (1, [1] * 25), (50, [25])])
async def test_leads_share_requests(
    server: ModelServer, store: SqliteAiStore, leads_per_request: int, expected: list[int]
) -> None:
    """As many leads go into a request as the setting says, each once, and each gets its own answer."""
    many = leads(25)
    async with lead_replica(server, store, ai_leads_per_request=leads_per_request) as policy:
        scored = await policy.score(chunk(many), 1)

    assert sorted(sizes(server), reverse=True) == expected
    assert set(asked(server).values()) == {1}
    assert answered_rightly(scored.scores, many)


async def test_answers_are_matched_by_id(server: ModelServer, store: SqliteAiStore) -> None:
    """The order in which a model answers says nothing about whom it means."""
    server.behave(default=changing(lambda entries, body: random.Random(len(body)).shuffle(entries)))
    async with lead_replica(server, store) as policy:
        scored = await policy.score(chunk(TEN), 1)

    assert server.count == 1
    assert answered_rightly(scored.scores, TEN)


async def test_a_lead_left_out_is_asked_about_again_alone(server: ModelServer, store: SqliteAiStore) -> None:
    """Its neighbours keep their answers and are not asked about twice."""
    server.behave(behaviour.MISSING_LEAD, default=OK)
    async with lead_replica(server, store) as policy:
        scored = await policy.score(chunk(TEN), 1)

    assert sizes(server) == [10, 1]
    assert asked(server)["Lead 9"] == 2
    assert correction_in(server.requests[1]) == ""
    assert answered_rightly(scored.scores, TEN)


async def test_an_answer_about_nobody_is_repaired(server: ModelServer, store: SqliteAiStore) -> None:
    """Where all are left out it is the answer that is wrong, not a lead."""
    server.behave(changing(lambda entries, _: entries.clear()), default=OK)
    async with lead_replica(server, store) as policy:
        scored = await policy.score(chunk(TEN), 1)

    assert sizes(server) == [10, 10]
    assert "left out" in correction_in(server.requests[1])
    assert answered_rightly(scored.scores, TEN)


SPOILT = [
    pytest.param(behaviour.EXTRA_LEAD, "an id that was not asked about", id="extra-lead"),
    pytest.param(behaviour.DUPLICATE_LEAD, "two entries with one id", id="duplicate-lead"),
    pytest.param(behaviour.MALFORMED, "does not fit the schema: it is no whole JSON", id="malformed"),
    pytest.param(
        changing(lambda entries, _: entries[0].pop("id")), "an entry of the answer has no id", id="no-id"
    ),
]


@pytest.mark.parametrize("leads_per_request", [1, 10])
@pytest.mark.parametrize(("treated", "fault"), SPOILT)
async def test_a_spoilt_answer_is_repaired_once_told_what_was_wrong(
    server: ModelServer, store: SqliteAiStore, treated: Behaviour, fault: str, leads_per_request: int
) -> None:
    """One repair request carries the validation error, and all are answered by it."""
    server.behave(treated, default=OK)
    some = TEN[:leads_per_request]
    async with lead_replica(server, store, ai_leads_per_request=leads_per_request) as policy:
        scored = await policy.score(chunk(some), 1)

    assert sizes(server) == [leads_per_request] * 2
    assert correction_in(server.requests[0]) == ""
    assert fault in correction_in(server.requests[1])
    assert answered_rightly(scored.scores, some)


@pytest.mark.parametrize("key", ["id", "intent", "Bred axolotls"])
async def test_a_correction_quotes_nothing_the_model_said(
    server: ModelServer, store: SqliteAiStore, key: str
) -> None:
    """What a model made of a lead's text does not come back as an instruction, whichever field it is in."""
    bio = "Bred axolotls"
    server.behave(changing(lambda entries, _: entries[0].update({key: bio})), default=OK)
    async with lead_replica(server, store) as policy:
        scored = await policy.score(chunk([lead.model_copy(update={"linkedin_bio": bio}) for lead in TEN]), 1)

    assert "could not be used" in correction_in(server.requests[1])
    assert bio not in correction_in(server.requests[1])
    assert answered_rightly(scored.scores, TEN)


async def test_only_the_lead_whose_entry_is_wrong_is_repaired(
    server: ModelServer, store: SqliteAiStore
) -> None:
    """A label outside the set costs one lead a second call, with the rule it broke, the others nothing."""
    server.behave(changing(lambda entries, _: entries[3].update(intent="Perhaps")), default=OK)
    async with lead_replica(server, store) as policy:
        scored = await policy.score(chunk(TEN), 1)

    assert [names(request.body) for request in server.requests][1:] == [[POISON]]
    assert "intent: Input should be 'High', 'Medium' or 'Low'" in correction_in(server.requests[1])
    assert answered_rightly(scored.scores, TEN)


async def test_wrong_and_missing_entries_of_one_answer_are_told_apart(
    server: ModelServer, store: SqliteAiStore
) -> None:
    """The wrong one is repaired, the missing one asked for, the rest is kept."""

    def change(entries: list[dict[str, Any]], _: Body) -> None:
        entries[3]["confidence"] = 7
        del entries[5]

    server.behave(changing(change), default=OK)
    async with lead_replica(server, store) as policy:
        scored = await policy.score(chunk(TEN), 1)

    assert {name: calls for name, calls in asked(server).items() if calls > 1} == {POISON: 2, "Lead 5": 2}
    assert sorted(correction_in(request) != "" for request in server.requests) == [False, False, True]
    assert answered_rightly(scored.scores, TEN)


async def test_after_a_failed_repair_each_lead_is_asked_about_alone(
    server: ModelServer, store: SqliteAiStore
) -> None:
    """A second spoilt answer is not repaired again: from then on no lead depends on another."""
    server.behave(behaviour.MALFORMED, behaviour.EXTRA_LEAD, default=OK)
    async with lead_replica(server, store) as policy:
        scored = await policy.score(chunk(TEN), 1)

    assert sizes(server) == [10, 10] + [1] * 10
    assert {correction_in(request) for request in list(server.requests)[2:]} == {""}
    assert answered_rightly(scored.scores, TEN)


@pytest.mark.parametrize(
    ("name", "attempts"),
    [
        *((name, attempts) for name in sorted(FAILING.keys() - SPARES_OTHERS - SLOW) for attempts in (2, 3)),
        *((name, 2) for name in sorted(SLOW)),
    ],
)
async def test_a_poison_lead_fails_alone(
    server: ModelServer, store: SqliteAiStore, name: str, attempts: int
) -> None:
    """A lead that spoils every answer it is in costs none of its nine neighbours theirs."""
    server.behave(choose=when_asked_about(POISON, FAILING[name]))
    async with lead_replica(server, store, ai_attempts=attempts, **brief_for(name)) as policy:
        scored = await policy.score(chunk(TEN), 1)

    assert answered_rightly([score for score in scored.scores if score.lead_id != "id-3"], TEN[:3] + TEN[4:])
    assert scored.scores[3].status == "fallback"
    assert max(asked(server).values()) <= attempts


async def test_a_truncated_answer_splits_its_request(server: ModelServer, store: SqliteAiStore) -> None:
    """Ten become five and five, and so on, until the answers have room."""
    server.behave(choose=lambda body: behaviour.TRUNCATED if len(names(body)) > 2 else OK)
    async with lead_replica(server, store, ai_attempts=5) as policy:
        scored = await policy.score(chunk(TEN), 1)

    assert sorted(sizes(server), reverse=True) == [10, 5, 5, 3, 3, 2, 2, 2, 2, 1, 1]
    assert answered_rightly(scored.scores, TEN)


async def test_a_truncated_answer_is_not_split_beyond_the_calls_left(
    server: ModelServer, store: SqliteAiStore
) -> None:
    """With the last call each lead is alone, so that none runs out of calls in company."""
    server.behave(choose=lambda body: behaviour.TRUNCATED if len(names(body)) > 1 else OK)
    async with lead_replica(server, store, ai_attempts=3) as policy:
        scored = await policy.score(chunk(TEN), 1)

    assert sorted(sizes(server), reverse=True) == [10, 5, 5, *[1] * 10]
    assert answered_rightly(scored.scores, TEN)


async def test_a_lead_truncated_alone_fails(server: ModelServer, store: SqliteAiStore) -> None:
    """What cannot be split ends with its reason."""
    server.behave(default=behaviour.TRUNCATED)
    async with lead_replica(server, store, ai_on_failure="fail") as policy:
        [score] = (await policy.score(chunk(leads(1)), 1)).scores

    assert 1 <= server.count <= 3
    assert (score.status, score.error) == ("failed", "the answer was cut off, since it grew too long")


@pytest.mark.parametrize(
    ("treated", "reason"),
    [
        (behaviour.REFUSED, "the model declines to judge this lead"),
        (behaviour.REFUSED_MIDWAY, "the model declines to judge this lead"),
        (behaviour.DECLINED, "Anthropic declines this request (400)"),
    ],
)
async def test_a_refused_batch_shows_who_is_refused(
    server: ModelServer, store: SqliteAiStore, treated: Behaviour, reason: str
) -> None:
    """Each is asked about alone: the refused one fails with the reason and is not asked about again."""
    server.behave(choose=when_asked_about(POISON, treated))
    async with lead_replica(server, store, ai_attempts=5, ai_on_failure="fail") as policy:
        scored = await policy.score(chunk(TEN), 1)

    assert sizes(server) == [10] + [1] * 10
    assert set(asked(server).values()) == {2}
    assert (scored.scores[3].status, scored.scores[3].error) == ("failed", reason)
    assert answered_rightly([score for score in scored.scores if score.lead_id != "id-3"], TEN[:3] + TEN[4:])


@pytest.mark.parametrize("treated", [behaviour.REFUSED, behaviour.DECLINED])
async def test_a_lead_refused_alone_is_not_asked_about_again(
    server: ModelServer, store: SqliteAiStore, treated: Behaviour
) -> None:
    """A refusal of one lead is final, whatever calls are left."""
    server.behave(default=treated)
    async with lead_replica(server, store, ai_leads_per_request=1) as policy:
        await policy.score(chunk(TEN), 1)

    assert server.count == 10
