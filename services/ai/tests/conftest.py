from collections.abc import AsyncIterator

import pytest

from leadline_common.messages import Lead, Offer
from leadline_testing.model_server import ModelServer


@pytest.fixture
def offer() -> Offer:
    return Offer(
        id="offer-1",
        name="AI Outreach",
        value_props=["24/7 outreach", "6x more meetings"],
        ideal_use_cases=["B2B SaaS mid-market"],
    )


@pytest.fixture
def leads() -> list[Lead]:
    """Three that a table of roles and industries tells apart, and one of which nothing is known."""
    return [
        Lead(id="ava", name="Ava Patel", role="Head of Growth", company="FlowMetrics", industry="SaaS"),
        Lead(id="ben", name="Ben Ito", role="Marketing Manager", company="Milk & Co", industry="Dairy"),
        Lead(id="cleo", name="Cléo Roy", role="Boulangère", company="Au Pain", industry="Bakery"),
        Lead(id="blank"),
    ]


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as running:
        yield running
