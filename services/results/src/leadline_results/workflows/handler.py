"""Accepted messages and steps' answers in, stored workflows and the next steps' messages out."""

from collections.abc import Mapping, Sequence
from typing import Any

from leadline_common.broker.consumer import Handler
from leadline_common.broker.port import Message
from leadline_common.clock import Clock
from leadline_contracts.errors import Permanent, Transient
from leadline_contracts.inbound import MessageAccepted, StepFinished
from leadline_results.workflows.compare_and_swap import Change, CompareAndSwap
from leadline_results.workflows.machine import Workflow, apply, begin
from leadline_results.workflows.messages import Cause, messages_after
from leadline_results.workflows.store import WorkflowStore

_ROUNDS = 20
"""How often a batch is applied again after losing a race before it is put back."""


class WorkflowHandler(Handler):
    """Takes a batch through the state machine: one read and one write for all its workflows."""

    def __init__(self, store: WorkflowStore, states: CompareAndSwap, clock: Clock) -> None:
        self._store = store
        self._states = states
        self._clock = clock

    async def handle(self, messages: Sequence[Message]) -> list[Message]:
        """Apply the messages to their workflows and return the messages that follow.

        A redelivered message changes nothing in the store and returns the same messages again, as long as
        the step they request is still under way.
        """
        causes: dict[str, list[Cause]] = {}
        traces: dict[str, str | None] = {}
        for message in messages:
            cause = _decode(message)
            causes.setdefault(cause.workflow_id, []).append(cause)
            traces[cause.workflow_id] = message.trace
        standing = await self._settle(causes, traces)
        answers = [
            answer
            for workflow_id, workflow in standing.items()
            for cause in causes[workflow_id]
            for answer in messages_after(workflow, cause)
        ]
        return list({answer.id: answer for answer in answers}.values())

    async def _settle(
        self, causes: Mapping[str, list[Cause]], traces: Mapping[str, str | None]
    ) -> dict[str, Workflow]:
        """Write the workflows that the causes change, new ones with a trace; return all as they are now."""
        standing: dict[str, Workflow] = {}
        # An accepted message is most likely new: it is looked up only where writing it fails.
        wanted = {workflow_id for workflow_id, those in causes.items() if not _begins(those)}
        for _ in range(_ROUNDS):
            known = await self._store.load(wanted) if wanted else {}
            changes = [
                self._after(known.get(workflow_id), causes[workflow_id], traces[workflow_id])
                for workflow_id in causes.keys() - standing.keys()
            ]
            wanted = await self._states.swap(changes)
            standing |= {
                change.after.workflow_id: change.after
                for change in changes
                if change.after.workflow_id not in wanted
            }
            if not wanted:
                return standing
        raise Transient(f"{len(wanted)} workflows kept changing under this batch")

    def _after(self, known: Workflow | None, causes: Sequence[Cause], trace: str | None) -> Change:
        """Apply the causes. Raises Permanent for an answer to a workflow that is not known."""
        now = self._clock()
        workflow = known
        for cause in sorted(causes, key=lambda cause: not isinstance(cause, MessageAccepted)):
            if isinstance(cause, MessageAccepted):
                workflow = workflow or begin(cause, now, trace)
            elif workflow is None:
                raise Permanent(f"there is no workflow {cause.workflow_id}")
            else:
                workflow = apply(workflow, cause, now)
        if workflow is None:
            raise ValueError("no cause")
        return Change(known, workflow)


def _begins(causes: Sequence[Cause]) -> bool:
    return any(isinstance(cause, MessageAccepted) for cause in causes)


_KINDS: dict[str, type[Any]] = {kind.TYPE: kind for kind in (MessageAccepted, StepFinished)}


def _decode(message: Message) -> Cause:
    kind = _KINDS.get(message.type)
    if kind is None:
        raise Permanent(f"workflows do not know the type {message.type}")
    cause: Cause = kind.decode(message.body)
    return cause
