"""The outbox: every prospect of a run reaches the broker, in the same chunks, whatever is cut short."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.broker.port import Message
from leadline_common.ids import new_id
from leadline_contracts.envelope import LOCAL_OWNER
from leadline_contracts.errors import LeadlineError, Unavailable
from leadline_contracts.scoring import CHUNK_SIZE, LeadsAccepted, Offer, RunPublished, RunStarted
from leadline_contracts.topology import RESULT_RUNS
from leadline_ingest.runs import store as store_module
from leadline_ingest.runs.outbox import LEASE, LeaseLost, Outbox
from leadline_ingest.runs.store import Cursor, Lease, RunRequest, RunState
from leadline_ingest.stores.sqlite import SqliteIngestStore

from .builders import COUNTED, START, drained, eventually, leads, offer, uploaded
from .claims import claimed


class Clock:
    """A time that moves only when a test moves it."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time

    def expire_leases(self) -> None:
        self.time += LEASE + timedelta(seconds=1)


class Fuse:
    """Blows at the nth step: a stand-in for a process that dies there."""

    def __init__(self, steps: int = -1) -> None:
        self.left = steps

    def burn(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Unavailable("cut short")


class CutBroker(EmbeddedBroker):
    """May be cut before and after each publish, or held up at the first."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.fuse = Fuse()
        self.gate: asyncio.Event | None = None
        self.reached = asyncio.Event()

    async def publish(self, messages: Sequence[Message]) -> None:
        if self.gate is not None and not self.reached.is_set():
            self.reached.set()
            await self.gate.wait()
        self.fuse.burn()
        await super().publish(messages)
        self.fuse.burn()


class CutStore(SqliteIngestStore):
    """May be cut before and after each note of how far an outbox came."""

    fuse = Fuse()

    async def advance(self, lease: Lease, cursor: Cursor, queued: int, until: datetime) -> bool:
        self.fuse.burn()
        held = await super().advance(lease, cursor, queued, until)
        self.fuse.burn()
        return held

    async def cover(self, run: RunRequest, upload_id: str) -> None:
        self.fuse.burn()
        await super().cover(run, upload_id)
        self.fuse.burn()

    async def finish_publishing(self, lease: Lease) -> bool:
        self.fuse.burn()
        held = await super().finish_publishing(lease)
        self.fuse.burn()
        return held


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


async def add_run(
    store: SqliteIngestStore,
    against: Offer | None = None,
    upload_id: str | None = None,
    *,
    refresh: bool = False,
) -> RunRequest:
    run = RunRequest(
        id=new_id(),
        owner=LOCAL_OWNER,
        offer=against or offer(),
        model="standard",
        upload_id=upload_id,
        refresh=refresh,
    )
    await store.add_run(run)
    return run


async def state_of(store: SqliteIngestStore, run: RunRequest) -> RunState:
    found = await store.run(LOCAL_OWNER, run.id)
    assert found is not None
    return found.state


def chunks_in(messages: Sequence[Message]) -> list[LeadsAccepted]:
    """The chunks, checked to be the same wherever they have the same id; each once."""
    bodies = {message.id: message.body for message in messages}
    assert all(bodies[message.id] == message.body for message in messages)
    return [LeadsAccepted.decode(body) for name, body in bodies.items() if LeadsAccepted.TYPE in name]


def lead_ids(messages: Sequence[Message]) -> list[str]:
    return [lead.id for chunk in chunks_in(messages) for lead in chunk.leads]


async def put_out(broker: EmbeddedBroker) -> list[Message]:
    """What results was sent: the chunks, then the totals."""
    told = await drained(broker, RESULT_RUNS)
    assert all(message.type == RunStarted.TYPE for message in told[:1])
    return await drained(broker) + [message for message in told if message.type == RunPublished.TYPE]


def total_in(messages: Sequence[Message]) -> int:
    assert messages[-1].type == RunPublished.TYPE
    return RunPublished.decode(messages[-1].body).total


async def test_chunks_are_full_and_carry_all_it_takes_to_score_them(
    store: CutStore, broker: CutBroker, outbox: Outbox
) -> None:
    """A consumer needs nothing but the message, and the total comes after all of them."""
    some = leads(2 * CHUNK_SIZE + 10)
    upload = await uploaded(store, some)
    run = await add_run(store)
    await outbox.publish(run.id)
    messages = await put_out(broker)
    chunks = chunks_in(messages)
    sent = [lead.model_copy(update={"row": row}) for row, lead in enumerate(some, start=2)]
    assert [lead for chunk in chunks for lead in chunk.leads] == sent
    assert [len(chunk.leads) for chunk in chunks] == [CHUNK_SIZE, CHUNK_SIZE, 10]
    assert all((chunk.run_id, chunk.offer) == (run.id, run.offer) for chunk in chunks)
    assert all((chunk.owner, chunk.upload_id) == (LOCAL_OWNER, upload.id) for chunk in chunks)
    assert total_in(messages) == len(some)
    assert await state_of(store, run) is RunState.PUBLISHED


async def test_a_run_of_nothing_says_so(store: CutStore, broker: CutBroker, outbox: Outbox) -> None:
    """Results can finish a run that found no open prospect."""
    run = await add_run(store)
    await outbox.publish(run.id)
    assert total_in(await put_out(broker)) == 0


async def test_cut_short_anywhere_it_resumes_with_the_same_chunks(
    store: CutStore, broker: CutBroker, clock: Clock
) -> None:
    """Whatever step a replica dies at, the next one completes the run: no lead is missing, none is new
    under an old id, and the total counts each once."""
    some = leads(2_130)
    await uploaded(store, some[:2_100])
    await uploaded(store, some[2_100:])
    expected = {lead.id for lead in some}
    step = 0
    blown = True
    while blown:
        step += 1
        run = await add_run(store)
        broker.fuse = store.fuse = Fuse(step)
        try:
            await Outbox(store, broker, clock, COUNTED).publish(run.id)
        except Unavailable:
            clock.expire_leases()
        blown = broker.fuse.left <= 0
        broker.fuse = store.fuse = Fuse()
        await Outbox(store, broker, clock, COUNTED).publish(run.id)
        messages = await put_out(broker)
        found = lead_ids(messages)
        assert (len(found), set(found)) == (2_130, expected), f"cut at step {step}"
        assert total_in(messages) == 2_130
        assert await state_of(store, run) is RunState.PUBLISHED
    assert step > 20


async def test_a_refresh_among_the_claims_of_others_resumes_with_the_same_chunks(
    store: CutStore, broker: CutBroker, clock: Clock
) -> None:
    """Where chunks do not fill the rows they stand in, they end at the same rows after a crash as well, and
    what others finish meanwhile does not slip in."""
    against, some = offer(), leads(2_130)
    upload = await uploaded(store, some)
    expected = [lead.id for lead in (*some[:38], *some[44:])]
    step = 0
    blown = True
    while blown:
        step += 1
        under_way = await add_run(store, against, refresh=True)
        assert len(await claimed(store, under_way, upload, 40, 45)) == 6
        run = await add_run(store, against, refresh=True)
        broker.fuse = store.fuse = Fuse(step)
        try:
            await Outbox(store, broker, clock, COUNTED).publish(run.id)
        except Unavailable:
            clock.expire_leases()
        blown = broker.fuse.left <= 0
        broker.fuse = store.fuse = Fuse()
        await store.note_progress(under_way.id, 6, 0, finished=True)
        await Outbox(store, broker, clock, COUNTED).publish(run.id)
        messages = await put_out(broker)
        assert lead_ids(messages) == expected, f"cut at step {step}"
        assert total_in(messages) == 2_124
        await store.note_progress(run.id, 2_124, 0, finished=True)
    assert step > 20


async def test_a_refresh_says_so_in_all_it_starts(store: CutStore, broker: CutBroker, outbox: Outbox) -> None:
    """Results and the AI layer know that stored answers will not do; for any other run they do."""
    against = offer()
    await uploaded(store, leads(CHUNK_SIZE + 1))
    for refresh in (False, True):
        run = await add_run(store, against, refresh=refresh)
        await outbox.publish(run.id)
        await store.note_progress(run.id, CHUNK_SIZE + 1, 0, finished=True)
        [started, _] = await drained(broker, RESULT_RUNS)
        assert RunStarted.decode(started.body).refresh is refresh
        assert [chunk.refresh for chunk in chunks_in(await drained(broker))] == [refresh, refresh]


async def test_what_a_dead_run_claimed_stays_its_own(
    store: CutStore, broker: CutBroker, outbox: Outbox, clock: Clock
) -> None:
    """A run cut short after its claims publishes them later, though another found nothing open meanwhile."""
    against, some = offer(), leads(30)
    await uploaded(store, some)
    dead = await add_run(store, against)
    broker.fuse = Fuse(3)
    with pytest.raises(Unavailable):
        await outbox.publish(dead.id)
    await outbox.publish((await add_run(store, against)).id)
    assert total_in(await put_out(broker)) == 0
    clock.expire_leases()
    await outbox.publish(dead.id)
    assert lead_ids(await put_out(broker)) == [lead.id for lead in some]


async def test_a_total_once_told_stands(
    store: CutStore, broker: CutBroker, outbox: Outbox, clock: Clock
) -> None:
    """Prospects that come in between a run's last message and its resumption are the next run's."""
    against = offer()
    await uploaded(store, leads(30))
    run = await add_run(store, against)
    store.fuse = Fuse(11)  # after the advances to and over the rows, the cover and the last advance
    with pytest.raises(Unavailable):
        await outbox.publish(run.id)
    assert total_in(await put_out(broker)) == 30
    later = leads(5)
    await uploaded(store, later)
    clock.expire_leases()
    await outbox.publish(run.id)
    assert total_in(await put_out(broker)) == 30
    await outbox.publish((await add_run(store, against)).id)
    assert lead_ids(await put_out(broker)) == [lead.id for lead in later]


async def test_a_replica_that_lost_its_lease_stops(store: CutStore, broker: CutBroker, clock: Clock) -> None:
    """One that was held up too long leaves the run to the one that took it over, and tells no total."""
    some = leads(600)
    await uploaded(store, some)
    run = await add_run(store)
    broker.gate = asyncio.Event()
    held_up = asyncio.create_task(Outbox(store, broker, clock, COUNTED).publish(run.id))
    await broker.reached.wait()
    await Outbox(store, broker, clock, COUNTED).publish(run.id)
    assert await put_out(broker) == []
    clock.expire_leases()
    await Outbox(store, broker, clock, COUNTED).publish(run.id)
    broker.gate.set()
    with pytest.raises(LeaseLost):
        await held_up
    messages = await put_out(broker)
    assert sorted(lead_ids(messages)) == sorted(lead.id for lead in some)
    assert Counter(message.type for message in messages)[RunPublished.TYPE] == 1


async def test_overlapping_runs_share_no_prospect(store: CutStore, broker: CutBroker, outbox: Outbox) -> None:
    """Two calls at once never pay for a prospect twice, and together take all."""
    against, some = offer(), leads(3_000)
    await uploaded(store, some)
    runs = [await add_run(store, against) for _ in range(3)]
    await asyncio.gather(*(outbox.publish(run.id) for run in runs))
    messages = await put_out(broker)
    assert Counter(lead_ids(messages)) == Counter(lead.id for lead in some)
    totals = [RunPublished.decode(m.body).total for m in messages if m.type == RunPublished.TYPE]
    assert sum(totals) == 3_000


async def test_released_prospects_are_the_next_runs(
    store: CutStore, broker: CutBroker, outbox: Outbox
) -> None:
    """What failed is scored by the next request, and nothing else again."""
    against, some = offer(), leads(60)
    await uploaded(store, some)
    run = await add_run(store, against)
    await outbox.publish(run.id)
    await put_out(broker)
    failed = [some[3].id, some[40].id]
    await store.release(run.id, run.claim_key, failed)
    await outbox.publish((await add_run(store, against)).id)
    messages = await put_out(broker)
    assert lead_ids(messages) == failed
    assert total_in(messages) == 2


async def test_prospects_of_one_offer_are_never_scored_against_another(
    store: CutStore, broker: CutBroker, outbox: Outbox
) -> None:
    """A list of prospects for one product is not scored for another."""
    ours, other = offer(), offer()
    bound, free = leads(3), leads(2)
    await uploaded(store, bound, offer_id=other.id)
    await uploaded(store, free)
    await uploaded(store, leads(4), owner="somebody else")
    await outbox.publish((await add_run(store, ours)).id)
    assert lead_ids(await put_out(broker)) == [lead.id for lead in free]
    await outbox.publish((await add_run(store, other)).id)
    assert lead_ids(await put_out(broker)) == [lead.id for lead in (*bound, *free)]


async def test_a_run_of_one_upload_takes_that_alone(
    store: CutStore, broker: CutBroker, outbox: Outbox
) -> None:
    """Naming an upload leaves all others for later."""
    await uploaded(store, leads(3))
    wanted = leads(2)
    upload = await uploaded(store, wanted)
    await uploaded(store, leads(3))
    await outbox.publish((await add_run(store, upload_id=upload.id)).id)
    messages = await put_out(broker)
    assert lead_ids(messages) == [lead.id for lead in wanted]
    assert total_in(messages) == 2


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"linkedin_bio": "x" * 60_000}, [8, 8, 2, 7]),
        ({"role": "é" * 100_000}, [2, 2, 2] * 4 + [1]),
        ({"linkedin_bio": "x" * 1_000_000}, [1] * 25),
    ],
    ids=["60 kB bios", "200 kB roles of an older version", "1 MB bios of an older version"],
)
async def test_long_texts_make_short_chunks(
    store: CutStore, broker: CutBroker, outbox: Outbox, texts: dict[str, str], expected: list[int]
) -> None:
    """No message grows past what a broker takes, whichever field is long."""
    await uploaded(store, leads(25, **texts))
    await outbox.publish((await add_run(store)).id)
    messages = await put_out(broker)
    assert [len(chunk.leads) for chunk in chunks_in(messages)] == expected
    assert max(len(message.body) for message in messages) < 1_200_000


async def test_what_goes_wrong_in_the_background_is_logged_and_tried_again(
    tmp_path: Path, broker: CutBroker, clock: Clock
) -> None:
    """A fault in a store neither passes unseen nor leaves the run behind."""

    class FaultyStore(CutStore):
        faults: list[Exception] = [RuntimeError("a fault"), Unavailable("away")]

        async def next_upload(self, run: RunRequest, after: str | None) -> None:
            if self.faults:
                raise self.faults.pop(0)

    store = FaultyStore(tmp_path / "faulty.db")
    outbox = Outbox(store, broker, clock, COUNTED)
    run = await add_run(store)
    with capture_logs() as logs:
        for _ in range(2):
            outbox.start(run.id)
            await asyncio.sleep(0.1)
            assert await state_of(store, run) is RunState.PUBLISHING
            clock.expire_leases()
    assert [log["log_level"] for log in logs] == ["critical", "warning"]
    assert all(run.id in str(log) for log in logs)
    resuming = asyncio.create_task(outbox.resume_forever())

    async def published() -> bool:
        return await state_of(store, run) is RunState.PUBLISHED

    await eventually(published)
    resuming.cancel()
    await store.close()


async def test_stopping_ends_what_is_under_way(store: CutStore, broker: CutBroker, clock: Clock) -> None:
    """A service that stops leaves no task behind; the run is taken up by the next start."""
    await uploaded(store, leads(30))
    run = await add_run(store)
    broker.gate = asyncio.Event()
    with capture_logs() as logs:
        resuming = asyncio.create_task(Outbox(store, broker, clock, COUNTED).resume_forever())
        await broker.reached.wait()
        resuming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await resuming
    assert logs == []
    assert not [task for task in asyncio.all_tasks() if run.id in task.get_name()]
    clock.expire_leases()
    await Outbox(store, broker, clock, COUNTED).publish(run.id)
    assert total_in(await put_out(broker)) == 30


async def test_a_store_that_is_away_does_not_end_the_sweep(
    tmp_path: Path, broker: CutBroker, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage costs a few seconds, not the process."""
    monkeypatch.setattr("leadline_ingest.runs.outbox._SWEEP_SECONDS", 0.01)

    class AwayStore(CutStore):
        outages: list[LeadlineError] = [Unavailable("away"), Unavailable("still away")]

        async def publishable_runs(self, now: datetime) -> list[str]:
            if self.outages:
                raise self.outages.pop(0)
            return await super().publishable_runs(now)

    store = AwayStore(tmp_path / "away.db")
    run = await add_run(store)
    sweep = asyncio.create_task(Outbox(store, broker, clock, COUNTED).resume_forever())

    async def published() -> bool:
        return await state_of(store, run) is RunState.PUBLISHED

    await eventually(published)
    sweep.cancel()
    await store.close()


async def test_the_lease_moves_on_within_a_window(
    store: CutStore, broker: CutBroker, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow outbox keeps its run: what it has published is noted batch by batch."""
    some = leads(250)
    upload = await uploaded(store, some)
    run = await add_run(store)
    monkeypatch.setattr(store_module, "_PAGE_ROWS", 2 * CHUNK_SIZE)
    broker.fuse = Fuse(6)  # before the third page of the first window, after the start and two pages
    with pytest.raises(Unavailable):
        await outbox.publish(run.id)
    found = await store.run(LOCAL_OWNER, run.id)
    assert found is not None
    assert found.queued in {CHUNK_SIZE * 2, CHUNK_SIZE * 4}
    assert found.cursor == Cursor(upload.id, 1 + found.queued)
