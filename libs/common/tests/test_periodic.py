"""Background work that is done again and again."""

import asyncio

import pytest
import structlog

from leadline_common.process.periodic import every
from leadline_common.process.tasks import end_tasks
from leadline_contracts.errors import Unavailable


class Work:
    """Work whose turns end as told, one after the other, and then well; it knows when it was done."""

    def __init__(self, *ends: Exception | None) -> None:
        self.turns = 0
        self._ends = list(ends)
        self._done = asyncio.Event()

    async def __call__(self) -> None:
        self.turns += 1
        self._done.set()
        if self._ends and (error := self._ends.pop(0)) is not None:
            raise error

    async def done(self, turns: int) -> None:
        """Wait for so many turns."""
        async with asyncio.timeout(60):
            while self.turns < turns:
                self._done.clear()
                await self._done.wait()


async def test_work_is_done_at_once_and_again() -> None:
    """The first turn does not wait, the others follow, and a cancellation ends them."""
    work = Work()
    waiting = asyncio.create_task(every(3_600, work, failed="work_failed"))
    await work.done(1)
    repeating = asyncio.create_task(every(0.001, work, failed="work_failed"))
    await work.done(4)
    await end_tasks([waiting, repeating])
    assert waiting.cancelled()
    assert repeating.cancelled()


async def test_an_outage_is_logged_and_the_work_goes_on() -> None:
    """What is away now may be back at the next turn; the work's own event says what was away."""
    work = Work(None, Unavailable("no answer from db:27017"))
    with structlog.testing.capture_logs() as logs:
        task = asyncio.create_task(every(0.001, work, failed="work_failed"))
        await work.done(4)
        await end_tasks([task])
    assert logs == [{"event": "work_failed", "error": "no answer from db:27017", "log_level": "warning"}]


async def test_a_fault_of_the_program_is_raised() -> None:
    """What would fail at every turn is not tried for ever behind a log line."""
    work = Work(None, KeyError("bug"))
    with pytest.raises(KeyError, match="bug"):
        await every(0.001, work, failed="work_failed")
    assert work.turns == 2
