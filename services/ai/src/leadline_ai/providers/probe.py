"""Watching over a provider without spending tokens: is its key right, is its model there."""

import asyncio

import structlog

from leadline_ai.limiter.breaker import Gate, State
from leadline_ai.providers.port import Provider, ProviderFailure
from leadline_contracts.errors import Unavailable

_LOOK_SECONDS = 60.0
_CHECK_SECONDS = 10.0

log = structlog.get_logger()


class Watch:
    """Checks the provider at start, and every minute for as long as it is known to be misconfigured."""

    def __init__(self, provider: Provider, gate: Gate) -> None:
        self._provider = provider
        self._gate = gate

    async def look_forever(self) -> None:
        """Look at start, then whenever there is a reason to; until cancelled."""
        sure = await self.look()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if not sure or self._gate.state is State.MISCONFIGURED:
                sure = await self.look()

    async def look(self) -> bool:
        """Check once and tell the gate what is known by it; False where nothing is."""
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await self._provider.check()
        except ProviderFailure as failure:
            if failure.kind != "misconfigured":
                log.warning("provider_not_checked", provider=self._provider.name, error=str(failure))
                return False
            self._gate.misconfigured(str(failure))
        except TimeoutError:
            log.warning("provider_not_checked", provider=self._provider.name, error="no answer")
            return False
        else:
            if self._gate.state is State.MISCONFIGURED:
                self._gate.answered()
        return True

    async def ready(self) -> str | None:
        """Say how the provider is. Raises Unavailable where a person has to put something right."""
        if self._gate.state is State.MISCONFIGURED:
            raise Unavailable(self._gate.reason)
        if self._gate.state is State.FAILING:
            return f"{self._provider.name} is failing and asked by one call at a time: {self._gate.reason}"
        return f"{self._provider.name}, {self._provider.model}"
