"""What results counts of leads and runs."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from leadline_common.broker.chunks import chunk_message
from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.ids import made_at, new_id
from leadline_results.runs.handler import MergeHandler
from leadline_results.runs.metrics import ResultMetrics
from leadline_results.runs.sqlite import SqliteResultStore
from leadline_results.runs.tracker import Tracker

from .builders import by_ai, by_rules, chunk, published, started


class House:
    """A handler and a tracker whose clock is a quarter of a second after the run was asked for."""

    def __init__(self, folder: Path) -> None:
        self.run_id = new_id()
        asked = made_at(self.run_id)
        assert asked is not None
        self.registry = CollectorRegistry()
        self.store, self.broker = SqliteResultStore(folder / "results.db"), EmbeddedBroker(folder / "b.db")
        metrics = ResultMetrics(self.registry)
        self.now = asked + timedelta(seconds=0.25)
        self.tracker = Tracker(self.store, self.broker, lambda: self.now, metrics)
        self.handler = MergeHandler(self.store, self.tracker, lambda: self.now, metrics)

    def sample(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    yield house
    await house.broker.close()
    await house.store.close()


async def test_a_lead_is_counted_once_when_it_is_done(house: House) -> None:
    """Neither a part of it nor a message that comes again counts; its latency is that since its run's id."""
    leads = chunk("a", "b", run_id=house.run_id)
    parts = [leads, by_rules(leads)]
    await house.handler.handle([chunk_message(part) for part in parts])
    assert house.sample("leadline_leads_done_total", status="scored") == 0
    whole = [*parts, by_ai(leads)]
    for _ in range(2):
        await house.handler.handle([chunk_message(part) for part in whole])
    assert house.sample("leadline_leads_done_total", status="scored") == 2
    assert house.sample("leadline_lead_latency_seconds_count") == 2
    assert house.sample("leadline_lead_latency_seconds_sum") == pytest.approx(0.5, abs=0.01)


async def test_runs_are_counted_as_they_start_and_finish(house: House) -> None:
    """A run that is registered again, as after a crash, neither starts nor finishes twice."""
    for _ in range(2):
        await house.tracker.register(published(house.run_id, 0))
        await house.tracker.register(started(house.run_id))
    for _ in range(2):
        house.tracker.schedule([house.run_id])
        await house.tracker.count_due()
    assert house.sample("leadline_run_events_total", event="started") == 1
    assert house.sample("leadline_run_events_total", event="finished") == 1
