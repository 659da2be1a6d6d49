"""The state machine of workflows, each transition by itself."""

from datetime import timedelta
from typing import Any

import pytest

from leadline_contracts.errors import Conflict
from leadline_contracts.inbound import StepName
from leadline_results.workflows.machine import (
    GRACE,
    MAX_HISTORY,
    STEP_TIME,
    StepStatus,
    Workflow,
    WorkflowStatus,
    apply,
    begin,
    postpone,
    repeat,
    retry,
)
from leadline_testing.tables import every_row

from .builders import START
from .workflow_builders import (
    ANSWERS,
    EXTRACTED,
    REFUSED,
    ROUTED,
    SOURCE,
    accepted,
    answer,
    at,
    completed,
    failed,
)

LATER = START + timedelta(seconds=7)
OTHER_SPAM = {
    **{
        name: EXTRACTED[name]
        for name in ("contact_channel", "urgency", "timeline", "budget_range", "confidence")
    },
    "category": "spam",
    "spam_reason": "promo",
}


def statuses(workflow: Workflow) -> list[str]:
    """How the steps stand, in order."""
    return [workflow.steps[name].status.value for name in StepName]


def test_an_accepted_message_starts_its_first_step() -> None:
    """The workflow keeps what was sent as it came, and asks for a classification at once."""
    message = accepted(external_message_id="m-1")
    workflow = begin(message, START)
    assert (workflow.owner, workflow.workflow_id, workflow.input) == (
        message.owner,
        message.workflow_id,
        message.input,
    )
    assert (workflow.status, workflow.epoch, workflow.current) == ("processing", 1, StepName.CLASSIFY)
    assert statuses(workflow) == ["processing", "not_started", "not_started"]
    step = workflow.steps[StepName.CLASSIFY]
    assert (step.attempts, step.started_at, step.deadline) == (1, START, START + STEP_TIME)
    assert workflow.sweep_at == START + STEP_TIME + GRACE
    assert [(event.event, event.status) for event in workflow.history] == [
        ("accepted", "pending"),
        ("started", "processing"),
    ]


def test_answers_take_a_workflow_through_its_steps() -> None:
    """Each answer is kept with who gave it and when, and what lists filter by is found in it."""
    workflow = begin(accepted(), START)
    for name in StepName:
        assert workflow.current is name
        workflow = apply(workflow, answer(workflow), LATER)
        step = workflow.steps[name]
        assert (step.status, step.finished_at, step.source) == ("completed", LATER, SOURCE)
        assert step.output is not None
        assert step.output.items() >= ANSWERS[name].items()
    assert (workflow.status, workflow.current, workflow.sweep_at) == ("completed", None, None)
    assert (workflow.category, workflow.queue, workflow.priority) == ("sales_new", "sales", "p0")
    assert (workflow.updated_at, workflow.history[-1].status) == (LATER, "completed")


@every_row(
    ("step", "output"),
    [
        (StepName.CLASSIFY, {}),
        (StepName.CLASSIFY, {**ANSWERS[StepName.CLASSIFY], "category": "sales"}),
        (StepName.CLASSIFY, {**ANSWERS[StepName.CLASSIFY], "confidence": "0.75"}),
        (StepName.CLASSIFY, {**ANSWERS[StepName.CLASSIFY], "confidence": 1.5}),
        (StepName.CLASSIFY, {**ANSWERS[StepName.CLASSIFY], "confidence": float("nan")}),
        (StepName.CLASSIFY, {**ANSWERS[StepName.CLASSIFY], "also": 1}),
        (StepName.EXTRACT, {**EXTRACTED, "severity": "low"}),
        (StepName.EXTRACT, {**EXTRACTED, "service_date": 1_728_000_000}),
        (StepName.EXTRACT, {name: EXTRACTED[name] for name in EXTRACTED if name != "urgency"}),
        (StepName.EXTRACT, {name: EXTRACTED[name] for name in EXTRACTED if name != "category"}),
        (StepName.EXTRACT, OTHER_SPAM),
        (StepName.ROUTE, {**ROUTED, "sla_minutes": 300}),
        (StepName.ROUTE, {**ROUTED, "sla_minutes": "30"}),
        (StepName.ROUTE, {**ROUTED, "priority": "p3"}),
    ],
)
def test_an_answer_that_does_not_fit_fails_its_step(step: StepName, output: dict[str, Any]) -> None:
    """Nothing that a contract does not allow is ever kept, not even an extraction of another category."""
    before = at(step)
    after = apply(before, answer(before, output=output), LATER)
    assert (after.status, after.failed_step) == ("failed", step)
    kept = after.steps[step]
    assert kept.output is None
    assert kept.error is not None
    assert (kept.error.code, kept.error.attempt) == ("unusable", 1)
    assert (after.queue, after.priority) == (None, None)


def test_why_an_answer_is_unusable_never_quotes_it() -> None:
    """Errors are shown and logged, and an answer may repeat the words of the message."""
    before = at(StepName.EXTRACT)
    for name in ("category", "urgency", "lead_type", "surprise"):
        after = apply(before, answer(before, output={**EXTRACTED, name: "SECRET WORDS"}), LATER)
        error = after.steps[StepName.EXTRACT].error
        assert error is not None
        assert "SECRET" not in error.message
        assert "\n" not in error.message


def test_an_answer_without_output_or_error_is_unusable() -> None:
    """An answer that says nothing does not leave its workflow waiting."""
    before = at(StepName.CLASSIFY)
    after = apply(before, answer(before).model_copy(update={"output": None}), LATER)
    error = after.steps[StepName.CLASSIFY].error
    assert error is not None
    assert error.code == "unusable"


def test_a_failed_step_ends_its_workflow_and_keeps_what_was_done() -> None:
    """The error is kept with its attempt, earlier outputs stay, later steps are skipped."""
    workflow = failed(StepName.EXTRACT)
    assert (workflow.status, workflow.sweep_at, workflow.category) == ("failed", None, "sales_new")
    assert statuses(workflow) == ["completed", "failed", "skipped"]
    assert workflow.steps[StepName.CLASSIFY].output == ANSWERS[StepName.CLASSIFY]
    error = workflow.steps[StepName.EXTRACT].error
    assert error is not None
    assert error.model_dump() == {**REFUSED.model_dump(), "attempt": 1}


def test_answers_that_come_too_late_or_too_early_change_nothing() -> None:
    """Only the step under way in the current epoch is listened to, and the first valid answer wins."""
    extracting = at(StepName.EXTRACT)
    other = {**ANSWERS[StepName.CLASSIFY], "category": "spam"}
    for stale in (
        answer(extracting, StepName.CLASSIFY, output=other),
        answer(extracting, StepName.ROUTE),
        answer(extracting, epoch=2),
        answer(extracting, epoch=0, error=REFUSED),
    ):
        assert apply(extracting, stale, LATER) is extracting
    over, broken = completed(), failed(StepName.ROUTE)
    assert apply(over, answer(over, StepName.ROUTE, error=REFUSED), LATER) is over
    assert apply(broken, answer(broken, StepName.ROUTE), LATER) is broken


def test_a_retry_starts_a_new_epoch_from_the_failed_step() -> None:
    """What was done is kept, the failed step is asked again as another attempt, the rest has not started."""
    before = failed(StepName.EXTRACT)
    again = retry(before, LATER)
    assert (again.status, again.epoch, again.current) == ("processing", 2, StepName.EXTRACT)
    assert statuses(again) == ["completed", "processing", "not_started"]
    assert again.steps[StepName.CLASSIFY] == before.steps[StepName.CLASSIFY]
    step = again.steps[StepName.EXTRACT]
    assert (step.attempts, step.tries, step.error, step.finished_at) == (2, 1, None, None)
    assert apply(again, answer(before, StepName.EXTRACT), LATER) is again
    assert (
        apply(apply(again, answer(again), LATER), answer(again, StepName.ROUTE), LATER).status == "completed"
    )


@pytest.mark.parametrize("workflow", [at(StepName.CLASSIFY), completed()], ids=["processing", "completed"])
def test_only_what_failed_can_be_retried(workflow: Workflow) -> None:
    """A retry never undoes what is done nor doubles what is under way."""
    with pytest.raises(Conflict, match=f"The workflow is {workflow.status}"):
        retry(workflow, LATER)


def test_a_repeated_step_is_another_attempt_with_another_deadline() -> None:
    """Attempts are counted in all, tries anew in each epoch."""
    once = at(StepName.EXTRACT)
    twice = repeat(once, LATER)
    step = twice.steps[StepName.EXTRACT]
    assert (step.attempts, step.tries, step.deadline) == (2, 2, LATER + STEP_TIME)
    assert (step.started_at, twice.sweep_at) == (START, LATER + STEP_TIME + GRACE)
    again = retry(apply(twice, answer(twice, error=REFUSED), LATER), LATER).steps[StepName.EXTRACT]
    assert (again.attempts, again.tries) == (3, 1)


def test_a_postponed_workflow_is_as_it_was() -> None:
    """Postponing a step's timeout changes nothing that callers see."""
    before = at(StepName.ROUTE)
    after = postpone(before, LATER)
    assert after.sweep_at is not None
    assert after.sweep_at > LATER
    assert after.model_copy(update={"sweep_at": before.sweep_at}) == before


def test_a_history_is_bounded() -> None:
    """A workflow that is retried for ever does not grow for ever; its newest events stay."""
    workflow = failed(StepName.CLASSIFY)
    for _ in range(MAX_HISTORY):
        again = retry(workflow, LATER)
        workflow = apply(again, answer(again, error=REFUSED), LATER)
    assert len(workflow.history) == MAX_HISTORY
    assert (workflow.history[-1].event, workflow.history[-1].epoch) == ("failed", MAX_HISTORY + 1)
    assert workflow.steps[StepName.CLASSIFY].status is StepStatus.FAILED
    assert workflow.status is WorkflowStatus.FAILED
