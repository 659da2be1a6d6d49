"""What every WorkflowStore promises: conditional writes, what is due, and an owner's list."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from leadline_common.ids import new_id
from leadline_contracts.envelope import LOCAL_OWNER
from leadline_contracts.inbound import StepName
from leadline_results.workflows.machine import Workflow, apply, postpone, repeat, retry
from leadline_results.workflows.store import WorkflowQuery, WorkflowStore

from .builders import START
from .workflow_builders import CLASSIFIED, ROUTED, accepted, answer, at, completed, failed

# Finer than MongoDB keeps times; a step's deadline must come back as it was.
NOW = START + timedelta(microseconds=123_456)


def id_at(moment: datetime, number: int = 0) -> str:
    """The UUIDv7 that was made at a moment."""
    return str(UUID(int=(int(moment.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62) | number))


def kept(workflow: Workflow, revision: int) -> Workflow:
    """The workflow as a store has it."""
    due = workflow.sweep_at
    due = due and due.replace(microsecond=due.microsecond // 1000 * 1000)
    return workflow.model_copy(update={"revision": revision, "sweep_at": due})


async def only(store: WorkflowStore, workflow_id: str) -> Workflow:
    """Load the one workflow, with what SQLite keeps beyond the promise cut off."""
    found = (await store.load([workflow_id]))[workflow_id]
    return kept(found, found.revision)


def wanted(**query: Any) -> WorkflowQuery:
    """What an owner asks for."""
    return WorkflowQuery.model_validate({"owner": LOCAL_OWNER, **query})


async def ids(store: WorkflowStore, before: str | None = None, limit: int = 100, **query: Any) -> list[str]:
    """The ids on a page of an owner's list."""
    found = await store.page(wanted(**query), before, limit)
    return [workflow.workflow_id for workflow in found]


async def test_workflows_come_back_whole(workflow_store: WorkflowStore) -> None:
    """A workflow is stored with every field it has, to the microsecond, and counts as written once."""
    workflows = [
        at(StepName.CLASSIFY, NOW, external_message_id="m"),
        completed(NOW),
        failed(StepName.ROUTE, NOW, name=None),
    ]
    assert await workflow_store.insert(workflows) == set()
    found = await workflow_store.load([workflow.workflow_id for workflow in workflows] + [new_id()])
    assert len(found) == 3
    for workflow in workflows:
        assert await only(workflow_store, workflow.workflow_id) == kept(workflow, 1)


async def test_an_inserted_workflow_is_left_alone_by_another(workflow_store: WorkflowStore) -> None:
    """Of two that begin a workflow one does; the other gets its id back, its other workflows are written."""
    first, other = completed(), completed()
    await workflow_store.insert([first])
    again = at(StepName.CLASSIFY, workflow_id=first.workflow_id)
    assert await workflow_store.insert([again, other]) == {first.workflow_id}
    assert (await only(workflow_store, first.workflow_id)).status == "completed"
    assert (await only(workflow_store, other.workflow_id)).status == "completed"


async def test_a_workflow_is_replaced_only_over_the_revision_that_was_read(
    workflow_store: WorkflowStore,
) -> None:
    """A change that was made from an outdated state is refused and named, the others are written."""
    stale, fresh = at(StepName.ROUTE), at(StepName.ROUTE)
    await workflow_store.insert([stale, fresh])
    loaded = await workflow_store.load([stale.workflow_id, fresh.workflow_id])
    ahead = postpone(loaded[stale.workflow_id], NOW)
    assert await workflow_store.replace([ahead]) == set()
    changes = [apply(workflow, answer(workflow), NOW) for workflow in loaded.values()]
    unknown = completed().model_copy(update={"revision": 3})
    assert await workflow_store.replace([*changes, unknown]) == {stale.workflow_id, unknown.workflow_id}
    assert await only(workflow_store, stale.workflow_id) == kept(ahead, 2)
    [done] = [change for change in changes if change.workflow_id == fresh.workflow_id]
    assert await only(workflow_store, fresh.workflow_id) == kept(done, 2)
    assert await workflow_store.load([unknown.workflow_id]) == {}


async def test_of_many_that_change_a_workflow_one_wins(workflow_store: WorkflowStore) -> None:
    """Replicas that write at the same time never both believe they did."""
    workflow = at(StepName.ROUTE)
    await workflow_store.insert([workflow])
    read = await only(workflow_store, workflow.workflow_id)
    outcomes = await asyncio.gather(*(workflow_store.replace([repeat(read, NOW)]) for _ in range(8)))
    assert sorted(map(len, outcomes)) == [0] + [1] * 7
    assert (await only(workflow_store, workflow.workflow_id)).revision == 2


async def test_nothing_to_write_or_load_is_fine(workflow_store: WorkflowStore) -> None:
    """An empty batch costs nobody an error."""
    assert await workflow_store.insert([]) == set()
    assert await workflow_store.replace([]) == set()
    assert await workflow_store.load([]) == {}


async def test_what_is_overdue_is_found_the_longest_first(workflow_store: WorkflowStore) -> None:
    """The step timeouts see what is under way and overdue, as many as they asked for, and nothing ended."""
    started = [at(StepName.CLASSIFY, START + timedelta(minutes=minute)) for minute in (3, 1, 2, 60)]
    await workflow_store.insert([*started, completed(), failed()])
    due_at = [workflow.sweep_at for workflow in started if workflow.sweep_at]
    expected = [started[1].workflow_id, started[2].workflow_id, started[0].workflow_id]
    found = await workflow_store.due(due_at[0], 10)
    assert [workflow.workflow_id for workflow in found] == expected
    assert [workflow.workflow_id for workflow in await workflow_store.due(due_at[0], 2)] == expected[:2]
    assert await workflow_store.due(START, 10) == []


async def test_an_ended_workflow_is_no_longer_due_and_a_retried_one_is_again(
    workflow_store: WorkflowStore,
) -> None:
    """The workflows that are due follow each change of state."""
    workflow, later = at(StepName.ROUTE), START + timedelta(hours=1)
    await workflow_store.insert([workflow])
    changes: list[tuple[Callable[[Workflow], Workflow], bool]] = [
        (lambda known: apply(known, answer(known, output={}), START), False),
        (lambda known: retry(known, START), True),
        (lambda known: apply(known, answer(known), START), False),
    ]
    for change, is_due in changes:
        assert (
            await workflow_store.replace([change(await only(workflow_store, workflow.workflow_id))]) == set()
        )
        assert bool(await workflow_store.due(later, 10)) == is_due


async def test_an_owner_sees_the_newest_first_page_by_page(workflow_store: WorkflowStore) -> None:
    """Pages follow each other without gap or repetition, and hold nobody else's."""
    mine = [at(StepName.CLASSIFY, workflow_id=id_at(START, number)) for number in range(5)]
    await workflow_store.insert([*mine, at(StepName.CLASSIFY, owner="somebody")])
    newest = [workflow.workflow_id for workflow in reversed(mine)]
    assert await ids(workflow_store) == newest
    assert await ids(workflow_store, limit=2) == newest[:2]
    assert await ids(workflow_store, before=newest[1], limit=2) == newest[2:4]
    assert await ids(workflow_store, before=newest[4]) == []
    assert await workflow_store.count(WorkflowQuery(owner=LOCAL_OWNER)) == 5
    assert await workflow_store.count(WorkflowQuery(owner="nobody")) == 0


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"status": "processing"}, {"new", "spam"}),
        ({"status": "failed"}, {"failed"}),
        ({"category": "sales_new"}, {"failed", "routed", "ignored"}),
        ({"category": "spam"}, {"spam"}),
        ({"queue": "sales"}, {"routed"}),
        ({"priority": "p2"}, {"ignored"}),
        ({"status": "completed", "category": "sales_new", "queue": "sales", "priority": "p0"}, {"routed"}),
        ({"status": "failed", "queue": "sales"}, set()),
    ],
)
async def test_filters_leave_what_they_name(
    workflow_store: WorkflowStore, query: dict[str, str], expected: set[str]
) -> None:
    """Each filter works alone and with the others, and the count agrees with the list."""
    classifying = at(StepName.CLASSIFY)
    routing = at(StepName.ROUTE)
    ignored = {**ROUTED, "queue": "ignore", "priority": "p2", "sla_minutes": 480}
    made = {
        "new": at(StepName.CLASSIFY),
        "spam": apply(classifying, answer(classifying, output={**CLASSIFIED, "category": "spam"}), NOW),
        "failed": failed(),
        "routed": completed(),
        "ignored": apply(routing, answer(routing, output=ignored), NOW),
    }
    await workflow_store.insert(list(made.values()))
    names = {workflow.workflow_id: name for name, workflow in made.items()}
    found = await workflow_store.page(wanted(**query), None, 100)
    assert {names[workflow.workflow_id] for workflow in found} == expected
    assert await workflow_store.count(wanted(**query)) == len(expected)


async def test_since_leaves_out_what_came_before(workflow_store: WorkflowStore) -> None:
    """The time an id was made is when its message came; a time without a zone is in UTC."""
    moments = [START - timedelta(milliseconds=1), START, START + timedelta(days=1)]
    made = [at(StepName.CLASSIFY, workflow_id=id_at(moment)) for moment in moments]
    await workflow_store.insert(made)
    later = [workflow.workflow_id for workflow in reversed(made)][:2]
    assert await ids(workflow_store, since=START) == later
    assert await ids(workflow_store, since=START.replace(tzinfo=None)) == later
    assert await ids(workflow_store, since=START, before=later[0]) == later[1:]
    assert await ids(workflow_store, since="2026-03-02") == later[:1]
    for year, expected in ((1, 3), (9999, 0)):
        since = datetime(year, 12, 31, tzinfo=UTC)
        assert await workflow_store.count(wanted(since=since)) == expected


async def test_a_message_of_any_text_is_kept_as_it_came(workflow_store: WorkflowStore) -> None:
    """What people write survives the store: quotes, dollars, dots, line ends and other scripts."""
    text = "$set: {'a.b': 1}\r\n\t\x00 \u2028 你好 \U0001f600 “' OR 1=1 --"
    workflow = at(StepName.CLASSIFY, message=text)
    await workflow_store.insert([workflow])
    assert (await only(workflow_store, workflow.workflow_id)).input == accepted(message=text).input
