"""Step timeouts: a step whose answer is overdue is published again, a few times, and then failed."""

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from leadline_common.broker.port import Broker, Message
from leadline_common.clock import Clock
from leadline_common.process.periodic import every
from leadline_contracts.inbound import StepName
from leadline_contracts.topology import (
    AI_CLASSIFY,
    AI_EXTRACT,
    AI_JUDGE,
    RESULT_STEPS,
    RULES_ROUTE,
    Queue,
)
from leadline_results.workflows.compare_and_swap import Change, CompareAndSwap
from leadline_results.workflows.machine import MAX_TRIES, Workflow, postpone, repeat
from leadline_results.workflows.messages import step_request, timed_out_answer
from leadline_results.workflows.store import WorkflowStore

MAX_QUEUE_TIME = timedelta(hours=1)
"""How long after its deadline a step's message may still wait in a queue; then it is treated as lost."""
BATCH = 100
"""Workflows handled at once, so that an outage is not followed by a flood in some queue."""
_CHECK_SECONDS = 5.0
_QUEUES: dict[StepName, tuple[Queue, ...]] = {
    StepName.CLASSIFY: (AI_CLASSIFY,),
    StepName.EXTRACT: (AI_EXTRACT,),
    StepName.ROUTE: (RULES_ROUTE, AI_JUDGE),
}
"""The queue of each step's requests."""

log = structlog.get_logger()


class TimeoutOutcome(NamedTuple):
    """The new state of an overdue workflow, and what to publish once that is written."""

    change: Change
    message: Message | None


class StepTimeouts:
    """Makes every workflow end. Replicas may run this at once: each writes only over the state it read."""

    def __init__(self, store: WorkflowStore, states: CompareAndSwap, broker: Broker, clock: Clock) -> None:
        self._store = store
        self._states = states
        self._broker = broker
        self._clock = clock

    async def run(self) -> None:
        """Check every few seconds, through failures of broker and store."""
        await asyncio.sleep(_CHECK_SECONDS)  # answers that came while nobody was here go first
        await every(_CHECK_SECONDS, self.handle_overdue, failed="workflow_sweep_failed")

    async def handle_overdue(self) -> None:
        """Publish again, or fail, a bounded number of steps, the longest overdue first.

        What waits in a queue is late and not lost, so a step whose queue is being worked off is postponed.
        Where the process dies between writing and publishing, the next check publishes.
        """
        due = await self._store.due(self._clock(), BATCH)
        if not due:
            return
        busy = await self._busy({workflow.current for workflow in due})
        now = self._clock()
        outcomes = [on_timeout(workflow, workflow.current in busy, now) for workflow in due]
        lost = await self._states.swap([outcome.change for outcome in outcomes])
        messages = []
        for (_, workflow), message in outcomes:
            if message is not None and workflow.workflow_id not in lost:
                log.warning("step_overdue", workflow_id=workflow.workflow_id, step=workflow.current)
                messages.append(message)
        await self._broker.publish(messages)

    async def _busy(self, names: Iterable[StepName | None]) -> set[StepName | None]:
        """Return the steps whose requests still wait, or whose answers may wait in the queue of answers."""
        if await self._broker.depth(RESULT_STEPS.name):
            return set(names)
        return {
            name
            for name in names
            if name and any([await self._broker.depth(queue.name) for queue in _QUEUES[name]])
        }


def on_timeout(workflow: Workflow, busy: bool, now: datetime) -> TimeoutOutcome:
    """Return the outcome for an overdue workflow.

    A step that has had all its tries is failed by an answer through the queue of all answers, behind a real
    one that may still wait there.
    """
    step = workflow.steps[workflow.current] if workflow.current else None
    if step is None or step.deadline is None or (busy and now < step.deadline + MAX_QUEUE_TIME):
        return TimeoutOutcome(Change(workflow, postpone(workflow, now)), None)
    if step.tries >= MAX_TRIES:
        return TimeoutOutcome(Change(workflow, postpone(workflow, now)), timed_out_answer(workflow))
    again = repeat(workflow, now)
    return TimeoutOutcome(Change(workflow, again), step_request(again))
