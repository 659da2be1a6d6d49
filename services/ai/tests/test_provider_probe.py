"""Watching over a provider: what is wrong is said at start and in readiness, and noticed when put right."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from leadline_ai.limiter.breaker import FAILURES_IN_A_ROW, Gate, State
from leadline_ai.providers import probe as watching
from leadline_ai.providers.anthropic import AnthropicProvider
from leadline_ai.providers.port import ProviderFailure, Question, Reply
from leadline_ai.providers.probe import Watch
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
        raise AssertionError("watching costs no tokens")

    async def close(self) -> None:
        """There is nothing to let go of."""


def watch_over(*ends: Exception | None) -> tuple[Watch, Checked, Gate]:
    provider, gate = Checked(*ends), Gate("anthropic", 4)
    return Watch(provider, gate), provider, gate


@contextlib.asynccontextmanager
async def looking(watch: Watch) -> AsyncIterator[None]:
    """Let the watch look in the background."""
    task = asyncio.create_task(watch.look_forever())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute takes a hundredth of a second."""
    monkeypatch.setattr(watching, "_LOOK_SECONDS", 0.01)


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
    gate = Gate("anthropic", 4)
    watch = Watch(anthropic, gate)
    server.behave(default=wrong)
    assert await watch.look()
    assert gate.state is State.MISCONFIGURED
    with pytest.raises(Unavailable, match=told) as raised:
        await watch.ready()
    assert "\n" not in str(raised.value)
    assert "sk-test" not in str(raised.value)

    server.behave(default=behaviour.OK)
    assert await watch.look()
    assert await watch.ready() == "anthropic, claude-haiku-5-5"
    async with gate.passing(time.monotonic() + 1):
        assert server.count == 0


@pytest.mark.parametrize("end", [OUT_OF_REACH, ProviderFailure("overloaded", "529"), HANGS])
async def test_a_check_that_brought_nothing_decides_nothing(
    end: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network that is down at start neither blames the key nor clears it; the log tells of it."""
    monkeypatch.setattr(watching, "_CHECK_SECONDS", 0.01)
    watch, _provider, gate = watch_over(end, WRONG_KEY, end)
    assert not await watch.look()
    assert gate.state is State.OK
    assert await watch.ready() == "anthropic, claude-haiku-5-5"
    assert capsys.readouterr().out.count("provider_not_checked") == 1
    assert await watch.look()
    assert not await watch.look()
    assert gate.reason == str(WRONG_KEY)


@pytest.mark.parametrize(
    ("ends", "looks"),
    [
        ([None], 1),
        ([OUT_OF_REACH, OUT_OF_REACH, None], 3),
        ([WRONG_KEY, WRONG_KEY, OUT_OF_REACH, None], 4),
    ],
)
async def test_it_looks_until_it_knows_that_all_is_well(
    hasty: None, ends: list[Exception | None], looks: int
) -> None:
    """An unsure or a bad answer is checked again, a good one is not: a provider is not polled for nothing."""
    watch, provider, gate = watch_over(*ends)
    async with looking(watch):
        await asyncio.wait_for(provider.script_over.wait(), 5)
        await asyncio.sleep(0.05)
        assert provider.checks == looks
        assert gate.state is State.OK


async def test_a_key_that_goes_wrong_later_is_looked_after_too(hasty: None) -> None:
    """Where a call finds the key wrong, the watch notices when it is right again, and calls go through."""
    watch, provider, gate = watch_over(None, WRONG_KEY, None)
    async with looking(watch):
        await asyncio.sleep(0)
        with contextlib.suppress(ProviderFailure):
            async with gate.passing(time.monotonic() + 1):
                raise WRONG_KEY
        with pytest.raises(Unavailable, match="ANTHROPIC_API_KEY"):
            await watch.ready()
        await asyncio.wait_for(provider.script_over.wait(), 5)
        await asyncio.sleep(0.05)
        assert provider.checks == 3
        async with gate.passing(time.monotonic() + 1):
            assert gate.state is State.OK


async def test_a_failing_provider_shows_and_is_no_reason_to_be_unready() -> None:
    """Who looks at readiness sees the reason, while leads go on by the setting for failures."""
    watch, _provider, gate = watch_over()
    await fail(gate)
    note: Any = await watch.ready()
    assert "failing" in note
    assert str(OUT_OF_REACH) in note


async def test_a_good_check_says_nothing_of_a_failing_provider() -> None:
    """That the key is right does not mean that the model answers: only a call ends that state."""
    watch, _provider, gate = watch_over(None)
    await fail(gate)
    assert await watch.look()
    assert gate.state is State.FAILING


async def fail(gate: Gate) -> None:
    for _ in range(FAILURES_IN_A_ROW):
        with contextlib.suppress(ProviderFailure):
            async with gate.passing(time.monotonic() + 1):
                raise OUT_OF_REACH
