"""What every ResultStore promises about records: conditional writes, and which result is the latest."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from leadline_common.ids import new_id
from leadline_contracts.scoring import AiScored, Factor, Lead, RuleScored
from leadline_results.runs.record import Key, Record, Status
from leadline_results.runs.store import Counts, Query, ResultStore

OpenStore = Callable[[], Awaitable[ResultStore]]

OLD_RUN, NEW_RUN = sorted([new_id(), new_id()])


def pending(lead_id: str = "lead", **changes: object) -> Record:
    """A record whose lead is known and nothing else."""
    record = Record(
        owner="local",
        run_id=OLD_RUN,
        lead_id=lead_id,
        offer_id="offer",
        model="standard",
        chunk="1",
        upload_id="upload",
        lead=Lead(id=lead_id, name="Zoë 'Ze' Müller", role="Head of Growth"),
    )
    return record.model_copy(update=changes)


def scored(lead_id: str = "lead", **changes: object) -> Record:
    """A record with every field set."""
    earned = Factor(layer="rules", factor="role", points=20, max=20, evidence="'head of' in the title")
    answer = AiScored(
        lead_id=lead_id,
        status="fallback",
        intent="High",
        confidence=0.75,
        source="offline",
        assessor="v1",
        prompt="p1",
        fallback="Anthropic answered 529",
    )
    done = pending(
        lead_id,
        rules=RuleScored(lead_id=lead_id, points=20, factors=[earned]),
        ai=answer,
        status=Status.SCORED,
        intent="High",
        score=70,
        ai_points=50,
        scored_at=datetime(2026, 3, 1, 12, 30, 15, 250_000, UTC),
        latest=True,
    )
    return done.model_copy(update=changes)


def failed(lead_id: str = "lead", **changes: object) -> Record:
    """A record that is done without a score."""
    return scored(lead_id, status=Status.FAILED, score=None, intent=None, ai_points=0, **changes)


async def only(store: ResultStore, key: Key) -> Record:
    """Load the one record."""
    return (await store.load([key]))[key]


async def latest_runs(store: ResultStore, record: Record) -> set[str]:
    """Return the runs whose result of this prospect is marked as the latest."""
    keys = [Key(run_id, record.lead_id) for run_id in (OLD_RUN, NEW_RUN)]
    return {found.run_id for found in (await store.load(keys)).values() if found.latest}


async def test_inserted_records_come_back_whole(store: ResultStore) -> None:
    """A record is stored with every field it has, and counts as written once."""
    records = [scored("a"), pending("b"), failed("c"), pending("d", lead=None, upload_id=None)]
    assert await store.insert(records) == set()
    assert await store.load([record.key for record in records]) == {
        record.key: record.model_copy(update={"revision": 1}) for record in records
    }


async def test_insert_leaves_known_records_alone_and_names_them(store: ResultStore) -> None:
    """Of a batch that is partly there already, only the new records are written."""
    await store.insert([scored("known")])
    assert await store.insert([pending("known"), pending("new")]) == {pending("known").key}
    stored = await store.load([pending("known").key, pending("new").key])
    assert {record.lead_id: record.status for record in stored.values()} == {
        "known": Status.SCORED,
        "new": Status.PENDING,
    }


async def test_inserting_twice_at_the_same_time_writes_each_record_once(open_store: OpenStore) -> None:
    """Of two replicas that insert the same batch, exactly one writes each record."""
    first, second = await open_store(), await open_store()
    batch = [pending(f"lead-{number}") for number in range(50)]
    refused = await asyncio.gather(first.insert(batch), second.insert(list(reversed(batch))))
    assert refused[0] | refused[1] == {record.key for record in batch}
    assert not refused[0] & refused[1]


async def test_no_records_are_no_work(store: ResultStore) -> None:
    """An empty batch is answered like any other."""
    assert await store.insert([]) == set()
    assert await store.replace([]) == set()
    assert await store.load([]) == {}
    await store.settle_latest([])


async def test_load_leaves_out_what_is_not_known(store: ResultStore) -> None:
    """A lead that has no record in that run is simply missing from the answer."""
    await store.insert([pending("here")])
    assert set(await store.load([Key(OLD_RUN, "here"), Key(NEW_RUN, "here"), Key(OLD_RUN, "gone")])) == {
        Key(OLD_RUN, "here")
    }


async def test_replace_writes_over_the_revision_it_read(store: ResultStore) -> None:
    """A record goes from pending to scored in steps, each of which raises its revision."""
    await store.insert([pending(lead=None, upload_id=None)])
    with_rules = pending(rules=scored().rules, revision=1)
    assert await store.replace([with_rules]) == set()
    assert await only(store, with_rules.key) == with_rules.model_copy(update={"revision": 2})
    assert await store.replace([scored(revision=2)]) == set()
    assert await only(store, with_rules.key) == scored(revision=3)


async def test_replace_refuses_records_that_others_wrote_meanwhile(store: ResultStore) -> None:
    """Of a batch, records whose stored revision moved on are left as they are and named."""
    await store.insert([pending("raced"), pending("free")])
    await store.replace([pending("raced", rules=scored("raced").rules, revision=1)])
    stale = [scored("raced", revision=1), scored("free", revision=1), scored("unknown", revision=1)]
    assert await store.replace(stale) == {Key(OLD_RUN, "raced"), Key(OLD_RUN, "unknown")}
    stored = await store.load([record.key for record in stale])
    assert stored == {
        Key(OLD_RUN, "raced"): pending("raced", rules=scored("raced").rules, revision=2),
        Key(OLD_RUN, "free"): scored("free", revision=2),
    }


async def test_one_of_two_racing_replacements_wins_each_record(open_store: OpenStore) -> None:
    """Replicas that replace the same records at the same time never both believe they wrote one."""
    first, second = await open_store(), await open_store()
    batch = [pending(f"lead-{number}") for number in range(50)]
    await first.insert(batch)
    rules = [record.model_copy(update={"rules": scored().rules, "revision": 1}) for record in batch]
    ai = [record.model_copy(update={"ai": scored().ai, "revision": 1}) for record in reversed(batch)]
    lost_rules, lost_ai = await asyncio.gather(first.replace(rules), second.replace(ai))
    stored = await first.load([record.key for record in batch])
    assert {key for key, record in stored.items() if record.rules is None} == lost_rules
    assert {key for key, record in stored.items() if record.ai is None} == lost_ai
    assert lost_rules | lost_ai == stored.keys()
    assert {record.revision for record in stored.values()} == {2}


async def test_latest_stays_with_the_newest_run_in_either_order(store: ResultStore) -> None:
    """Whichever run's result is stored last, the newest run's is the latest."""
    for lead_id, runs in (("ascending", [OLD_RUN, NEW_RUN]), ("descending", [NEW_RUN, OLD_RUN])):
        for run_id in runs:
            record = scored(lead_id, run_id=run_id)
            await store.insert([record])
            await store.settle_latest([record])
            await store.settle_latest([record])
        assert await latest_runs(store, record) == {NEW_RUN}


async def test_settling_makes_a_write_that_read_before_it_lose(store: ResultStore) -> None:
    """A record that stopped being the latest cannot be written back from an older reading."""
    old, new = scored(run_id=OLD_RUN), scored(run_id=NEW_RUN)
    await store.insert([old, new])
    read_before = await only(store, old.key)
    await store.settle_latest([new])
    assert await store.replace([read_before]) == {old.key}
    assert await latest_runs(store, old) == {NEW_RUN}


async def test_latest_is_settled_for_each_owner_and_offer_apart(store: ResultStore) -> None:
    """The same prospect has a latest result for each offer, and owners do not disturb each other."""
    records = [
        scored(run_id="1"),
        scored(run_id="2", offer_id="other offer"),
        scored(run_id="3", owner="other owner"),
        scored("other lead", run_id="0"),
    ]
    await store.insert(records)
    await store.settle_latest(records)
    assert all(record.latest for record in (await store.load([r.key for r in records])).values())


async def test_settling_changes_only_what_is_named(store: ResultStore) -> None:
    """Prospects that are not in the batch keep their marks until their own batch is settled."""
    named = [scored("named", run_id=OLD_RUN), scored("named", run_id=NEW_RUN)]
    others = [scored("other", run_id=OLD_RUN), scored("other", run_id=NEW_RUN)]
    await store.insert([*named, *others])
    await store.settle_latest(named)
    assert await latest_runs(store, others[0]) == {OLD_RUN, NEW_RUN}
    assert await latest_runs(store, named[0]) == {NEW_RUN}


async def test_scorings_of_a_prospect_come_from_the_newest_run_on(store: ResultStore) -> None:
    """Done and pending ones, for every offer, however many; none of another prospect or owner."""
    runs = [f"run-{number:03}" for number in range(120)]
    mine = [
        pending(run_id=run_id) if number % 50 == 7 else scored(run_id=run_id, offer_id=f"offer {number % 3}")
        for number, run_id in enumerate(runs)
    ]
    await store.insert([*mine, scored("other"), scored(run_id="run-x", owner="ann")])
    found = [record async for record in store.scorings("local", "lead")]
    assert [record.run_id for record in found] == runs[::-1]
    assert found[0] == mine[-1].model_copy(update={"revision": 1})
    assert [record.run_id async for record in store.scorings("ann", "lead")] == ["run-x"]
    assert [record async for record in store.scorings("ann", "other")] == []


async def test_pending_records_are_not_the_latest(store: ResultStore) -> None:
    """A newer run that has no result yet leaves the older result standing."""
    waiting = pending(run_id=NEW_RUN)
    await store.insert([scored(run_id=OLD_RUN), waiting])
    await store.settle_latest([scored(run_id=OLD_RUN)])
    assert await latest_runs(store, waiting) == {OLD_RUN}
    assert [record.run_id for record in await store.page(Query(owner="local"), None, 10)] == [OLD_RUN]


async def test_two_replicas_settle_on_the_same_result(open_store: OpenStore) -> None:
    """Two runs that end at the same time on two replicas leave exactly one latest result a prospect."""
    replicas = [await open_store(), await open_store()]
    leads = [f"lead-{number}" for number in range(40)]

    async def finish(store: ResultStore, run_id: str) -> None:
        records = [scored(lead_id, run_id=run_id) for lead_id in leads]
        await store.insert(records)
        await store.settle_latest(records)

    await asyncio.gather(finish(replicas[0], NEW_RUN), finish(replicas[1], OLD_RUN))
    assert [await latest_runs(replicas[0], scored(lead_id)) for lead_id in leads] == [{NEW_RUN}] * len(leads)


async def test_a_run_is_counted_from_its_records(store: ResultStore) -> None:
    """Scored leads count as scored, partial and failed ones as failed, pending ones and other runs not."""
    partial = scored("partial", status=Status.PARTIAL, intent=None)
    await store.insert([scored("a"), scored("b", latest=False), partial, failed("c"), pending("d")])
    await store.insert([scored("a", run_id=NEW_RUN)])
    assert await store.count_run(OLD_RUN) == Counts(scored=2, failed=2)
    assert await store.count_run("no such run") == Counts(scored=0, failed=0)


async def test_missing_names_the_layer_that_has_not_answered(store: ResultStore) -> None:
    """Pending leads are found by the part they lack; done ones and those whose lead is unknown are not."""
    rules, ai = scored().rules, scored().ai
    await store.insert(
        [
            pending("neither"),
            pending("no ai", rules=rules),
            pending("no rules", ai=ai),
            pending("no lead", lead=None, rules=rules),
            pending("other run", run_id=NEW_RUN),
            failed("done", ai=None),
        ]
    )
    assert {record.lead_id async for record in store.missing(OLD_RUN, "rules")} == {"neither", "no rules"}
    assert {record.lead_id async for record in store.missing(OLD_RUN, "ai")} == {"neither", "no ai"}


async def test_missing_may_be_worked_off_while_it_is_read(store: ResultStore) -> None:
    """Every missing lead is found once although those found before it are done by then."""
    await store.insert([pending(f"lead-{number:04}") for number in range(1_200)])
    seen: list[str] = []
    async for record in store.missing(OLD_RUN, "ai"):
        seen.append(record.lead_id)
        if len(seen) % 100 == 0:
            await store.replace([failed(lead_id, revision=1) for lead_id in seen[-100:]])
    assert sorted(seen) == [f"lead-{number:04}" for number in range(1_200)]
    assert await store.count_run(OLD_RUN) == Counts(scored=0, failed=1_200)
