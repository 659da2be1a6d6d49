"""The port to what the ai service keeps: bought answers, what they took, and what budgets have left."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from leadline_contracts.scoring import AiSpend, Wire


class StoredAnswer(Wire):
    """An answer that was paid for, under the key of all that it depends on.

    `run_id` is the run, or the workflow, that paid; `answer` is JSON that only its reader knows.
    """

    key: str
    run_id: str
    answer: str
    source: str
    assessor: str
    prompt: str


class Budget(NamedTuple):
    """A bound on money: its name (`run:…`, `day:2026-11-21`) and limit in 10^-9 US dollars."""

    name: str
    limit: int


class AiStore(Protocol):
    """Durable and shared by every replica of the service.

    Writes have been acknowledged by a majority where the store is replicated. Every method raises
    Unavailable where the store does not answer; a write may then have happened or not.
    """

    async def answers(self, owner: str, keys: Collection[str]) -> dict[str, StoredAnswer]:
        """Return the owner's stored answers by key; a key that is not known is left out."""

    async def keep_answers(self, owner: str, answers: Sequence[StoredAnswer]) -> None:
        """Store answers, each in place of the one there may be under its key. Safe to repeat."""

    async def calls(self, run_id: str, lead_ids: Collection[str]) -> dict[str, int]:
        """Return how many calls were noted for each lead of a run; a lead without a note is left out."""

    async def note_calls(self, run_id: str, calls: Mapping[str, int]) -> None:
        """Note how many calls each lead of a run has had in all, so that a later attempt counts on.

        A note never goes down. Safe to repeat.
        """

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
        caller lets it be.
        """

    async def committed(self, budget_name: str) -> int:
        """Return what is committed in a budget (10^-9 dollars), 0 where nothing is."""

    async def ping(self) -> None:
        """Raise Unavailable unless the store answers within two seconds."""

    async def close(self) -> None:
        """Let go of the store; safe to call twice."""
