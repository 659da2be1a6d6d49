"""The probe of a provider, which costs no tokens: is its key right, is its model there."""

import asyncio

import structlog

from leadline_ai.limiter.breaker import CircuitBreaker, State
from leadline_ai.providers.port import Provider, ProviderFailure
from leadline_contracts.errors import Unavailable

_CHECK_EVERY_SECONDS = 60.0
_CHECK_TIMEOUT_SECONDS = 10.0

log = structlog.get_logger()


class ProviderProbe:
    """Checks the provider at start, and every minute for as long as it is known to be misconfigured."""

    def __init__(self, provider: Provider, breaker: CircuitBreaker) -> None:
        self._provider = provider
        self._breaker = breaker

    async def run(self) -> None:
        """Check at start, then every minute while there is a reason to; until cancelled."""
        known = await self.check()
        while True:
            await asyncio.sleep(_CHECK_EVERY_SECONDS)
            if not known or self._breaker.state is State.MISCONFIGURED:
                known = await self.check()

    async def check(self) -> bool:
        """Check once and report the outcome to the breaker; False where the check has shown nothing."""
        try:
            async with asyncio.timeout(_CHECK_TIMEOUT_SECONDS):
                await self._provider.check()
        except ProviderFailure as failure:
            if failure.kind != "misconfigured":
                log.warning("provider_not_checked", provider=self._provider.name, error=str(failure))
                return False
            self._breaker.misconfigured(str(failure))
        except TimeoutError:
            log.warning("provider_not_checked", provider=self._provider.name, error="no answer")
            return False
        else:
            if self._breaker.state is State.MISCONFIGURED:
                self._breaker.record_success()
        return True

    async def ready(self) -> str | None:
        """Return the provider's state. Raises Unavailable where a person has to correct a setting."""
        if self._breaker.state is State.MISCONFIGURED:
            raise Unavailable(self._breaker.reason)
        if self._breaker.state is State.FAILING:
            return f"{self._provider.name} is failing and asked by one call at a time: {self._breaker.reason}"
        return f"{self._provider.name}, {self._provider.model}"
