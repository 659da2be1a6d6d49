"""What every ResultStore promises about uploads' columns: the first told stay; uploads may share them."""

import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from leadline_contracts.scoring import Lead, SourceColumn
from leadline_results.runs import sqlite_queries
from leadline_results.runs.columns import UploadColumns
from leadline_results.runs.mongo_documents import to_document, to_record
from leadline_results.runs.record import Record
from leadline_results.runs.sqlite import SqliteResultStore
from leadline_results.runs.store import Query, ResultStore

from .builders import done_record

OpenStore = Callable[[], Awaitable[ResultStore]]

PLAIN = [SourceColumn(title="Title", field="role"), SourceColumn(title="Notes")]
HOSTILE = ["a.b", "$set", "$", "", ".", "_id", "Straße 李", '"quoted", and\nbroken', "title"]


def told(upload_id: str, columns: list[SourceColumn], owner: str = "local") -> UploadColumns:
    """The columns of an upload."""
    return UploadColumns(upload_id=upload_id, owner=owner, columns=columns)


def result(lead_id: str, upload_id: str | None, **changes: Any) -> Record:
    """A result of a prospect of that upload."""
    return done_record(Lead(id=lead_id, name="Ada"), upload_id=upload_id, **changes)


async def test_columns_come_back_in_their_order(store: ResultStore) -> None:
    """Titles of any text and what they hold are kept; an upload that nothing is known of is left out."""
    columns = [SourceColumn(title=title, field=None if n % 2 else "role") for n, title in enumerate(HOSTILE)]
    await store.see_columns([told("a", columns), told("b", PLAIN)])
    assert await store.columns(["a", "b", "unknown"]) == {"a": columns, "b": PLAIN}
    assert await store.columns([]) == {}


async def test_columns_that_are_known_stay(open_store: OpenStore) -> None:
    """A chunk that comes again, to any replica, changes nothing."""
    first, second = await open_store(), await open_store()
    await first.see_columns([told("a", PLAIN)])
    await second.see_columns([told("a", [SourceColumn(title="Other")]), told("b", PLAIN)])
    await second.see_columns([])
    assert await first.columns(["a", "b"]) == {"a": PLAIN, "b": PLAIN}


async def test_uploads_with_the_same_columns_are_named_once(store: ResultStore) -> None:
    """A query's uploads are told apart by their columns, and only those of its own records count."""
    swapped = PLAIN[::-1]
    await store.see_columns([told("1", PLAIN), told("2", PLAIN), told("3", swapped), told("4", swapped)])
    await store.insert(
        [
            result("a", "2"),
            result("b", "1", run_id="other"),
            result("c", "3"),
            result("d", "5", offer_id="older"),
            result("e", None, offer_id="older"),
            result("f", "4", owner="ann"),
        ]
    )
    assert await store.uploads_by_columns(Query(owner="local", offer_id="offer")) == ["1", "3"]
    assert await store.uploads_by_columns(Query(owner="local", run_id="other")) == ["1"]
    assert await store.uploads_by_columns(Query(owner="local", upload_id="3")) == ["3"]
    assert await store.uploads_by_columns(Query(owner="ann")) == ["4"]
    assert await store.uploads_by_columns(Query(owner="local", offer_id="older")) == [None]
    assert set(await store.uploads_by_columns(Query(owner="local"))) == {None, "1", "3"}
    assert await store.uploads_by_columns(Query(owner="nobody")) == []


async def test_other_columns_of_a_lead_come_back_whatever_their_titles(store: ResultStore) -> None:
    """No title is a path or an operator to a store: not when a record is written, nor when it is changed."""
    lead = Lead(id="lead", name="Ada", row=7, external_id="$7", extra=dict.fromkeys(HOSTILE, "$x.y"))
    record = done_record(lead)
    await store.insert([record])
    assert (await store.load([record.key]))[record.key].lead == lead
    changed = record.model_copy(update={"revision": 1, "score": 1})
    assert await store.replace([changed]) == set()
    found = (await store.load([record.key]))[record.key]
    assert (found.lead, found.score) == (lead, 1)


@pytest.mark.parametrize("kept", [{}, {"extra": None}, {"extra": {"Notes": "x"}}])
def test_a_document_of_an_earlier_version_is_read(kept: dict[str, Any]) -> None:
    """Records from before other columns were kept, or kept as pairs, are read as they were meant."""
    document = to_document(done_record(Lead(id="lead", name="Ada")), 1)
    for name in ("extra", "row", "external_id"):
        del document["lead"][name]
    lead = to_record({**document, "lead": {**document["lead"], **kept}}).lead
    assert lead is not None
    assert (lead.name, lead.extra, lead.row) == ("Ada", kept.get("extra"), None)


@pytest.fixture
async def old_file(tmp_path: Path) -> AsyncIterator[SqliteResultStore]:
    """A store over a file of the version before other columns were kept, with one result."""
    schema = sqlite_queries.SCHEMA[: sqlite_queries.SCHEMA.index("-- `columns`")]
    body = json.loads(result("lead", "old").model_dump_json())
    for name in ("extra", "row", "external_id"):
        del body["lead"][name]
    values = ["run", "lead", "local", "offer", "old", "scored", "High", 30, 1, 1]
    with sqlite3.connect(tmp_path / "results.db") as connection:
        connection.executescript(schema)
        connection.execute(
            "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [*values, json.dumps(body)]
        )
    connection.close()
    opened = SqliteResultStore(tmp_path / "results.db")
    yield opened
    await opened.close()


async def test_a_file_of_an_earlier_version_opens(old_file: SqliteResultStore) -> None:
    """Its results are read, their columns are not known, and those of new uploads are kept beside."""
    [found] = await old_file.page(Query(owner="local"), None, 10)
    assert found.lead == Lead(id="lead", name="Ada")
    assert await old_file.uploads_by_columns(Query(owner="local")) == [None]
    await old_file.see_columns([told("new", PLAIN)])
    assert await old_file.columns(["old", "new"]) == {"new": PLAIN}


@pytest.mark.servers
def test_mongodb_keeps_titles_as_values(mongodb_url: str, mongodb_database_name: str) -> None:
    """Titles are no field names of a document, so that no reader of the collection trips over them."""
    record = done_record(Lead(id="lead", extra={"a.b": "1", "$c": "2"}))
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        records = client[mongodb_database_name]["records"]
        records.insert_one(to_document(record, 1))
        [stored] = records.find({})
    assert stored["lead"]["extra"] == [["a.b", "1"], ["$c", "2"]]
    assert to_record(stored).lead == record.lead
