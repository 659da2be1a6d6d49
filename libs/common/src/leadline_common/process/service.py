"""The life of a process: start, become ready, work, and stop in order when told to."""

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import structlog

from leadline_common.broker.consumer import Consumer
from leadline_common.process.allocator import return_large_blocks
from leadline_common.process.tasks import start_task
from leadline_contracts.errors import LeadlineError, SettingsError

_CHECK_SECONDS = 3.0

log = structlog.get_logger()

Check = Callable[[], Awaitable[str | None]]
"""Returns when a dependency can be worked with, maybe with a word about it; raises Unavailable when not."""
Loop = Callable[[], Coroutine[Any, Any, None]]
"""Background work that runs until it is cancelled and survives what it can."""


@dataclass(slots=True)
class Service:
    """What a composition root made: consumers, background loops, and the checks of what they stand on.

    Without what `checks` ask for, no request can be answered; without what `told` ask for, some can.
    """

    name: str
    consumers: Sequence[Consumer] = ()
    loops: Sequence[Loop] = ()
    checks: Mapping[str, Check] = field(default_factory=dict)
    told: Mapping[str, Check] = field(default_factory=dict)


class Readiness(NamedTuple):
    """Whether the process can take work; and by each check's name `ok`, `ok: …` or what is wrong with it.

    `away: …` is wrong with something without which it can.
    """

    ready: bool
    checks: dict[str, str]


class _Answer(NamedTuple):
    fine: bool
    text: str


class Health:
    """Answers whether the process lives and whether it can take work."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services
        self._loops: list[asyncio.Task[None]] = []
        self.stopping = False

    def watch(self, loops: list[asyncio.Task[None]]) -> None:
        """Count these background tasks as part of being alive."""
        self._loops = loops

    def alive(self) -> bool:
        """Tell whether every consumer and loop makes progress; a process that does not is to be restarted."""
        if self.stopping:
            return True
        stalled = any(consumer.stalled() for service in self._services for consumer in service.consumers)
        return not stalled and not any(task.done() for task in self._loops)

    async def ready(self) -> Readiness:
        """Ask every check."""
        if self.stopping:
            return Readiness(False, {"process": "is stopping"})
        needed = {name: check for service in self._services for name, check in service.checks.items()}
        told = {name: check for service in self._services for name, check in service.told.items()}
        checks = told | needed
        answers = await asyncio.gather(*(_ask(check) for check in checks.values()))
        by_name = dict(zip(checks, answers, strict=True))
        said = {
            name: answer.text if answer.fine or name in needed else f"away: {answer.text}"
            for name, answer in by_name.items()
        }
        return Readiness(all(by_name[name].fine for name in needed), said)


@contextlib.asynccontextmanager
async def running(services: Sequence[Service], drain_seconds: float) -> AsyncIterator[Health]:
    """Run the services' consumers and loops; on leaving stop consuming, drain, and end the loops."""
    health = Health(services)
    consumers = [consumer for service in services for consumer in service.consumers]
    loops = [start_task(loop(), f"{service.name} loop") for service in services for loop in service.loops]
    health.watch(loops)
    for consumer in consumers:
        consumer.start()
    try:
        yield health
    finally:
        health.stopping = True
        await asyncio.gather(*(consumer.stop(drain_seconds) for consumer in consumers))
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


async def until_signalled(health: Health) -> None:
    """Wait for SIGTERM or SIGINT, then report unready."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    health.stopping = True
    log.info("stopping")


def spare_collector() -> None:
    """Leave what start-up made out of every later garbage collection, and collect the young less often.

    Chunks make many short-lived objects and few cycles: this takes about a sixth off the processor time of
    a run.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


Main = Callable[[], Coroutine[Any, Any, None]]
"""What a process does, from its start to its end."""


def run_main(main: Main) -> None:
    """Run a process to its end: exit code 0, or 2 with one line on standard error for a wrong setting.

    What cannot be reached at start ends it with one line and exit code 1; a signal that comes before it can
    stop in order, with 130.
    """
    spare_collector()
    return_large_blocks()
    # A container's first process is deaf to what it does not handle, and `until_signalled` comes late.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        log.info("interrupted")
        sys.exit(130)
    except SettingsError as error:
        sys.exit(_say(error, 2))
    except LeadlineError as error:
        sys.exit(_say(error, 1))


def _say(error: LeadlineError, code: int) -> int:
    sys.stderr.write(f"leadline: {error}\n")
    return code


async def _ask(check: Check) -> _Answer:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            note = await check()
    except LeadlineError as error:
        return _Answer(False, str(error))
    except TimeoutError:
        return _Answer(False, f"does not answer within {_CHECK_SECONDS:g} seconds")
    return _Answer(True, f"ok: {note}" if note else "ok")
