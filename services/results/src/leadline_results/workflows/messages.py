"""The messages that workflows publish: pure functions of their state, so that a repeat is the same."""

from leadline_common.broker.chunks import message_of
from leadline_common.broker.port import Message
from leadline_common.ids import derived_id
from leadline_contracts.inbound import (
    OUTPUTS,
    Classification,
    ClassifyStep,
    ExtractStep,
    MessageAccepted,
    RouteStep,
    StepError,
    StepFinished,
    StepName,
    StepRef,
    WorkflowEnded,
)
from leadline_results.workflows.machine import Workflow, WorkflowStatus, step_after

Cause = MessageAccepted | StepFinished
"""A message that may change a workflow's state."""


def messages_after(workflow: Workflow, cause: Cause) -> list[Message]:
    """Return the messages that follow from the cause, as long as the workflow is still where it led to.

    So a cause that is delivered again publishes again what a crash may have kept back, and a stale one
    requests no work that is done.
    """
    if isinstance(cause, MessageAccepted):
        started: StepName | None = StepName.CLASSIFY
    elif cause.epoch != workflow.epoch:
        return []
    elif workflow.ended:
        ending = workflow.failed_step or StepName.ROUTE
        return [ended_event(workflow)] if cause.step is ending else []
    else:
        started = step_after(cause.step)
    return [step_request(workflow)] if started is not None and started is workflow.current else []


def step_request(workflow: Workflow) -> Message:
    """Return the message that asks for the step under way; another attempt is another message."""
    ref = _ref(workflow)
    step = _step_contract(workflow, ref)
    attempt = workflow.steps[ref.step].attempts
    return message_of(
        step, derived_id(step.TYPE, ref.workflow_id, str(ref.epoch), str(attempt)), workflow.trace
    )


def timed_out_answer(workflow: Workflow) -> Message:
    """Return a `timed_out` answer for the step under way."""
    ref = _ref(workflow)
    tries = workflow.steps[ref.step].tries
    error = StepError(code="timed_out", message=f"no answer to {tries} attempts")
    answer = StepFinished.of(ref, error=error)
    message_id = derived_id(answer.TYPE, ref.workflow_id, ref.step, str(ref.epoch), "timed_out")
    return message_of(answer, message_id, workflow.trace)


def ended_event(workflow: Workflow) -> Message:
    """Return the public event about a workflow's end, one for each epoch."""
    route = workflow.steps[StepName.ROUTE].output or {}
    event = WorkflowEnded.model_validate(
        {
            "owner": workflow.owner,
            "workflow_id": workflow.workflow_id,
            "status": "completed" if workflow.status is WorkflowStatus.COMPLETED else "failed",
            "category": workflow.category,
            "queue": workflow.queue,
            "priority": workflow.priority,
            "sla_minutes": route.get("sla_minutes"),
        }
    )
    message_id = derived_id(event.TYPE, workflow.workflow_id, str(workflow.epoch))
    return message_of(event, message_id, workflow.trace)


def _ref(workflow: Workflow) -> StepRef:
    name = workflow.current
    deadline = workflow.steps[name].deadline if name else None
    if name is None or deadline is None:
        raise ValueError(f"workflow {workflow.workflow_id} has no step under way")
    return StepRef(
        owner=workflow.owner,
        workflow_id=workflow.workflow_id,
        step=name,
        epoch=workflow.epoch,
        deadline=deadline,
    )


def _step_contract(workflow: Workflow, ref: StepRef) -> ClassifyStep | ExtractStep | RouteStep:
    asked = {**vars(ref), "input": workflow.input}
    if ref.step is StepName.CLASSIFY:
        return ClassifyStep(**asked)
    classified = Classification.model_validate(workflow.steps[StepName.CLASSIFY].output)
    if ref.step is StepName.EXTRACT:
        return ExtractStep(**asked, received_at=workflow.received_at, classification=classified)
    extracted = OUTPUTS[StepName.EXTRACT].validate_python(workflow.steps[StepName.EXTRACT].output)
    return RouteStep.model_validate({**asked, "classification": classified, "extraction": extracted})
