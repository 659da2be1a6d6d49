"""The retry until stored: paid answers are stored again and again until the store takes them."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from leadline_contracts.errors import Unavailable

_RETRY_SECONDS = 1.0

log = structlog.get_logger()


async def retry_until_stored(store: Callable[[], Awaitable[None]]) -> None:
    """Call `store`, and again every second for as long as it raises Unavailable."""
    while True:
        try:
            return await store()
        except Unavailable as error:
            log.warning("answers_held", error=str(error))
            await asyncio.sleep(_RETRY_SECONDS)
