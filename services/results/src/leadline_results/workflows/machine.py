"""The state machine of one message's workflow: its state, and pure functions from one state to the next.

A workflow is pending until its first step starts, then processing, then completed or failed; a manual retry
takes a failed one back to processing, in a new epoch. Exactly one step is processing while the workflow is;
all before it are completed, all after it not started. After a failed step the later ones are skipped.

An ended workflow does not change in its epoch, since its end has been published: an answer that comes after
its step timed out is ignored, and a manual retry asks again.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from pydantic import ValidationError

from leadline_contracts.envelope import Wire, describe
from leadline_contracts.errors import Conflict
from leadline_contracts.inbound import (
    Category,
    MessageAccepted,
    MessageSpec,
    Priority,
    RouteQueue,
    StepError,
    StepFinished,
    StepName,
    StepSource,
    checked_output,
)

STEP_TIME = timedelta(minutes=5)
"""Time until an attempt's deadline: longer than the 156 s that a consumer's own retries wait in all."""
GRACE = timedelta(seconds=30)
"""How long after its deadline a step is first checked, since answers and clocks may be late."""
RECHECK = timedelta(minutes=1)
"""Time until the next check of an overdue step whose queue is still being worked off."""
MAX_TRIES = 5
"""How often a step is published in one epoch before it fails as timed out."""
MAX_HISTORY = 100

_STEPS = tuple(StepName)
Output = dict[str, object]


class WorkflowStatus(StrEnum):
    """State of a workflow; only histories show `pending`, since the first step starts at once."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


class StepStatus(StrEnum):
    """State of a step in the current epoch."""

    NOT_STARTED = "not_started"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"


class StepFault(StepError):
    """Why a step failed, and at which of its attempts."""

    attempt: int


class Step(Wire):
    """One step. `attempts` counts its publications in all epochs, `tries` those in the current one.

    `deadline` is the one that the newest attempt's message carries. `output` is the validated answer as JSON.
    """

    status: StepStatus = StepStatus.NOT_STARTED
    attempts: int = 0
    tries: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    deadline: datetime | None = None
    output: Output | None = None
    error: StepFault | None = None
    source: StepSource | None = None


class Event(Wire):
    """One entry of a history; `status` is the workflow's after it."""

    at: datetime
    event: Literal["accepted", "started", "repeated", "completed", "failed", "retried"]
    step: StepName | None
    epoch: int
    status: WorkflowStatus


class Workflow(Wire):
    """One message's workflow. `input` is as it came; `history` keeps the newest MAX_HISTORY events.

    `trace` is the trace context of the request or message that brought it.
    `category`, `queue` and `priority` repeat what the steps have found. `sweep_at` is when the timeout of the
    step under way is checked, None after the end. `revision` counts writes, 0 before the first; conditional
    writes compare it.
    """

    owner: str
    workflow_id: str
    input: MessageSpec
    received_at: datetime
    trace: str | None = None
    status: WorkflowStatus = WorkflowStatus.PENDING
    epoch: int = 1
    steps: dict[StepName, Step] = {name: Step() for name in StepName}
    history: list[Event] = []
    category: Category | None = None
    queue: RouteQueue | None = None
    priority: Priority | None = None
    sweep_at: datetime | None = None
    revision: int = 0

    @property
    def current(self) -> StepName | None:
        """The step under way, None after the end."""
        return self._first(StepStatus.PROCESSING)

    @property
    def failed_step(self) -> StepName | None:
        """The step that failed, None where none did."""
        return self._first(StepStatus.FAILED)

    @property
    def ended(self) -> bool:
        """Whether the workflow is completed or failed."""
        return self.status in {WorkflowStatus.COMPLETED, WorkflowStatus.FAILED}

    @property
    def updated_at(self) -> datetime:
        """When its state last changed."""
        return self.history[-1].at if self.history else self.received_at

    def _first(self, status: StepStatus) -> StepName | None:
        return next((name for name in _STEPS if self.steps[name].status is status), None)


def step_after(name: StepName) -> StepName | None:
    """Return the step that follows, None after the last."""
    later = _later(name)
    return later[0] if later else None


def begin(accepted: MessageAccepted, now: datetime, trace: str | None = None) -> Workflow:
    """Return the workflow of an accepted message, with its first step under way."""
    workflow = Workflow(
        owner=accepted.owner,
        workflow_id=accepted.workflow_id,
        input=accepted.input,
        received_at=accepted.received_at,
        trace=trace,
    )
    return _start(_noted(workflow, "accepted", None, now), _STEPS[0], now)


def apply(workflow: Workflow, finished: StepFinished, now: datetime) -> Workflow:
    """Return the workflow after a step's answer; the same object where the answer changes nothing.

    Only answers for the step under way in the current epoch count: the first valid one is kept and starts the
    next step, an error or an invalid answer fails the workflow.
    """
    if finished.epoch != workflow.epoch or finished.step is not workflow.current:
        return workflow
    answer = finished.error or _validated(workflow, finished)
    if isinstance(answer, StepError):
        return _fail(workflow, finished, answer, now)
    return _complete(workflow, finished, answer, now)


def retry(workflow: Workflow, now: datetime) -> Workflow:
    """Return the workflow in a new epoch, from the failed step on; what was completed is kept.

    Raises Conflict where no step failed.
    """
    failed = workflow.failed_step
    if failed is None:
        raise Conflict(
            "Nothing failed",
            f"The workflow is {workflow.status}; only one that has failed can be tried again.",
        )
    fresh = {name: Step(attempts=workflow.steps[name].attempts) for name in (failed, *_later(failed))}
    again = _changed(workflow, fresh, status=WorkflowStatus.PROCESSING, epoch=workflow.epoch + 1)
    return _start(_noted(again, "retried", failed, now), failed, now)


def repeat(workflow: Workflow, now: datetime) -> Workflow:
    """Return the workflow with the step under way published once more, as another attempt."""
    name = _under_way(workflow)
    step = workflow.steps[name]
    again = {"attempts": step.attempts + 1, "tries": step.tries + 1, "deadline": now + STEP_TIME}
    repeated = _changed(workflow, {name: step.model_copy(update=again)}, sweep_at=now + STEP_TIME + GRACE)
    return _noted(repeated, "repeated", name, now)


def postpone(workflow: Workflow, now: datetime) -> Workflow:
    """Return the workflow with its next timeout check one RECHECK later; nothing else changes."""
    return workflow.model_copy(update={"sweep_at": now + RECHECK})


def _validated(workflow: Workflow, finished: StepFinished) -> Output | StepError:
    """Return the answer in the form it is kept in, or why it is unusable, without quoting it."""
    output = finished.output
    if output is None:
        return StepError(code="unusable", message="the answer has neither output nor error")
    if finished.step is StepName.EXTRACT and output.get("category") != workflow.category:
        return StepError(code="unusable", message=f"category: the message is classified {workflow.category}")
    try:
        return checked_output(finished.step, output)
    except ValidationError as error:
        return StepError(code="unusable", message=describe(error))


def _start(workflow: Workflow, name: StepName, now: datetime) -> Workflow:
    step = Step(
        status=StepStatus.PROCESSING,
        attempts=workflow.steps[name].attempts + 1,
        tries=1,
        started_at=now,
        deadline=now + STEP_TIME,
    )
    due = now + STEP_TIME + GRACE
    started = _changed(workflow, {name: step}, status=WorkflowStatus.PROCESSING, sweep_at=due)
    return _noted(started, "started", name, now)


def _complete(workflow: Workflow, finished: StepFinished, output: Output, now: datetime) -> Workflow:
    name = finished.step
    done = {
        "status": StepStatus.COMPLETED,
        "finished_at": now,
        "output": output,
        "source": finished.source,
    }
    steps = {name: workflow.steps[name].model_copy(update=done)}
    following = step_after(name)
    if following is None:
        ended = _changed(
            workflow,
            steps,
            status=WorkflowStatus.COMPLETED,
            sweep_at=None,
            queue=output["queue"],
            priority=output["priority"],
        )
        return _noted(ended, "completed", name, now)
    completed = _changed(workflow, steps, category=output["category"])
    return _start(_noted(completed, "completed", name, now), following, now)


def _fail(workflow: Workflow, finished: StepFinished, error: StepError, now: datetime) -> Workflow:
    name = finished.step
    step = workflow.steps[name]
    fault = StepFault(code=error.code, message=error.message, attempt=step.attempts)
    failed = {"status": StepStatus.FAILED, "finished_at": now, "error": fault, "source": finished.source}
    steps = {name: step.model_copy(update=failed)}
    for later in _later(name):
        steps[later] = workflow.steps[later].model_copy(update={"status": StepStatus.SKIPPED})
    ended = _changed(workflow, steps, status=WorkflowStatus.FAILED, sweep_at=None)
    return _noted(ended, "failed", name, now)


def _changed(workflow: Workflow, steps: Mapping[StepName, Step], **changes: object) -> Workflow:
    return workflow.model_copy(update={**changes, "steps": {**workflow.steps, **steps}})


def _noted(
    workflow: Workflow,
    event: Literal["accepted", "started", "repeated", "completed", "failed", "retried"],
    step: StepName | None,
    now: datetime,
) -> Workflow:
    entry = Event(at=now, event=event, step=step, epoch=workflow.epoch, status=workflow.status)
    return workflow.model_copy(update={"history": [*workflow.history, entry][-MAX_HISTORY:]})


def _later(name: StepName) -> tuple[StepName, ...]:
    return _STEPS[_STEPS.index(name) + 1 :]


def _under_way(workflow: Workflow) -> StepName:
    name = workflow.current
    if name is None:
        raise ValueError(f"workflow {workflow.workflow_id} has no step under way")
    return name
