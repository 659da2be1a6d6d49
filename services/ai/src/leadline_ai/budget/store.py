"""The port to budgets and to what runs have spent."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from leadline_contracts.scoring import AiSpend


class Budget(NamedTuple):
    """A bound on money: its name (`run:…`, `day:2026-11-21`) and limit in 10^-9 US dollars."""

    name: str
    limit: int


def run_budget_name(run_id: str) -> str:
    """Return the name of a run's budget."""
    return f"run:{run_id}"


class BudgetStore(Protocol):
    """Durable and shared by every replica, as AiStore says."""

    async def reserve(self, budgets: Sequence[Budget], amount: int) -> Budget | None:
        """Commit `amount` (10^-9 dollars) in every budget, or in none: then return the first without room.

        A budget has room while what is committed stays at or below its limit. Replicas that reserve at the
        same time never pass it together. What a process that dies has reserved stays committed: its calls
        may have been billed.
        """

    async def settle(
        self, owner: str, run_id: str, spend: AiSpend, budgets: Sequence[Budget], unused: int
    ) -> AiSpend:
        """Add to what the run has spent with this model and give `unused` back to every budget.

        Returns the run's whole spend with that source and model. Not idempotent: after Unavailable the
        caller does not try again.
        """

    async def committed(self, budget_name: str) -> int:
        """Return what is committed in a budget (10^-9 dollars), 0 where nothing is."""
