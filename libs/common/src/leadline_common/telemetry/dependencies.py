"""Whether the servers behind a service answer, for whoever watches it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from leadline_common.telemetry.metrics import Metrics
from leadline_contracts.errors import LeadlineError

_LOOK_SECONDS = 15.0


class DependencyWatch:
    """Shows 1 for each server that answers its ping and 0 for one that does not, work or no work."""

    def __init__(self, pings: Mapping[str, Callable[[], Awaitable[None]]], metrics: Metrics) -> None:
        self._pings = pings
        self._up = metrics.dependencies

    async def look_forever(self) -> None:
        """Look every fifteen seconds."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Look once."""
        for name, ping in self._pings.items():
            try:
                await ping()
            except LeadlineError:
                self._up.labels(name).set(0)
            else:
                self._up.labels(name).set(1)
