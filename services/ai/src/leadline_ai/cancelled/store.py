"""The port to the runs that were cancelled."""

from datetime import datetime, timedelta
from typing import Protocol

KEPT = timedelta(days=90)
"""For how long a cancelled run is known: far longer than its chunks wait in a queue."""


class CancelledRunStore(Protocol):
    """Durable and shared by every replica, as AiStore says."""

    async def note_cancelled(self, owner: str, run_id: str, at: datetime) -> None:
        """Note that an owner's run was cancelled, for KEPT at least; safe to repeat."""

    async def cancelled(self, owner: str, run_id: str) -> bool:
        """Tell whether it was noted that this owner's run was cancelled."""
