"""The circuit breaker before a provider: whether a call may be made now, later, or not at all."""

import time
from enum import StrEnum
from typing import Literal

import structlog

from leadline_ai.providers.port import ProviderFailure
from leadline_contracts.errors import LeadlineError

FAILURE_THRESHOLD = 5
"""After so many failures in a row a provider counts as failing."""
MAX_OUTAGE_WAIT = 30.0
"""Seconds for which calls wait for a failing provider; after that only one probing call is permitted.

No call waits for a provider that has never answered: that is no outage that passes."""
MAX_COOLDOWN_WAIT = 20.0
"""Seconds that calls wait where the provider demands a pause; for a longer one they come again later."""
_FIRST_PROBE_DELAY, _LONGEST_PROBE_DELAY = 0.5, 10.0

log = structlog.get_logger()


class State(StrEnum):
    """How a provider is: answering, failing (asked by one call at a time), or misconfigured (not asked)."""

    OK = "ok"
    FAILING = "failing"
    MISCONFIGURED = "misconfigured"


class CallNotPermitted(LeadlineError):
    """No call was made.

    `misconfigured`: none will be until a person corrects a setting; `unavailable`: the provider fails;
    `later`: one may be made after a longer time than a call may wait; `cancelled`: its run was cancelled.
    """

    def __init__(
        self, kind: Literal["misconfigured", "unavailable", "later", "cancelled"], text: str
    ) -> None:
        super().__init__(text)
        self.kind = kind


class CircuitBreaker:
    """Decides by the outcomes of a provider's calls whether the next one may be made.

    After FAILURE_THRESHOLD failures in a row one call at a time probes it, after delays that double, until
    one is answered. All moments are of time.monotonic(), in seconds.
    """

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._failures = 0
        self._failing_since: float | None = None
        self._has_answered = False
        self._cooldown_until = 0.0
        self._probe_delay = 0.0
        self._probe_at = 0.0
        self._fault = ""
        self._last_failure = ""

    @property
    def failing(self) -> bool:
        """Whether only one call at a time may be under way."""
        return self._failing_since is not None

    @property
    def state(self) -> State:
        """The provider's state, as far as calls and checks have shown."""
        if self._fault:
            return State.MISCONFIGURED
        return State.FAILING if self.failing else State.OK

    @property
    def reason(self) -> str:
        """Why the state is not ok, in one line; empty where it is."""
        return self._fault or (self._last_failure if self.failing else "")

    def delay(self, now: float, deadline: float, in_flight: int) -> float:
        """Return for how many seconds from `now` on no call may be made, 0.0 where one may.

        `in_flight` is how many calls are under way. Raises CallNotPermitted where waiting does not help, or
        not until `deadline`.
        """
        if self._fault:
            raise CallNotPermitted("misconfigured", self._fault)
        if now >= deadline:
            raise CallNotPermitted("later", "the time for its chunk was over before its turn came")
        if self._cooldown_until - now > MAX_COOLDOWN_WAIT:
            raise CallNotPermitted("later", f"{self._provider} asks to be left alone for a while")
        if self._failing_since is None:
            return max(0.0, self._cooldown_until - now)
        worth_waiting = self._has_answered and now - self._failing_since < MAX_OUTAGE_WAIT
        if not worth_waiting and (in_flight or now < self._probe_at):
            raise CallNotPermitted("unavailable", self._last_failure)
        return max(0.0, self._cooldown_until - now, self._probe_at - now)

    def record_success(self, cooldown: float = 0.0) -> None:
        """Note that the provider answered, and for how many seconds it will take no further call."""
        if self.failing:
            log.info("provider_answers_again", provider=self._provider)
        self._failures, self._failing_since, self._fault = 0, None, ""
        self._has_answered = True
        self._cool_down(cooldown)

    def record_failure(self, failure: ProviderFailure, began: float) -> None:
        """Note the failure of a call that began at `began`; one that was declined counts as answered."""
        match failure.kind:
            case "misconfigured":
                self.misconfigured(str(failure))
            case "declined":
                self.record_success()
            case "overloaded" | "unavailable":
                self._cool_down(failure.retry_after or 0.0)
                self._count_failure(str(failure), began)

    def misconfigured(self, fault: str) -> None:
        """Permit no call from now on, until `record_success` says otherwise."""
        if not self._fault:
            log.warning("provider_misconfigured", provider=self._provider, error=fault)
        self._fault = fault

    def _cool_down(self, seconds: float) -> None:
        self._cooldown_until = max(self._cooldown_until, time.monotonic() + seconds)

    def _count_failure(self, error: str, began: float) -> None:
        now = time.monotonic()
        self._failures += 1
        self._last_failure = error
        if self._failing_since is None:
            if self._failures < FAILURE_THRESHOLD:
                return
            self._failing_since, self._probe_delay = now, _FIRST_PROBE_DELAY
            log.warning("provider_failing", provider=self._provider, error=error)
        elif began >= self._failing_since:
            # A probe failed; calls that began before the provider was failing say nothing new.
            self._probe_delay = min(_LONGEST_PROBE_DELAY, 2 * self._probe_delay)
        self._probe_at = now + self._probe_delay
