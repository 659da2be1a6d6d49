"""What a process runs: consumers, background loops and checks, from their start to their stop in order."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from leadline_common.broker.consumer import Consumer
from leadline_common.process.tasks import end_tasks, start_task
from leadline_contracts.errors import LeadlineError, TaskDied

_CHECK_SECONDS = 3.0

Check = Callable[[], Awaitable[str | None]]
"""Returns when a dependency can be worked with, maybe with a word about it; raises Unavailable when not."""
Loop = Callable[[], Coroutine[Any, Any, None]]
"""Background work that runs until it is cancelled and survives what it can."""


@dataclass(slots=True)
class Service:
    """What a composition root made: consumers, background loops, and the checks of what they stand on.

    Without what `checks` ask for, no request can be answered; without what `optional` ask for, some can.
    """

    name: str
    consumers: Sequence[Consumer] = ()
    loops: Sequence[Loop] = ()
    checks: Mapping[str, Check] = field(default_factory=dict)
    optional: Mapping[str, Check] = field(default_factory=dict)


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
    """Answers whether the process lives and whether it can take work.

    `stopping` is set by whoever stops it; `death` is the first task that ended before.
    """

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services
        self._ending = asyncio.Event()
        self.stopping = False
        self.death: TaskDied | None = None

    def watch(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """Count it as a death when one of these tasks ends, however it ends, while nothing is stopping."""
        for task in tasks:
            task.add_done_callback(self._note_end)

    def alive(self) -> bool:
        """Tell whether every consumer and task makes progress; a process that does not is to be restarted."""
        if self.stopping:
            return True
        stalled = any(consumer.stalled() for service in self._services for consumer in service.consumers)
        return not stalled and self.death is None

    def end(self) -> None:
        """Have `until_ending` return."""
        self._ending.set()

    async def until_ending(self) -> None:
        """Wait for `end`, or for the death of a watched task."""
        await self._ending.wait()

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if self.stopping or self.death is not None:
            return
        error = None if task.cancelled() else task.exception()
        how = "was cancelled" if task.cancelled() else "returned"
        if error is not None:
            line, *_ = str(error).splitlines() or [""]  # those after the first may show data
            how = f"died of {type(error).__name__}: {line}"
        self.death = TaskDied(f"the background task {task.get_name()!r} {how}")
        self.end()

    async def ready(self) -> Readiness:
        """Ask every check."""
        if self.stopping:
            return Readiness(False, {"process": "is stopping"})
        needed = {name: check for service in self._services for name, check in service.checks.items()}
        optional = {name: check for service in self._services for name, check in service.optional.items()}
        checks = optional | needed
        answers = await asyncio.gather(*(_ask(check) for check in checks.values()))
        by_name = dict(zip(checks, answers, strict=True))
        said = {
            name: answer.text if answer.fine or name in needed else f"away: {answer.text}"
            for name, answer in by_name.items()
        }
        return Readiness(all(by_name[name].fine for name in needed), said)


@contextlib.asynccontextmanager
async def running(services: Sequence[Service], drain_seconds: float) -> AsyncIterator[Health]:
    """Run the services' consumers and loops; on leaving stop consuming, drain, and end the loops.

    Raises TaskDied after that where one of them ended before.
    """
    health = Health(services)
    consumers = [consumer for service in services for consumer in service.consumers]
    loops = [_start(service, loop()) for service in services for loop in service.loops]
    health.watch(loops)
    for consumer in consumers:
        health.watch(consumer.start())
    try:
        yield health
    finally:
        health.stopping = True
        await asyncio.gather(*(consumer.stop(drain_seconds) for consumer in consumers))
        await end_tasks(loops)
    if health.death is not None:
        raise health.death


def _start(service: Service, loop: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return start_task(loop, f"{service.name}: {getattr(loop, '__qualname__', 'loop')}")


async def _ask(check: Check) -> _Answer:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            note = await check()
    except LeadlineError as error:
        return _Answer(False, str(error))
    except TimeoutError:
        return _Answer(False, f"does not answer within {_CHECK_SECONDS:g} seconds")
    return _Answer(True, f"ok: {note}" if note else "ok")
