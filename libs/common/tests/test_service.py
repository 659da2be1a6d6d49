"""What a process runs: what is ready, what is alive, what dies, and in which order it stops."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import structlog

from leadline_common.broker.consumer import Consumer, Handler
from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.broker.port import Message
from leadline_common.process import service, tasks
from leadline_common.process.service import Health, Service, running
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_contracts.errors import Permanent, TaskDied, Unavailable
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

    def bisect(self, message: Message) -> Sequence[Message]:
        return []

    def on_dead_letter(self, message: Message, error: str) -> Sequence[Message]:
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
        async with asyncio.timeout(60):
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


async def until_dead(health: Health) -> None:
    async with asyncio.timeout(60):
        await health.until_ending()


async def test_a_loop_that_dies_ends_the_service(broker: EmbeddedBroker) -> None:
    """The log names what died and why; after the ordinary stop, drain included, that is raised."""
    handler = Holding()
    consumer = Consumer(broker, handler, [SUBMISSIONS], Metrics(new_registry()), prefetch=1)
    await broker.publish([Message(type=LeadsSubmitted.TYPE, id="a", body=b"{}")])
    error = RuntimeError("bug")

    async def live() -> None:
        things = Service("things", consumers=[consumer], loops=[lambda: fail(error)])
        async with running([things], 10) as health:
            await until_dead(health)
            assert not health.alive()
            await handler.taken.wait()
            asyncio.get_running_loop().call_later(0.1, handler.go_on.set)

    with structlog.testing.capture_logs() as logs, pytest.raises(TaskDied) as died:
        await live()
    assert str(died.value) == "the background task 'things: fail' died of RuntimeError: bug"
    assert handler.events == ["handled"]
    (entry,) = logs
    assert (entry["event"], entry["task"], entry["exc_info"]) == ("task_died", "things: fail", error)


async def test_a_loop_that_returns_is_dead_too() -> None:
    """Background work that is simply over leaves the process as lame as an error does."""

    async def live() -> None:
        async with running([Service("things", loops=[lambda: asyncio.sleep(0)])], 1) as health:
            await until_dead(health)

    with pytest.raises(TaskDied, match="'things: sleep' returned"):
        await live()


async def test_a_consumer_that_dies_ends_the_service(tmp_path: Path) -> None:
    """Where a queue cannot be read for good the process ends, with what the journal said."""
    broker = EmbeddedBroker(tmp_path / "broker.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "broker.db")) as other:
        other.execute("DROP TABLE messages")
    consumer = Consumer(broker, Holding(), [SUBMISSIONS], Metrics(new_registry()), prefetch=1)

    async def live() -> None:
        async with running([Service("things", consumers=[consumer])], 1) as health:
            await until_dead(health)

    with pytest.raises(TaskDied) as died:
        await live()
    assert f"'reader of {SUBMISSIONS.name}' died of OperationalError: no such table" in str(died.value)
    with pytest.raises(sqlite3.OperationalError):
        await broker.close()


async def test_a_loop_that_loses_its_cancellation_is_cancelled_again() -> None:
    """A library may swallow a cancellation; the loop ends all the same."""
    lost = []

    async def loop() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            lost.append(True)
        await asyncio.sleep(600)

    async with asyncio.timeout(60):
        async with running([Service("things", loops=[loop])], 1):
            await asyncio.sleep(0.01)
    assert lost == [True]


async def test_a_loop_that_will_not_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever for what refuses to be cancelled; the log names it."""
    monkeypatch.setattr(tasks, "_PAUSE_SECONDS", 0.02)
    let_go = asyncio.Event()

    async def loop() -> None:
        while not let_go.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await let_go.wait()

    with structlog.testing.capture_logs() as logs:
        async with asyncio.timeout(60), running([Service("things", loops=[loop])], 1):
            await asyncio.sleep(0.01)
    let_go.set()
    (entry,) = logs
    assert entry["event"] == "task_not_ended"
    assert entry["task"].startswith("things: ")
    assert entry["task"].endswith("loop")


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
                "b", checks={"cache": lambda: asyncio.sleep(3600), "disk": lambda: fail(Permanent("gone"))}
            ),
        ]
    )
    async with asyncio.timeout(60):
        told = await health.ready()
    assert told == (
        False,
        {
            "broker": "ok: two nodes of three",
            "store": "no answer from db:27017",
            "cache": "does not answer within 0.1 seconds",
            "disk": "gone",
        },
    )


async def test_what_is_only_told_of_takes_no_requests_away() -> None:
    """A server without which some requests can be answered is named, and the process stays ready."""
    away = {"broker": lambda: fail(Unavailable("no answer from mq:5672"))}
    health = Health([Service("a", optional=away, checks={"store": lambda: asyncio.sleep(0)})])
    assert await health.ready() == (True, {"broker": "away: no answer from mq:5672", "store": "ok"})
    both = Health([Service("a", optional=away), Service("b", checks=away)])
    assert await both.ready() == (False, {"broker": "no answer from mq:5672"})


async def test_a_stopping_process_is_alive_and_unready() -> None:
    """While it drains it gets no more work and is not restarted."""
    health = Health([Service("things")])
    ended = asyncio.create_task(asyncio.sleep(0))
    health.watch([ended])
    health.stopping = True
    await asyncio.wait([ended])
    await asyncio.sleep(0)
    assert (health.alive(), health.death) == (True, None)
    assert await health.ready() == (False, {"process": "is stopping"})
