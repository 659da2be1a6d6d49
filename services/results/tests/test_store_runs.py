"""What every ResultStore promises about runs, and how it says that it does not answer."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pymongo
import pytest

from leadline_common.storage.mongo import connect
from leadline_contracts.errors import Unavailable
from leadline_contracts.scoring import Offer, SourceColumn
from leadline_results.runs.columns import UploadColumns
from leadline_results.runs.mongo import MongoResultStore
from leadline_results.runs.record import Record
from leadline_results.runs.spend import RunSpend
from leadline_results.runs.sqlite import SqliteResultStore
from leadline_results.runs.store import Counts, Query, ResultStore, Run, RunQuery

OpenStore = Callable[[], Awaitable[ResultStore]]

START = datetime(2026, 3, 1, 12, 0, 0, 500_000, UTC)
LATER = START + timedelta(minutes=1)
OFFER = Offer(id="offer", name="AI Outreach", value_props=["24/7 outreach"], ideal_use_cases=["B2B SaaS"])
RECORD = Record(owner="local", run_id="run", lead_id="lead", offer_id="offer", model="standard", chunk="1")
TOLD = UploadColumns(upload_id="upload", owner="local", columns=[SourceColumn(title="Notes")])
SPENT = RunSpend(owner="local", run_id="run", source="anthropic", assessor="claude", calls=1)


def run(run_id: str = "run", **changes: object) -> Run:
    """A run that has just begun."""
    begun = Run(
        run_id=run_id, owner="local", offer_id="offer", model="graded", started_at=START, progress_at=START
    )
    return begun.model_copy(update=changes)


async def test_a_run_comes_back_as_it_was_seen(store: ResultStore) -> None:
    """A run is stored with every field it has; one never seen is None."""
    seen = run(offer=OFFER, refresh=True, total=3, scored=1, failed=1)
    await store.see_run(seen)
    assert await store.run("run") == seen
    assert await store.run("no such run") is None


async def test_seeing_a_run_again_adds_only_what_it_lacks(store: ResultStore) -> None:
    """Total and offer are filled in whichever message tells them first; nothing else changes."""
    await store.see_run(run())
    await store.see_run(run(total=0, progress_at=LATER, started_at=LATER))
    await store.see_run(run(offer=OFFER, total=7, scored=5))
    await store.see_run(run(offer=OFFER.model_copy(update={"name": "Other"})))
    assert await store.run("run") == run(total=0, offer=OFFER)


@pytest.mark.parametrize("refresh_first", [True, False])
async def test_that_new_answers_are_asked_for_is_kept_whoever_tells_it(
    store: ResultStore, refresh_first: bool
) -> None:
    """The end of publishing, which says nothing of it, may come before or after the word that does."""
    begun, queued = run(offer=OFFER, refresh=True), run(total=3)
    for seen in (begun, queued) if refresh_first else (queued, begun):
        await store.see_run(seen)
    assert await store.run("run") == run(offer=OFFER, refresh=True, total=3)


async def test_replicas_that_see_a_run_at_the_same_time_lose_nothing(open_store: OpenStore) -> None:
    """The offer that one replica brings and the total that another brings are both kept."""
    first, second = await open_store(), await open_store()
    ids = [f"run-{number}" for number in range(20)]
    await asyncio.gather(
        *(first.see_run(run(run_id, offer=OFFER)) for run_id in ids),
        *(second.see_run(run(run_id, total=9)) for run_id in ids),
    )
    assert [await first.run(run_id) for run_id in ids] == [run(i, offer=OFFER, total=9) for i in ids]


async def test_runs_are_listed_from_the_newest_on(store: ResultStore) -> None:
    """Every filter finds an owner's own runs, page by page, and counts them."""
    kinds = [("local", "a", True), ("local", "b", False), ("ann", "a", True), ("local", "a", False)]
    for number in range(20):
        owner, offer_id, ended = kinds[number % 4]
        await store.see_run(run(f"run-{number:02}", owner=owner, offer_id=offer_id))
        if ended:
            assert await store.finish_run(f"run-{number:02}", Counts(1, 0), LATER)
    expected = {
        RunQuery(owner="local"): (0, 1, 3),
        RunQuery(owner="local", offer_id="a"): (0, 3),
        RunQuery(owner="local", status="running"): (1, 3),
        RunQuery(owner="local", status="finished"): (0,),
        RunQuery(owner="local", status="running", offer_id="a"): (3,),
        RunQuery(owner="ann"): (2,),
        RunQuery(owner="nobody"): (),
    }
    for query, kinds_meant in expected.items():
        meant = [f"run-{number:02}" for number in reversed(range(20)) if number % 4 in kinds_meant]
        found: list[str] = []
        while page := await store.runs(query, found[-1] if found else None, 3):
            found += [one.run_id for one in page]
        assert found == meant
        assert await store.count_runs(query) == len(meant)
    [newest] = await store.runs(RunQuery(owner="local", status="finished"), None, 1)
    assert newest == await store.run("run-16")


async def test_progress_is_dated_only_where_a_count_changed(store: ResultStore) -> None:
    """A run whose counts do not change keeps the time at which they last changed."""
    await store.see_run(run())
    await store.save_progress("run", Counts(scored=2, failed=1), LATER)
    await store.save_progress("run", Counts(scored=2, failed=1), LATER + timedelta(minutes=1))
    assert await store.run("run") == run(scored=2, failed=1, progress_at=LATER)


async def test_a_run_is_finished_once(open_store: OpenStore) -> None:
    """Of several replicas that finish a run one gets True, and later counts change nothing."""
    replicas = [await open_store(), await open_store()]
    await replicas[0].see_run(run(total=3))
    ends = [LATER, LATER + timedelta(seconds=1)] * 3
    told = await asyncio.gather(
        *(replicas[n % 2].finish_run("run", Counts(2, 1), at) for n, at in enumerate(ends))
    )
    assert sorted(told) == [False] * 5 + [True]
    await replicas[0].save_progress("run", Counts(1, 0), LATER)
    winner = ends[told.index(True)]
    assert await replicas[1].run("run") == run(total=3, scored=2, failed=1, finished_at=winner)


async def test_a_run_is_cancelled_once_unless_it_is_finished(open_store: OpenStore) -> None:
    """Of replicas that cancel a run one gets True, a known total stays, and its end can still be stored."""
    replicas = [await open_store(), await open_store()]
    await replicas[0].see_run(run(total=3))
    told = await asyncio.gather(*(replicas[n % 2].cancel_run("run", 9, LATER) for n in range(6)))
    assert sorted(told) == [False] * 5 + [True]
    assert await replicas[1].run("run") == run(total=3, cancelled_at=LATER)
    assert await replicas[1].finish_run("run", Counts(1, 0, 2), LATER)
    cancelled = run(total=3, scored=1, dropped=2, cancelled_at=LATER, finished_at=LATER)
    assert await replicas[0].run("run") == cancelled
    await replicas[0].see_run(run("other"))
    await replicas[0].finish_run("other", Counts(1, 0), LATER)
    assert not await replicas[1].cancel_run("other", 1, LATER)
    assert await replicas[0].run("other") == run("other", scored=1, finished_at=LATER)


async def test_a_cancelled_run_learns_its_total(store: ResultStore) -> None:
    """What was queued when a run was cancelled is its total where none was known."""
    await store.see_run(run(expected=7))
    assert await store.cancel_run("run", 2, LATER)
    assert not await store.cancel_run("no such run", 2, LATER)
    assert await store.run("run") == run(expected=7, total=2, cancelled_at=LATER)


@pytest.mark.parametrize(
    "counts", [Counts(0, 0), Counts(1, 0), Counts(0, 1), Counts(0, 0, 1)], ids=["none", *"sfd"]
)
async def test_any_count_that_changes_is_progress(store: ResultStore, counts: Counts) -> None:
    """Scored, failed and dropped leads alike show that a run moves on; the same counts do not."""
    await store.see_run(run())
    await store.save_progress("run", counts, LATER)
    moved_at = LATER if any(counts) else START
    assert await store.run("run") == run(**counts._asdict(), progress_at=moved_at)


async def test_a_run_is_followed_until_its_end_is_announced(store: ResultStore) -> None:
    """Unfinished runs and finished ones nobody was told of are returned; announced ones are not."""
    for run_id in ("open", "finished", "announced"):
        await store.see_run(run(run_id))
    for run_id in ("finished", "announced"):
        await store.finish_run(run_id, Counts(0, 0), LATER)
    await store.mark_announced("announced")
    assert {found.run_id for found in await store.unfinished_runs()} == {"open", "finished"}
    announced = await store.run("announced")
    assert announced is not None
    assert announced.announced


async def test_a_run_is_redriven_by_one_replica(open_store: OpenStore) -> None:
    """Replicas that want to redrive a run at the same time do not both do it."""
    replicas = [await open_store(), await open_store()]
    await replicas[0].see_run(run())
    told = await asyncio.gather(*(replicas[n % 2].mark_redriven("run", 1, LATER) for n in range(6)))
    assert sorted(told) == [False] * 5 + [True]
    assert not await replicas[0].mark_redriven("run", 3, LATER)
    assert await replicas[0].run("run") == run(nudges=1, progress_at=LATER)


async def test_what_was_written_is_there_after_reopening(open_store: OpenStore) -> None:
    """A closed store keeps its data, and opening it again changes none of it."""
    first = await open_store()
    await first.see_run(run())
    await first.close()
    assert await (await open_store()).run("run") == run()


@pytest.fixture(params=["sqlite", "mongo"])
async def silent(request: pytest.FixtureRequest, tmp_path: Path) -> ResultStore:
    """A store that does not answer: a closed file, or a port that nobody listens on."""
    if request.param == "mongo":
        return MongoResultStore(connect("mongodb://127.0.0.1:9/leadline", "test"))
    store = SqliteResultStore(tmp_path / "results.db")
    await store.close()
    return store


CALLS: dict[str, Callable[[ResultStore], Awaitable[object]]] = {
    "insert": lambda store: store.insert([RECORD]),
    "replace": lambda store: store.replace([RECORD]),
    "load": lambda store: store.load([RECORD.key]),
    "settle_latest": lambda store: store.settle_latest([RECORD]),
    "page": lambda store: store.page(Query(owner="local"), None, 10),
    "count": lambda store: store.count(Query(owner="local")),
    "stream": lambda store: anext(aiter(store.stream(Query(owner="local")))),
    "see_columns": lambda store: store.see_columns([TOLD]),
    "columns": lambda store: store.columns(["upload"]),
    "uploads_by_columns": lambda store: store.uploads_by_columns(Query(owner="local")),
    "see_run": lambda store: store.see_run(run()),
    "run": lambda store: store.run("run"),
    "runs": lambda store: store.runs(RunQuery(owner="local"), None, 10),
    "count_runs": lambda store: store.count_runs(RunQuery(owner="local")),
    "scorings": lambda store: anext(aiter(store.scorings("local", "lead"))),
    "unfinished_runs": lambda store: store.unfinished_runs(),
    "count_run": lambda store: store.count_run("run"),
    "save_progress": lambda store: store.save_progress("run", Counts(1, 0), START),
    "finish_run": lambda store: store.finish_run("run", Counts(1, 0), START),
    "mark_announced": lambda store: store.mark_announced("run"),
    "mark_redriven": lambda store: store.mark_redriven("run", 1, START),
    "see_spend": lambda store: store.see_spend([SPENT]),
    "spend": lambda store: store.spend("run"),
    "missing": lambda store: anext(aiter(store.missing("run", "ai"))),
    "ping": lambda store: store.ping(),
}


async def test_a_store_that_does_not_answer_is_unavailable(silent: ResultStore) -> None:
    """Every method tells that the store is away in the one way callers hold their work for."""
    with pymongo.timeout(0.1):
        outcomes = await asyncio.gather(*(call(silent) for call in CALLS.values()), return_exceptions=True)
    assert dict(zip(CALLS, map(type, outcomes), strict=True)) == dict.fromkeys(CALLS, Unavailable)
    await silent.close()
