"""Reservations in budgets: made before each call of a chunk or step, settled when that is done."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from leadline_ai.budget.prices import NANO_PER_USD, Price
from leadline_ai.budget.store import Budget, BudgetStore, run_budget_name
from leadline_ai.metrics import AiMetrics
from leadline_ai.providers.port import Question, Usage
from leadline_common.clock import Clock
from leadline_contracts.errors import LeadlineError, Unavailable
from leadline_contracts.scoring import AiSpend

Wanted = Callable[[], Awaitable[bool]]

log = structlog.get_logger()


async def _always() -> bool:
    return True


class BudgetSpent(LeadlineError):
    """A budget has no room for the next call; the text names it and says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservations:
    """Opens accounts for chunks; `run_limit` and `day_limit` (UTC days, all owners) are in 10^-9 dollars."""

    store: BudgetStore
    price: Price
    source: str
    model: str
    run_limit: int
    day_limit: int
    metrics: AiMetrics
    clock: Clock
    _by_run: dict[tuple[str, str], "_RunReservation"] = field(default_factory=dict)

    async def committed_today(self) -> int:
        """Return what is committed of the day's budget, in 10^-9 dollars. Raises Unavailable."""
        return await self.store.committed(self._today)

    @property
    def _today(self) -> str:
        return f"day:{self.clock():%Y-%m-%d}"

    @contextlib.asynccontextmanager
    async def account(
        self, owner: str, run_id: str, planned: int, *, wanted: Wanted = _always
    ) -> AsyncIterator["Account"]:
        """Open a chunk's account, which expects to spend up to `planned`, and settle it at the end.

        After that the account's `spend` is the whole run's. No call is made once none is `wanted` any more.
        """
        today = self._today
        reservation = self._by_run.get((run_id, today))
        if reservation is None:
            budgets = (Budget(run_budget_name(run_id), self.run_limit), Budget(today, self.day_limit))
            reservation = self._by_run[run_id, today] = _RunReservation(self.store, budgets)
        reservation.accounts += 1
        spend = AiSpend(source=self.source, assessor=self.model)
        account = Account(self, reservation, planned, spend, wanted)
        try:
            yield account
        finally:
            reservation.accounts -= 1
            if not reservation.accounts:
                del self._by_run[run_id, today]
            await asyncio.shield(account.settle(owner, run_id, reservation.left_over()))


@dataclass(slots=True)
class _RunReservation:
    """What this process has reserved for a run, shared by the run's chunks that are under way."""

    store: BudgetStore
    budgets: tuple[Budget, ...]
    accounts: int = 0
    granted: int = 0
    in_use: int = 0
    spent: int = 0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, amount: int, planned: int) -> None:
        """Set `amount` aside for a call, reserving more where that is needed; see Account.reserve."""
        async with self._lock:
            while (lacking := self.in_use + self.spent + amount - self.granted) > 0:
                self._changed.clear()
                full = await self._reserve(lacking, planned)
                if full is None:
                    break
                # A call under way has reserved what it may cost at most, several times what most cost.
                if not (self.in_use or self._changed.is_set()):
                    raise BudgetSpent(_spent(full))
                await self._changed.wait()
            self.in_use += amount

    def release(self, amount: int, cost: int) -> None:
        """Replace the amount that was taken by its actual cost."""
        self.in_use -= amount
        self.spent += cost
        self._changed.set()

    def left_over(self) -> int:
        """Return the unused reservation once no chunk is under way, 0 before that."""
        return 0 if self.accounts else self.granted - self.spent

    async def _reserve(self, lacking: int, planned: int) -> Budget | None:
        """Reserve for a whole chunk at once where that fits, so that its calls need no further requests."""
        if planned > lacking and await self.store.reserve(self.budgets, planned) is None:
            self.granted += planned
            return None
        full = await self.store.reserve(self.budgets, lacking)
        if full is None:
            self.granted += lacking
        return full


@dataclass(slots=True)
class Account:
    """What one chunk spends. Calls that are made at the same time share it."""

    _reservations: Reservations
    _reservation: _RunReservation
    _planned: int
    spend: AiSpend
    wanted: Wanted
    """Tells, right before each call, whether it is to be made. Raises Unavailable."""

    async def reserve(self, question: Question) -> int:
        """Reserve what asking may cost at most, and return it; give it to `charge` afterwards.

        Waits for calls of the run that are under way where only they keep it from having room. Raises
        BudgetSpent where a budget has no room for it, Unavailable.
        """
        amount = self._reservations.price.bound(question)
        await self._reservation.take(amount, self._planned)
        self._planned = 0
        return amount

    def charge(self, reserved: int, usage: Usage | None, *, failed: bool) -> None:
        """Count a call at its cost in place of its reservation; `usage` is None where no call was made."""
        cost = 0 if usage is None else self._reservations.price.cost(usage)
        self._reservation.release(reserved, cost)
        if usage is None:
            return
        self._reservations.metrics.count_usage(self._reservations.model, usage, cost)
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
        """Count a charged call as failed: its answer could not be used."""
        self._add(failed_calls=1)

    def count_cached(self, leads: int) -> None:
        """Count leads that were answered from the answer cache."""
        self._reservations.metrics.count_cached(leads)
        self._add(cached=leads)

    async def settle(self, owner: str, run_id: str, unused: int) -> None:
        """Store what was spent and release `unused` of what was reserved."""
        if not (self.spend.calls or self.spend.cached or unused):
            return
        store, budgets = self._reservations.store, self._reservation.budgets
        try:
            self.spend = await store.settle(owner, run_id, self.spend, budgets, unused)
        except Unavailable as error:
            # What was reserved stays committed: the budget errs to the safe side, the run shows too little.
            log.error("spend_not_stored", run_id=run_id, nano_usd=self.spend.nano_usd, error=str(error))

    def _add(self, **figures: int) -> None:
        self.spend = self.spend.model_copy(
            update={name: getattr(self.spend, name) + figure for name, figure in figures.items()}
        )


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
