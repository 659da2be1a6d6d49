"""Step timeouts over real stores: what is lost is asked for again, what is late is waited for, all ends."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.broker.port import Message
from leadline_common.ids import new_id
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_contracts.inbound import StepFinished, StepName
from leadline_contracts.topology import (
    AI_CLASSIFY,
    AI_EXTRACT,
    AI_JUDGE,
    RESULT_STEPS,
    RULES_ROUTE,
    Queue,
)
from leadline_results.workflows.compare_and_swap import CompareAndSwap
from leadline_results.workflows.handler import WorkflowHandler
from leadline_results.workflows.machine import GRACE, MAX_TRIES, STEP_TIME, Workflow
from leadline_results.workflows.metrics import WorkflowMetrics
from leadline_results.workflows.step_timeouts import BATCH, MAX_QUEUE_TIME, StepTimeouts
from leadline_results.workflows.store import WorkflowStore

from .builders import Clock, drained
from .workflow_builders import asked, at, completed, failed

QUEUES = {StepName.CLASSIFY: AI_CLASSIFY, StepName.EXTRACT: AI_EXTRACT, StepName.ROUTE: RULES_ROUTE}
OVERDUE = (STEP_TIME + GRACE).total_seconds()


class Replicas:
    """Two replicas' step timeouts and a handler over one store and one broker."""

    def __init__(self, store: WorkflowStore, broker: EmbeddedBroker) -> None:
        self.store, self.broker, self.clock = store, broker, Clock()
        states = CompareAndSwap(store, WorkflowMetrics(Metrics(new_registry()).registry))
        self.handler = WorkflowHandler(store, states, self.clock)
        self.first, self.second = (StepTimeouts(store, states, broker, self.clock) for _ in range(2))

    async def known(self, workflow: Workflow) -> Workflow:
        """The workflow as it is now."""
        return (await self.store.load([workflow.workflow_id]))[workflow.workflow_id]

    async def fill(self, queue: Queue) -> None:
        """Have something wait in a queue."""
        await self.broker.send(queue.name, [Message(type="any", id=new_id(), body=b"")])


@pytest.fixture
async def replicas(workflow_store: WorkflowStore, tmp_path: Path) -> AsyncIterator[Replicas]:
    """Everything empty."""
    broker = EmbeddedBroker(tmp_path / "broker.db")
    yield Replicas(workflow_store, broker)
    await broker.close()


@pytest.mark.parametrize("step", list(StepName))
async def test_a_lost_step_is_asked_for_again(replicas: Replicas, step: StepName) -> None:
    """Not before its deadline and some grace, and then once, however many replicas look."""
    workflow = at(step)
    await replicas.store.insert([workflow])
    replicas.clock.advance(seconds=OVERDUE - 1)
    await replicas.first.handle_overdue()
    assert await drained(replicas.broker, QUEUES[step]) == []
    replicas.clock.advance(seconds=1)
    await replicas.first.handle_overdue()
    await replicas.second.handle_overdue()
    [message] = await drained(replicas.broker, QUEUES[step])
    assert (asked(message).step, asked(message).deadline) == (step, replicas.clock() + STEP_TIME)
    known = await replicas.known(workflow)
    assert (known.steps[step].attempts, known.history[-1].event) == (2, "repeated")


async def test_a_step_that_nobody_answers_times_out(replicas: Replicas) -> None:
    """After five publications its workflow fails, by an answer that takes the way of all answers."""
    workflow = at(StepName.EXTRACT)
    await replicas.store.insert([workflow])
    published = []
    for _ in range(MAX_TRIES):
        replicas.clock.advance(seconds=OVERDUE)
        await replicas.first.handle_overdue()
        published += await drained(replicas.broker, AI_EXTRACT)
    assert len(published) == len({message.id for message in published}) == MAX_TRIES - 1
    [timed_out] = await drained(replicas.broker, RESULT_STEPS)
    assert timed_out.type == StepFinished.TYPE
    replicas.clock.advance(seconds=OVERDUE)
    await replicas.first.handle_overdue()
    [again] = await drained(replicas.broker, RESULT_STEPS)
    assert again == timed_out
    await replicas.handler.handle([again])
    known = await replicas.known(workflow)
    error = known.steps[StepName.EXTRACT].error
    assert error is not None
    assert (known.status, error.code, error.attempt) == ("failed", "timed_out", MAX_TRIES)


@pytest.mark.parametrize(
    ("step", "queue"),
    [
        (StepName.CLASSIFY, AI_CLASSIFY),
        (StepName.EXTRACT, AI_EXTRACT),
        (StepName.ROUTE, RULES_ROUTE),
        (StepName.ROUTE, AI_JUDGE),
        (StepName.CLASSIFY, RESULT_STEPS),
    ],
)
async def test_what_waits_in_a_queue_is_late_and_not_lost(
    replicas: Replicas, step: StepName, queue: Queue
) -> None:
    """While the step's queue, or that of the answers, is worked off nothing is published twice."""
    workflow = at(step)
    await replicas.store.insert([workflow])
    await replicas.fill(queue)
    for _ in range(10):
        replicas.clock.advance(seconds=OVERDUE)
        await replicas.first.handle_overdue()
    assert await replicas.broker.depth(queue.name) == 1
    assert (await replicas.known(workflow)).steps == workflow.steps
    await drained(replicas.broker, queue)
    replicas.clock.advance(seconds=OVERDUE)
    await replicas.first.handle_overdue()
    assert len(await drained(replicas.broker, QUEUES[step])) == 1


async def test_a_queue_that_is_never_empty_is_not_believed_for_ever(replicas: Replicas) -> None:
    """Under steady load a lost message is asked for again after an hour."""
    workflow = at(StepName.CLASSIFY)
    await replicas.store.insert([workflow])
    await replicas.fill(AI_CLASSIFY)
    replicas.clock.advance(seconds=(STEP_TIME + MAX_QUEUE_TIME - timedelta(seconds=1)).total_seconds())
    await replicas.first.handle_overdue()
    assert await replicas.broker.depth(AI_CLASSIFY.name) == 1
    replicas.clock.advance(minutes=2)
    await replicas.first.handle_overdue()
    assert await replicas.broker.depth(AI_CLASSIFY.name) == 2


async def test_a_check_is_bounded_and_leaves_what_has_ended(replicas: Replicas) -> None:
    """After an outage a queue gets a hundred messages at a time, never all at once."""
    await replicas.store.insert([at(StepName.CLASSIFY) for _ in range(BATCH + 5)])
    await replicas.store.insert([completed(), failed(StepName.CLASSIFY)])
    replicas.clock.advance(hours=1)
    await replicas.first.handle_overdue()
    assert len(await drained(replicas.broker, AI_CLASSIFY)) == BATCH
    await replicas.first.handle_overdue()
    assert len(await drained(replicas.broker, AI_CLASSIFY)) == 5
    await replicas.first.handle_overdue()
    assert await drained(replicas.broker, AI_CLASSIFY) == []
