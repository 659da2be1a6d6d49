"""Whether a run was cancelled: the store's word, asked for once a second a run at most."""

import time
from dataclasses import dataclass, field
from typing import TypeVar

from leadline_ai.cancelled.store import CancelledRunStore
from leadline_common.clock import Clock

_FRESH_SECONDS = 1.0
_REMEMBERED = 1_000

Key = tuple[str, str]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CancelledRuns:
    """Shared by all that asks for leads in this process; a replica knows of a cancelled run a second after
    it is noted, the one that notes it at once.
    """

    store: CancelledRunStore
    clock: Clock
    _fresh_until: dict[Key, float] = field(default_factory=dict)
    _cancelled: dict[Key, None] = field(default_factory=dict)

    async def note(self, owner: str, run_id: str) -> None:
        """Note that a run was cancelled. Raises Unavailable."""
        await self.store.note_cancelled(owner, run_id, self.clock())
        _remember(self._cancelled, (owner, run_id), None)

    async def includes(self, owner: str, run_id: str) -> bool:
        """Tell whether a run was cancelled. Raises Unavailable."""
        key = (owner, run_id)
        if key in self._cancelled:
            return True
        now = time.monotonic()
        if now < self._fresh_until.get(key, 0.0):
            return False
        if await self.store.cancelled(owner, run_id):
            _remember(self._cancelled, key, None)
            return True
        _remember(self._fresh_until, key, now + _FRESH_SECONDS)
        return False


def _remember(known: dict[Key, T], key: Key, value: T) -> None:
    """Keep the value, and no more than the newest thousand."""
    known.pop(key, None)
    known[key] = value
    if len(known) > _REMEMBERED:
        del known[next(iter(known))]
