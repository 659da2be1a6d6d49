"""That a page is one range of an index, in order, so that it stays fast at a million records."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from leadline_results.runs import mongo_queries, sqlite_queries
from leadline_results.runs.mongo_documents import to_document
from leadline_results.runs.record import Record, Status
from leadline_results.runs.store import Position, Query

LISTS = [
    Query(owner="local"),
    Query(owner="local", offer_id="offer", intent="High", min_score=20),
    Query(owner="local", run_id="run"),
    Query(owner="local", upload_id="upload"),
    *(Query(owner="local", status=status) for status in Status if status is not Status.CANCELLED),
    Query(owner="local", run_id="run", status=Status.CANCELLED),
]
UNSCORED = {Status.PENDING, Status.FAILED, Status.CANCELLED}
LIMIT = 20


def tied(number: int) -> Record:
    """Return one of many records that share a score with all others of their status."""
    status = list(Status)[number % len(Status)]
    scored = status in {Status.SCORED, Status.PARTIAL}
    return Record(
        owner="local",
        run_id="run",
        lead_id=f"{number:04}",
        offer_id="offer",
        model="standard",
        chunk="1",
        upload_id="upload",
        status=status,
        intent="High" if scored else None,
        score=50 if scored else None,
        latest=status not in {Status.PENDING, Status.CANCELLED},
    )


@pytest.fixture
def collection(mongodb_url: str, mongodb_database_name: str) -> Iterator[Collection[dict[str, Any]]]:
    """A collection of 2,000 records with the store's indexes."""
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        records = client[mongodb_database_name]["records"]
        records.create_indexes(mongo_queries.INDEXES)
        records.insert_many([to_document(tied(number), 1) for number in range(2_000)])
        yield records


def middle(query: Query) -> Position:
    """Return a position in the middle of the records that the query means."""
    return Position(-1 if query.status in UNSCORED else 50, "1000", "run")


@pytest.mark.servers
@pytest.mark.parametrize("query", LISTS, ids=str)
def test_a_page_in_mongodb_reads_little_more_than_it_returns(
    collection: Collection[dict[str, Any]], query: Query
) -> None:
    """A page amid a thousand tied scores neither sorts nor walks through those before it."""
    total = 0
    for chosen in mongo_queries.filters_after(query, middle(query)):
        page = collection.find(chosen).sort(mongo_queries.ORDER).limit(LIMIT)
        plan = page.hint(mongo_queries.index_for(query)).explain()
        found, keys = (plan["executionStats"][name] for name in ("nReturned", "totalKeysExamined"))
        total += found
        assert keys <= 2 * found + 5
        assert "'SORT'" not in str(plan["queryPlanner"]["winningPlan"])
    assert total >= LIMIT


@pytest.mark.parametrize("query", LISTS, ids=str)
def test_a_page_in_sqlite_starts_where_it_should(query: Query) -> None:
    """A page is one search of an index that seeks past every tie, without a sort of its own."""
    statement, values = sqlite_queries.ranked(query, middle(query), LIMIT)
    with sqlite3.connect(":memory:") as connection:
        connection.executescript(sqlite_queries.SCHEMA)
        (search,) = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    connection.close()
    assert "USING INDEX" in search
    assert "(place,lead_id" in search
