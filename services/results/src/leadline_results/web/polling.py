"""Polling for what a request names, since the message that creates it may still be on its way."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from leadline_common.clock import now
from leadline_common.ids import age_of
from leadline_contracts.errors import NotFound, Problem

_POLL_SECONDS = 0.05
_YOUNG_SECONDS = 60.0
_PATIENCE_SECONDS = 2.0
"""How long to poll for something whose id is younger than a minute."""

T = TypeVar("T")


async def poll(
    find: Callable[[], Awaitable[T | None]],
    what: str,
    identifier: str,
    origin: str,
    *,
    settled: Callable[[T], bool] = lambda _: True,
    wait: float = 0.0,
) -> T:
    """Return what `find` returns: once it is settled, or as it is after `wait` seconds.

    Where there is nothing: raises NotFound, saying what the id is of and where such ids come from; for a
    UUIDv7 younger than a minute, after two seconds a Problem (404) that says to ask again.
    """
    started = time.monotonic()
    # The clock of whoever made the id may be a little ahead of ours.
    patience = _PATIENCE_SECONDS if abs(age_of(identifier, now())) < _YOUNG_SECONDS else 0.0
    while True:
        waited = time.monotonic() - started
        found = await find()
        if found is not None and (settled(found) or waited >= wait):
            return found
        if found is None and waited >= patience:
            if patience:
                detail = f"{what.capitalize()} {identifier} is not known yet; ask again."
                raise Problem(404, "Not found", detail, retry_after=1)
            raise NotFound(f"There is no {what} {identifier[:64]!r}; {origin}.")
        await asyncio.sleep(_POLL_SECONDS)
