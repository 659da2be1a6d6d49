"""How many calls a provider gets: bounded, halved when it says so, none while it rests, one when it fails."""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from leadline_ai.limiter import breaker as gate_module
from leadline_ai.limiter.breaker import FAILURES_IN_A_ROW, Gate, State, TurnedAway
from leadline_ai.providers.port import FailureKind, ProviderFailure

Outcome = ProviderFailure | Exception | None


@pytest.fixture(autouse=True)
def pace(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Short pauses; and nobody looks again unless woken, so that a wake-up that is lost shows."""
    monkeypatch.setattr(gate_module, "_LOOK_AGAIN", 60.0)
    monkeypatch.setattr(gate_module, "_FIRST_PROBE", 0.01)
    monkeypatch.setattr(gate_module, "_LONGEST_PROBE", 0.04)
    monkeypatch.setattr(gate_module, "LONGEST_REST", 0.1)
    return monkeypatch


def trouble(kind: FailureKind = "unavailable", retry_after: float | None = None) -> ProviderFailure:
    """A call that failed."""
    return ProviderFailure(kind, f"it is {kind}", retry_after=retry_after)


@dataclass
class Calls:
    """Makes calls through a gate, and holds it to its limit whenever one begins."""

    gate: Gate
    under_way: int = 0
    most: int = 0
    began: list[float] = field(default_factory=list)

    @property
    def state(self) -> tuple[State, int]:
        """The gate's state and limit."""
        return self.gate.state, self.gate.limit

    async def make(self, outcome: Outcome = None, seconds: float = 0.0, patience: float = 5.0) -> None:
        """Make a call that takes `seconds`."""
        async with self.gate.passing(time.monotonic() + patience):
            self.under_way += 1
            self.began.append(time.monotonic())
            self.most = max(self.most, self.under_way)
            assert self.under_way <= self.gate.limit
            try:
                await asyncio.sleep(seconds)
            finally:
                self.under_way -= 1
            if outcome is not None:
                raise outcome
            self.gate.answered()

    async def fail(self, times: int, kind: FailureKind = "unavailable", seconds: float = 0.0) -> None:
        """Make calls side by side that all fail."""
        ends = await together(self.make(trouble(kind), seconds) for _ in range(times))
        assert all(isinstance(end, ProviderFailure) for end in ends)


def calls_through(most: int) -> Calls:
    """Calls to a provider that has answered before."""
    gate = Gate("anthropic", most)
    gate.answered()
    return Calls(gate)


async def together(works: Any) -> list[Any]:
    return await asyncio.gather(*works, return_exceptions=True)


async def begin(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a call and let it come as far as it gets at once."""
    task = asyncio.create_task(work)
    await asyncio.sleep(0.001)
    return task


async def test_calls_under_way_never_exceed_the_limit() -> None:
    """However many come, so many are under way and no more; each gets its turn as soon as another ends."""
    calls = calls_through(4)
    assert await together(calls.make(seconds=0.002) for _ in range(40)) == [None] * 40
    assert calls.most == 4
    assert calls.gate.state is State.OK


async def test_calls_told_together_that_it_is_too_much_halve_the_limit_once() -> None:
    """Four refusals at one moment are one piece of news; a later one is another."""
    calls = calls_through(8)
    await calls.fail(4, "overloaded", seconds=0.005)
    assert calls.gate.limit == 4
    await calls.make()
    await calls.fail(1, "overloaded")
    assert calls.gate.limit == 2


async def test_a_call_from_before_the_halving_does_not_halve_again() -> None:
    """A slow refusal of what was asked before is old news."""
    calls = calls_through(8)
    slow = await begin(calls.make(trouble("overloaded"), seconds=0.01))
    await calls.fail(1, "overloaded")
    await together([slow])
    assert calls.gate.limit == 4


async def test_the_limit_never_falls_below_one_call() -> None:
    """A provider that is always overloaded is asked all the same, and heard when it recovers."""
    calls = calls_through(4)
    for _ in range(6):
        await calls.fail(1, "overloaded")
        calls.gate.answered()
    assert calls.gate.limit >= 1
    for _ in range(3):
        await calls.fail(1, "overloaded")
    assert calls.gate.limit == 1
    await calls.make()
    assert calls.gate.limit == 2


async def test_the_limit_climbs_back_one_by_one_and_not_above() -> None:
    """Each place takes about as many answers as there are places, as TCP's window grows."""
    calls = calls_through(8)
    await calls.fail(1, "overloaded")
    limits = []
    for _ in range(100):
        limits.append(calls.gate.limit)
        await calls.make()
    assert limits == sorted(limits)
    assert set(limits) == {4, 5, 6, 7, 8}
    assert 4 + 5 + 6 + 7 <= limits.index(8) <= 5 + 6 + 7 + 8


async def test_a_broken_provider_is_not_taken_for_a_busy_one() -> None:
    """A connection that broke says nothing about how much is too much."""
    calls = calls_through(8)
    await calls.fail(FAILURES_IN_A_ROW - 1)
    assert calls.state == (State.OK, 8)


@pytest.mark.parametrize("told_by", ["failure", "headers"])
async def test_a_short_rest_is_waited_for(told_by: str) -> None:
    """As long as the provider asks to be left alone nobody calls; then all who waited do, at once."""
    calls = calls_through(4)
    told = time.monotonic()
    if told_by == "failure":
        await together([calls.make(trouble("unavailable", retry_after=0.05))])
    else:
        calls.gate.answered(rest=0.05)
    waiting = [await begin(calls.make(seconds=0.01)) for _ in range(4)]
    assert await together(waiting) == [None] * 4
    assert min(calls.began[-4:]) - told >= 0.05
    assert calls.most == 4


@pytest.mark.parametrize("told_by", ["failure", "headers"])
async def test_a_rest_too_long_to_wait_for_turns_calls_away_at_once(told_by: str) -> None:
    """Those that come and those that wait already are free to come again later, instead of holding on."""
    calls = calls_through(1)
    first = await begin(calls.make(seconds=0.01, outcome=trouble("overloaded", retry_after=60)))
    waiting = [await begin(calls.make()) for _ in range(5)]
    if told_by == "headers":
        calls.gate.answered(rest=60)
    start = time.monotonic()
    await together([first])
    for end in [*await together(waiting), *await together([calls.make()])]:
        assert isinstance(end, TurnedAway)
        assert end.later
        assert not end.misconfigured
        assert "anthropic" in str(end)
    assert time.monotonic() - start < 1
    assert len(calls.began) == 1


async def test_a_shorter_rest_does_not_end_a_longer_one() -> None:
    """Answers that come in out of order do not have the provider called too early."""
    gate = Gate("anthropic", 4)
    gate.answered(rest=60)
    gate.answered(rest=0.001)
    gate.answered()
    with pytest.raises(TurnedAway):
        await Calls(gate).make()


async def test_a_failing_provider_is_probed_by_one_call_at_a_time() -> None:
    """Everybody waits; one asks, after pauses that double up to the longest."""
    calls = calls_through(8)
    start = time.monotonic()
    await calls.fail(FAILURES_IN_A_ROW)
    assert calls.state == (State.FAILING, 1)
    assert calls.gate.reason == "it is unavailable"
    calls.most = 0
    await calls.fail(8, seconds=0.001)
    assert calls.most == 1
    probes = [start, *calls.began[-8:]]
    pauses = [later - earlier for earlier, later in itertools.pairwise(probes)]
    assert all(pause >= least for pause, least in zip(pauses, [0.01, 0.02, *[0.04] * 6], strict=True))
    assert sum(pauses) < 1.0
    assert calls.state == (State.FAILING, 1)


async def test_calls_that_fail_together_do_not_put_the_first_probe_off(pace: pytest.MonkeyPatch) -> None:
    """One broken moment breaks all calls under way; the provider is asked again after the first pause."""
    pace.setattr(gate_module, "_LONGEST_PROBE", 60.0)
    calls = calls_through(32)
    await calls.fail(32, seconds=0.002)
    await calls.make(patience=1.0)
    assert calls.gate.state is State.OK


async def test_no_probe_goes_out_while_earlier_calls_are_under_way() -> None:
    """What was let through before the provider failed counts: one at a time means with them."""
    calls = calls_through(8)
    slow = [await begin(calls.make(trouble(), seconds=0.03)) for _ in range(3)]
    await calls.fail(FAILURES_IN_A_ROW)
    assert calls.under_way == 3
    await calls.fail(2)
    assert len(await together(slow)) == 3
    assert len(calls.began) == 3 + FAILURES_IN_A_ROW + 2


async def test_an_answer_to_an_earlier_call_ends_the_failing_state() -> None:
    """News that the provider answers is taken from any call."""
    calls = calls_through(8)
    slow = await begin(calls.make(seconds=0.01))
    await calls.fail(FAILURES_IN_A_ROW)
    await slow
    assert calls.state == (State.OK, 8)
    assert calls.gate.reason == ""


async def test_one_success_lets_all_that_wait_in(pace: pytest.MonkeyPatch) -> None:
    """The places fill at once when the probe is answered: nobody sleeps on."""
    calls = calls_through(8)
    await calls.fail(FAILURES_IN_A_ROW)
    waiting = [await begin(calls.make(seconds=0.02)) for _ in range(9)]
    start = time.monotonic()
    assert await together(waiting) == [None] * 9
    assert calls.most == 8
    assert time.monotonic() - start < 0.5


async def test_patience_with_a_failing_provider_ends(
    pace: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who waits for it is turned away in the end, who comes later at once; but a probe still goes out."""
    pace.setattr(gate_module, "PATIENCE", 0.1)
    pace.setattr(gate_module, "_LOOK_AGAIN", 0.01)
    pace.setattr(gate_module, "_FIRST_PROBE", 0.03)
    pace.setattr(gate_module, "_LONGEST_PROBE", 0.06)
    calls = calls_through(8)
    start = time.monotonic()
    await calls.fail(FAILURES_IN_A_ROW)
    probe = await begin(calls.make(trouble(), seconds=0.3))
    await asyncio.sleep(0.05)
    assert calls.under_way == 1
    assert_turned_away(*await together([calls.make()]))
    assert time.monotonic() - start >= 0.1
    assert_turned_away(*await together([calls.make()]))
    assert not probe.done()
    await together([probe])
    assert_turned_away(*await together([calls.make()]))
    await asyncio.sleep(0.06)
    await calls.make()
    assert calls.gate.state is State.OK
    told = capsys.readouterr().out
    assert told.count("provider_failing") == told.count("provider_answers_again") == 1


async def test_nobody_waits_for_a_provider_that_never_answered() -> None:
    """With no network at all a small file is done at once, instead of half a minute later."""
    calls = Calls(Gate("anthropic", 8))
    await calls.fail(FAILURES_IN_A_ROW)
    start = time.monotonic()
    assert_turned_away(*await together([calls.make()]))
    assert time.monotonic() - start < 0.2


def assert_turned_away(end: object) -> None:
    """It is told why, and that it may go without an answer."""
    assert isinstance(end, TurnedAway)
    assert (str(end), end.later, end.misconfigured) == ("it is unavailable", False, False)


async def test_a_declined_request_is_an_answer() -> None:
    """A provider that refuses one request is not failing, and is no longer when it did."""
    calls = calls_through(4)
    for kind in ("unavailable", "declined", "unavailable"):
        await calls.fail(FAILURES_IN_A_ROW - 1, kind)
    assert calls.state == (State.OK, 4)
    await calls.fail(1)
    assert calls.state == (State.FAILING, 1)
    await calls.fail(1, "declined")
    assert calls.state == (State.OK, 4)


async def test_a_misconfigured_provider_is_not_called(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong key fails what waits and what comes at once, with the reason, until a person put it right."""
    calls = calls_through(1)
    first = await begin(calls.make(trouble("misconfigured"), seconds=0.01))
    waiting = [await begin(calls.make()) for _ in range(5)]
    ends = [*await together([first, *waiting, calls.make()])]
    for end in ends[1:]:
        assert isinstance(end, TurnedAway)
        assert (str(end), end.misconfigured, end.later) == ("it is misconfigured", True, False)
    assert (calls.gate.state, calls.gate.reason) == (State.MISCONFIGURED, "it is misconfigured")
    calls.gate.misconfigured("no such model")
    assert calls.gate.reason == "no such model"
    assert capsys.readouterr().out.count("provider_misconfigured") == 1
    calls.gate.answered()
    assert (calls.gate.state, calls.gate.reason) == (State.OK, "")
    await calls.make()


async def test_a_call_whose_time_is_over_comes_again_later() -> None:
    """Waiting ends with the chunk's deadline; the place is left to the others."""
    calls = calls_through(1)
    first = await begin(calls.make(seconds=0.12))
    hasty = await begin(calls.make(patience=0.02))
    patient = await begin(calls.make())
    [end] = await together([hasty])
    assert isinstance(end, TurnedAway)
    assert end.later
    assert not first.done()
    assert await together([first, patient]) == [None, None]


@pytest.mark.parametrize("turns", range(8))
async def test_a_cancelled_waiter_takes_nobodys_turn(turns: int) -> None:
    """Whether it is cancelled before, with or after its wake-up, the next one gets the place."""
    calls = calls_through(1)
    done = asyncio.Event()

    async def hold() -> None:
        async with calls.gate.passing(time.monotonic() + 5):
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
async def test_a_call_that_ends_otherwise_leaves_its_place_and_no_verdict(error: BaseException) -> None:
    """A cancelled call says nothing of the provider, neither that it answers nor that it fails."""
    calls = calls_through(2)
    for _ in range(FAILURES_IN_A_ROW):
        with contextlib.suppress(ValueError, asyncio.CancelledError):
            async with calls.gate.passing(time.monotonic() + 1):
                raise error
    assert calls.state == (State.OK, 2)
    await calls.fail(FAILURES_IN_A_ROW)
    with contextlib.suppress(ValueError, asyncio.CancelledError):
        async with calls.gate.passing(time.monotonic() + 1):
            raise error
    assert calls.state == (State.FAILING, 1)
    await calls.make(patience=1.0)


@pytest.mark.parametrize("seed", range(6))
async def test_every_call_comes_to_its_end_whatever_the_others_do(
    pace: pytest.MonkeyPatch, seed: int
) -> None:
    """With failures, rests, cancellations and deadlines mixed, no wake-up is lost and no place is leaked."""
    pace.setattr(gate_module, "_FIRST_PROBE", 0.001)
    pace.setattr(gate_module, "_LONGEST_PROBE", 0.004)
    chance = random.Random(seed)
    calls = calls_through(6)
    outcomes: list[Outcome] = [None, None, trouble(), trouble("overloaded", 0.002), trouble("declined")]

    async def one() -> None:
        await asyncio.sleep(chance.uniform(0, 0.05))
        work = calls.make(chance.choice(outcomes), chance.uniform(0, 0.004), chance.choice([0.01, 5, 5]))
        task = asyncio.create_task(work)
        if chance.random() < 0.3:
            await asyncio.sleep(chance.uniform(0, 0.01))
            task.cancel()
        end = (await together([task]))[0]
        assert end is None or isinstance(end, ProviderFailure | TurnedAway | asyncio.CancelledError)

    start = time.monotonic()
    await asyncio.gather(*(one() for _ in range(120)))
    assert time.monotonic() - start < 3
    calls.gate.answered()
    calls.most = 0
    limit = calls.gate.limit
    await asyncio.gather(*(calls.make(seconds=0.005) for _ in range(limit)))
    assert calls.most == limit
