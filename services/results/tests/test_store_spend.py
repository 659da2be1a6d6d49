"""What every ResultStore promises about spend: the highest figures ever told are the ones it keeps."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from leadline_results.runs.spend import FIGURES, RunSpend
from leadline_results.runs.store import ResultStore

OpenStore = Callable[[], Awaitable[ResultStore]]

BEYOND_32_BITS = 5_000_000_000


def spent(**fields: Any) -> RunSpend:
    """What a run has spent with a model; the fields not given are the same each time."""
    same: dict[str, Any] = {"owner": "local", "run_id": "run", "source": "anthropic", "assessor": "claude"}
    return RunSpend(**{**same, **fields})


def all_figures(least: int) -> dict[str, int]:
    """A value of its own for each figure."""
    return {name: least + number for number, name in enumerate(sorted(FIGURES))}


async def test_spend_comes_back_as_it_was_seen(store: ResultStore) -> None:
    """Every figure is stored, however large, and a run that asked no model has spent nothing."""
    seen = spent(**all_figures(BEYOND_32_BITS))
    await store.see_spend([seen])
    assert await store.spend("run") == [seen]
    assert await store.spend("no such run") == []


@pytest.mark.parametrize("seed", range(5))
async def test_neither_order_nor_repetition_of_figures_matters(store: ResultStore, seed: int) -> None:
    """Figures are cumulative, so the highest of each is true whichever message tells it, and when."""
    order = random.Random(seed)
    told = [spent(**all_figures(least)) for least in range(0, 200, 20)]
    told += order.choices(told, k=5)
    order.shuffle(told)
    for one in told:
        await store.see_spend([one])
    assert await store.spend("run") == [spent(**all_figures(180))]


@pytest.mark.parametrize("figure", sorted(FIGURES))
async def test_each_figure_goes_up_by_itself(store: ResultStore, figure: str) -> None:
    """Two messages of which neither is higher in all lose nothing of each other."""
    await store.see_spend([spent(**all_figures(10))])
    await store.see_spend([spent(**{figure: 99})])
    await store.see_spend([spent(**{figure: 98})])
    assert await store.spend("run") == [spent(**{**all_figures(10), figure: 99})]


async def test_models_and_runs_are_counted_apart(store: ResultStore) -> None:
    """A run whose model changed under way has spent with both; another run's spend is its own."""
    await store.see_spend([spent(calls=5), spent(run_id="another", calls=50)])
    await store.see_spend([spent(assessor="local:8b", calls=3), spent(source="openai", calls=2)])
    await store.see_spend([spent(calls=6)])
    assert await store.spend("run") == [
        spent(calls=6),
        spent(assessor="local:8b", calls=3),
        spent(source="openai", calls=2),
    ]
    assert await store.spend("another") == [spent(run_id="another", calls=50)]
    both = [one.run_id for one in await store.spend("run", "another", "no such run")]
    assert both == ["another", "run", "run", "run"]
    assert await store.spend() == []


async def test_replicas_that_see_spend_at_the_same_time_keep_the_highest(open_store: OpenStore) -> None:
    """Replicas that are the first to see a run's spend make one entry of it, and lose no figure."""
    replicas = [await open_store(), await open_store()]
    for run_id in map(str, range(10)):
        told = [spent(run_id=run_id, calls=calls, cached=100 - calls) for calls in range(12)]
        await asyncio.gather(*(replicas[n % 2].see_spend([one]) for n, one in enumerate(told)))
        assert await replicas[0].spend(run_id) == [spent(run_id=run_id, calls=11, cached=100)]


async def test_no_spend_is_no_work(store: ResultStore) -> None:
    """An empty batch is answered like any other."""
    await store.see_spend([])
    assert await store.spend("run") == []
