"""Accepted messages and answers through the real stores and the embedded broker, up to a workflow's end."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from pathlib import Path

import pytest

from leadline_common.broker.consumer import Consumer
from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.broker.port import Message
from leadline_common.ids import new_id
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_contracts.envelope import LOCAL_OWNER
from leadline_contracts.errors import Permanent
from leadline_contracts.inbound import (
    ClassifyStep,
    ExtractStep,
    RouteStep,
    StepFinished,
    StepName,
    WorkflowEnded,
)
from leadline_contracts.topology import (
    AI_CLASSIFY,
    AI_EXTRACT,
    RESULT_MESSAGES,
    RESULT_STEPS,
    RULES_ROUTE,
    Queue,
)
from leadline_results.app import build_workflows
from leadline_results.workflows.compare_and_swap import CompareAndSwap
from leadline_results.workflows.handler import WorkflowHandler
from leadline_results.workflows.machine import Workflow, apply, begin, postpone, retry
from leadline_results.workflows.metrics import WorkflowMetrics
from leadline_results.workflows.sqlite import SqliteWorkflowStore
from leadline_results.workflows.store import WorkflowQuery, WorkflowStore

from .builders import START
from .workflow_builders import CLASSIFIED, EXTRACTED, REFUSED, accepted, answer, asked, at, failed, message


class RacingStore(SqliteWorkflowStore):
    """The real store, where another replica writes between our reading and writing, `races` times."""

    races = 0

    async def load(self, workflow_ids: Collection[str]) -> dict[str, Workflow]:
        found = await super().load(workflow_ids)
        if self.races:
            self.races -= 1
            await super().replace([postpone(workflow, START) for workflow in found.values()])
        return found


@pytest.fixture
def metrics() -> Metrics:
    """An empty registry."""
    return Metrics(new_registry())


@pytest.fixture
async def racing(tmp_path: Path) -> AsyncIterator[RacingStore]:
    """An empty store."""
    store = RacingStore(tmp_path / "workflows.db")
    yield store
    await store.close()


def handler_of(store: WorkflowStore, metrics: Metrics | None = None) -> WorkflowHandler:
    """A handler over the store."""
    counted = WorkflowMetrics((metrics or Metrics(new_registry())).registry)
    return WorkflowHandler(store, CompareAndSwap(store, counted), lambda: START)


async def stored(store: WorkflowStore, workflow_id: str) -> Workflow:
    """The workflow as the store has it."""
    return (await store.load([workflow_id]))[workflow_id]


def kinds(messages: Sequence[Message]) -> list[str]:
    """The types of the messages."""
    return [one.type for one in messages]


async def test_each_message_leads_to_the_next_step(workflow_store: WorkflowStore) -> None:
    """Every step's message carries what the step needs to work alone, and the end is a public event."""
    handler, first = handler_of(workflow_store), accepted()
    [classify] = await handler.handle([message(first)])
    step = ClassifyStep.decode(classify.body)
    assert (step.workflow_id, step.epoch, step.input) == (first.workflow_id, 1, first.input)
    known = await stored(workflow_store, first.workflow_id)
    [extract] = await handler.handle([message(answer(known))])
    extraction = ExtractStep.decode(extract.body)
    assert extraction.classification.model_dump() == CLASSIFIED
    assert extraction.received_at == first.received_at
    known = await stored(workflow_store, first.workflow_id)
    [route] = await handler.handle([message(answer(known))])
    routing = RouteStep.decode(route.body)
    assert routing.extraction.model_dump(mode="json").items() >= EXTRACTED.items()
    known = await stored(workflow_store, first.workflow_id)
    [ended] = await handler.handle([message(answer(known))])
    assert WorkflowEnded.decode(ended.body) == WorkflowEnded(
        owner=first.owner,
        workflow_id=first.workflow_id,
        status="completed",
        category="sales_new",
        queue="sales",
        priority="p0",
        sla_minutes=30,
    )


async def test_a_failed_step_ends_the_workflow(workflow_store: WorkflowStore) -> None:
    """The next step is not requested, and the end is published with what was found until then."""
    known = at(StepName.EXTRACT)
    await workflow_store.insert([known])
    [ended] = await handler_of(workflow_store).handle([message(answer(known, error=REFUSED))])
    event = WorkflowEnded.decode(ended.body)
    assert (event.status, event.category, event.queue) == ("failed", "sales_new", None)


async def test_a_repeated_message_changes_nothing_and_publishes_the_same_again(
    workflow_store: WorkflowStore,
) -> None:
    """What a crash kept from being published is published when its cause comes again, byte by byte."""
    handler, first = handler_of(workflow_store), accepted()
    causes = [message(first)]
    for _ in StepName:
        published = await handler.handle(causes[-1:])
        before = await stored(workflow_store, first.workflow_id)
        assert await handler.handle(causes[-1:]) == published
        assert await handler.handle([causes[-1]] * 3) == published
        assert await stored(workflow_store, first.workflow_id) == before
        causes.append(message(answer(before)))
    ended = await handler.handle(causes[-1:])
    assert kinds(ended) == [WorkflowEnded.TYPE]
    assert await handler.handle(causes[-1:]) == ended
    assert await handler.handle(causes[:-1]) == []


async def test_an_answer_of_an_earlier_epoch_asks_nobody_for_anything(workflow_store: WorkflowStore) -> None:
    """After a retry, what was under way before it is no longer listened to."""
    workflow = failed(StepName.EXTRACT)
    again = retry(workflow, START)
    await workflow_store.insert([again])
    stale = [message(answer(workflow, StepName.EXTRACT)), message(answer(workflow, StepName.CLASSIFY))]
    assert await handler_of(workflow_store).handle(stale) == []
    assert (await stored(workflow_store, again.workflow_id)).history == again.history


async def test_a_batch_moves_many_workflows_at_once(workflow_store: WorkflowStore) -> None:
    """New ones, answered ones, and several messages about the same one may come in any order together."""
    new, moving, whole = accepted(), at(StepName.EXTRACT), accepted()
    await workflow_store.insert([moving])
    on_its_way = begin(whole, START)
    answers = []
    for _ in StepName:
        answers.append(message(answer(on_its_way)))
        on_its_way = apply(on_its_way, answer(on_its_way), START)
    batch = [*answers, message(answer(moving)), message(new), message(whole)]
    published = await handler_of(workflow_store).handle(batch)
    assert sorted(kinds(published)) == sorted([ClassifyStep.TYPE, RouteStep.TYPE, WorkflowEnded.TYPE])
    assert (await stored(workflow_store, whole.workflow_id)).status == "completed"


async def test_a_lost_race_is_run_again(racing: RacingStore) -> None:
    """What another replica wrote meanwhile is built upon, never overwritten."""
    workflow = at(StepName.EXTRACT)
    await racing.insert([workflow])
    racing.races = 3
    assert kinds(await handler_of(racing).handle([message(answer(workflow))])) == [RouteStep.TYPE]
    assert (await stored(racing, workflow.workflow_id)).revision == 1 + 3 + 1


async def test_replicas_agree_on_the_first_answer(workflow_store: WorkflowStore) -> None:
    """Of different answers at the same time one is kept, and all replicas ask for the same next step."""
    workflow = at(StepName.CLASSIFY)
    await workflow_store.insert([workflow])
    answers = [
        message(answer(workflow, output={**CLASSIFIED, "category": category}))
        for category in ("spam", "support", "unknown", "sales_existing")
    ]
    told = await asyncio.gather(*(handler_of(workflow_store).handle([one]) for one in answers))
    assert len({(one.id, one.body) for messages in told for one in messages}) == 1
    assert len((await stored(workflow_store, workflow.workflow_id)).history) == 4


async def test_an_answer_to_no_workflow_is_given_up(workflow_store: WorkflowStore) -> None:
    """It is kept among the dead letters instead of being tried for ever."""
    with pytest.raises(Permanent, match="there is no workflow"):
        await handler_of(workflow_store).handle([message(answer(at(StepName.CLASSIFY)))])
    with pytest.raises(Permanent, match="do not know the type"):
        await handler_of(workflow_store).handle([Message(type="x", id=new_id(), body=b"")])


async def test_transitions_and_step_times_are_counted_once(
    workflow_store: WorkflowStore, metrics: Metrics
) -> None:
    """What is redelivered is not counted again."""
    handler, workflow = handler_of(workflow_store, metrics), at(StepName.CLASSIFY)
    first = message(accepted(workflow.workflow_id))
    await handler.handle([first, *[message(answer(workflow))] * 2])
    await handler.handle([first])
    known = await stored(workflow_store, workflow.workflow_id)
    await handler.handle([message(answer(known, error=REFUSED))] * 2)
    sample = metrics.registry.get_sample_value
    for status, number in (("pending", 1), ("processing", 1), ("completed", 0), ("failed", 1)):
        assert sample("leadline_workflow_transitions_total", {"status": status}) == number
    name = "leadline_workflow_step_duration_seconds_count"
    assert sample(name, {"step": "classify", "outcome": "completed"}) == 1
    assert sample(name, {"step": "extract", "outcome": "refused"}) == 1


class Worker:
    """Stands for the services that answer steps: at times twice, at times with an error."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    async def handle(self, messages: Sequence[Message]) -> list[Message]:
        answers = []
        for one in messages:
            step = asked(one)
            known = Workflow(
                owner=step.owner, workflow_id=step.workflow_id, input=step.input, received_at=START
            )
            error = REFUSED if self._chance.random() < 0.05 else None
            finished = answer(known, step.step, error=error, epoch=step.epoch)
            answers += [message(finished) for _ in range(self._chance.choice([1, 1, 2]))]
        return answers

    def bisect(self, message: Message) -> list[Message]:
        return []

    def on_dead_letter(self, message: Message, error: str) -> list[Message]:
        return []


async def test_every_message_reaches_its_end_through_the_broker(tmp_path: Path, metrics: Metrics) -> None:
    """Two replicas of the service bring hundreds of messages to an end, repeated ones included."""
    broker = EmbeddedBroker(tmp_path / "broker.db")
    store = SqliteWorkflowStore(tmp_path / "workflows.db")
    replicas = [build_workflows(broker, store, Metrics(new_registry())) for _ in range(2)]
    worker = Worker(random.Random(4))
    queues = [AI_CLASSIFY, AI_EXTRACT, RULES_ROUTE]
    consumers = [one for replica in replicas for one in replica.service.consumers]
    consumers.append(Consumer(broker, worker, queues, metrics, prefetch=20, batch=20))
    for consumer in consumers:
        consumer.start()
    messages = [message(accepted()) for _ in range(300)]
    await broker.publish([*messages, *messages[:50]])
    wanted = WorkflowQuery(owner=LOCAL_OWNER)
    await until(lambda: all_ended(store, wanted, len(messages)))
    await until(lambda: empty(broker, [RESULT_MESSAGES, RESULT_STEPS, *queues]))
    for consumer in consumers:
        await consumer.stop(5)
    assert {workflow.status.value for workflow in await store.page(wanted, None, 500)} == {
        "completed",
        "failed",
    }
    assert not any([await broker.depth(queue.dead) for queue in (RESULT_MESSAGES, RESULT_STEPS)])
    await broker.close()
    await store.close()


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(30):
        while not await reached():  # noqa: ASYNC110 - what is waited for is in a file
            await asyncio.sleep(0.05)


async def all_ended(store: WorkflowStore, wanted: WorkflowQuery, number: int) -> bool:
    """Tell whether so many workflows are there and all have come to an end."""
    workflows = await store.page(wanted, None, 500)
    return len(workflows) == number and all(workflow.ended for workflow in workflows)


async def empty(broker: EmbeddedBroker, queues: Sequence[Queue]) -> bool:
    """Tell whether nothing waits."""
    return not any([await broker.depth(queue.name) for queue in queues])


def test_what_cannot_be_handled_has_no_stand_in(racing: RacingStore) -> None:
    """An unreadable answer is dead-lettered alone; the step timeout asks for another."""
    handler = handler_of(racing)
    unreadable = Message(type=StepFinished.TYPE, id=new_id(), body=b"{")
    assert (handler.bisect(unreadable), handler.on_dead_letter(unreadable, "broken")) == ([], [])
