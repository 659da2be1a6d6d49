"""Accepted messages, steps' answers and workflows on their way, for the tests of workflows."""

from datetime import datetime
from typing import Any

from leadline_common.broker.chunks import message_of
from leadline_common.broker.port import Message
from leadline_common.ids import new_id
from leadline_contracts.envelope import LOCAL_OWNER
from leadline_contracts.inbound import (
    ClassifyStep,
    ExtractStep,
    MessageAccepted,
    MessageSpec,
    RouteStep,
    StepError,
    StepFinished,
    StepName,
    StepSource,
)
from leadline_results.workflows.machine import Workflow, apply, begin

from .builders import START

Output = dict[str, Any]

SOURCE = StepSource(source="offline", assessor="offline-2", prompt="message.v1", fallback="no key")
CLASSIFIED: Output = {"category": "sales_new", "confidence": 0.75, "rationale": "Asks for a quote."}
EXTRACTED: Output = {
    "contact_channel": "whatsapp",
    "customer_name": "Zoë",
    "urgency": "high",
    "timeline": "<1w",
    "budget_range": "500-2000",
    "confidence": 1,
    "category": "sales_new",
    "lead_type": "quote_request",
    "service_date": "2026-04-01",
}
ROUTED: Output = {
    "queue": "sales",
    "priority": "p0",
    "sla_minutes": 30,
    "recommended_next_action": "Call back.",
    "explanation": "A new customer in a hurry.",
    "default": {
        "queue": "sales",
        "reason": "New sales go to sales.",
        "signals": [{"kind": "urgency", "strength": 0.9, "evidence": "today"}],
    },
    "guard_rails": [],
}
ANSWERS: dict[StepName, Output] = {
    StepName.CLASSIFY: CLASSIFIED,
    StepName.EXTRACT: EXTRACTED,
    StepName.ROUTE: ROUTED,
}
REFUSED = StepError(code="refused", message="the model would not say")


def accepted(workflow_id: str | None = None, owner: str = LOCAL_OWNER, **changes: Any) -> MessageAccepted:
    """A message that was let in; `changes` are of what was sent."""
    sent = {"name": "Zoë", "contact_channel": "whatsapp", "message": "Quote, please?\nToday 🙂", **changes}
    return MessageAccepted(
        owner=owner,
        workflow_id=workflow_id or new_id(),
        input=MessageSpec.model_validate(sent),
        received_at=START,
    )


def answer(
    workflow: Workflow,
    step: StepName | None = None,
    output: Output | None = None,
    error: StepError | None = None,
    epoch: int | None = None,
) -> StepFinished:
    """An answer to the step under way, or to the one named; a valid one where nothing else is said."""
    name = step or workflow.current
    assert name is not None
    return StepFinished(
        owner=workflow.owner,
        workflow_id=workflow.workflow_id,
        step=name,
        epoch=workflow.epoch if epoch is None else epoch,
        deadline=workflow.steps[name].deadline or START,
        output=None if error else (ANSWERS[name] if output is None else output),
        error=error,
        source=SOURCE,
    )


def at(step: StepName, now: datetime = START, **accepting: Any) -> Workflow:
    """A workflow with this step under way."""
    workflow = begin(accepted(**accepting), now)
    while workflow.current is not step:
        workflow = apply(workflow, answer(workflow), now)
    return workflow


def completed(now: datetime = START, **accepting: Any) -> Workflow:
    """A workflow that all steps have answered."""
    workflow = at(StepName.ROUTE, now, **accepting)
    return apply(workflow, answer(workflow), now)


def failed(step: StepName = StepName.EXTRACT, now: datetime = START, **accepting: Any) -> Workflow:
    """A workflow whose step was refused."""
    workflow = at(step, now, **accepting)
    return apply(workflow, answer(workflow, error=REFUSED), now)


def message(contract: MessageAccepted | StepFinished) -> Message:
    """What moves a workflow on, as it comes from the broker."""
    return message_of(contract, new_id())


def asked(message: Message) -> ClassifyStep | ExtractStep | RouteStep:
    """The step that a message asks for."""
    kinds = {kind.TYPE: kind for kind in (ClassifyStep, ExtractStep, RouteStep)}
    return kinds[message.type].decode(message.body)
