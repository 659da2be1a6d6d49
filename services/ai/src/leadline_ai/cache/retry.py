"""Storing what is paid for, whatever happens to the store."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from leadline_contracts.errors import Unavailable

_AGAIN_SECONDS = 1.0

log = structlog.get_logger()


async def at_last(store: Callable[[], Awaitable[None]]) -> None:
    """Store, however long the store takes to answer."""
    while True:
        try:
            return await store()
        except Unavailable as error:
            log.warning("answers_held", error=str(error))
            await asyncio.sleep(_AGAIN_SECONDS)
