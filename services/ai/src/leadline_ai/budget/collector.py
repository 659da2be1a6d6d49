"""The collector of the metric that shows how much of the day's budget is spent."""

import math

from prometheus_client import Gauge

from leadline_ai.budget.prices import NANO_PER_USD
from leadline_ai.budget.reservations import Reservations
from leadline_common.process.periodic import every
from leadline_contracts.errors import LeadlineError

_COLLECT_EVERY_SECONDS = 15.0


class BudgetCollector:
    """Reads what is committed today from the store; every replica shows the same."""

    def __init__(self, reservations: Reservations, spent: Gauge) -> None:
        self._reservations = reservations
        self._spent = spent
        spent.set(math.nan)

    async def run(self) -> None:
        """Collect every fifteen seconds, through failures of the store."""
        await every(_COLLECT_EVERY_SECONDS, self.collect, failed="budget_not_seen")

    async def collect(self) -> None:
        """Collect once. Raises Unavailable where the store does not answer."""
        try:
            committed = await self._reservations.committed_today()
        except LeadlineError:
            self._spent.set(math.nan)  # an old figure would look like a new one
            raise
        self._spent.set(committed / NANO_PER_USD)
