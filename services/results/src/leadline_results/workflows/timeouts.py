"""Looking after steps whose answer is overdue: their message is published again, so many times."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from leadline_common.broker.port import Broker, Message
from leadline_contracts.errors import LeadlineError
from leadline_contracts.inbound import StepName
from leadline_contracts.topology import (
    AI_CLASSIFY,
    AI_EXTRACT,
    AI_JUDGE,
    RESULT_STEPS,
    RULES_ROUTE,
    Queue,
)
from leadline_results.workflows.machine import MAX_TRIES, Workflow, postpone, repeat
from leadline_results.workflows.messages import step_message, timed_out_message
from leadline_results.workflows.store import WorkflowStore
from leadline_results.workflows.writer import Change, WorkflowWriter

BELIEF = timedelta(hours=1)
"""How long past its deadline a message is believed to be among those that wait in its step's queue."""
SWEEP_BATCH = 100
"""Workflows looked after at once, so that a sweep after an outage floods no queue."""
_SWEEP_SECONDS = 5.0
_QUEUES: dict[StepName, tuple[Queue, ...]] = {
    StepName.CLASSIFY: (AI_CLASSIFY,),
    StepName.EXTRACT: (AI_EXTRACT,),
    StepName.ROUTE: (RULES_ROUTE, AI_JUDGE),
}
"""Where a step's work waits."""

log = structlog.get_logger()


class Push(NamedTuple):
    """What becomes of an overdue workflow, and what to publish once that is written."""

    change: Change
    message: Message | None


class WorkflowSweep:
    """Sees to it that every workflow ends. Replicas may sweep at once: each writes over what it has read."""

    def __init__(
        self, store: WorkflowStore, writer: WorkflowWriter, broker: Broker, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._writer = writer
        self._broker = broker
        self._clock = clock

    async def sweep_forever(self) -> None:
        """Sweep every few seconds, through failures of broker and store."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            try:
                await self.sweep()
            except LeadlineError as error:
                log.warning("workflow_sweep_failed", error=str(error))

    async def sweep(self) -> None:
        """Look once after the workflows that are longest overdue.

        What waits in a queue is late and not lost, so a step whose queue is being worked off is left alone.
        Where the process dies between writing and publishing, the next look publishes.
        """
        due = await self._store.due(self._clock(), SWEEP_BATCH)
        if not due:
            return
        busy = await self._busy({workflow.current for workflow in due})
        now = self._clock()
        pushes = [push(workflow, workflow.current in busy, now) for workflow in due]
        lost = await self._writer.write([push.change for push in pushes])
        messages = []
        for (_, workflow), message in pushes:
            if message is not None and workflow.workflow_id not in lost:
                log.warning("workflow_stands_still", workflow_id=workflow.workflow_id, step=workflow.current)
                messages.append(message)
        await self._broker.publish(messages)

    async def _busy(self, names: Iterable[StepName | None]) -> set[StepName | None]:
        """Return those steps for which something waits, or whose answers may be among what waits here."""
        if await self._broker.depth(RESULT_STEPS.name):
            return set(names)
        return {
            name
            for name in names
            if name and any([await self._broker.depth(queue.name) for queue in _QUEUES[name]])
        }


def push(workflow: Workflow, busy: bool, now: datetime) -> Push:
    """Decide what becomes of an overdue workflow.

    A step that has had all its tries is failed by an answer that takes the way of all answers, behind those
    that may still wait there.
    """
    step = workflow.steps[workflow.current] if workflow.current else None
    if step is None or step.deadline is None or (busy and now < step.deadline + BELIEF):
        return Push(Change(workflow, postpone(workflow, now)), None)
    if step.tries >= MAX_TRIES:
        return Push(Change(workflow, postpone(workflow, now)), timed_out_message(workflow))
    again = repeat(workflow, now)
    return Push(Change(workflow, again), step_message(again))
