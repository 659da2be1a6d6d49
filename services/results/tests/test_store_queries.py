"""What every ResultStore promises about lists: filters, order, paging, counts."""

import random
from collections.abc import Iterable
from itertools import product

import pytest

from leadline_contracts.scoring import Intent
from leadline_results.runs.record import Key, Record, Status
from leadline_results.runs.store import Position, Query, ResultStore

OWNERS = ("local", "acme")
OFFERS = ("offer 1", "offer 2")
RUNS = ("run 1", "run 2")
UPLOADS = ("upload 1", "upload 2")


def population() -> list[Record]:
    """Return 240 records in every state; a fifth of them share each of a few scores."""
    chance = random.Random(7)
    return [
        any_record(chance, owner, offer_id, f"{run_id} of {owner} for {offer_id}", f"lead {number:02}")
        for owner, offer_id, run_id, number in product(OWNERS, OFFERS, RUNS, range(30))
    ]


def any_record(chance: random.Random, owner: str, offer_id: str, run_id: str, lead_id: str) -> Record:
    """Return a record in a state by chance."""
    status = chance.choice(list(Status))
    intents: list[Intent] = ["High", "Medium", "Low"]
    has_score = status in {Status.SCORED, Status.PARTIAL}
    return Record(
        owner=owner,
        run_id=run_id,
        lead_id=lead_id,
        offer_id=offer_id,
        model="standard",
        chunk="1",
        upload_id=chance.choice(UPLOADS),
        status=status,
        intent=chance.choice(intents) if status is Status.SCORED else None,
        score=chance.choice([0, 30, 60, 100]) if has_score else None,
        latest=status not in {Status.PENDING, Status.CANCELLED} and chance.random() < 0.6,
    )


def meant(record: Record, query: Query) -> bool:
    """Say what the port's words mean for one record."""
    wanted = query.model_dump(exclude_none=True, exclude={"min_score"})
    return (
        all(getattr(record, name) == value for name, value in wanted.items())
        and (record.status not in {Status.PENDING, Status.CANCELLED} or record.status is query.status)
        and (record.latest or query.run_id is not None or query.status is Status.PENDING)
        and (query.min_score is None or (record.score is not None and record.score >= query.min_score))
    )


def rank(record: Record) -> tuple[int, str, str]:
    """Return what results are sorted by."""
    return -(-1 if record.score is None else record.score), record.lead_id, record.run_id


def position(record: Record) -> Position:
    """Return the position just after a record, as a caller writes it into a cursor."""
    return Position(-1 if record.score is None else record.score, record.lead_id, record.run_id)


def names(records: Iterable[Record]) -> list[Key]:
    """Return what tells records apart."""
    return [record.key for record in records]


FILTERS: dict[str, list[object]] = {
    "offer_id": ["offer 1"],
    "run_id": ["run 1 of local for offer 1"],
    "upload_id": ["upload 2"],
    "intent": ["High"],
    "min_score": [0, 60],
    "status": list(Status),
}
COMBINATIONS = [
    Query.model_validate({"owner": "local", **dict(zip(FILTERS, values, strict=True))})
    for values in product(*([None, *values] for values in FILTERS.values()))
]
PAGED = [
    Query(owner="local"),
    Query(owner="local", offer_id="offer 2", min_score=30),
    Query(owner="acme", run_id="run 2 of acme for offer 1"),
    Query(owner="local", upload_id="upload 1"),
    *(Query(owner="local", status=status) for status in Status if status is not Status.CANCELLED),
    Query(owner="local", run_id="run 1 of local for offer 1", status=Status.CANCELLED),
]


@pytest.fixture
async def filled(store: ResultStore) -> ResultStore:
    """A store that holds the population."""
    await store.insert(population())
    return store


async def test_every_combination_of_filters_means_what_the_port_says(filled: ResultStore) -> None:
    """Each filter alone and with all others finds the right records, in order, and counts them."""
    records = sorted(population(), key=rank)
    for query in COMBINATIONS:
        expected = names(record for record in records if meant(record, query))
        assert names(await filled.page(query, None, 1_000)) == expected, query
        assert await filled.count(query) == len(expected), query


@pytest.mark.parametrize("query", PAGED, ids=str)
async def test_pages_hold_each_record_once_though_scores_tie(filled: ResultStore, query: Query) -> None:
    """Going on after the last record of each page visits all of them in order, none twice."""
    expected = names(sorted((r for r in population() if meant(r, query)), key=rank))
    found: list[Record] = []
    while page := await filled.page(query, position(found[-1]) if found else None, 3):
        assert len(page) <= 3
        found += page
    assert len(expected) > 3
    assert names(found) == expected


async def test_a_position_need_not_be_in_the_list(filled: ResultStore) -> None:
    """A cursor made for one list, or for a record that has moved since, goes on from its position."""
    query = Query(owner="local", min_score=60)
    expected = sorted((r for r in population() if meant(r, query)), key=rank)
    assert names(await filled.page(query, Position(101, "", ""), 1_000)) == names(expected)
    assert names(await filled.page(query, Position(60, "", ""), 1_000)) == names(
        r for r in expected if r.score == 60
    )
    assert await filled.page(query, Position(30, "", ""), 1_000) == []


async def test_a_stream_yields_what_the_pages_hold(store: ResultStore) -> None:
    """An export of more than fits in memory at once has the same records in the same order."""
    tied = [
        any_record(random.Random(number), "local", "offer", "run", f"lead {number:04}")
        for number in range(1_600)
    ]
    await store.insert(tied)
    for query in (
        Query(owner="local", run_id="run"),
        Query(owner="local"),
        Query(owner="local", min_score=101),
    ):
        expected = names(sorted((r for r in tied if meant(r, query)), key=rank))
        assert names([record async for record in store.stream(query)]) == expected


async def test_owners_never_see_each_others_results(filled: ResultStore) -> None:
    """Naming another owner's run or offer shows nothing of it."""
    foreign = Query(owner="local", run_id="run 1 of acme for offer 1")
    assert await filled.page(foreign, None, 10) == []
    assert await filled.count(foreign) == 0
    assert [record async for record in filled.stream(foreign)] == []
    for query in (Query(owner="acme"), Query(owner="acme", status=Status.PENDING)):
        assert {record.owner for record in await filled.page(query, None, 1_000)} == {"acme"}
    assert await filled.count(Query(owner="nobody")) == 0
