"""Cancelling a run while it is published, before that and after it, whatever is cut short."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leadline_contracts.envelope import LOCAL_OWNER
from leadline_contracts.errors import LeadlineError, Unavailable
from leadline_contracts.scoring import RunCancelled, RunPublished
from leadline_contracts.topology import AI_RUNS, RESULT_RUNS
from leadline_ingest.runs.outbox import Outbox
from leadline_ingest.runs.store import RunState

from .builders import COUNTED, drained, eventually, leads, offer, uploaded
from .test_outbox import Clock, CutBroker, CutStore, Fuse, add_run, lead_ids, put_out

PAGE = 1_000
"""Prospects that are published between two looks at whether the run goes on."""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CutStore]:
    store = CutStore(tmp_path / "ingest.db")
    yield store
    await store.close()


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[CutBroker]:
    broker = CutBroker(tmp_path / "broker.db")
    yield broker
    await broker.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox(store: CutStore, broker: CutBroker, clock: Clock) -> Outbox:
    return Outbox(store, broker, clock, COUNTED)


async def cancellations(broker: CutBroker) -> list[RunCancelled]:
    """Take what ai was told."""
    return [RunCancelled.decode(message.body) for message in await drained(broker, AI_RUNS)]


async def test_a_run_that_is_published_stops_after_a_page_and_gives_back_the_rest(
    store: CutStore, broker: CutBroker, outbox: Outbox
) -> None:
    """No chunk follows the one in hand; what was claimed and not published is the next run's."""
    against, some = offer(), leads(3 * PAGE)
    await uploaded(store, some)
    run = await add_run(store, against)
    broker.gate = asyncio.Event()
    publishing = asyncio.create_task(outbox.publish(run.id))
    await broker.reached.wait()
    assert await store.cancel(LOCAL_OWNER, run.id)
    await outbox.publish(run.id)  # whoever else tries has no lease
    assert await cancellations(broker) == []
    broker.gate.set()
    await publishing
    [cancelled] = await cancellations(broker)
    messages = await put_out(broker)
    assert cancelled.total == len(lead_ids(messages)) <= PAGE
    assert not [message for message in messages if message.type == RunPublished.TYPE]
    following = await add_run(store, against)
    await outbox.publish(following.id)
    assert len(lead_ids(await put_out(broker))) == 3 * PAGE - cancelled.total


@pytest.mark.parametrize("published_before", [False, True])
async def test_a_run_is_cancelled_at_once_before_it_is_published_and_after(
    store: CutStore, broker: CutBroker, outbox: Outbox, published_before: bool
) -> None:
    """Neither a turn nor a lease is waited for; results and ai are told the same."""
    await uploaded(store, leads(30))
    run = await add_run(store)
    if published_before:
        await outbox.publish(run.id)
    await store.cancel(LOCAL_OWNER, run.id)
    outbox.cancel(run.id)

    async def told() -> bool:
        found = await store.run(LOCAL_OWNER, run.id)
        return found is not None and found.state is RunState.PUBLISHED

    await eventually(told)
    [cancelled] = await cancellations(broker)
    assert cancelled.total == (30 if published_before else 0)
    to_results = await drained(broker, RESULT_RUNS)
    assert RunCancelled.decode(to_results[-1].body) == cancelled
    await outbox.publish(run.id)
    assert await cancellations(broker) == []


async def test_whatever_is_cut_short_the_cancellation_comes(
    store: CutStore, broker: CutBroker, clock: Clock
) -> None:
    """Killed at any step before, while or after a run is cancelled, the next publisher tells of it, once all
    that is not published is given back; no prospect is lost to the next run.
    """
    step = 0
    blown = True
    while blown:
        step += 1
        against, some = offer(), leads(PAGE + 200)
        upload = await uploaded(store, some)
        run = await add_run(store, against, upload.id)
        broker.fuse = store.fuse = Fuse(step)
        cancelling = asyncio.create_task(cancelled_after(store, run.id, queued=PAGE if step % 2 else 0))
        blown = not await published(Outbox(store, broker, clock, COUNTED), run.id)
        clock.expire_leases()
        broker.fuse = store.fuse = Fuse()
        cancelling.cancel()
        await store.cancel(LOCAL_OWNER, run.id)
        await Outbox(store, broker, clock, COUNTED).publish(run.id)
        told = await cancellations(broker)
        assert told, f"cut at step {step}"
        assert told == [told[0]] * len(told)
        sent = lead_ids(await drained(broker))
        await drained(broker, RESULT_RUNS)
        following = await add_run(store, against, upload.id)
        await Outbox(store, broker, clock, COUNTED).publish(following.id)
        left = lead_ids(await put_out(broker))
        assert set(sent) | set(left) >= {lead.id for lead in some}, f"cut at step {step}"
    assert step > 5


async def cancelled_after(store: CutStore, run_id: str, queued: int) -> None:
    """Cancel a run once so many of its prospects are published."""
    while True:
        run = await store.run(LOCAL_OWNER, run_id)
        if run is not None and run.queued >= queued:
            await store.cancel(LOCAL_OWNER, run_id)
            return
        await asyncio.sleep(0)


async def published(outbox: Outbox, run_id: str) -> bool:
    """Publish a run as far as the fuse lets it; tell whether it held."""
    try:
        await outbox.publish(run_id)
    except Unavailable:
        return False
    except LeadlineError:
        return True
    return True
