"""The life of a process: what is ready, what is alive, and in which order it stops."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog

from leadline_common.broker.consumer import Consumer, Handler
from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.broker.port import Message
from leadline_common.process import service
from leadline_common.process.service import Health, Service, running
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_contracts.errors import Permanent, Unavailable
from leadline_contracts.scoring import LeadsSubmitted
from leadline_contracts.topology import SUBMISSIONS


class Holding(Handler):
    """Handles a message when it is let, and notes what it did."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.taken = asyncio.Event()
        self.go_on = asyncio.Event()

    async def handle(self, messages: Sequence[Message]) -> Sequence[Message]:
        self.taken.set()
        await self.go_on.wait()
        self.events.append("handled")
        return []

    def split(self, message: Message) -> Sequence[Message]:
        return []

    def give_up(self, message: Message, error: str) -> Sequence[Message]:
        return []


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    broker = EmbeddedBroker(tmp_path / "broker.db")
    yield broker
    await broker.close()


async def fail(error: Exception) -> None:
    raise error


async def test_a_service_works_until_it_is_left_and_then_drains(broker: EmbeddedBroker) -> None:
    """On leaving, what is under way is finished, while loops still run; then the loops end."""
    handler = Holding()

    async def loop() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            handler.events.append("loop ended")

    consumer = Consumer(broker, handler, [SUBMISSIONS], Metrics(new_registry()), prefetch=1)
    await broker.publish([Message(type=LeadsSubmitted.TYPE, id=name, body=b"{}") for name in "ab"])
    async with running([Service("things", consumers=[consumer], loops=[loop])], 10) as health:
        async with asyncio.timeout(5):
            await handler.taken.wait()
        assert health.alive()
        asyncio.get_running_loop().call_later(0.1, handler.go_on.set)
    assert handler.events == ["handled", "loop ended"]
    assert await broker.depth(SUBMISSIONS.name) == 1
    assert health.stopping


async def test_an_error_inside_stops_the_service_too(broker: EmbeddedBroker) -> None:
    """What goes wrong in the body ends consumers and loops in order and is then raised."""
    ended = []

    async def loop() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    consumer = Consumer(broker, Holding(), [SUBMISSIONS], Metrics(new_registry()), prefetch=1)

    async def run_into_a_bug() -> None:
        async with running([Service("things", consumers=[consumer], loops=[loop])], 1):
            await asyncio.sleep(0.01)
            raise KeyError("bug")

    with pytest.raises(KeyError):
        await run_into_a_bug()
    assert ended == [True]


async def test_a_loop_that_dies_is_reported() -> None:
    """The log names what died and why, and the process is to be restarted."""
    error = RuntimeError("bug")
    with structlog.testing.capture_logs() as logs:
        async with running([Service("things", loops=[lambda: fail(error)])], 1) as health:
            await asyncio.sleep(0.01)
            assert not health.alive()
    (entry,) = logs
    assert (entry["event"], entry["task"], entry["exc_info"]) == ("task_died", "things loop", error)


async def test_readiness_names_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each check answers for itself, at the same time, and one that hangs is cut off."""
    monkeypatch.setattr(service, "_CHECK_SECONDS", 0.1)

    async def fine() -> str:
        await asyncio.sleep(0.05)
        return "two nodes of three"

    health = Health(
        [
            Service(
                "a", checks={"broker": fine, "store": lambda: fail(Unavailable("no answer from db:27017"))}
            ),
            Service(
                "b", checks={"cache": lambda: asyncio.sleep(60), "disk": lambda: fail(Permanent("gone"))}
            ),
        ]
    )
    started = time.monotonic()
    assert await health.ready() == (
        False,
        {
            "broker": "ok: two nodes of three",
            "store": "no answer from db:27017",
            "cache": "does not answer within 0.1 seconds",
            "disk": "gone",
        },
    )
    assert time.monotonic() - started < 1


async def test_what_is_only_told_of_takes_no_requests_away() -> None:
    """A server without which some requests can be answered is named, and the process stays ready."""
    away = {"broker": lambda: fail(Unavailable("no answer from mq:5672"))}
    health = Health([Service("a", told=away, checks={"store": lambda: asyncio.sleep(0)})])
    assert await health.ready() == (True, {"broker": "away: no answer from mq:5672", "store": "ok"})
    both = Health([Service("a", told=away), Service("b", checks=away)])
    assert await both.ready() == (False, {"broker": "no answer from mq:5672"})


async def test_a_stopping_process_is_alive_and_unready() -> None:
    """While it drains it gets no more work and is not restarted."""
    health = Health([Service("things")])
    ended = asyncio.create_task(asyncio.sleep(0))
    await ended
    health.watch([ended])
    health.stopping = True
    assert health.alive()
    assert await health.ready() == (False, {"process": "is stopping"})


PROCESS = """
import asyncio
from leadline_common.telemetry.logs import configure_logging
from leadline_common.process.service import Service, run_main, running, until_signalled

async def main():
    configure_logging("things")

    async def loop():
        try:
            await asyncio.sleep(60)
        finally:
            print("loop ended", flush=True)

    async with running([Service("things", loops=[loop])], 5) as health:
        asyncio.get_running_loop().call_soon(lambda: print("ready", flush=True))
        await until_signalled(health)
        print((await health.ready()).checks["process"], flush=True)

run_main(main)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_in_order(number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C make it unready, end its loops, and it exits with 0 and no traceback."""
    command = [sys.executable, "-c", PROCESS]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "is stopping\nloop ended\n")
    assert [json.loads(line)["event"] for line in err.splitlines()] == ["stopping"]
