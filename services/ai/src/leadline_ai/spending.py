"""Money: what a chunk may spend, reserved before each call and settled when the chunk is done."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from leadline_ai.metrics import AiMetrics
from leadline_ai.prices import NANO_PER_USD, Price
from leadline_ai.provider import Question, Usage
from leadline_ai.store import AiStore, Budget
from leadline_common.errors import LeadlineError, Unavailable
from leadline_common.messages import AiSpend

log = structlog.get_logger()


class BudgetSpent(LeadlineError):
    """A budget has no room for the next call; the text names it and says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Opens accounts for chunks; `run_limit` and `day_limit` (UTC days, all owners) are in 10^-9 dollars."""

    store: AiStore
    price: Price
    source: str
    model: str
    run_limit: int
    day_limit: int
    metrics: AiMetrics
    clock: Callable[[], datetime]

    @property
    def today(self) -> str:
        """The name of the present day's budget."""
        return f"day:{self.clock():%Y-%m-%d}"

    @contextlib.asynccontextmanager
    async def account(self, owner: str, run_id: str, planned: int) -> AsyncIterator["Account"]:
        """Open a chunk's account, which expects to spend up to `planned`, and settle it at the end.

        After that the account's `spend` is the whole run's.
        """
        budgets = (Budget(f"run:{run_id}", self.run_limit), Budget(self.today, self.day_limit))
        account = Account(self, budgets, planned, AiSpend(source=self.source, assessor=self.model))
        try:
            yield account
        finally:
            await asyncio.shield(account.settle(owner, run_id))


@dataclass(slots=True)
class Account:
    """What one chunk has reserved and spent. Calls made side by side share it."""

    _spending: Spending
    _budgets: tuple[Budget, ...]
    _planned: int
    spend: AiSpend
    _granted: int = 0
    _held: int = 0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def hold(self, question: Question) -> int:
        """Set aside what asking may cost at most, and return it; give it to `charge` afterwards.

        Raises BudgetSpent where a budget has no room for it, Unavailable.
        """
        amount = self._spending.price.bound(question)
        async with self._lock:
            lacking = self._held + self.spend.nano_usd + amount - self._granted
            if lacking > 0:
                await self._reserve(lacking)
            self._held += amount
        return amount

    def charge(self, held: int, usage: Usage | None, *, failed: bool) -> None:
        """Count a call and what it took in place of what was held; `usage` is None where none was made."""
        self._held -= held
        if usage is None:
            return
        cost = self._spending.price.cost(usage)
        self._spending.metrics.count_usage(self._spending.model, usage, cost)
        self._add(
            calls=1,
            failed_calls=int(failed),
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            nano_usd=cost,
        )

    def count_failed(self) -> None:
        """Count a call that was charged as good as failed: its answer could not be used."""
        self._add(failed_calls=1)

    def count_cached(self, leads: int) -> None:
        """Count leads that were answered from what was bought before."""
        self._spending.metrics.count_cached(leads)
        self._add(cached=leads)

    async def settle(self, owner: str, run_id: str) -> None:
        """Store what was spent and give the rest of what was reserved back."""
        if not (self.spend.calls or self.spend.cached or self._granted):
            return
        unused = self._granted - self.spend.nano_usd
        try:
            self.spend = await self._spending.store.settle(owner, run_id, self.spend, self._budgets, unused)
        except Unavailable as error:
            # What was reserved stays committed: the budget errs to the safe side, the run shows too little.
            log.error("spend_not_stored", run_id=run_id, nano_usd=self.spend.nano_usd, error=str(error))

    def _add(self, **figures: int) -> None:
        self.spend = self.spend.model_copy(
            update={name: getattr(self.spend, name) + figure for name, figure in figures.items()}
        )

    async def _reserve(self, lacking: int) -> None:
        """Reserve for the whole chunk at once where that fits, so that its calls need no more trips."""
        store = self._spending.store
        ahead, self._planned = self._planned, 0
        if ahead > lacking and await store.reserve(self._budgets, ahead) is None:
            self._granted += ahead
            return
        full = await store.reserve(self._budgets, lacking)
        if full is not None:
            raise BudgetSpent(_spent(full))
        self._granted += lacking


def _spent(budget: Budget) -> str:
    whose, setting = (
        ("the run", "LEADLINE_AI_RUN_BUDGET_USD")
        if budget.name.startswith("run:")
        else ("today (UTC)", "LEADLINE_AI_DAY_BUDGET_USD")
    )
    dollars = f"${budget.limit / NANO_PER_USD:,.10g}"
    return (
        f"the AI budget of {dollars} for {whose} has no room for a request; raise {setting} and score again"
    )
