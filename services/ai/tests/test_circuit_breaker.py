"""When a provider may be called: not in a cooldown, by one call at a time while it fails, or not at all."""

import time
from typing import Any

import pytest

from leadline_ai.limiter.breaker import (
    FAILURE_THRESHOLD,
    MAX_COOLDOWN_WAIT,
    MAX_OUTAGE_WAIT,
    CallNotPermitted,
    CircuitBreaker,
    State,
)
from leadline_ai.providers.port import FailureKind, ProviderFailure

A_DAY = 86_400.0


class Provider:
    """A breaker, and how the calls behind it went.

    What happens lies between `before` and `after`, so that no pause of the machine's changes what is true.
    """

    def __init__(self, *, known: bool = True) -> None:
        self.breaker = CircuitBreaker("anthropic")
        self.before = self.after = time.monotonic()
        if known:
            self.succeed()

    def succeed(self, cooldown: float = 0.0) -> None:
        """Have a call answered."""
        self.before = time.monotonic()
        self.breaker.record_success(cooldown)
        self.after = time.monotonic()

    def fail(self, times: int = 1, kind: FailureKind = "unavailable", **how: Any) -> None:
        """Have calls fail, each begun now."""
        for _ in range(times):
            self.before = time.monotonic()
            self.breaker.record_failure(ProviderFailure(kind, f"it is {kind}", **how), self.before)
            self.after = time.monotonic()

    def opens_after(self, seconds: float) -> bool:
        """Tell whether a patient caller has to wait for so long since the last event, and no longer."""
        return self.delay(self.before) >= seconds and self.delay(self.after + seconds) == 0

    def delay(self, moment: float, in_flight: int = 0) -> float:
        """Return how long a patient caller is to wait from this moment on."""
        return self.breaker.delay(moment, moment + A_DAY, in_flight)

    def refusal(self, later: float = 0.0, in_flight: int = 0) -> tuple[str, str]:
        """Return the kind and text with which a patient caller is refused so long after the last event."""
        with pytest.raises(CallNotPermitted) as raised:
            self.delay(self.before + later, in_flight)
        return raised.value.kind, str(raised.value)


@pytest.fixture
def provider() -> Provider:
    """A provider that has answered before."""
    return Provider()


def test_a_call_goes_out_at_once_where_nothing_is_known(provider: Provider) -> None:
    """Neither a new provider nor one that answers is waited for, however many calls are under way."""
    new = Provider(known=False)
    assert new.delay(new.after) == 0
    assert provider.delay(provider.after, in_flight=99) == 0
    assert (provider.breaker.state, provider.breaker.reason) == (State.OK, "")


@pytest.mark.parametrize("told_by", ["failure", "headers"])
def test_a_short_cooldown_is_waited_for(provider: Provider, told_by: str) -> None:
    """The provider gets the time that it asks for, to the end and no longer."""
    if told_by == "failure":
        provider.fail(1, "overloaded", retry_after=MAX_COOLDOWN_WAIT - 1)
    else:
        provider.succeed(MAX_COOLDOWN_WAIT - 1)
    assert provider.opens_after(MAX_COOLDOWN_WAIT - 1)


@pytest.mark.parametrize("told_by", ["failure", "headers"])
def test_a_long_cooldown_is_not_waited_for(provider: Provider, told_by: str) -> None:
    """Calls come again later instead of waiting; once the remaining pause is short they wait."""
    if told_by == "failure":
        provider.fail(1, retry_after=MAX_COOLDOWN_WAIT + 5)
    else:
        provider.succeed(MAX_COOLDOWN_WAIT + 5)
    assert provider.refusal() == ("later", "anthropic asks to be left alone for a while")
    assert 0 < provider.delay(provider.after + 5) <= MAX_COOLDOWN_WAIT


def test_a_shorter_cooldown_does_not_end_a_longer_one(provider: Provider) -> None:
    """Answers that come in out of order do not have the provider called too early."""
    provider.succeed(60)
    first = provider.before
    for cooldown in (0.001, 0):
        provider.succeed(cooldown)
    assert provider.delay(first + 60 - MAX_COOLDOWN_WAIT / 2) >= MAX_COOLDOWN_WAIT / 2
    assert provider.delay(provider.after + 60) == 0


def test_failures_in_a_row_begin_an_outage(provider: Provider) -> None:
    """Some failures happen; so many with no answer between them do not. It is probed after half a second."""
    for kind in ("unavailable", "overloaded"):
        provider.fail(FAILURE_THRESHOLD - 1, kind)
        assert provider.breaker.state is State.OK
        provider.succeed()
    provider.fail(FAILURE_THRESHOLD)
    assert (provider.breaker.state, provider.breaker.reason) == (State.FAILING, "it is unavailable")
    assert provider.breaker.failing
    assert provider.opens_after(0.5)


def test_probes_that_fail_put_the_next_one_off(provider: Provider) -> None:
    """The delays double, up to ten seconds."""
    provider.fail(FAILURE_THRESHOLD)
    for delay in (1, 2, 4, 8, 10, 10):
        provider.fail()
        assert provider.opens_after(delay)


def test_calls_from_before_the_outage_do_not_put_the_first_probe_off(provider: Provider) -> None:
    """One broken moment breaks all calls under way; the provider is asked again after the first delay."""
    began = time.monotonic() - 1
    for _ in range(100):
        provider.before = time.monotonic()
        provider.breaker.record_failure(ProviderFailure("unavailable", "it is unavailable"), began)
        provider.after = time.monotonic()
    assert provider.opens_after(0.5)


def test_patience_with_an_outage_ends(provider: Provider) -> None:
    """In its first half minute calls wait, then they are refused with the reason, except a probe in time."""
    provider.fail(FAILURE_THRESHOLD)
    assert provider.delay(provider.before + MAX_OUTAGE_WAIT - 1, in_flight=1) == 0
    late = MAX_OUTAGE_WAIT + provider.after - provider.before
    assert provider.refusal(late, in_flight=1) == ("unavailable", "it is unavailable")
    assert provider.delay(provider.before + late) == 0


def test_nobody_waits_for_a_provider_that_never_answered() -> None:
    """With no network at all a small file is done at once, instead of half a minute later."""
    unknown = Provider(known=False)
    unknown.fail(FAILURE_THRESHOLD)
    assert unknown.refusal() == ("unavailable", "it is unavailable")
    assert unknown.delay(unknown.after + 0.5) == 0


@pytest.mark.parametrize("answer", ["success", "declined"])
def test_any_answer_ends_an_outage(
    provider: Provider, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A provider that refuses one request answers as well; the log tells of beginning and end, once each."""
    provider.fail(FAILURE_THRESHOLD + 3)
    if answer == "declined":
        provider.fail(1, "declined")
    else:
        provider.succeed()
    assert (provider.breaker.state, provider.breaker.reason) == (State.OK, "")
    assert provider.delay(provider.after, in_flight=99) == 0
    logged = capsys.readouterr().out
    assert logged.count("provider_failing") == logged.count("provider_answers_again") == 1
    provider.fail(FAILURE_THRESHOLD - 1)
    assert provider.breaker.state is State.OK


def test_a_misconfigured_provider_is_not_called(
    provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong key refuses every call with the reason, outage or not, until an answer shows it put right."""
    provider.fail(FAILURE_THRESHOLD)
    provider.fail(1, "misconfigured")
    assert provider.refusal(later=A_DAY) == ("misconfigured", "it is misconfigured")
    provider.breaker.misconfigured("no such model")
    assert (provider.breaker.state, provider.breaker.reason) == (State.MISCONFIGURED, "no such model")
    assert capsys.readouterr().out.count("provider_misconfigured") == 1
    provider.succeed()
    assert (provider.breaker.state, provider.breaker.reason) == (State.OK, "")
    assert provider.opens_after(0)


def test_a_caller_whose_time_is_over_comes_again_later(provider: Provider) -> None:
    """Nothing is asked after the deadline, and a wrong key is reported before that."""
    now = provider.after
    with pytest.raises(CallNotPermitted, match="the time for its chunk was over") as raised:
        provider.breaker.delay(now, now, 0)
    assert raised.value.kind == "later"
    provider.breaker.misconfigured("the key is wrong")
    with pytest.raises(CallNotPermitted, match="the key is wrong"):
        provider.breaker.delay(now, now, 0)
