"""Reservations: made before a call, settled when the chunk is done, and never above a budget."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from leadline_ai.budget.prices import Price, input_tokens
from leadline_ai.budget.reservations import Account, BudgetSpent, Reservations
from leadline_ai.budget.store import Budget
from leadline_ai.limiter.adaptive import AdaptiveLimiter
from leadline_ai.limiter.breaker import CallNotPermitted, CircuitBreaker
from leadline_ai.metrics import AiMetrics
from leadline_ai.providers.asker import Asker
from leadline_ai.providers.port import ProviderFailure, Question, Reply, Stop, Usage
from leadline_ai.store import AiStore
from leadline_ai.stores.sqlite import SqliteAiStore
from leadline_contracts.errors import Unavailable
from leadline_contracts.scoring import AiSpend

MODEL = "claude-haiku-5-5"
QUESTION = Question(system="s" * 300, prefix="p" * 300, body="b" * 300, schema={}, max_tokens=500)
PRICE = Price(input=1, output=5, cache_read=0.1, cache_write=1.25)
BOUND = PRICE.bound(QUESTION)
USAGE = Usage(input_tokens=200, output_tokens=50, cache_read_tokens=10, cache_write_tokens=4)
COST = PRICE.cost(USAGE)
ROOM = 1_000 * BOUND
RUN, DAY = "run:run-1", "day:2026-11-21"


class Store(SqliteAiStore):
    """The real store, which notes what is asked of it and is away when told to be."""

    away = False

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reserved: list[int] = []
        self.settled = 0
        self.settling_done = asyncio.Event()

    async def reserve(self, budgets: Sequence[Budget], amount: int) -> Budget | None:
        if self.away:
            raise Unavailable("the store is away")
        self.reserved.append(amount)
        return await super().reserve(budgets, amount)

    async def settle(
        self, owner: str, run_id: str, spend: AiSpend, budgets: Sequence[Budget], unused: int
    ) -> AiSpend:
        if self.away:
            raise Unavailable("the store is away")
        await asyncio.sleep(0.01)
        total = await super().settle(owner, run_id, spend, budgets, unused)
        self.settled += 1
        self.settling_done.set()
        return total


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "ai.db")
    yield store
    await store.close()


def reservations_of(
    store: AiStore,
    run: int = ROOM,
    day: int = ROOM,
    price: Price = PRICE,
    registry: CollectorRegistry | None = None,
) -> Reservations:
    """Accounts over a store, with the limits of a run and of a day."""
    return Reservations(
        store=store,
        price=price,
        source="anthropic",
        model=MODEL,
        run_limit=run,
        day_limit=day,
        metrics=AiMetrics(registry or CollectorRegistry()),
        clock=lambda: datetime(2026, 11, 21, 23, 59, tzinfo=UTC),
    )


def spent(**figures: int) -> AiSpend:
    return AiSpend.model_validate({"source": "anthropic", "assessor": MODEL, **figures})


def spent_on_calls(calls: int, **figures: int) -> AiSpend:
    """What so many calls take that each bring USAGE."""
    tokens = {name: calls * getattr(USAGE, name) for name in Usage.__dataclass_fields__}
    return spent(calls=calls, nano_usd=calls * COST, **tokens, **figures)


async def call(account: Account, usage: Usage | None = USAGE) -> None:
    """Make a call that takes a moment."""
    reserved = await account.reserve(QUESTION)
    await asyncio.sleep(0)
    account.charge(reserved, usage, failed=False)


async def test_the_plan_of_a_chunk_is_reserved_in_one_trip(sqlite: Store) -> None:
    """Its calls go ahead on that; what they cost stays committed at the end, the rest is given back."""
    reservations = reservations_of(sqlite)
    async with reservations.account("local", "run-1", 3 * BOUND) as account:
        for calls in (1, 2, 3):
            await call(account)
            assert account.spend == spent_on_calls(calls)
        assert sqlite.reserved == [3 * BOUND]
        assert await sqlite.committed(RUN) == await sqlite.committed(DAY) == 3 * BOUND
    assert account.spend == spent_on_calls(3)
    assert await sqlite.committed(RUN) == await sqlite.committed(DAY) == 3 * COST


async def test_calls_beyond_the_plan_reserve_what_is_lacking(sqlite: Store) -> None:
    """A repair is no part of the plan: it is granted on its own, less what earlier calls left over."""
    async with reservations_of(sqlite).account("local", "run-1", 2 * BOUND) as account:
        reserved = [await account.reserve(QUESTION) for _ in range(2)]
        account.charge(reserved[0], USAGE, failed=False)
        await account.reserve(QUESTION)
    assert reserved == [BOUND, BOUND]
    assert sqlite.reserved == [2 * BOUND, COST]


async def test_a_run_shows_what_all_its_chunks_spent(sqlite: Store) -> None:
    """An account ends with the figures of the whole run, another run's left out."""
    reservations = reservations_of(sqlite)
    for run_id in ("run-1", "run-2", "run-1"):
        async with reservations.account("local", run_id, BOUND) as account:
            await call(account)
    assert account.spend == spent_on_calls(2)
    assert await sqlite.committed(DAY) == 3 * COST


async def test_where_the_plan_does_not_fit_single_calls_still_do(sqlite: Store) -> None:
    """The last cent of a budget is used: near its limit each call is granted alone, as long as it can be."""
    async with reservations_of(sqlite, run=7 * BOUND).account("local", "run-1", 20 * BOUND) as account:
        reserved = [await account.reserve(QUESTION) for _ in range(7)]
        assert await sqlite.committed(RUN) == 7 * BOUND
        whole = Usage(cache_write_tokens=BOUND // 1_250)
        waiting = [asyncio.create_task(account.reserve(QUESTION)) for _ in range(3)]
        for amount in reserved:
            account.charge(amount, whole, failed=False)
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(end, BudgetSpent) for end in ends)
        assert sqlite.reserved[:8] == [20 * BOUND, *[BOUND] * 7]


async def test_a_call_waits_for_money_that_others_only_hold(sqlite: Store) -> None:
    """Calls reserve far more than most cost: what fits in the end is not refused for that, in any chunk."""
    reservations = reservations_of(sqlite, run=BOUND + 9 * COST)

    async def chunk() -> None:
        async with reservations.account("local", "run-1", 3 * BOUND) as account:
            await asyncio.gather(*(call(account) for _ in range(3)))

    assert 9 * BOUND > BOUND + 9 * COST
    await asyncio.gather(chunk(), chunk(), chunk())
    assert await sqlite.committed(RUN) == 9 * COST


@pytest.mark.parametrize("seed", range(5))
async def test_what_is_held_and_spent_was_always_granted(sqlite: Store, seed: int) -> None:
    """At every moment, in whatever order calls begin and end, the budget knows of all that may be billed."""
    chance = random.Random(seed)
    reserved: list[int] = []
    async with reservations_of(sqlite).account("local", "run-1", chance.randrange(10) * BOUND) as account:
        for _ in range(60):
            if reserved and chance.random() < 0.5:
                usage = chance.choice(
                    [None, USAGE, Usage(), Usage(cache_write_tokens=250, output_tokens=500)]
                )
                account.charge(reserved.pop(), usage, failed=usage is None)
            else:
                reserved.append(await account.reserve(QUESTION))
            assert await sqlite.committed(RUN) >= sum(reserved) + account.spend.nano_usd
        for amount in reserved:
            account.charge(amount, None, failed=True)
    assert await sqlite.committed(RUN) == await sqlite.committed(DAY) == account.spend.nano_usd


async def test_a_call_dearer_than_foreseen_is_made_up_for(sqlite: Store) -> None:
    """Where an estimate was too low the next call needs room for both, and what was spent is committed."""
    dear = Usage(output_tokens=2_000)
    async with reservations_of(sqlite, run=3 * BOUND).account("local", "run-1", BOUND) as account:
        await call(account, dear)
        assert account.spend.nano_usd > 3 * BOUND
        with pytest.raises(BudgetSpent):
            await account.reserve(QUESTION)
    assert await sqlite.committed(RUN) == PRICE.cost(dear)


@pytest.mark.parametrize(
    ("run", "day", "told"),
    [
        (10_000_000, ROOM, ("$0.01 for the run", "LEADLINE_AI_RUN_BUDGET_USD")),
        (500_000, ROOM, ("$0.0005 for the run", "LEADLINE_AI_RUN_BUDGET_USD")),
        (ROOM, 1_000_000, ("$0.001 for today (UTC)", "LEADLINE_AI_DAY_BUDGET_USD")),
        (0, 0, ("$0 for the run", "LEADLINE_AI_RUN_BUDGET_USD")),
    ],
)
async def test_the_text_of_a_spent_budget_names_it(
    sqlite: Store, run: int, day: int, told: tuple[str, str]
) -> None:
    """Which budget, how much, and the one setting to raise; a budget under a cent does not read as none."""
    async with reservations_of(sqlite, run, day).account("local", "run-1", BOUND) as account:
        big = Question(system="", prefix="", body="", schema={}, max_tokens=10_000)
        with pytest.raises(BudgetSpent) as raised:
            await account.reserve(big)
    assert all(words in str(raised.value) for words in told)
    assert "\n" not in str(raised.value)
    assert sqlite.settled == 0


async def test_chunks_side_by_side_never_pass_the_budget(each_store: AiStore) -> None:
    """However many replicas spend on a run at once: all is used that fits, and not a call more."""
    reservations = reservations_of(each_store, run=12 * BOUND)
    refused = 0
    most = 0

    async def chunk(planned: int) -> int:
        nonlocal refused, most
        async with reservations.account("local", "run-1", planned) as account:
            for _ in range(5):
                try:
                    await call(account, Usage(cache_write_tokens=250, output_tokens=500))
                except BudgetSpent:
                    refused += 1
                most = max(most, await each_store.committed(RUN))
            own = account.spend
        return own.nano_usd

    spent_in_all = sum(await asyncio.gather(*(chunk(number * BOUND) for number in range(8))))
    assert 0 < spent_in_all <= most <= 12 * BOUND
    assert refused
    assert await each_store.committed(RUN) == await each_store.committed(DAY) == spent_in_all


async def test_a_day_is_shared_by_all_runs_and_owners(sqlite: Store) -> None:
    """One bill comes for all of them: what one owner's run has spent another's cannot spend."""
    reservations = reservations_of(sqlite, day=BOUND + COST)
    async with reservations.account("ann", "run-1", BOUND) as account:
        await call(account)
    async with reservations.account("bob", "run-2", BOUND) as account:
        await call(account)
        with pytest.raises(BudgetSpent, match="LEADLINE_AI_DAY_BUDGET_USD"):
            await call(account)
    assert await sqlite.committed(DAY) == 2 * COST
    assert await sqlite.committed("run:run-2") == COST


async def test_a_model_that_is_free_needs_no_budget(sqlite: Store) -> None:
    """A local model at price 0 is asked whatever the budgets are, and its calls are counted all the same."""
    free = Price(input=0, output=0)
    async with reservations_of(sqlite, run=0, day=0, price=free).account("local", "run-1", 0) as account:
        await call(account)
    assert (sqlite.reserved, sqlite.settled) == ([], 1)
    assert account.spend.model_copy(update={"nano_usd": COST}) == spent_on_calls(1)
    assert account.spend.nano_usd == 0


async def test_failed_calls_and_cached_leads_are_counted(sqlite: Store) -> None:
    """A call that failed and one whose answer was no use are both told; leads that cost nothing too."""
    registry = CollectorRegistry()
    async with reservations_of(sqlite, registry=registry).account("local", "run-1", 0) as account:
        await call(account)
        account.count_failed()
        account.charge(await account.reserve(QUESTION), USAGE, failed=True)
        account.charge(await account.reserve(QUESTION), None, failed=True)
        account.count_cached(7)
    assert account.spend == spent_on_calls(2, failed_calls=2, cached=7)

    def counted(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"leadline_ai_{name}_total", labels)

    assert counted("cached_leads") == 7
    assert counted("tokens", model=MODEL, kind="input") == 2 * USAGE.input_tokens
    assert counted("tokens", model=MODEL, kind="cache_read") == 2 * USAGE.cache_read_tokens
    assert counted("cost_usd", model=MODEL) == pytest.approx(2 * COST / 1e9)


async def test_a_chunk_answered_from_the_cache_is_stored_and_one_of_nothing_is_not(sqlite: Store) -> None:
    """A run says how many leads cost nothing, without a reservation; of nothing, nothing is written."""
    async with reservations_of(sqlite).account("local", "run-1", 0) as account:
        account.count_cached(3)
    async with reservations_of(sqlite).account("local", "run-1", 5 * BOUND):
        pass
    assert account.spend == spent(cached=3)
    assert (sqlite.reserved, sqlite.settled) == ([], 1)


async def test_what_cannot_be_settled_stays_committed(
    sqlite: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the store away the answers go out all the same; the budget errs upwards, and the log says so."""
    async with reservations_of(sqlite).account("local", "run-1", 2 * BOUND) as account:
        await call(account)
        sqlite.away = True
    assert account.spend == spent_on_calls(1)
    assert await sqlite.committed(RUN) == await sqlite.committed(DAY) == 2 * BOUND
    told = capsys.readouterr().out
    assert "spend_not_stored" in told
    assert "run-1" in told


async def test_nothing_is_in_use_where_nothing_could_be_reserved(sqlite: Store) -> None:
    """A store that is away stops the call before it is made, and the next finds the account as it was."""
    async with reservations_of(sqlite).account("local", "run-1", BOUND) as account:
        sqlite.away = True
        with pytest.raises(Unavailable):
            await account.reserve(QUESTION)
        sqlite.away = False
        await call(account)
    assert sqlite.reserved == [BOUND]
    assert await sqlite.committed(RUN) == COST


@dataclass
class Scripted:
    """A provider that does what the test says."""

    ask_once: Callable[[], Awaitable[Reply]]
    name: str = "anthropic"
    model: str = MODEL
    endpoint: str = ""
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, _question: Question) -> Reply:
        self.asked.set()
        return await self.ask_once()

    async def check(self) -> None:
        """Nothing is known to be wrong."""

    async def close(self) -> None:
        """There is nothing to release."""


def asker(provider: Scripted, seconds: float = 5.0) -> Asker:
    limiter, metrics = AdaptiveLimiter(CircuitBreaker(provider.name), 1), AiMetrics(CollectorRegistry())
    return Asker(provider=provider, limiter=limiter, metrics=metrics, call_seconds=seconds)


async def kept(reply: Reply) -> Reply:
    return reply


async def never() -> Reply:
    await asyncio.sleep(60)
    raise AssertionError("nobody cancelled it")


def raising(error: Exception) -> Callable[[], Awaitable[Reply]]:
    async def raise_it() -> Reply:
        raise error

    return raise_it


ESTIMATE = input_tokens(QUESTION)


@pytest.mark.parametrize(
    ("ask_once", "tokens"),
    [
        (raising(ProviderFailure("overloaded", "429")), 0),
        (raising(ProviderFailure("unavailable", "broken off", charged=True)), ESTIMATE),
        (raising(ProviderFailure("declined", "400")), 0),
        (never, ESTIMATE),
    ],
)
async def test_a_failed_call_counts_what_it_may_be_billed_for(
    sqlite: Store, ask_once: Callable[[], Awaitable[Reply]], tokens: int
) -> None:
    """A call that was refused costs nothing; one that may have been read costs its input as estimated."""
    asking = asker(Scripted(ask_once), seconds=0.02)
    async with reservations_of(sqlite).account("local", "run-1", BOUND) as account:
        with pytest.raises(ProviderFailure):
            await asking.ask(QUESTION, account, time.monotonic() + 5, kept)
    cost = PRICE.cost(Usage(input_tokens=tokens))
    assert account.spend == spent(calls=1, failed_calls=1, input_tokens=tokens, nano_usd=cost)
    assert await sqlite.committed(RUN) == cost


@pytest.mark.parametrize(("stop", "failed"), [(Stop.COMPLETE, 0), (Stop.TRUNCATED, 1), (Stop.REFUSED, 1)])
async def test_a_reply_counts_what_it_took(sqlite: Store, stop: Stop, failed: int) -> None:
    """A truncated or refused answer is billed like any other, and told as failed."""

    async def reply() -> Reply:
        return Reply("", stop, USAGE)

    async with reservations_of(sqlite).account("local", "run-1", BOUND) as account:
        await asker(Scripted(reply)).ask(QUESTION, account, time.monotonic() + 5, kept)
    assert account.spend == spent_on_calls(1, failed_calls=failed)
    assert await sqlite.committed(RUN) == COST


async def test_a_call_that_was_not_permitted_costs_nothing(sqlite: Store) -> None:
    """What was reserved for it is given back, and no call is counted."""
    asking = asker(Scripted(never))
    asking.limiter.breaker.misconfigured("the key is wrong")
    async with reservations_of(sqlite).account("local", "run-1", BOUND) as account:
        with pytest.raises(CallNotPermitted):
            await asking.ask(QUESTION, account, time.monotonic() + 5, kept)
    assert account.spend == spent()
    assert await sqlite.committed(RUN) == await sqlite.committed(DAY) == 0


@pytest.mark.parametrize("times", [1, 2])
async def test_a_cancelled_chunk_settles_what_it_spent(sqlite: Store, times: int) -> None:
    """A shutdown in the middle of a call stores what was spent, the call that is cut off with its input."""
    provider = Scripted(never)
    reservations = reservations_of(sqlite)

    async def chunk() -> None:
        async with reservations.account("local", "run-1", 5 * BOUND) as account:
            await call(account)
            await asker(provider).ask(QUESTION, account, time.monotonic() + 5, kept)

    working = asyncio.create_task(chunk())
    await provider.asked.wait()
    for _ in range(times):
        working.cancel()
        await asyncio.sleep(0.003)
    with pytest.raises(asyncio.CancelledError):
        await working
    await asyncio.wait_for(sqlite.settling_done.wait(), 60)
    cut_off = PRICE.cost(Usage(input_tokens=ESTIMATE))
    assert sqlite.settled == 1
    assert await sqlite.committed(RUN) == await sqlite.committed(DAY) == COST + cut_off
    async with reservations.account("local", "run-1", 0) as account:
        account.count_cached(1)
    assert (account.spend.calls, account.spend.failed_calls, account.spend.nano_usd) == (2, 1, COST + cut_off)
