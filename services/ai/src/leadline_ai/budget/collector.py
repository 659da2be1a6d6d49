"""How much of the day's budget is spent, for whoever watches it."""

import asyncio
import math

import structlog
from prometheus_client import Gauge

from leadline_ai.budget.prices import NANO_PER_USD
from leadline_ai.budget.reservations import Spending
from leadline_contracts.errors import LeadlineError

_LOOK_SECONDS = 15.0

log = structlog.get_logger()


class BudgetWatch:
    """Shows what the store says is committed today; every replica shows the same."""

    def __init__(self, spending: Spending, spent: Gauge) -> None:
        self._spending = spending
        self._spent = spent
        spent.set(math.nan)

    async def look_forever(self) -> None:
        """Look every fifteen seconds, through failures of the store."""
        while True:
            try:
                await self.look()
            except LeadlineError as error:
                log.warning("budget_not_seen", error=str(error))
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Look once. Raises Unavailable where the store does not answer."""
        try:
            committed = await self._spending.store.committed(self._spending.today)
        except LeadlineError:
            self._spent.set(math.nan)  # an old figure would look like a new one
            raise
        self._spent.set(committed / NANO_PER_USD)
