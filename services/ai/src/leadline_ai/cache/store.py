"""The port to stored answers, and to the number of calls already made for what has no answer yet."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from leadline_contracts.envelope import Wire


class StoredAnswer(Wire):
    """An answer that was paid for, under the key of all that it depends on.

    `run_id` is the run or workflow that paid; `answer` is JSON whose form the store does not know.
    """

    key: str
    run_id: str
    answer: str
    source: str
    assessor: str
    prompt: str


class AnswerStore(Protocol):
    """Durable and shared by every replica, as AiStore says."""

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
