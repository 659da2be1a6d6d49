"""Background tasks whose death does not pass unseen."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

log = structlog.get_logger()


def start_task(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Run the work beside the caller; what ends it other than cancellation is logged under its name."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_report)
    return task


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("task_died", task=task.get_name(), exc_info=error)
