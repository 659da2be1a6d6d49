"""What every AiStore promises: answers by owner, notes of calls, budgets that hold, spend that adds up."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from leadline_ai.budget.store import Budget
from leadline_ai.cache.store import StoredAnswer
from leadline_ai.cancelled.store import KEPT
from leadline_ai.store import AiStore
from leadline_ai.stores.sqlite import SqliteAiStore
from leadline_contracts.scoring import AiSpend

OpenStore = Callable[[], Awaitable[AiStore]]

FIGURES = sorted(set(AiSpend.model_fields) - {"source", "assessor"})
RUN, DAY = Budget("run:1", 1_000), Budget("day:2026-11-21", 10_000)


def answer(key: str, **changes: object) -> StoredAnswer:
    """An answer with every field set."""
    stored = StoredAnswer(
        key=key,
        run_id="run-1",
        answer='{"reasoning":"Leads growth at a Zürich SaaS firm; \'ideal\'."}',
        source="anthropic",
        assessor="claude-haiku-5.5",
        prompt="intent.v2",
    )
    return stored.model_copy(update=changes)


def spent(**figures: int) -> AiSpend:
    """What a call took."""
    return AiSpend.model_validate({"source": "anthropic", "assessor": "claude-haiku-5.5", **figures})


async def grants(stores: list[AiStore], budgets: list[Budget], amount: int, times: int) -> int:
    """Reserve at the same time through every store in turn; return how often it was granted."""
    asked = [stores[number % len(stores)].reserve(budgets, amount) for number in range(times)]
    return (await asyncio.gather(*asked)).count(None)


async def test_answers_come_back_whole(each_store: AiStore) -> None:
    """An answer is stored with every field it has; a key that is not known is left out."""
    kept = [answer("a"), answer("b", answer="")]
    await each_store.keep_answers("local", kept)
    assert await each_store.answers("local", ["a", "b", "c"]) == {"a": kept[0], "b": kept[1]}


async def test_an_owner_never_sees_the_answers_of_another(each_store: AiStore) -> None:
    """The same key has an answer for each owner, and names that look alike when joined stay apart."""
    await each_store.keep_answers("ann", [answer("key", answer="Ann's"), answer("b:key")])
    await each_store.keep_answers("bob", [answer("key", answer="Bob's")])
    assert (await each_store.answers("ann", ["key"]))["key"].answer == "Ann's"
    assert (await each_store.answers("bob", ["key", "b:key"])) == {"key": answer("key", answer="Bob's")}
    assert await each_store.answers("ann:b", ["key"]) == {}


async def test_a_new_answer_takes_the_place_of_the_old_one(each_store: AiStore) -> None:
    """A lead asked anew has its new answer, whether the others in the batch were known or not."""
    await each_store.keep_answers("local", [answer("a"), answer("b")])
    await each_store.keep_answers(
        "local", [answer("new"), answer("b", answer="Low"), answer("b", answer="Medium")]
    )
    await each_store.keep_answers("local", [answer("a")])
    found = await each_store.answers("local", ["a", "b", "new"])
    assert found == {"a": answer("a"), "b": answer("b", answer="Medium"), "new": answer("new")}


async def test_an_answer_is_there_for_every_replica_once_its_caller_returns(open_store: OpenStore) -> None:
    """However many chunks store their answers at once, each goes on only when its own are stored."""
    writer, reader = await open_store(), await open_store()

    async def keep(chunk: int) -> list[str]:
        keys = [f"{chunk}-{number}" for number in range(10)]
        await writer.keep_answers("local", [answer(key) for key in keys])
        return [key for key in keys if key not in await reader.answers("local", keys)]

    assert await asyncio.gather(*[keep(chunk) for chunk in range(40)]) == [[]] * 40


async def test_two_replicas_may_store_the_same_answers_at_once(open_store: OpenStore) -> None:
    """A chunk that two replicas work on after a redelivery fails neither of them."""
    stores = [await open_store(), await open_store()]
    keys = [f"key-{number}" for number in range(50)]
    await asyncio.gather(
        *[store.keep_answers("local", [answer(key) for key in keys]) for store in stores * 3]
    )
    assert await stores[0].answers("local", keys) == {key: answer(key) for key in keys}


async def test_a_cancelled_caller_takes_no_answers_of_others_with_it(each_store: AiStore) -> None:
    """A chunk that is given up while its answers are being written leaves its neighbours' writes alone."""
    chunks = [asyncio.create_task(each_store.keep_answers("local", [answer(str(n))])) for n in range(8)]
    await asyncio.sleep(0)
    chunks[0].cancel()
    assert await asyncio.gather(*chunks[1:]) == [None] * 7
    others = {str(number) for number in range(1, 8)}
    assert others <= (await each_store.answers("local", [str(number) for number in range(8)])).keys()
    assert chunks[0].cancelled()


async def test_nothing_is_no_work(each_store: AiStore) -> None:
    """An empty batch is answered like any other."""
    await each_store.keep_answers("local", [])
    await each_store.note_calls("run-1", {})
    assert await each_store.answers("local", []) == {}
    assert await each_store.calls("run-1", []) == {}
    assert await each_store.reserve([], 5) is None
    assert await each_store.settle("local", "run-1", spent(cached=1), [], 5) == spent(cached=1)


async def test_calls_are_noted_by_run_and_lead(each_store: AiStore) -> None:
    """A later attempt counts on from its own run's note; a lead without one is left out."""
    await each_store.note_calls("run-1", {"ann": 1, "bob.b": 2})
    await each_store.note_calls("run-2", {"ann": 7})
    assert await each_store.calls("run-1", ["ann", "bob.b", "cleo"]) == {"ann": 1, "bob.b": 2}
    assert await each_store.calls("run-2", ["ann", "bob.b"]) == {"ann": 7}


async def test_a_note_of_calls_never_goes_down(open_store: OpenStore) -> None:
    """Whichever replica's note arrives last, the highest number of calls stands."""
    stores = [await open_store(), await open_store()]
    counts = [3, 1, 5, 2, 4] * 4
    await asyncio.gather(
        *[
            stores[place % 2].note_calls("run-1", {"ann": count, "bob": 1})
            for place, count in enumerate(counts)
        ]
    )
    assert await stores[0].calls("run-1", ["ann", "bob"]) == {"ann": 5, "bob": 1}


async def test_reserving_commits_the_amount_in_every_budget(each_store: AiStore) -> None:
    """What is reserved is taken from the run's budget and the day's alike."""
    assert await each_store.committed(RUN.name) == 0
    assert await each_store.reserve([RUN, DAY], 400) is None
    assert await each_store.reserve([RUN, DAY], 600) is None
    assert [await each_store.committed(budget.name) for budget in (RUN, DAY)] == [1_000, 1_000]


async def test_a_refused_reservation_names_the_first_budget_without_room_and_commits_nothing(
    each_store: AiStore,
) -> None:
    """One that is full refuses for all, wherever it stands in the order and whether it was used before."""
    full = Budget("full", 100)
    await each_store.reserve([full], 95)
    unused = Budget("never used", 5)
    assert await each_store.reserve([RUN, full, DAY], 6) == full
    assert await each_store.reserve([full, unused], 6) == full
    assert await each_store.reserve([RUN, unused, full], 6) == unused
    assert await each_store.reserve([RUN, full], 5) is None
    names = ["run:1", "full", "never used", DAY.name]
    assert [await each_store.committed(name) for name in names] == [5, 100, 0, 0]


async def test_nothing_is_reserved_up_to_the_limit_and_refused_past_it(each_store: AiStore) -> None:
    """An amount of 0 is granted where a budget is spent to the last cent, but not where it is overdrawn."""
    assert await each_store.reserve([RUN], RUN.limit) is None
    assert await each_store.reserve([RUN], 0) is None
    assert await each_store.reserve([RUN], 1) == RUN
    lowered = RUN._replace(limit=RUN.limit - 1)
    assert await each_store.reserve([lowered], 0) == lowered
    assert await each_store.reserve([Budget("none", 0)], 0) is None


async def test_replicas_never_pass_a_limit_together(open_store: OpenStore) -> None:
    """Of many reservations at once in a budget that nobody has used, exactly as many are granted as fit."""
    stores = [await open_store(), await open_store()]
    assert await grants(stores, [RUN], 7, 200) == 1_000 // 7
    assert await stores[0].committed(RUN.name) == 1_000 // 7 * 7


async def test_replicas_share_the_day_over_their_runs(open_store: OpenStore) -> None:
    """The day's budget is used up to its limit by two runs, and what it refused is not held against them."""
    stores = [await open_store(), await open_store()]
    day = Budget("day", 500)
    runs = [Budget("run:1", 10**12), Budget("run:2", 10**12)]
    granted = await asyncio.gather(*[grants(stores, [run, day], 11, 60) for run in runs])
    assert sum(granted) == 500 // 11
    assert [await stores[0].committed(run.name) for run in runs] == [11 * number for number in granted]
    assert await stores[0].committed(day.name) == 500 // 11 * 11


async def test_a_budget_made_by_several_replicas_at_once_loses_nothing(open_store: OpenStore) -> None:
    """The first reservations of a new run, at the same time, are all granted and all counted."""
    stores = [await open_store() for _ in range(4)]
    runs = [Budget(f"run:{number}", 10**12) for number in range(25)]  # one race in two has replicas collide
    assert [await grants(stores, [run, DAY], 1, 24) for run in runs] == [24] * 25
    assert [await stores[0].committed(run.name) for run in runs] == [24] * 25


async def test_settling_adds_every_figure_to_the_runs_total(each_store: AiStore) -> None:
    """The run's whole spend is returned, to the last token and beyond what 32 bits hold."""
    first = spent(**{name: place for place, name in enumerate(FIGURES, 1)})
    second = spent(**{name: 10**12 * place for place, name in enumerate(FIGURES, 1)})
    assert await each_store.settle("local", "run-1", first, [], 0) == first
    assert await each_store.settle("local", "run-1", second, [], 0) == spent(
        **{name: (10**12 + 1) * place for place, name in enumerate(FIGURES, 1)}
    )


async def test_spend_is_kept_for_each_run_and_model_apart(each_store: AiStore) -> None:
    """A run that went over to another model, and another run, start their totals at zero."""
    await each_store.settle("local", "run-1", spent(calls=5), [], 0)
    for run_id, other in (
        ("run-1", AiSpend(source="anthropic", assessor="claude-haiku-5", calls=2)),
        ("run-1", AiSpend(source="offline", assessor="claude-haiku-5.5", calls=3)),
        ("run-2", spent(calls=4)),
    ):
        assert await each_store.settle("local", run_id, other, [], 0) == other


async def test_settling_gives_what_was_not_used_back_to_every_budget(each_store: AiStore) -> None:
    """What a call left over can be reserved again; what it took beyond its reservation cannot."""
    await each_store.reserve([RUN, DAY], 1_000)
    await each_store.settle("local", "run-1", spent(nano_usd=700), [RUN, DAY], 300)
    assert [await each_store.committed(budget.name) for budget in (RUN, DAY)] == [700, 700]
    assert await each_store.reserve([RUN, DAY], 301) == RUN
    assert await each_store.reserve([RUN, DAY], 300) is None
    await each_store.settle("local", "run-1", spent(nano_usd=450), [RUN, DAY], -150)
    assert [await each_store.committed(budget.name) for budget in (RUN, DAY)] == [1_150, 1_150]
    assert await each_store.reserve([RUN, DAY], 0) == RUN
    new = Budget("never reserved in", 1_000)
    await each_store.settle("local", "run-1", spent(nano_usd=9), [new], -9)
    assert await each_store.committed(new.name) == 9


async def test_replicas_that_settle_at_once_lose_nothing(open_store: OpenStore) -> None:
    """Every total is reported once, the last one is the sum, and the budget is left with what was spent."""
    stores = [await open_store(), await open_store()]
    await stores[0].reserve([DAY], 40 * 5)
    totals = await asyncio.gather(
        *[
            stores[number % 2].settle("local", "run-1", spent(calls=1, nano_usd=3), [DAY], 2)
            for number in range(40)
        ]
    )
    assert sorted(total.calls for total in totals) == list(range(1, 41))
    assert {total.nano_usd - 3 * total.calls for total in totals} == {0}
    assert await stores[1].committed(DAY.name) == 40 * 3


async def test_all_of_it_outlives_a_restart(open_store: OpenStore) -> None:
    """A process that starts anew finds the answers, the notes, what is committed and what was spent."""
    before = await open_store()
    await before.keep_answers("local", [answer("a")])
    await before.note_calls("run-1", {"ann": 2})
    await before.reserve([RUN], 100)
    await before.settle("local", "run-1", spent(calls=1, nano_usd=60), [RUN], 40)
    await before.close()
    await before.close()
    after = await open_store()
    await after.ping()
    assert await after.answers("local", ["a"]) == {"a": answer("a")}
    assert await after.calls("run-1", ["ann"]) == {"ann": 2}
    assert await after.committed(RUN.name) == 60
    assert await after.settle("local", "run-1", spent(calls=1), [RUN], 0) == spent(calls=2, nano_usd=60)


async def test_every_replica_knows_a_cancelled_run(open_store: OpenStore) -> None:
    """What one replica notes the others read, after a restart too; another owner's run of that id is none."""
    first, second = await open_store(), await open_store()
    at = datetime.now(UTC)
    for store in (first, second, first):
        await store.note_cancelled("ann", "run-1", at)
    await first.close()
    assert await second.cancelled("ann", "run-1")
    assert await (await open_store()).cancelled("ann", "run-1")
    assert not await second.cancelled("bob", "run-1")
    assert not await second.cancelled("ann", "run-2")


async def test_cancelled_runs_are_not_kept_for_ever(tmp_path: Path) -> None:
    """SQLite forgets with the next note what is older than promised, and nothing before."""
    store = SqliteAiStore(tmp_path / "old.db")
    now = datetime.now(UTC)
    await store.note_cancelled("ann", "old", now - KEPT - timedelta(days=1))
    await store.note_cancelled("ann", "kept", now - KEPT + timedelta(days=1))
    await store.note_cancelled("ann", "new", now)
    assert [await store.cancelled("ann", run) for run in ("old", "kept", "new")] == [False, True, True]
    await store.close()
