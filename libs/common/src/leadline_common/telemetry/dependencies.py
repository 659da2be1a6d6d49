"""Whether the servers behind a service answer, for whoever watches it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from leadline_common.telemetry.metrics import Metrics
from leadline_contracts.errors import LeadlineError

_INTERVAL_SECONDS = 15.0


class DependencyProbe:
    """Shows 1 for each server that answers its ping and 0 for one that does not, work or no work."""

    def __init__(self, pings: Mapping[str, Callable[[], Awaitable[None]]], metrics: Metrics) -> None:
        self._pings = pings
        self._up = metrics.dependencies

    async def run(self) -> None:
        """Probe every fifteen seconds."""
        while True:
            await self.probe()
            await asyncio.sleep(_INTERVAL_SECONDS)

    async def probe(self) -> None:
        """Probe once."""
        for name, ping in self._pings.items():
            try:
                await ping()
            except LeadlineError:
                self._up.labels(name).set(0)
            else:
                self._up.labels(name).set(1)
