"""How many calls a provider gets: bounded, halved when it says so, and as its circuit breaker permits."""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from leadline_ai.limiter import adaptive, breaker
from leadline_ai.limiter.adaptive import AdaptiveLimiter
from leadline_ai.limiter.breaker import FAILURE_THRESHOLD, CallNotPermitted, CircuitBreaker, State
from leadline_ai.providers.port import FailureKind, ProviderFailure

Outcome = ProviderFailure | Exception | None


@pytest.fixture(autouse=True)
def pace(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Short pauses; and nobody looks again unless woken, so that a wake-up that is lost shows."""
    monkeypatch.setattr(adaptive, "_RECHECK_SECONDS", 60.0)
    monkeypatch.setattr(breaker, "_FIRST_PROBE_DELAY", 0.01)
    monkeypatch.setattr(breaker, "_LONGEST_PROBE_DELAY", 0.04)
    monkeypatch.setattr(breaker, "MAX_COOLDOWN_WAIT", 0.1)
    return monkeypatch


def trouble(kind: FailureKind = "unavailable", retry_after: float | None = None) -> ProviderFailure:
    """A call that failed."""
    return ProviderFailure(kind, f"it is {kind}", retry_after=retry_after)


@dataclass
class Calls:
    """Makes calls through a limiter, and holds it to its limit whenever one begins."""

    limiter: AdaptiveLimiter
    under_way: int = 0
    most: int = 0
    began: list[float] = field(default_factory=list)

    @property
    def state(self) -> tuple[State, int]:
        """The breaker's state and the limit."""
        return self.breaker.state, self.limiter.limit

    @property
    def breaker(self) -> CircuitBreaker:
        """The limiter's breaker."""
        return self.limiter.breaker

    async def make(self, outcome: Outcome = None, seconds: float = 0.0, patience: float = 60.0) -> None:
        """Make a call that takes `seconds`."""
        async with self.limiter.slot(time.monotonic() + patience):
            self.under_way += 1
            self.began.append(time.monotonic())
            self.most = max(self.most, self.under_way)
            assert self.under_way <= self.limiter.limit
            try:
                await asyncio.sleep(seconds)
            finally:
                self.under_way -= 1
            if outcome is not None:
                raise outcome
            self.limiter.record_success()

    async def fail(self, times: int, kind: FailureKind = "unavailable", seconds: float = 0.0) -> None:
        """Make calls side by side that all fail."""
        ends = await together(self.make(trouble(kind), seconds) for _ in range(times))
        assert all(isinstance(end, ProviderFailure) for end in ends)


def calls_to_a_known_provider(most: int) -> Calls:
    """Calls to a provider that has answered before."""
    limiter = AdaptiveLimiter(CircuitBreaker("anthropic"), most)
    limiter.record_success()
    return Calls(limiter)


async def together(works: Any) -> list[Any]:
    return await asyncio.gather(*works, return_exceptions=True)


async def begin(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a call and let it come as far as it gets at once."""
    task = asyncio.create_task(work)
    await asyncio.sleep(0.001)
    return task


async def test_calls_under_way_never_exceed_the_limit() -> None:
    """However many come, so many are under way and no more; each gets its turn as soon as another ends."""
    calls = calls_to_a_known_provider(4)
    assert await together(calls.make(seconds=0.002) for _ in range(40)) == [None] * 40
    assert calls.most == 4
    assert calls.breaker.state is State.OK


async def test_calls_told_together_that_it_is_too_much_halve_the_limit_once() -> None:
    """Four refusals at one moment are one piece of news; a later one is another."""
    calls = calls_to_a_known_provider(8)
    await calls.fail(4, "overloaded", seconds=0.005)
    assert calls.limiter.limit == 4
    await calls.make()
    await calls.fail(1, "overloaded")
    assert calls.limiter.limit == 2


async def test_a_call_from_before_the_halving_does_not_halve_again() -> None:
    """A slow refusal of what was asked before is old news."""
    calls = calls_to_a_known_provider(8)
    slow = await begin(calls.make(trouble("overloaded"), seconds=0.3))
    await calls.fail(1, "overloaded")
    await together([slow])
    assert calls.limiter.limit == 4


async def test_the_limit_never_falls_below_one_call() -> None:
    """A provider that is always overloaded is asked all the same, and heard when it recovers."""
    calls = calls_to_a_known_provider(4)
    for _ in range(6):
        await calls.fail(1, "overloaded")
        calls.limiter.record_success()
    assert calls.limiter.limit >= 1
    for _ in range(3):
        await calls.fail(1, "overloaded")
    assert calls.limiter.limit == 1
    await calls.make()
    assert calls.limiter.limit == 2


async def test_the_limit_climbs_back_one_by_one_and_not_above() -> None:
    """Each slot takes about as many answers as there are slots, as TCP's window grows."""
    calls = calls_to_a_known_provider(8)
    await calls.fail(1, "overloaded")
    limits = []
    for _ in range(100):
        limits.append(calls.limiter.limit)
        await calls.make()
    assert limits == sorted(limits)
    assert set(limits) == {4, 5, 6, 7, 8}
    assert 4 + 5 + 6 + 7 <= limits.index(8) <= 5 + 6 + 7 + 8


async def test_a_broken_provider_is_not_taken_for_a_busy_one() -> None:
    """A connection that broke says nothing about how much is too much."""
    calls = calls_to_a_known_provider(8)
    await calls.fail(FAILURE_THRESHOLD - 1)
    assert calls.state == (State.OK, 8)


@pytest.mark.parametrize("told_by", ["failure", "headers"])
async def test_a_short_cooldown_is_waited_for(told_by: str) -> None:
    """While the provider asks to be left alone nobody calls; then all who waited do, at once."""
    calls = calls_to_a_known_provider(4)
    told = time.monotonic()
    if told_by == "failure":
        await together([calls.make(trouble("unavailable", retry_after=0.05))])
    else:
        calls.limiter.record_success(cooldown=0.05)
    waiting = [await begin(calls.make(seconds=0.01)) for _ in range(4)]
    assert await together(waiting) == [None] * 4
    assert min(calls.began[-4:]) - told >= 0.05
    assert calls.most == 4


@pytest.mark.parametrize("told_by", ["failure", "headers"])
async def test_a_cooldown_too_long_to_wait_for_refuses_calls_at_once(told_by: str) -> None:
    """Those that come and those that wait already are free to come again later, instead of holding on."""
    calls = calls_to_a_known_provider(1)
    first = await begin(calls.make(seconds=0.01, outcome=trouble("overloaded", retry_after=60)))
    waiting = [await begin(calls.make()) for _ in range(5)]
    if told_by == "headers":
        calls.limiter.record_success(cooldown=60)
    start = time.monotonic()
    await together([first])
    for end in [*await together(waiting), *await together([calls.make()])]:
        assert isinstance(end, CallNotPermitted)
        assert (end.kind, str(end)) == ("later", "anthropic asks to be left alone for a while")
    assert time.monotonic() - start < 30
    assert len(calls.began) == 1


async def test_a_failing_provider_is_probed_by_one_call_at_a_time() -> None:
    """Everybody waits; one asks, after pauses that double up to the longest."""
    calls = calls_to_a_known_provider(8)
    start = time.monotonic()
    await calls.fail(FAILURE_THRESHOLD)
    assert calls.state == (State.FAILING, 1)
    assert calls.breaker.reason == "it is unavailable"
    calls.most = 0
    await calls.fail(8, seconds=0.001)
    assert calls.most == 1
    probes = [start, *calls.began[-8:]]
    pauses = [later - earlier for earlier, later in itertools.pairwise(probes)]
    assert all(pause >= least for pause, least in zip(pauses, [0.01, 0.02, *[0.04] * 6], strict=True))
    assert sum(pauses) < 2.5  # which they would be if they went on to double
    assert calls.state == (State.FAILING, 1)


async def test_no_probe_goes_out_while_earlier_calls_are_under_way() -> None:
    """What was let through before the provider failed counts: one at a time means with them."""
    calls = calls_to_a_known_provider(8)
    slow = [await begin(calls.make(trouble(), seconds=0.5)) for _ in range(3)]
    await calls.fail(FAILURE_THRESHOLD)
    assert calls.under_way == 3
    await calls.fail(2)
    assert len(await together(slow)) == 3
    assert len(calls.began) == 3 + FAILURE_THRESHOLD + 2


async def test_an_answer_to_an_earlier_call_ends_the_failing_state() -> None:
    """News that the provider answers is taken from any call."""
    calls = calls_to_a_known_provider(8)
    slow = await begin(calls.make(seconds=0.3))
    await calls.fail(FAILURE_THRESHOLD)
    await slow
    assert calls.state == (State.OK, 8)
    assert calls.breaker.reason == ""


async def test_one_success_lets_all_that_wait_in(pace: pytest.MonkeyPatch) -> None:
    """The slots fill at once when the probe is answered: nobody sleeps on."""
    pace.setattr(adaptive, "_RECHECK_SECONDS", 60.0)
    calls = calls_to_a_known_provider(8)
    await calls.fail(FAILURE_THRESHOLD)
    waiting = [await begin(calls.make(seconds=0.02)) for _ in range(9)]
    start = time.monotonic()
    assert await together(waiting) == [None] * 9
    assert calls.most == 8
    assert time.monotonic() - start < 30


async def test_patience_with_a_failing_provider_ends(
    pace: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who waits for it is refused in the end, who comes later at once; but a probe still goes out."""
    pace.setattr(breaker, "MAX_OUTAGE_WAIT", 0.1)
    pace.setattr(adaptive, "_RECHECK_SECONDS", 0.01)
    pace.setattr(breaker, "_FIRST_PROBE_DELAY", 0.03)
    pace.setattr(breaker, "_LONGEST_PROBE_DELAY", 0.06)
    calls = calls_to_a_known_provider(8)
    start = time.monotonic()
    await calls.fail(FAILURE_THRESHOLD)
    probe = await begin(calls.make(trouble(), seconds=1.5))
    await asyncio.sleep(0.05)
    assert calls.under_way == 1
    assert_refused(*await together([calls.make()]))
    assert time.monotonic() - start >= 0.1
    assert_refused(*await together([calls.make()]))
    assert not probe.done()
    await together([probe])
    assert_refused(*await together([calls.make()]))
    await asyncio.sleep(0.06)
    await calls.make()
    assert calls.breaker.state is State.OK
    told = capsys.readouterr().out
    assert told.count("provider_failing") == told.count("provider_answers_again") == 1


def assert_refused(end: object) -> None:
    """The error says why, and that the caller may go on without an answer."""
    assert isinstance(end, CallNotPermitted)
    assert (end.kind, str(end)) == ("unavailable", "it is unavailable")


async def test_a_misconfigured_provider_is_not_called(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong key fails what waits and what comes at once, with the reason, until a person put it right."""
    calls = calls_to_a_known_provider(1)
    first = await begin(calls.make(trouble("misconfigured"), seconds=0.01))
    waiting = [await begin(calls.make()) for _ in range(5)]
    ends = [*await together([first, *waiting, calls.make()])]
    for end in ends[1:]:
        assert isinstance(end, CallNotPermitted)
        assert (end.kind, str(end)) == ("misconfigured", "it is misconfigured")
    assert (calls.breaker.state, calls.breaker.reason) == (State.MISCONFIGURED, "it is misconfigured")
    calls.breaker.misconfigured("no such model")
    assert calls.breaker.reason == "no such model"
    assert capsys.readouterr().out.count("provider_misconfigured") == 1
    calls.limiter.record_success()
    assert (calls.breaker.state, calls.breaker.reason) == (State.OK, "")
    await calls.make()


async def test_a_call_whose_time_is_over_comes_again_later() -> None:
    """Waiting ends with the chunk's deadline; the slot is left to the others."""
    calls = calls_to_a_known_provider(1)
    first = await begin(calls.make(seconds=0.12))
    hasty = await begin(calls.make(patience=0.02))
    patient = await begin(calls.make())
    [end] = await together([hasty])
    assert isinstance(end, CallNotPermitted)
    assert end.kind == "later"
    assert not first.done()
    assert await together([first, patient]) == [None, None]


@pytest.mark.parametrize("turns", range(8))
async def test_a_cancelled_waiter_takes_nobodys_slot(turns: int) -> None:
    """Whether it is cancelled before, with or after its wake-up, the next one gets the slot."""
    calls = calls_to_a_known_provider(1)
    done = asyncio.Event()

    async def hold() -> None:
        async with calls.limiter.slot(time.monotonic() + 5):
            await done.wait()

    holding = await begin(hold())
    gone, next_one = await begin(calls.make(seconds=0.01)), await begin(calls.make(patience=1.0))
    done.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    gone.cancel()
    assert (await together([holding, gone, next_one]))[2] is None
    assert calls.under_way == 0


@pytest.mark.parametrize("error", [ValueError("a fault of ours"), asyncio.CancelledError()])
async def test_a_call_that_ends_otherwise_frees_its_slot_and_leaves_no_verdict(error: BaseException) -> None:
    """A cancelled call says nothing of the provider, neither that it answers nor that it fails."""
    calls = calls_to_a_known_provider(2)
    for _ in range(FAILURE_THRESHOLD):
        with contextlib.suppress(ValueError, asyncio.CancelledError):
            async with calls.limiter.slot(time.monotonic() + 1):
                raise error
    assert calls.state == (State.OK, 2)
    await calls.fail(FAILURE_THRESHOLD)
    with contextlib.suppress(ValueError, asyncio.CancelledError):
        async with calls.limiter.slot(time.monotonic() + 1):
            raise error
    assert calls.state == (State.FAILING, 1)
    await calls.make(patience=1.0)


@pytest.mark.parametrize("seed", range(6))
async def test_every_call_comes_to_its_end_whatever_the_others_do(
    pace: pytest.MonkeyPatch, seed: int
) -> None:
    """Failures, cooldowns, cancellations and deadlines mixed lose no wake-up and leak no slot."""
    pace.setattr(breaker, "_FIRST_PROBE_DELAY", 0.001)
    pace.setattr(breaker, "_LONGEST_PROBE_DELAY", 0.004)
    pace.setattr(adaptive, "_RECHECK_SECONDS", 60.0)
    chance = random.Random(seed)
    calls = calls_to_a_known_provider(6)
    outcomes: list[Outcome] = [None, None, trouble(), trouble("overloaded", 0.002), trouble("declined")]

    async def one() -> None:
        await asyncio.sleep(chance.uniform(0, 0.05))
        work = calls.make(chance.choice(outcomes), chance.uniform(0, 0.004), chance.choice([0.01, 60, 60]))
        task = asyncio.create_task(work)
        if chance.random() < 0.3:
            await asyncio.sleep(chance.uniform(0, 0.01))
            task.cancel()
        end = (await together([task]))[0]
        assert end is None or isinstance(end, ProviderFailure | CallNotPermitted | asyncio.CancelledError)

    start = time.monotonic()
    await asyncio.gather(*(one() for _ in range(120)))
    assert time.monotonic() - start < 30
    calls.limiter.record_success()
    calls.most = 0
    limit = calls.limiter.limit
    await asyncio.gather(*(calls.make(seconds=0.005) for _ in range(limit)))
    assert calls.most == limit
