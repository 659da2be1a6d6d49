"""Following runs over a real store and the embedded broker: counts, progress, and one end each."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.ids import new_id
from leadline_contracts.errors import Unavailable
from leadline_contracts.scoring import CANCELLED, Lead, RunFinished, RunProgressed
from leadline_contracts.topology import RUN_EVENTS
from leadline_results.runs.record import Record, conclude, gather, merge
from leadline_results.runs.redrive import Redrive
from leadline_results.runs.sqlite import SqliteResultStore
from leadline_results.runs.store import Counts, Run
from leadline_results.runs.tracker import Tracker

from .builders import (
    COUNTED,
    OFFER,
    START,
    Clock,
    by_ai,
    by_rules,
    cancelled,
    chunk,
    done_record,
    drained,
    published,
    started,
)


class WatchedStore(SqliteResultStore):
    """The real store, which notes how often runs are counted, takes its time, and fails when told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.counting: list[str] = []
        self.counted: list[str] = []
        self.looks = 0
        self.failures = 0
        self.cost = 0.0

    async def run(self, run_id: str) -> Run | None:
        self.looks += 1
        return await super().run(run_id)

    async def count_run(self, run_id: str) -> Counts:
        self.counting.append(run_id)
        if self.failures:
            self.failures -= 1
            raise Unavailable("the store is away")
        counts = await super().count_run(run_id)
        await asyncio.sleep(self.cost)
        self.counted.append(run_id)
        return counts


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[WatchedStore]:
    """An empty store."""
    opened = WatchedStore(tmp_path / "results.db")
    yield opened
    await opened.close()


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    """An empty broker."""
    opened = EmbeddedBroker(tmp_path / "broker.db")
    yield opened
    await opened.close()


@pytest.fixture
def tracker(store: WatchedStore, broker: EmbeddedBroker) -> Tracker:
    """A tracker that does not follow yet."""
    return Tracker(store, broker, Clock(), COUNTED)


@asynccontextmanager
async def following(tracker: Tracker) -> AsyncIterator[None]:
    """Let the tracker work meanwhile; it must not end by itself."""
    task = asyncio.create_task(tracker.run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def score(store: SqliteResultStore, run_id: str, leads: int, first: int = 0) -> None:
    """Store results of a run."""
    await store.insert(
        [done_record(Lead(id=f"lead-{n}"), run_id=run_id) for n in range(first, first + leads)]
    )


def dropped_record(lead: Lead, run_id: str) -> Record:
    """A lead that nobody was asked about, as its parts make it."""
    leads = chunk(run_id=run_id).model_copy(update={"leads": [lead]})
    [parts] = gather([leads, by_rules(leads), by_ai(leads, error=CANCELLED)]).values()
    return conclude(merge(None, parts), START)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> float:
    """Wait until the condition holds; return how many seconds that took."""
    started = time.monotonic()
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what is waited for is in a file
            await asyncio.sleep(0.01)
    return time.monotonic() - started


def announced(store: SqliteResultStore, run_id: str) -> Callable[[], Awaitable[bool]]:
    """The condition that a run's end is published."""

    async def check() -> bool:
        run = await SqliteResultStore.run(store, run_id)
        return run is not None and run.announced

    return check


def scored(store: SqliteResultStore, run_id: str, leads: int) -> Callable[[], Awaitable[bool]]:
    """The condition that so many of a run's leads are known to be scored."""

    async def check() -> bool:
        run = await SqliteResultStore.run(store, run_id)
        return run is not None and run.scored == leads

    return check


async def ends(broker: EmbeddedBroker) -> list[RunFinished]:
    """Take the ends out of ingest's queue, and whatever else is there."""
    messages = await drained(broker, RUN_EVENTS)
    return [RunFinished.decode(m.body) for m in messages if m.type == RunFinished.TYPE]


async def test_a_run_of_nothing_finishes_at_once(
    tracker: Tracker, store: WatchedStore, broker: EmbeddedBroker
) -> None:
    """The end of a run without prospects is published without delay."""
    run_id = new_id()
    async with following(tracker):
        await tracker.register(published(run_id, 0))
        await until(announced(store, run_id))
    [end] = await ends(broker)
    assert (end.run_id, end.total, end.scored, end.failed) == (run_id, 0, 0, 0)
    assert end.finished_at == START


@pytest.mark.parametrize("leads_first", [True, False])
async def test_the_total_may_come_before_or_after_the_leads(
    tracker: Tracker, store: WatchedStore, broker: EmbeddedBroker, leads_first: bool
) -> None:
    """A run ends when both are known, its total and that many results, whichever comes last."""
    run_id = new_id()
    async with following(tracker):
        for step in ("leads", "total") if leads_first else ("total", "leads"):
            await asyncio.sleep(0.1)
            assert await ends(broker) == []
            if step == "total":
                await tracker.register(published(run_id, 2))
            else:
                await tracker.register(started(run_id))
                await score(store, run_id, 2)
                tracker.schedule([run_id])
        await until(announced(store, run_id))
    [end] = await ends(broker)
    assert (end.total, end.scored, end.failed) == (2, 2, 0)
    run = await store.run(run_id)
    assert run is not None
    assert run.offer is not None


async def test_a_cancelled_run_ends_when_all_that_is_queued_of_it_is_accounted_for(
    tracker: Tracker, store: WatchedStore, broker: EmbeddedBroker
) -> None:
    """It is cancelled at once, whatever comes first, and ends once each lead is scored or dropped."""
    run_id = new_id()
    async with following(tracker):
        await tracker.cancel(cancelled(run_id, 3))
        await tracker.register(started(run_id))
        await score(store, run_id, 1)
        tracker.schedule([run_id])
        await until(scored(store, run_id, 1))
        assert await ends(broker) == []
        dropped = [Lead(id="dropped-1"), Lead(id="dropped-2")]
        await store.insert([dropped_record(lead, run_id) for lead in dropped])
        await tracker.cancel(cancelled(run_id, 3))
        await until(announced(store, run_id))
    [end] = await ends(broker)
    assert (end.total, end.scored, end.failed, end.cancelled) == (3, 1, 0, True)
    run = await store.run(run_id)
    assert run is not None
    assert (run.offer, run.dropped, run.cancelled_at) == (OFFER, 2, START)


async def test_a_run_that_is_finished_is_not_cancelled(
    tracker: Tracker, store: WatchedStore, broker: EmbeddedBroker
) -> None:
    """Whatever is first holds: everybody is told of one end, and that is the one the run shows."""
    run_id = new_id()
    async with following(tracker):
        await tracker.register(published(run_id, 0))
        await until(announced(store, run_id))
        await tracker.cancel(cancelled(run_id, 0))
    [end] = await ends(broker)
    assert not end.cancelled
    run = await store.run(run_id)
    assert run is not None
    assert run.cancelled_at is None


async def test_progress_is_told_when_it_changes_and_not_more_often_than_counted(
    tracker: Tracker, store: WatchedStore, broker: EmbeddedBroker
) -> None:
    """Many results in a short time make few progress messages, the last of which has the right counts."""
    run_id = new_id()
    await tracker.register(published(run_id, 1_000))
    started = time.monotonic()
    async with following(tracker):
        for number in range(60):
            await score(store, run_id, 1, first=number)
            tracker.schedule([run_id])
            await asyncio.sleep(0.005)
        await until(lambda: asyncio.sleep(0, len(store.counted) > 1))
        await until(scored(store, run_id, 60))
        counted, elapsed = len(store.counted), time.monotonic() - started
        tracker.schedule([run_id])
        await until(lambda: asyncio.sleep(0, len(store.counted) > counted))
    told = [RunProgressed.decode(message.body) for message in await drained(broker, RUN_EVENTS)]
    assert 2 <= len(told) <= counted <= elapsed / 0.1 + 1
    assert (told[-1].scored, told[-1].failed) == (60, 0)
    assert len({step.scored for step in told}) == len(told)


async def test_a_run_ends_once_however_often_it_is_scheduled(
    tracker: Tracker, store: WatchedStore, broker: EmbeddedBroker
) -> None:
    """Redelivered results and redrives after the end do not announce it again, nor does it occupy anyone."""
    run_id = new_id()
    await tracker.register(started(run_id))
    await score(store, run_id, 1)
    await tracker.register(published(run_id, 1))
    async with following(tracker):
        await until(announced(store, run_id))
        for _ in range(5):
            tracker.schedule([run_id])
            await Redrive(store, broker, tracker, Clock(), COUNTED).redrive_stalled()
            await asyncio.sleep(0.02)
        looks = store.looks
        await asyncio.sleep(0.15)
        assert store.looks - looks < 3
    assert len(await ends(broker)) == 1


async def test_an_end_that_a_crash_left_unannounced_is_announced_by_the_redrive(
    store: WatchedStore, broker: EmbeddedBroker
) -> None:
    """Between storing the end and publishing it a process may die; another one tells of it."""
    run_id = new_id()
    died = Tracker(store, broker, Clock(), COUNTED)
    await died.register(published(run_id, 3))
    await store.finish_run(run_id, Counts(2, 1), START)
    tracker = Tracker(store, broker, Clock(), COUNTED)
    async with following(tracker):
        await Redrive(store, broker, tracker, Clock(), COUNTED).redrive_stalled()
        await until(announced(store, run_id))
    [end] = await ends(broker)
    assert (end.total, end.scored, end.failed) == (3, 2, 1)


async def test_an_outage_of_the_store_is_survived(
    tracker: Tracker, store: WatchedStore, broker: EmbeddedBroker
) -> None:
    """A count that fails is tried again a second later; other runs are not held up by it."""
    failing, fine = new_id(), new_id()
    store.failures = 1
    async with following(tracker):
        await tracker.register(published(failing, 0))
        await until(lambda: asyncio.sleep(0, bool(store.counting)))
        await tracker.register(published(fine, 0))
        await until(announced(store, fine))
        await until(announced(store, failing))
    assert [end.run_id for end in await ends(broker)] == [fine, failing]


async def test_a_new_run_does_not_wait_for_one_that_is_not_due(tracker: Tracker, store: WatchedStore) -> None:
    """A small run ends at once while a large one, whose counting is costly, pauses until its next count."""
    large, small = new_id(), new_id()
    store.cost = 0.1
    await tracker.register(published(large, 1_000))
    async with following(tracker):
        await until(lambda: asyncio.sleep(0, store.counted == [large]))
        tracker.schedule([large])
        await asyncio.sleep(0.05)
        await tracker.register(published(small, 0))
        await until(announced(store, small))
    assert store.counted == [large, small]


async def test_what_is_stored_during_a_count_is_counted_again(tracker: Tracker, store: WatchedStore) -> None:
    """A result that is stored during a count, and so is not in it, is not forgotten."""
    run_id = new_id()
    store.cost = 0.05
    await tracker.register(published(run_id, 1))
    async with following(tracker):
        await until(lambda: asyncio.sleep(0, bool(store.counting)))
        await asyncio.sleep(0.02)
        await score(store, run_id, 1)
        tracker.schedule([run_id])
        await until(announced(store, run_id))


async def test_waiting_for_a_run_to_be_due_costs_nothing(tracker: Tracker, store: WatchedStore) -> None:
    """However often a run is scheduled before it is due, it is not counted and the loop does not spin."""
    run_id = new_id()
    store.cost = 0.1
    await tracker.register(published(run_id, 1_000))
    async with following(tracker):
        await until(lambda: asyncio.sleep(0, bool(store.counted)))
        looks = store.looks
        assert looks == 1
        tracker.schedule([run_id])
        before = time.thread_time()
        await asyncio.sleep(0.5)
        assert time.thread_time() - before < 0.1
        for _ in range(100):
            tracker.schedule([run_id])
            await asyncio.sleep(0)
        assert store.looks == looks
