"""Workflows as callers see them."""

from datetime import datetime

from leadline_common.telemetry.tracing import trace_id_of
from leadline_contracts.envelope import Wire
from leadline_contracts.inbound import (
    Category,
    Channel,
    MessageSpec,
    Priority,
    RouteQueue,
    StepName,
    StepSource,
)
from leadline_results.workflows.machine import Event, Output, StepFault, StepStatus, Workflow, WorkflowStatus


class WorkflowSummary(Wire):
    """One message's workflow in short; `category`, `queue` and `priority` are None until they are found."""

    id: str
    status: WorkflowStatus
    category: Category | None
    queue: RouteQueue | None
    priority: Priority | None
    name: str | None
    contact_channel: Channel
    external_message_id: str | None
    received_at: datetime
    updated_at: datetime


class StepView(Wire):
    """One step. `attempts` counts how often it was requested in all; `deadline` is the newest attempt's.

    `output` is None until it is completed; `error` tells why and at which attempt it failed.
    """

    status: StepStatus
    attempts: int
    started_at: datetime | None
    finished_at: datetime | None
    deadline: datetime | None
    output: Output | None
    error: StepFault | None
    source: StepSource | None


class WorkflowProgress(WorkflowSummary):
    """How far a workflow is; `epoch` is 1 at first, one more after each manual retry."""

    epoch: int
    steps: dict[StepName, StepView]


class WorkflowView(WorkflowProgress):
    """A workflow in full: what was sent in, as it came, all that happened since, and the id of its trace."""

    trace_id: str | None
    input: MessageSpec
    history: list[Event]


def workflow_summary(workflow: Workflow) -> WorkflowSummary:
    """Show a workflow in a list."""
    return WorkflowSummary.model_validate(_shown(workflow))


def workflow_progress(workflow: Workflow) -> WorkflowProgress:
    """Show what changes while a workflow is under way, without its input and history."""
    return WorkflowProgress.model_validate(_shown(workflow))


def workflow_view(workflow: Workflow) -> WorkflowView:
    """Show all of a workflow."""
    return WorkflowView.model_validate(_shown(workflow) | {"trace_id": trace_id_of(workflow.trace)})


def _shown(workflow: Workflow) -> dict[str, object]:
    steps = {name: vars(step) for name, step in workflow.steps.items()}
    message = workflow.input
    return {
        **vars(workflow),
        "id": workflow.workflow_id,
        "name": message.name,
        "contact_channel": message.contact_channel,
        "external_message_id": message.external_message_id,
        "updated_at": workflow.updated_at,
        "steps": steps,
    }
