"""The gate before a provider: how many calls may be under way, and when none may.

The number halves when the provider says that it is too much (429, 529) and climbs back one by one while it
answers, as TCP does with its window (RFC 5681). A provider that fails time after time is asked by one call at
a time until it answers.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from enum import StrEnum

import structlog

from leadline_ai.leads.answers import FailureKind
from leadline_ai.providers.port import ProviderFailure
from leadline_contracts.errors import LeadlineError

FAILURES_IN_A_ROW = 5
"""From here on a provider counts as failing."""
PATIENCE = 30.0
"""Seconds for which calls wait for a provider that fails; then all but a probing one are turned away.

Nobody waits for one that has never answered: that is no outage that passes."""
LONGEST_REST = 20.0
"""Seconds for which calls wait since the provider asks for it; where it is more they come again later."""
_FIRST_PROBE, _LONGEST_PROBE = 0.5, 10.0
_LOOK_AGAIN = 1.0

log = structlog.get_logger()


class State(StrEnum):
    """How a provider is: answering, failing (asked by one call at a time), or misconfigured (not asked)."""

    OK = "ok"
    FAILING = "failing"
    MISCONFIGURED = "misconfigured"


class TurnedAway(LeadlineError):
    """No call was made. `later` tells that one may be made once more time has passed than a call may wait."""

    def __init__(self, text: str, *, misconfigured: bool = False, later: bool = False) -> None:
        super().__init__(text)
        self.misconfigured = misconfigured
        self.later = later

    @property
    def kind(self) -> FailureKind:
        """The kind of failure that this is for what was to be asked about."""
        if self.later:
            return "later"
        return "misconfigured" if self.misconfigured else "unavailable"


class Gate:
    """Lets at most `most` calls through at a time; one for each provider and process."""

    def __init__(self, provider: str, most: int) -> None:
        self._provider = provider
        self._most = most
        self._limit = float(most)
        self._halved_at = 0.0
        self._under_way = 0
        self._rest_until = 0.0
        self._failures = 0
        self._failing_since: float | None = None
        self._has_answered = False
        self._probe_pause = 0.0
        self._probe_at = 0.0
        self._fault = ""
        self._reason = ""
        self._changed = asyncio.Condition()

    @property
    def state(self) -> State:
        """How the provider is, as far as calls have told."""
        if self._fault:
            return State.MISCONFIGURED
        return State.OK if self._failing_since is None else State.FAILING

    @property
    def reason(self) -> str:
        """Why the state is not ok, in one line; empty where it is."""
        return self._fault or (self._reason if self._failing_since is not None else "")

    @property
    def limit(self) -> int:
        """How many calls may be under way now."""
        return 1 if self._failing_since is not None else int(self._limit)

    @contextlib.asynccontextmanager
    async def passing(self, deadline: float) -> AsyncIterator[None]:
        """Wait until a call may be made, and count it as under way meanwhile.

        `deadline` is in time.monotonic(). Raises TurnedAway where there is no use in waiting, or not until
        then. A ProviderFailure that passes through tells how the call went; otherwise say `answered`.
        """
        await self._enter(deadline)
        began = time.monotonic()
        try:
            await self._wake_next()  # there may be room for one more
            yield
        except ProviderFailure as failure:
            self._note(failure, began)
            raise
        finally:
            self._under_way -= 1
            await self._wake_next()

    def answered(self, rest: float = 0.0) -> None:
        """Note that the provider answered, and for how many seconds it will take no further call."""
        if self._failing_since is not None:
            log.info("provider_answers_again", provider=self._provider)
        self._failures, self._failing_since, self._fault = 0, None, ""
        self._has_answered = True
        self._limit = min(self._most, self._limit + 1 / self._limit)
        if rest:
            self._rest_until = max(self._rest_until, time.monotonic() + rest)

    def misconfigured(self, fault: str) -> None:
        """Turn every call away from now on, until `answered` says otherwise."""
        if not self._fault:
            log.warning("provider_misconfigured", provider=self._provider, error=fault)
        self._fault = fault

    async def _enter(self, deadline: float) -> None:
        try:
            while not self._take_place(now := time.monotonic(), deadline):
                opens_in = max(0.0, self._opens_at - now)
                await self._wait(min(_LOOK_AGAIN, opens_in or _LOOK_AGAIN, deadline - now))
        except (TurnedAway, asyncio.CancelledError):
            await self._wake_next()  # it may have been woken for a place that another can take
            raise

    def _take_place(self, now: float, deadline: float) -> bool:
        self._turn_away(now, deadline)
        if now < self._opens_at or self._under_way >= self.limit:
            return False
        self._under_way += 1
        return True

    async def _wait(self, pause: float) -> None:
        async with self._changed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()

    async def _wake_next(self) -> None:
        """Have one that waits look again; it wakes the next when it gets in or goes away."""
        async with self._changed:
            self._changed.notify()

    @property
    def _opens_at(self) -> float:
        return max(self._rest_until, self._probe_at if self._failing_since is not None else 0.0)

    def _turn_away(self, now: float, deadline: float) -> None:
        if self._fault:
            raise TurnedAway(self._fault, misconfigured=True)
        if now >= deadline:
            raise TurnedAway("the time for its chunk was over before its turn came", later=True)
        if self._rest_until - now > LONGEST_REST:
            raise TurnedAway(f"{self._provider} asks to be left alone for a while", later=True)
        if self._failing_since is None:
            return
        if self._has_answered and now - self._failing_since < PATIENCE:
            return
        if self._under_way or now < self._probe_at:
            raise TurnedAway(self._reason)

    def _note(self, failure: ProviderFailure, began: float) -> None:
        now = time.monotonic()
        match failure.kind:
            case "misconfigured":
                self.misconfigured(str(failure))
            case "declined":
                self.answered()
            case "overloaded" | "unavailable":
                self._note_trouble(failure, began, now)

    def _note_trouble(self, failure: ProviderFailure, began: float, now: float) -> None:
        if failure.retry_after:
            self._rest_until = max(self._rest_until, now + failure.retry_after)
        if failure.kind == "overloaded" and began >= self._halved_at:
            # Calls that were under way together are told so together: they halve it once.
            self._limit, self._halved_at = max(1.0, self._limit / 2), now
        self._failures += 1
        self._reason = str(failure)
        if self._failing_since is None:
            if self._failures < FAILURES_IN_A_ROW:
                return
            self._failing_since, self._probe_pause = now, _FIRST_PROBE
            log.warning("provider_failing", provider=self._provider, error=str(failure))
        elif began >= self._failing_since:
            # A probe; calls from before it was failing tell nothing new, however many of them fail together.
            self._probe_pause = min(_LONGEST_PROBE, 2 * self._probe_pause)
        self._probe_at = now + self._probe_pause
