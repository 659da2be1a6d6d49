"""Who answers a step, what it says when nobody does, and what it costs."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leadline_ai.cache import retry
from leadline_ai.failures import Failure
from leadline_ai.limiter import breaker
from leadline_ai.steps import assessor
from leadline_ai.steps.offline import OFFLINE_STEPS, route_of, step_offline
from leadline_ai.steps.policy import StepPolicy
from leadline_ai.steps.step import AskedStep, prompt_of
from leadline_ai.stores.sqlite import SqliteAiStore
from leadline_contracts.errors import Transient, Unavailable
from leadline_contracts.inbound import (
    ClassifyStep,
    JudgeStep,
    MessageSpec,
    StepFinished,
    StepName,
    checked_output,
)
from leadline_contracts.scoring import AiSpend
from leadline_contracts.topology import MAX_ATTEMPTS
from leadline_testing import model_behaviour as behaviour
from leadline_testing.model_behaviour import OK, Behaviour
from leadline_testing.model_request import Body
from leadline_testing.model_server import ModelServer

from .lead_cases import FAILING, brief_for
from .step_cases import (
    EVERY_STEP,
    JUDGED,
    answer_step,
    classified,
    classify_step,
    correction_in,
    extract_step,
    judge_step,
    step_replica,
)
from .test_answer_cache import StoreWithOutages

AN_HOUR = replace(behaviour.RATE_LIMITED, retry_after=3_600)
ALONE = "anthropic asks to be left alone for a while"
# What these spoil, answers about leads alone have.
OF_LEADS = {"missing-lead", "extra-lead", "duplicate-lead", "empty-reasoning", "long-reasoning"}
FINAL = {"refused", "refused-midway", "declined", "wrong-key", "unknown-model"}
"""Those after which nothing is asked again."""
THREE: dict[str, AskedStep] = {
    "classify": classify_step(),
    "extract": extract_step("sales_new"),
    "judge": judge_step(),
}
three_steps = pytest.mark.parametrize("step", THREE.values(), ids=THREE)


ANSWER = answer_step


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[StoreWithOutages]:
    opened = StoreWithOutages(tmp_path / "ai.db")
    yield opened
    await opened.close()


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a failing provider and a store that is away be asked again at once."""
    monkeypatch.setattr(breaker, "_FIRST_PROBE_DELAY", 0.0)
    monkeypatch.setattr(breaker, "_LONGEST_PROBE_DELAY", 0.0)
    monkeypatch.setattr(retry, "_RETRY_SECONDS", 0.0)


def by_model(finished: StepFinished) -> bool:
    """Tell whether the model answered, and its output fits the contract."""
    source = finished.source
    assert source is not None
    if source.source != "anthropic" or finished.output is None:
        return False
    assert checked_output(finished.step, finished.output) == finished.output
    return (source.assessor, source.fallback, finished.error) == ("claude-haiku-5-5", None, None)


def fallback_of(finished: StepFinished, step: AskedStep) -> str:
    """Return why the offline assessor answered, and check that it is its answer, whole."""
    offline = step_offline(step)
    assert finished.output == (route_of(step, offline) if isinstance(step, JudgeStep) else offline)
    assert checked_output(finished.step, finished.output or {}) == finished.output
    assert finished.error is None
    assert finished.source is not None
    assert finished.source.fallback is not None
    assert finished.source == OFFLINE_STEPS.model_copy(update={"fallback": finished.source.fallback})
    return finished.source.fallback


@pytest.mark.parametrize("step", EVERY_STEP.values(), ids=EVERY_STEP)
async def test_the_model_answers_every_step(
    server: ModelServer, store: StoreWithOutages, step: AskedStep
) -> None:
    """One call a step; the answer names its step, and who gave it by which prompt."""
    async with step_replica(server, store) as policy:
        finished = await policy.answer(step, 1)

    assert by_model(finished)
    assert server.count == 1
    for name in ("owner", "workflow_id", "step", "epoch", "deadline"):
        assert getattr(finished, name) == getattr(step, name)
    assert finished.source is not None
    assert finished.source.prompt == f"{step.step}.v1"


FAILURES = [
    pytest.param(behaviour.OVERLOADED, 3, ("unavailable", "too much to do (529)"), id="overloaded"),
    pytest.param(behaviour.SERVER_ERROR, 3, ("unavailable", "Anthropic answered 500"), id="server-error"),
    pytest.param(behaviour.DROPPED, 3, ("unavailable", "broke before the answer"), id="dropped"),
    pytest.param(behaviour.SLOW, 3, ("unavailable", "no answer within 0.1 s"), id="slow"),
    pytest.param(behaviour.MALFORMED, 3, ("unusable", "no whole JSON"), id="malformed"),
    pytest.param(behaviour.WRONG_ENUM, 3, ("unusable", "Input should be"), id="wrong-enum"),
    pytest.param(behaviour.MISSING_KEY, 3, ("unusable", "rationale: Field required"), id="missing-key"),
    pytest.param(behaviour.EXTRA_KEY, 3, ("unusable", "a key that was not asked for"), id="extra-key"),
    pytest.param(behaviour.TRUNCATED, 3, ("unusable", "the answer was not complete"), id="truncated"),
    pytest.param(behaviour.REFUSED, 1, ("refused", "the model declines"), id="refused"),
    pytest.param(behaviour.REFUSED_MIDWAY, 1, ("refused", "the model declines"), id="refused-midway"),
    pytest.param(behaviour.DECLINED, 1, ("refused", "declines this request (400)"), id="declined"),
    pytest.param(behaviour.WRONG_KEY, 1, ("misconfigured", "set ANTHROPIC_API_KEY"), id="wrong-key"),
    pytest.param(behaviour.UNKNOWN_MODEL, 1, ("misconfigured", "set LEADLINE_AI_MODEL"), id="unknown-model"),
]


@pytest.mark.parametrize(("treated", "calls", "expected"), FAILURES)
async def test_a_failure_falls_back_or_fails_by_setting(
    server: ModelServer, store: StoreWithOutages, treated: Behaviour, calls: int, expected: tuple[str, str]
) -> None:
    """`fallback` answers offline and keeps the reason, `fail` gives reason and code and no output."""
    code, reason = expected
    server.behave(default=treated)
    brief = brief_for("slow", 0.1) if treated is behaviour.SLOW else {}
    async with step_replica(server, store, **brief) as policy:
        fallen = await policy.answer(classify_step(), 1)
        assert server.count == calls
        failing = replace(policy, on_failure="fail")
        failed = await failing.answer(classify_step(workflow_id="workflow-2"), 1)

    assert reason in fallback_of(fallen, classify_step())
    assert failed.error is not None
    assert (failed.error.code, failed.error.message) == (code, fallback_of(fallen, classify_step()))
    assert failed.source is not None
    assert (failed.source.source, failed.source.fallback, failed.output) == ("anthropic", None, None)


@pytest.mark.parametrize("name", sorted(FAILING.keys() - OF_LEADS - {"slow", "trickle"}))
async def test_a_step_is_never_worth_more_calls_than_the_setting(
    server: ModelServer, store: StoreWithOutages, name: str
) -> None:
    """Whatever goes wrong, and however often the message is delivered: so many calls, then no more."""
    server.behave(default=FAILING[name])
    for delivery in (1, 2):
        async with step_replica(server, store, ai_attempts=2) as policy:
            assert fallback_of(await policy.answer(classify_step(), delivery), classify_step())
        if delivery == 1:
            assert server.count == (1 if name in FINAL else 2)

    assert server.count <= 2


@pytest.mark.parametrize("name", ["slow", "trickle"])
async def test_a_slow_answer_is_given_up(server: ModelServer, store: StoreWithOutages, name: str) -> None:
    """A call that does not end in time counts as one, and the step does not wait for it."""
    server.behave(default=FAILING[name])
    async with step_replica(server, store, ai_attempts=2, **brief_for(name, 0.1)) as policy:
        assert "no answer within 0.1 s" in fallback_of(
            await policy.answer(classify_step(), 1), classify_step()
        )

    assert server.count == 2


@three_steps
async def test_an_unusable_answer_is_repaired_once_told_what_was_wrong(
    server: ModelServer, store: StoreWithOutages, step: AskedStep
) -> None:
    """One request carries the fault, and the answer to it is the step's."""
    server.behave(behaviour.MALFORMED, default=OK)
    async with step_replica(server, store) as policy:
        assert by_model(await policy.answer(step, 1))

    corrections = [correction_in(request) for request in server.requests]
    assert len(corrections) == 2
    assert corrections[0] == ""
    assert "no whole JSON" in corrections[1]


async def test_a_failed_repair_is_not_repaired(server: ModelServer, store: StoreWithOutages) -> None:
    """A second unusable answer is forgotten: the third request is as the first."""
    server.behave(behaviour.MALFORMED, behaviour.WRONG_ENUM, default=OK)
    async with step_replica(server, store) as policy:
        assert by_model(await policy.answer(classify_step(), 1))

    assert [correction_in(request) != "" for request in server.requests] == [False, True, False]


async def test_an_outage_does_not_forget_what_was_wrong(server: ModelServer, store: StoreWithOutages) -> None:
    """A repair that met a busy provider is sent again as it was."""
    server.behave(behaviour.WRONG_ENUM, behaviour.OVERLOADED, default=OK)
    async with step_replica(server, store) as policy:
        assert by_model(await policy.answer(classify_step(), 1))

    corrections = [correction_in(request) for request in server.requests]
    assert "Input should be" in corrections[1]
    assert corrections == ["", corrections[1], corrections[1]]


async def test_a_truncated_answer_is_asked_for_again(server: ModelServer, store: StoreWithOutages) -> None:
    """Half an answer is none, even where the half would do."""
    server.behave(replace(OK, stop_reason="max_tokens"), default=OK)
    async with step_replica(server, store) as policy:
        assert by_model(await policy.answer(classify_step(), 1))

    assert server.count == 2


async def test_a_correction_quotes_nothing_the_model_said(store: StoreWithOutages) -> None:
    """What a model made of a message does not come back as an instruction."""

    def answer(body: Body) -> Any:
        return answer_step(body) | {"Bred axolotls": True, "category": "Bred axolotls"}

    async with ModelServer(answer=answer) as server, step_replica(server, store) as policy:
        fallen = await policy.answer(classify_step(), 1)

        assert "could not be used" in correction_in(server.requests[1])
        assert "axolotls" not in server.requests[1].user_text
        assert "axolotls" not in fallback_of(fallen, classify_step())


async def test_a_misconfigured_provider_is_asked_once(server: ModelServer, store: StoreWithOutages) -> None:
    """A wrong key is not found out anew by every message."""
    server.behave(default=behaviour.WRONG_KEY)
    async with step_replica(server, store, ai_on_failure="fail") as policy:
        finished = [await policy.answer(step, 1) for step in EVERY_STEP.values()]

    assert server.count == 1
    assert {one.error.code for one in finished if one.error} == {"misconfigured"}
    assert len({one.error.message for one in finished if one.error}) == 1


@pytest.mark.parametrize("budget", ["ai_run_budget_usd", "ai_day_budget_usd"])
async def test_a_spent_budget_asks_nobody(server: ModelServer, store: StoreWithOutages, budget: str) -> None:
    """A fallback costs nothing and says which setting; `fail` has a code of its own."""
    none: dict[str, Any] = {budget: 0}
    async with step_replica(server, store, **none) as policy:
        fallen = await policy.answer(classify_step(), 1)
    async with step_replica(server, store, ai_on_failure="fail", **none) as policy:
        failed = await policy.answer(classify_step(), 1)

    assert server.count == 0
    assert f"LEADLINE_{budget.upper()}" in fallback_of(fallen, classify_step())
    assert failed.error is not None
    assert failed.error.code == "skipped_budget"
    assert failed.output is None


async def test_a_budget_is_a_workflows_own(server: ModelServer, store: StoreWithOutages) -> None:
    """What one message has spent leaves another its whole budget."""
    async with step_replica(server, store, ai_run_budget_usd=0.0015) as policy:
        told = [by_model(await policy.answer(classify_step(f"Message {n}"), 1)) for n in range(12)]
        other = await policy.answer(classify_step("Another", workflow_id="workflow-2"), 1)

    assert 1 < told.count(True) < 12
    assert by_model(other)


@pytest.mark.parametrize("on_failure", ["fallback", "fail"])
async def test_a_long_pause_is_left_to_the_retry_queue(
    server: ModelServer, store: StoreWithOutages, on_failure: str
) -> None:
    """No message is held for an hour: it comes again, asks nobody, and ends at its last delivery."""
    server.behave(default=AN_HOUR)
    async with step_replica(server, store, ai_on_failure=on_failure) as policy:
        for attempt in range(1, MAX_ATTEMPTS):
            with pytest.raises(Transient, match=ALONE):
                await policy.answer(classify_step(), attempt)
        finished = await policy.answer(classify_step(), MAX_ATTEMPTS)

    assert server.count == 1
    if on_failure == "fallback":
        assert fallback_of(finished, classify_step()) == ALONE
    else:
        assert finished.error is not None
        assert (finished.error.code, finished.error.message) == ("unavailable", ALONE)


async def test_calls_count_over_redeliveries(server: ModelServer, store: StoreWithOutages) -> None:
    """A message that comes again has the calls left that its step has, not as many as at first."""
    server.behave(default=replace(behaviour.RATE_LIMITED, retry_after=60))
    for attempt in (1, 2):
        async with step_replica(server, store) as policy:
            with pytest.raises(Transient):
                await policy.answer(classify_step(), attempt)
    async with step_replica(server, store) as policy:
        finished = await policy.answer(classify_step(), 3)

    assert server.count == 3
    assert fallback_of(finished, classify_step()) == "Anthropic has too much to do (429)"


async def test_a_step_ends_in_time(
    server: ModelServer, store: StoreWithOutages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No call begins when a step's time is over: the message comes again."""
    monkeypatch.setattr(assessor, "MESSAGE_SECONDS", 0.0)
    async with step_replica(server, store) as policy:
        with pytest.raises(Transient, match="was over"):
            await policy.answer(classify_step(), 1)

    assert server.count == 0


async def test_an_outage_of_the_store_gives_a_step_no_more_calls(
    server: ModelServer, store: StoreWithOutages
) -> None:
    """A step that is held in the middle and handled again goes on counting where it was."""
    store.script = {"reserve": ["there", "away"], "note_calls": ["away"] * 3}
    server.behave(default=behaviour.MALFORMED)
    async with step_replica(server, store) as policy:
        with pytest.raises(Unavailable):
            await policy.answer(classify_step(), 1)
        assert server.count == 1
        finished = await policy.answer(classify_step(), 1)

    assert server.count == 3
    assert fallback_of(finished, classify_step())


async def test_an_answer_is_stored_before_it_is_given_out(
    server: ModelServer, store: StoreWithOutages
) -> None:
    """While the store is away a paid answer is held, then stored; it is not paid for a second time."""
    store.script = {"keep_answers": ["away"] * 3}
    async with step_replica(server, store) as policy:
        first = await policy.answer(classify_step(), 1)
        assert store.script == {"keep_answers": []}
        assert await policy.answer(classify_step(), 2) == first

    assert server.count == 1
    assert by_model(first)


@three_steps
async def test_a_stored_output_is_not_asked_for_again(
    server: ModelServer, store: StoreWithOutages, tmp_path: Path, step: AskedStep
) -> None:
    """A redelivery to another replica, a manual retry and the same message sent again cost nothing."""
    async with step_replica(server, store) as policy:
        first = await policy.answer(step, 1)
    again = SqliteAiStore(tmp_path / "ai.db")
    async with step_replica(server, again) as policy:
        assert await policy.answer(step, 2) == first
        for changes in ({"epoch": 2}, {"workflow_id": "workflow-2"}):
            later = step.model_copy(update=changes)
            assert await policy.answer(later, 1) == first.model_copy(update=changes)
    await again.close()

    assert server.count == 1
    assert by_model(first)


OTHER_MESSAGE = MessageSpec(name="Ava Patel", contact_channel="email", message="Another.")
OTHER_NAME = MessageSpec(name="Ben Ito", contact_channel="email", message=classify_step().input.message)
OTHER: list[Any] = [
    pytest.param(classify_step(), {"owner": "ben"}, id="owner"),
    pytest.param(classify_step(), {"input": OTHER_MESSAGE}, id="message"),
    pytest.param(classify_step(), {"input": OTHER_NAME}, id="name"),
    pytest.param(extract_step(), {"owner": "ben"}, id="owner-extract"),
    pytest.param(extract_step(), {"classification": classified("spam")}, id="category"),
    pytest.param(extract_step(), {"received_at": extract_step().received_at.replace(day=5)}, id="day"),
    pytest.param(judge_step(), {"owner": "ben"}, id="owner-judge"),
    pytest.param(judge_step(), {"classification": classified(confidence=0.8)}, id="confidence"),
    pytest.param(judge_step(), {"extraction": judge_step(language="de").extraction}, id="extraction"),
    pytest.param(
        judge_step(),
        {"default": judge_step().default.model_copy(update={"queue": "sales"})},
        id="default",
    ),
]


@pytest.mark.parametrize(("step", "changes"), OTHER)
async def test_another_input_is_asked_about(
    server: ModelServer, store: StoreWithOutages, step: AskedStep, changes: dict[str, Any]
) -> None:
    """Entries belong to their owner, and a change of anything in the prompt is a new question."""
    async with step_replica(server, store) as policy:
        await policy.answer(step, 1)
        assert by_model(await policy.answer(step.model_copy(update=changes), 1))

    assert server.count == 2


@pytest.mark.parametrize("what", ["ai_model", "anthropic_base_url", "prompt"])
async def test_another_assessor_is_asked(
    server: ModelServer, store: StoreWithOutages, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer of another model, server or prompt version is not passed off as this one's."""
    async with step_replica(server, store) as policy:
        await policy.answer(classify_step(), 1)
    changed = {"ai_model": "claude-opus-5", "anthropic_base_url": f"{server.base_url}/"}
    settings: dict[str, Any] = {name: value for name, value in changed.items() if name == what}
    if what == "prompt":
        later = replace(prompt_of(ClassifyStep.TYPE), version="classify.v2")
        monkeypatch.setattr(assessor, "prompt_of", lambda _kind: later)
    async with step_replica(server, store, **settings) as policy:
        finished = await policy.answer(classify_step(), 1)

    assert server.count == 2
    assert finished.source is not None
    assert finished.source.source == "anthropic"


async def test_the_steps_of_a_workflow_do_not_mix(server: ModelServer, store: StoreWithOutages) -> None:
    """Three steps about one message are three questions, each with calls of its own."""
    server.behave(default=behaviour.SERVER_ERROR)
    for step in THREE.values():
        async with step_replica(server, store) as policy:
            await policy.answer(step, 1)

    assert server.count == 9


async def test_failures_are_not_stored(server: ModelServer, store: StoreWithOutages) -> None:
    """A manual retry after an outage asks again, with as many calls as at first, and gets an answer."""
    server.behave(default=behaviour.SERVER_ERROR)
    async with step_replica(server, store, ai_on_failure="fail") as policy:
        assert (await policy.answer(classify_step(), 1)).output is None
        server.behave(behaviour.SERVER_ERROR, behaviour.SERVER_ERROR, default=OK)
        assert by_model(await policy.answer(classify_step(epoch=2), 1))

    assert server.count == 6


async def test_spend_is_counted_for_the_workflow(server: ModelServer, store: StoreWithOutages) -> None:
    """Calls, failures and money of all steps stand under the workflow's id; what is left is given back."""
    server.behave(behaviour.MALFORMED, behaviour.SERVER_ERROR, default=OK)
    async with step_replica(server, store) as policy:
        for step in THREE.values():
            assert by_model(await policy.answer(step, 1))
        nothing = AiSpend(source="anthropic", assessor="claude-haiku-5-5")
        spent = await store.settle("ann", "workflow-1", nothing, [], 0)

    assert (spent.calls, spent.failed_calls) == (5, 2)
    assert spent.nano_usd > 0
    assert spent.input_tokens > 1_000
    assert await store.committed("run:workflow-1") == spent.nano_usd


def judged_by(answer: dict[str, object]) -> ModelServer:
    """Return a server whose model proposes this, whatever it is asked."""
    return ModelServer(answer=lambda _body: answer)


RAILED = [
    pytest.param(
        judge_step("spam", 0.95), {"queue": "sales", "priority": "p0"}, ("ignore", "p2", 480), id="spam"
    ),
    pytest.param(
        judge_step("spam", 0.3), {"queue": "ignore"}, ("needs_clarification", "p1", 120), id="unsure-spam"
    ),
    pytest.param(
        judge_step("support", 0.2), {"queue": "ignore"}, ("needs_clarification", "p1", 120), id="unsure"
    ),
    pytest.param(
        judge_step("spam", 0.7, None), {"queue": "ignore"}, ("needs_clarification", "p1", 120), id="unread"
    ),
    pytest.param(judge_step(), {"queue": "ignore"}, ("support", "p1", 120), id="ignored-customer"),
    pytest.param(judge_step(), {"sla_minutes": 1}, ("support", "p1", 60), id="too-soon"),
    pytest.param(judge_step(), {"sla_minutes": 9_999}, ("support", "p1", 480), id="too-late"),
    pytest.param(
        judge_step(default=judge_step().default.model_copy(update={"signals": []})),
        {"priority": "p0", "sla_minutes": 10},
        ("support", "p1", 60),
        id="p0-for-nothing",
    ),
]


@pytest.mark.parametrize(("step", "proposed", "holds"), RAILED)
async def test_guard_rails_hold_whatever_the_model_says(
    store: StoreWithOutages, step: JudgeStep, proposed: dict[str, object], holds: tuple[str, str, int]
) -> None:
    """The route is within bounds; what was proposed is kept beside it, and why it was changed."""
    said = JUDGED | proposed
    async with judged_by(said) as server, step_replica(server, store) as policy:
        finished = await policy.answer(step, 1)
        again = await policy.answer(step, 2)

    output: Any = finished.output
    if step.classification.category == "spam" and holds[0] != "ignore":
        holds = (holds[0], "p2", 480)
    assert (output["queue"], output["priority"], output["sla_minutes"]) == holds
    assert output["proposed"] == said
    assert output["guard_rails"]
    assert output["default"] == step.default.model_dump(mode="json")
    assert again == finished
    assert by_model(finished)


async def test_a_judgement_within_bounds_is_kept_as_it_is(store: StoreWithOutages) -> None:
    """Where no guard rail says otherwise the model's word holds, against the rules' default too."""
    said = JUDGED | {"queue": "sales"}
    async with judged_by(said) as server, step_replica(server, store) as policy:
        output: Any = (await policy.answer(judge_step(), 1)).output

    assert {name: output[name] for name in said} == said
    assert (output["proposed"], output["guard_rails"]) == (None, [])


async def test_what_is_stored_is_what_the_model_said(store: StoreWithOutages) -> None:
    """Guard rails that change later change the route of a stored judgement too."""
    said = JUDGED | {"queue": "ignore"}
    async with judged_by(said) as server, step_replica(server, store) as policy:
        assert policy.cache is not None
        await policy.answer(judge_step(), 1)
        key = policy.cache.assessor.key(judge_step())
        stored = (await store.answers("ann", [key]))[key]

    assert json.loads(stored.answer) == said
    assert (stored.run_id, stored.prompt) == ("workflow-1", "route.v1")


@three_steps
async def test_the_offline_assessor_can_be_the_chosen_one(step: AskedStep) -> None:
    """Without a key the offline answer is the answer, not a fallback."""
    finished = await StepPolicy().answer(step, 1)

    assert finished.source == OFFLINE_STEPS
    assert finished.error is None
    assert checked_output(StepName(finished.step), finished.output or {}) == finished.output


def test_failing_for_good_is_possible_without_a_provider() -> None:
    """With `fail` and no key a step that could not be answered ends with an error of the offline assessor."""
    failure = Failure("workflow-1", "unavailable", "KeyError")
    finished = StepPolicy(on_failure="fail").without_answer(classify_step(), failure)

    assert (finished.source, finished.output) == (OFFLINE_STEPS, None)
    assert finished.error is not None
    assert (finished.error.code, finished.error.message) == ("unavailable", "KeyError")
