"""Background tasks: their death does not pass unseen, and their end is not waited for without a bound."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

import structlog

_CANCELLATIONS = 5
_PAUSE_SECONDS = 1.0
"""Time to end in peace after each cancellation; a broker that does not answer is not waited for longer."""

log = structlog.get_logger()


def start_task(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Run the work beside the caller; what ends it other than cancellation is logged under its name."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_report)
    return task


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks and wait for their end; what made them end is not raised.

    A cancellation can be lost in a library, so who goes on is cancelled again, five times in five seconds.
    Who goes on even then is left running, and the log names it.
    """
    left = set(tasks)
    for _ in range(_CANCELLATIONS):
        for task in left:
            task.cancel()
        if left:
            _, left = await asyncio.wait(left, timeout=_PAUSE_SECONDS)
    for task in left:
        log.error("task_not_ended", task=task.get_name())


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("task_died", task=task.get_name(), exc_info=error)
