"""A bound on how much is worked on at once, where pieces of work differ in size."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class WeightedSemaphore:
    """Lets work go on while its weights add up to at most `limit`; first come, first served.

    Work that weighs more than the limit waits until it is alone.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def taken(self, weight: int) -> AsyncIterator[None]:
        """Wait until there is room, and hold it inside the block."""
        weight = min(weight, self._limit)
        await self._take(weight)
        try:
            yield
        finally:
            self._taken -= weight
            self._admit()

    async def _take(self, weight: int) -> None:
        place = asyncio.get_running_loop().create_future()
        self._waiting.append((weight, place))
        self._admit()
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():
                self._taken -= weight  # let in, and cancelled before it could go on
            self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting:
            weight, place = self._waiting[0]
            if not place.cancelled():
                if self._taken + weight > self._limit:
                    return
                self._taken += weight
                place.set_result(None)
            self._waiting.popleft()
