"""How far a run is, as callers see it."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from leadline_results.runs.sqlite import SqliteResultStore
from leadline_results.runs.store import Run
from leadline_results.runs.views import run_view

from .builders import START

LATER = START + timedelta(seconds=10)


def run(**changes: object) -> Run:
    """A run that has begun."""
    begun = Run(
        run_id="run", owner="local", offer_id="offer", model="graded", started_at=START, progress_at=START
    )
    return begun.model_copy(update=changes)


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        ({}, ("running", None, None)),
        ({"expected": 40}, ("running", 40, None)),
        ({"expected": 40, "scored": 7, "failed": 3}, ("running", 40, 30.0)),
        ({"expected": 40, "total": 20, "scored": 10}, ("running", 20, 10.0)),
        ({"expected": 4, "scored": 10}, ("running", 4, 0.0)),
        ({"total": 20, "scored": 20, "finished_at": LATER}, ("finished", 20, 0.0)),
        ({"total": 20, "scored": 10, "cancelled_at": LATER}, ("cancelled", 20, None)),
        ({"total": 9, "dropped": 9, "cancelled_at": LATER, "finished_at": LATER}, ("cancelled", 9, 0.0)),
    ],
)
def test_a_run_shows_how_far_it_is(known: dict[str, object], shown: tuple[object, ...]) -> None:
    """The total is what is expected until it is known; the time left goes by it, unless it is cancelled."""
    view = run_view(run(**known), [], LATER)
    assert (view.status, view.total, view.seconds_left) == shown


async def test_runs_of_an_earlier_version_are_read(tmp_path: Path) -> None:
    """A file from before runs could be cancelled opens, and its runs go on as they did."""
    path = tmp_path / "earlier.db"
    store = SqliteResultStore(path)
    await store.see_run(run(total=3))
    await store.close()
    with closing(sqlite3.connect(path)) as connection:
        for column in ("cancelled_at", "dropped", "expected"):
            connection.execute(f"ALTER TABLE runs DROP COLUMN {column}")
    store = SqliteResultStore(path)
    assert await store.run("run") == run(total=3)
    await store.see_run(run(run_id="new", expected=5, dropped=1, cancelled_at=LATER))
    assert await store.run("new") == run(run_id="new", expected=5, dropped=1, cancelled_at=LATER)
    assert await store.cancel_run("run", 9, LATER)
    assert await store.run("run") == run(total=3, cancelled_at=LATER)
    await store.close()
