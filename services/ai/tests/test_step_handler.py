"""Steps in, answers out: the service's messages, through the real SDK and a real store."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from leadline_ai.metrics import AiMetrics
from leadline_ai.steps.handler import StepHandler
from leadline_ai.steps.policy import StepPolicy
from leadline_ai.stores.sqlite import SqliteAiStore
from leadline_common.broker.chunks import message_of
from leadline_common.broker.port import Message
from leadline_contracts.errors import Permanent, Transient
from leadline_contracts.inbound import (
    ClassifyStep,
    ExtractStep,
    JudgeStep,
    RouteStep,
    StepFinished,
    StepName,
    checked_output,
)
from leadline_contracts.topology import MAX_ATTEMPTS
from leadline_testing import model_behaviour as behaviour
from leadline_testing.model_behaviour import OK
from leadline_testing.model_server import ModelServer

from .step_cases import answer_step, classify_step, extract_step, judge_step, step_replica

STEPS = [classify_step(), extract_step(), judge_step()]
MESSAGES = [message_of(step, f"workflow-1:{step.step}:1") for step in STEPS]
UNREADABLE = [
    *(Message(type=kind.TYPE, id="x", body=b'{"owner": "ann"}') for kind in (ClassifyStep, ExtractStep)),
    Message(type=JudgeStep.TYPE, id="x", body=b"judge this"),
    replace(MESSAGES[0], type=JudgeStep.TYPE),
]


ANSWER = answer_step


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def handler(
    server: ModelServer, store: SqliteAiStore, registry: CollectorRegistry
) -> AsyncIterator[StepHandler]:
    metrics = AiMetrics(registry)
    async with step_replica(server, store, metrics) as policy:
        yield StepHandler(policy, metrics)


def offline() -> StepHandler:
    return StepHandler(StepPolicy(), AiMetrics(CollectorRegistry()))


async def test_every_step_is_answered_by_one_message(server: ModelServer, handler: StepHandler) -> None:
    """Whatever the step, its answer is `steps.finished.v1`, named after what asked, in order."""
    answers = await handler.handle(MESSAGES)

    assert [(message.type, message.id) for message in answers] == [
        (StepFinished.TYPE, f"{asked.id}:{StepFinished.TYPE}") for asked in MESSAGES
    ]
    finished = [StepFinished.decode(message.body) for message in answers]
    assert [one.step for one in finished] == [StepName.CLASSIFY, StepName.EXTRACT, StepName.ROUTE]
    for one in finished:
        assert (one.owner, one.workflow_id, one.epoch) == ("ann", "workflow-1", 1)
        assert checked_output(one.step, one.output or {}) == one.output
    assert server.count == 3


async def test_a_redelivered_step_gets_the_same_message(server: ModelServer, handler: StepHandler) -> None:
    """A consumer that died before it acknowledged says the same again, and pays nothing for it."""
    first = await handler.handle(MESSAGES)
    second = await handler.handle([replace(message, attempt=2) for message in MESSAGES])

    assert second == first
    assert server.count == 3


async def test_the_attempt_decides_between_later_and_never(server: ModelServer, handler: StepHandler) -> None:
    """A provider that is away for an hour sends the message to its retry queue, until the last delivery."""
    server.behave(default=replace(behaviour.RATE_LIMITED, retry_after=3_600))

    for attempt in (1, MAX_ATTEMPTS - 1):
        with pytest.raises(Transient):
            await handler.handle([replace(MESSAGES[0], attempt=attempt)])
    [last] = await handler.handle([replace(MESSAGES[0], attempt=MAX_ATTEMPTS)])

    source = StepFinished.decode(last.body).source
    assert source is not None
    assert source.fallback == "anthropic asks to be left alone for a while"


@pytest.mark.parametrize("message", UNREADABLE, ids=range(len(UNREADABLE)))
async def test_what_is_no_step_can_never_succeed(
    server: ModelServer, handler: StepHandler, message: Message
) -> None:
    """A body of another shape is refused before anybody is asked, and nobody is answered for it."""
    with pytest.raises(Permanent, match=message.type):
        await handler.handle([message])

    assert server.count == 0
    assert handler.on_dead_letter(message, "no step") == []


async def test_a_step_that_nobody_here_answers_is_refused(handler: StepHandler) -> None:
    """The rules' step is not a question for an assessor, however alike it looks."""
    message = message_of(RouteStep.model_validate(vars(judge_step())), "x")
    with pytest.raises(Permanent, match=r"does not know the type steps\.route\.v1"):
        await handler.handle([message])

    assert handler.on_dead_letter(message, "not ours") == []


def test_a_step_is_not_split() -> None:
    """There is one message in it, so that what fails fails whole."""
    assert [offline().bisect(message) for message in [*MESSAGES, *UNREADABLE]] == [[]] * 7


@pytest.mark.parametrize("asked", MESSAGES, ids=["classify", "extract", "judge"])
@pytest.mark.parametrize("on_failure", ["fallback", "fail"])
async def test_giving_up_answers_by_the_setting(
    server: ModelServer, store: SqliteAiStore, on_failure: str, asked: Message
) -> None:
    """A workflow does not wait for a step whose message is dead: it falls back or fails, with the reason."""
    async with step_replica(server, store, ai_on_failure=on_failure) as policy:
        handler = StepHandler(policy, AiMetrics(CollectorRegistry()))
        [message] = handler.on_dead_letter(asked, "KeyError")
        [usual] = await handler.handle([asked])

    assert message.id == usual.id
    finished = StepFinished.decode(message.body)
    assert finished.source is not None
    if on_failure == "fallback":
        assert (finished.source.source, finished.source.fallback) == ("offline", "KeyError")
        assert checked_output(finished.step, finished.output or {}) == finished.output
    else:
        assert finished.error is not None
        assert (finished.error.code, finished.error.message) == ("unavailable", "KeyError")
        assert (finished.source.source, finished.output) == ("anthropic", None)
    assert server.count == 1


async def test_metrics_tell_what_became_of_steps_and_calls(
    server: ModelServer, handler: StepHandler, registry: CollectorRegistry
) -> None:
    """Whoever watches the service sees which steps were answered, by whom, and what calls it took."""
    server.behave(behaviour.MALFORMED, OK, behaviour.REFUSED, default=OK)
    for _ in range(2):
        await handler.handle(MESSAGES)

    def value(name: str, **labels: str) -> Any:
        return registry.get_sample_value(f"leadline_ai_{name}", labels)

    for step, source, status, count in [
        ("classify", "anthropic", "answered", 2),
        ("extract", "offline", "fallback", 1),
        ("extract", "anthropic", "answered", 1),
        ("route", "anthropic", "answered", 2),
    ]:
        assert value("steps_total", step=step, source=source, status=status) == count
    assert value("call_duration_seconds_count", model="claude-haiku-5-5", outcome="complete") == 4
    assert value("call_duration_seconds_count", model="claude-haiku-5-5", outcome="refused") == 1
    assert value("tokens_total", model="claude-haiku-5-5", kind="input") > 1_000
    assert value("cost_usd_total", model="claude-haiku-5-5") > 0
    assert value("leads_total", source="anthropic", status="answered") is None


async def test_a_step_that_fails_for_good_is_counted_as_failed(
    server: ModelServer, store: SqliteAiStore, registry: CollectorRegistry
) -> None:
    """An alert on failed steps sees them, apart from fallbacks."""
    server.behave(default=behaviour.REFUSED)
    metrics = AiMetrics(registry)
    async with step_replica(server, store, metrics, ai_on_failure="fail") as policy:
        await StepHandler(policy, metrics).handle(MESSAGES[:1])

    labels = {"step": "classify", "source": "anthropic", "status": "failed"}
    assert registry.get_sample_value("leadline_ai_steps_total", labels) == 1
