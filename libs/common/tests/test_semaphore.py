"""Bounding work by what it weighs."""

import asyncio

import pytest

from leadline_common.semaphore import WeightedSemaphore


class Work:
    """Pieces of work under way, by weight, and what they weighed together at the most."""

    def __init__(self, limit: int) -> None:
        self.semaphore = WeightedSemaphore(limit)
        self.under_way: list[int] = []
        self.most = 0
        self.order: list[int] = []

    async def do(self, weight: int) -> None:
        async with self.semaphore.taken(weight):
            self.order.append(weight)
            self.under_way.append(weight)
            self.most = max(self.most, sum(self.under_way))
            await asyncio.sleep(0)
            self.under_way.remove(weight)


async def test_what_is_under_way_weighs_no_more_than_the_limit() -> None:
    """Memory that pieces of work take together stays within what was allowed for it."""
    work = Work(10)
    await asyncio.gather(*(work.do(weight) for weight in [4, 4, 4, 1, 9, 3, 3, 3, 3, 10]))
    assert work.most <= 10
    assert len(work.order) == 10


async def test_first_come_first_served() -> None:
    """A heavy piece is not overtaken for ever by light ones."""
    work = Work(10)
    weights = [6, 6, 1, 1, 10, 1]
    await asyncio.gather(*(work.do(weight) for weight in weights))
    assert work.order == weights


async def test_work_heavier_than_the_limit_goes_alone() -> None:
    """What would never fit is done all the same, beside nothing else."""
    work = Work(10)
    await asyncio.gather(work.do(5), work.do(50), work.do(5))
    assert work.order == [5, 50, 5]
    assert work.most == 50


@pytest.mark.parametrize("turns", range(4))
async def test_cancelled_work_leaves_its_room_to_others(turns: int) -> None:
    """Whenever work is cancelled, waiting, just let in or under way, nothing stays taken."""
    semaphore = WeightedSemaphore(10)

    async def hold(seconds: float) -> None:
        async with semaphore.taken(8):
            await asyncio.sleep(seconds)

    first = asyncio.create_task(hold(0))
    second, third = (asyncio.create_task(hold(60)) for _ in range(2))
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in (third, second):
        task.cancel()
    await asyncio.gather(first, second, third, return_exceptions=True)
    async with asyncio.timeout(30), semaphore.taken(10):
        pass
