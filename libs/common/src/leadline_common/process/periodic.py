"""Background work that is done again and again, through outages."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

from leadline_contracts.errors import LeadlineError

log = structlog.get_logger()


async def every(seconds: float, action: Callable[[], Awaitable[object]], *, failed: str) -> NoReturn:
    """Do the action, at once and again `seconds` after it ended, until cancelled.

    Where broker or store are away (LeadlineError), the log event `failed` says why, and the next turn tries
    again. Any other error is a fault of the program: it is raised, and ends the process.
    """
    while True:
        try:
            await action()
        except LeadlineError as error:
            log.warning(failed, error=str(error))
        await asyncio.sleep(seconds)
