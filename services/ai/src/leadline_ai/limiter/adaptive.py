"""The adaptive limiter before a provider: how many calls may be under way."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from leadline_ai.limiter.breaker import CallNotPermitted, CircuitBreaker
from leadline_ai.providers.port import ProviderFailure

_RECHECK_SECONDS = 1.0


class AdaptiveLimiter:
    """Lets at most `max_calls` calls be under way, as its breaker permits; one for each provider and process.

    The limit halves when the provider says that it is too much (429, 529) and climbs back one by one while
    it answers: additive increase, multiplicative decrease, as TCP does with its window (RFC 5681). It is 1
    while the breaker says that the provider fails.
    """

    def __init__(self, breaker: CircuitBreaker, max_calls: int) -> None:
        self.breaker = breaker
        self._max_calls = max_calls
        self._limit = float(max_calls)
        self._halved_at = 0.0
        self._in_flight = 0
        self._slot_freed = asyncio.Condition()

    @property
    def limit(self) -> int:
        """How many calls may be under way now."""
        return 1 if self.breaker.failing else int(self._limit)

    @contextlib.asynccontextmanager
    async def slot(self, deadline: float) -> AsyncIterator[None]:
        """Wait until a call may be made, and count it as under way meanwhile.

        `deadline` is in time.monotonic(). Raises CallNotPermitted where waiting does not help, or not until
        the deadline. A ProviderFailure that is raised inside counts as the call's failure; after a success
        call `record_success`.
        """
        await self._acquire(deadline)
        began = time.monotonic()
        try:
            await self._wake_next()  # there may be room for one more
            yield
        except ProviderFailure as failure:
            self._record_failure(failure, began)
            raise
        finally:
            self._in_flight -= 1
            await self._wake_next()

    def record_success(self, cooldown: float = 0.0) -> None:
        """Note that the provider answered, and for how many seconds it will take no further call."""
        self._raise_limit()
        self.breaker.record_success(cooldown)

    def _record_failure(self, failure: ProviderFailure, began: float) -> None:
        if failure.kind == "declined":
            self._raise_limit()
        elif failure.kind == "overloaded" and began >= self._halved_at:
            # Calls that were under way at the same time fail at the same time: together they halve it once.
            self._limit, self._halved_at = max(1.0, self._limit / 2), time.monotonic()
        self.breaker.record_failure(failure, began)

    def _raise_limit(self) -> None:
        self._limit = min(self._max_calls, self._limit + 1 / self._limit)

    async def _acquire(self, deadline: float) -> None:
        try:
            while True:
                now = time.monotonic()
                delay = self.breaker.delay(now, deadline, self._in_flight)
                if not delay and self._in_flight < self.limit:
                    self._in_flight += 1
                    return
                await self._wait(min(_RECHECK_SECONDS, delay or _RECHECK_SECONDS, deadline - now))
        except (CallNotPermitted, asyncio.CancelledError):
            await self._wake_next()  # it may have been woken for a slot that another can take
            raise

    async def _wait(self, seconds: float) -> None:
        async with self._slot_freed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._slot_freed.wait()

    async def _wake_next(self) -> None:
        """Wake one waiter to check again; it wakes the next once it has a slot or gives up."""
        async with self._slot_freed:
            self._slot_freed.notify()
