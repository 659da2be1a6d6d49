"""The day's budget as metrics."""

import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from leadline_ai.budget.collector import BudgetCollector
from leadline_ai.budget.prices import NANO_PER_USD, Price
from leadline_ai.budget.reservations import Reservations
from leadline_ai.budget.store import Budget
from leadline_ai.metrics import AiMetrics
from leadline_ai.stores.sqlite import SqliteAiStore
from leadline_contracts.errors import Unavailable

TODAY, YESTERDAY = Budget("day:2026-11-27", 10**12), Budget("day:2026-11-26", 10**12)


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqliteAiStore]:
    store = SqliteAiStore(tmp_path / "ai.db")
    yield store
    await store.close()


async def test_what_is_committed_today_is_shown(sqlite: SqliteAiStore) -> None:
    """All replicas' spending of the present day (UTC) counts, and that of the day before does not."""
    registry = CollectorRegistry()
    metrics = AiMetrics(registry)
    reservations = Reservations(
        store=sqlite,
        price=Price(input=1, output=1),
        source="anthropic",
        model="claude",
        run_limit=10**12,
        day_limit=50 * NANO_PER_USD,
        metrics=metrics,
        clock=lambda: datetime(2026, 11, 27, 0, 0, 1, tzinfo=UTC),
    )
    collector = BudgetCollector(reservations, metrics.show_day_budget(50.0))
    await sqlite.reserve([YESTERDAY], 7 * NANO_PER_USD)
    await sqlite.reserve([TODAY], 2 * NANO_PER_USD)
    await collector.collect()
    assert registry.get_sample_value("leadline_ai_day_spent_usd") == 2
    assert registry.get_sample_value("leadline_ai_day_budget_usd") == 50
    await sqlite.close()
    with pytest.raises(Unavailable):
        await collector.collect()
    assert math.isnan(registry.get_sample_value("leadline_ai_day_spent_usd") or 0)
