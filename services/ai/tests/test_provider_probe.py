"""The probe of a provider: what is wrong is said at start and in readiness, and noticed when put right."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from leadline_ai.limiter.adaptive import AdaptiveLimiter
from leadline_ai.limiter.breaker import FAILURE_THRESHOLD, CircuitBreaker, State
from leadline_ai.providers import probe as probes
from leadline_ai.providers.anthropic import AnthropicProvider
from leadline_ai.providers.port import ProviderFailure, Question, Reply
from leadline_ai.providers.probe import ProviderProbe
from leadline_contracts.errors import Unavailable
from leadline_testing import model_behaviour as behaviour
from leadline_testing.model_behaviour import Behaviour
from leadline_testing.model_server import ModelServer

WRONG_KEY = ProviderFailure("misconfigured", "the key is wrong: set ANTHROPIC_API_KEY")
OUT_OF_REACH = ProviderFailure("unavailable", "Anthropic is out of reach")
HANGS = TimeoutError("it would hang")


class Checked:
    """A provider whose checks end as scripted, and well after that."""

    name, model, endpoint = "anthropic", "claude-haiku-5-5", ""

    def __init__(self, *ends: Exception | None) -> None:
        self.ends = list(ends)
        self.checks = 0
        self.script_over = asyncio.Event()

    async def check(self) -> None:
        self.checks += 1
        end = self.ends.pop(0) if self.ends else None
        if not self.ends:
            self.script_over.set()
        if end is HANGS:
            await asyncio.sleep(60)
        if end is not None:
            raise end

    async def ask(self, question: Question) -> Reply:
        raise AssertionError("a check costs no tokens")

    async def close(self) -> None:
        """There is nothing to release."""


def probe_of(*ends: Exception | None) -> tuple[ProviderProbe, Checked, CircuitBreaker]:
    provider, breaker = Checked(*ends), CircuitBreaker("anthropic")
    return ProviderProbe(provider, breaker), provider, breaker


@contextlib.asynccontextmanager
async def running(probe: ProviderProbe) -> AsyncIterator[None]:
    """Let the probe check in the background."""
    task = asyncio.create_task(probe.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute takes a hundredth of a second."""
    monkeypatch.setattr(probes, "_CHECK_EVERY_SECONDS", 0.01)


@pytest.fixture
async def anthropic(server: ModelServer) -> AsyncIterator[AnthropicProvider]:
    provider = AnthropicProvider("sk-test-b7f3c1", base_url=server.base_url)
    yield provider
    await provider.close()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [(behaviour.WRONG_KEY, "ANTHROPIC_API_KEY"), (behaviour.UNKNOWN_MODEL, "LEADLINE_AI_MODEL")],
)
async def test_what_a_person_has_to_put_right_is_said_at_start(
    server: ModelServer, anthropic: AnthropicProvider, wrong: Behaviour, told: str
) -> None:
    """Readiness fails with the setting to change before any lead is asked about, and recovers by itself."""
    breaker = CircuitBreaker("anthropic")
    probe = ProviderProbe(anthropic, breaker)
    server.behave(default=wrong)
    assert await probe.check()
    assert breaker.state is State.MISCONFIGURED
    with pytest.raises(Unavailable, match=told) as raised:
        await probe.ready()
    assert "\n" not in str(raised.value)
    assert "sk-test" not in str(raised.value)

    server.behave(default=behaviour.OK)
    assert await probe.check()
    assert await probe.ready() == "anthropic, claude-haiku-5-5"
    async with AdaptiveLimiter(breaker, 4).slot(time.monotonic() + 1):
        assert server.count == 0


@pytest.mark.parametrize("end", [OUT_OF_REACH, ProviderFailure("overloaded", "529"), HANGS])
async def test_a_check_that_brought_nothing_decides_nothing(
    end: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network that is down at start neither blames the key nor clears it; the log tells of it."""
    monkeypatch.setattr(probes, "_CHECK_TIMEOUT_SECONDS", 0.01)
    probe, _provider, breaker = probe_of(end, WRONG_KEY, end)
    assert not await probe.check()
    assert breaker.state is State.OK
    assert await probe.ready() == "anthropic, claude-haiku-5-5"
    assert capsys.readouterr().out.count("provider_not_checked") == 1
    assert await probe.check()
    assert not await probe.check()
    assert breaker.reason == str(WRONG_KEY)


@pytest.mark.parametrize(
    ("ends", "checks"),
    [
        ([None], 1),
        ([OUT_OF_REACH, OUT_OF_REACH, None], 3),
        ([WRONG_KEY, WRONG_KEY, OUT_OF_REACH, None], 4),
    ],
)
async def test_it_checks_until_it_knows_that_all_is_well(
    hasty: None, ends: list[Exception | None], checks: int
) -> None:
    """An unsure or a bad answer is checked again, a good one is not: a provider is not polled for nothing."""
    probe, provider, breaker = probe_of(*ends)
    async with running(probe):
        await asyncio.wait_for(provider.script_over.wait(), 60)
        await asyncio.sleep(0.05)
        assert provider.checks == checks
        assert breaker.state is State.OK


async def test_a_key_that_goes_wrong_later_is_checked_too(hasty: None) -> None:
    """Where a call finds the key wrong, the probe notices when it is right again, and calls go through."""
    probe, provider, breaker = probe_of(None, WRONG_KEY, None)
    async with running(probe):
        await asyncio.sleep(0)
        with contextlib.suppress(ProviderFailure):
            async with AdaptiveLimiter(breaker, 4).slot(time.monotonic() + 1):
                raise WRONG_KEY
        with pytest.raises(Unavailable, match="ANTHROPIC_API_KEY"):
            await probe.ready()
        await asyncio.wait_for(provider.script_over.wait(), 60)
        await asyncio.sleep(0.05)
        assert provider.checks == 3
        async with AdaptiveLimiter(breaker, 4).slot(time.monotonic() + 1):
            assert breaker.state is State.OK


async def test_a_failing_provider_shows_and_is_no_reason_to_be_unready() -> None:
    """Who looks at readiness sees the reason, while leads go on by the setting for failures."""
    probe, _provider, breaker = probe_of()
    fail(breaker)
    note: Any = await probe.ready()
    assert "failing" in note
    assert str(OUT_OF_REACH) in note


async def test_a_good_check_says_nothing_of_a_failing_provider() -> None:
    """That the key is right does not mean that the model answers: only a call ends that state."""
    probe, _provider, breaker = probe_of(None)
    fail(breaker)
    assert await probe.check()
    assert breaker.state is State.FAILING


def fail(breaker: CircuitBreaker) -> None:
    for _ in range(FAILURE_THRESHOLD):
        breaker.record_failure(OUT_OF_REACH, time.monotonic())
