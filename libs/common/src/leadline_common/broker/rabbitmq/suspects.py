"""Suspects on RabbitMQ: they wait in a queue of their own, from which a process takes one at a time."""

import asyncio
import contextlib
from typing import Protocol

from leadline_common.process.tasks import start_task

_LOOK_SECONDS = 30.0
"""Until the queues are looked at again for what another process put there and did not live to take."""


class Source(Protocol):
    """The suspects of one queue."""

    async def hand_out_suspect(self) -> bool:
        """Hand out one suspect and return when it is settled; tell whether there was one."""


class Quarantine:
    """Has the suspects of a process handed out one after the other, the queues in turn."""

    def __init__(self) -> None:
        self._sources: set[Source] = set()
        self._changed = asyncio.Event()
        self._turns = start_task(self._take_turns(), "suspects of RabbitMQ")

    def add(self, source: Source) -> None:
        """Take the suspects of this queue too."""
        self._sources.add(source)
        self.look()

    def discard(self, source: Source) -> None:
        """Take no more of them."""
        self._sources.discard(source)

    def look(self) -> None:
        """Look at all queues now: there may be a suspect."""
        self._changed.set()

    def close(self) -> None:
        """Take no more at all."""
        self._turns.cancel()

    async def _take_turns(self) -> None:
        while True:
            self._changed.clear()
            found = [await source.hand_out_suspect() for source in tuple(self._sources)]
            if not any(found):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await self._changed.wait()
