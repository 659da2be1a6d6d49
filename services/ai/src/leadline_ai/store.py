"""The port to all that the ai service stores: what its answer cache, its budgets and cancelled runs need."""

from typing import Protocol

from leadline_ai.budget.store import BudgetStore
from leadline_ai.cache.store import AnswerStore
from leadline_ai.cancelled.store import CancelledRunStore


class AiStore(AnswerStore, BudgetStore, CancelledRunStore, Protocol):
    """Durable and shared by every replica of the service.

    Writes have been acknowledged by a majority where the store is replicated. Every method raises
    Unavailable where the store does not answer; a write may then have happened or not.
    """

    async def ping(self) -> None:
        """Raise Unavailable unless the store answers within two seconds."""

    async def close(self) -> None:
        """Release the store's connections and files; safe to call twice."""
