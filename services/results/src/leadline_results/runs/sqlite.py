"""The ResultStore over SQLite, for one process."""

import json
import sqlite3
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from leadline_common.storage.sqlite import Database, SqliteStore
from leadline_contracts.scoring import SourceColumn
from leadline_results.runs import sqlite_queries as sql
from leadline_results.runs.columns import UploadColumns
from leadline_results.runs.rank import NO_SCORE, PENDING, rank_of
from leadline_results.runs.record import Key, Record
from leadline_results.runs.spend import RunSpend
from leadline_results.runs.store import Counts, Layer, Position, Query, Run, RunQuery, position_of

_BATCH = 500
_SCORINGS_AT_ONCE = 50


class SqliteResultStore(SqliteStore):
    """Records, runs and their spend, and the columns of uploads, in one file.

    A record's body is its JSON, beside the columns that queries need.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file; raises Unavailable where that cannot be done."""
        super().__init__(Database(path, sql.SCHEMA, sql.ADDED))

    async def insert(self, records: Sequence[Record]) -> set[Key]:
        return await self._write_records(sql.INSERT, [_row(record, 1) for record in records])

    async def replace(self, records: Sequence[Record]) -> set[Key]:
        return await self._write_records(
            sql.REPLACE, [_row(record, record.revision + 1) for record in records]
        )

    async def _write_records(self, statement: str, rows: list[dict[str, Any]]) -> set[Key]:
        """Run the statement on each row; return the keys of the rows it did not change."""

        def write(connection: sqlite3.Connection) -> set[Key]:
            return {
                Key(row["run_id"], row["lead_id"])
                for row in rows
                if connection.execute(statement, row).rowcount == 0
            }

        return await self._database.write(write) if rows else set()

    async def load(self, keys: Collection[Key]) -> dict[Key, Record]:
        records = await self._select(sql.LOAD, [json.dumps(list(keys))])
        return {record.key: record for record in records}

    async def settle_latest(self, records: Sequence[Record]) -> None:
        if not records:
            return
        lead_ids = json.dumps([record.lead_id for record in records])
        await self._database.write(lambda connection: connection.execute(sql.SETTLE, [lead_ids]).rowcount)

    async def page(self, query: Query, after: Position | None, limit: int) -> list[Record]:
        return await self._select(*sql.ranked(query, after, limit))

    async def count(self, query: Query) -> int:
        source, values = sql.from_where(query)
        return int((await self._row(f"SELECT count(*) AS records {source}", values))["records"])

    async def stream(self, query: Query) -> AsyncIterator[Record]:
        after: Position | None = None
        while records := await self.page(query, after, _BATCH):
            for record in records:
                yield record
            after = position_of(records[-1])

    async def scorings(self, owner: str, lead_id: str) -> AsyncIterator[Record]:
        values = {"owner": owner, "lead_id": lead_id, "before": None, "limit": _SCORINGS_AT_ONCE}
        while records := await self._select(sql.SCORINGS, values):
            for record in records:
                yield record
            values |= {"before": records[-1].run_id}

    async def see_columns(self, told: Sequence[UploadColumns]) -> None:
        rows = [
            one.model_dump(include={"upload_id", "owner"})
            | {"layout": one.layout, "columns": json.dumps([vars(column) for column in one.columns])}
            for one in told
        ]
        await self._database.write(lambda connection: connection.executemany(sql.SEE_COLUMNS, rows).rowcount)

    async def columns(self, upload_ids: Collection[str]) -> dict[str, list[SourceColumn]]:
        return await self._database.read(
            lambda connection: {
                row["upload_id"]: [SourceColumn.model_validate(one) for one in json.loads(row["columns"])]
                for row in connection.execute(sql.COLUMNS, [json.dumps(list(upload_ids))])
            }
        )

    async def uploads_by_columns(self, query: Query) -> list[str | None]:
        return await self._database.read(
            lambda connection: [
                row["layout"] and row["upload_id"]
                for row in connection.execute(*sql.uploads_by_columns(query))
            ]
        )

    async def see_run(self, run: Run) -> bool:
        row = run.model_dump(mode="json") | {"offer": run.offer and run.offer.model_dump_json()}

        def see(connection: sqlite3.Connection) -> bool:
            known = connection.execute("SELECT 1 FROM runs WHERE run_id = ?", [run.run_id]).fetchone()
            connection.execute(sql.SEE_RUN, row)
            return known is None

        return await self._database.write(see)

    async def run(self, run_id: str) -> Run | None:
        runs = await self._runs("SELECT * FROM runs WHERE run_id = ?", [run_id])
        return runs[0] if runs else None

    async def runs(self, query: RunQuery, before: str | None, limit: int) -> list[Run]:
        source, values = sql.runs_from_where(query, before)
        ordered = f"SELECT * {source} ORDER BY run_id DESC LIMIT :limit"
        return await self._runs(ordered, {**values, "limit": limit})

    async def count_runs(self, query: RunQuery) -> int:
        source, values = sql.runs_from_where(query)
        return int((await self._row(f"SELECT count(*) AS runs {source}", values))["runs"])

    async def unfinished_runs(self) -> list[Run]:
        return await self._runs("SELECT * FROM runs WHERE NOT announced", [])

    async def count_run(self, run_id: str) -> Counts:
        row = await self._row(sql.COUNT_RUN, [run_id, NO_SCORE])
        return Counts(row["scored"], row["failed"], row["dropped"])

    async def save_progress(self, run_id: str, counts: Counts, at: datetime) -> None:
        await self._change(sql.SAVE_PROGRESS, {"run_id": run_id, **counts._asdict(), "at": at.isoformat()})

    async def finish_run(self, run_id: str, counts: Counts, at: datetime) -> bool:
        row = {"run_id": run_id, **counts._asdict(), "at": at.isoformat()}
        return await self._change(sql.FINISH_RUN, row)

    async def cancel_run(self, run_id: str, total: int, at: datetime) -> bool:
        return await self._change(sql.CANCEL_RUN, {"run_id": run_id, "total": total, "at": at.isoformat()})

    async def mark_announced(self, run_id: str) -> None:
        await self._change("UPDATE runs SET announced = 1 WHERE run_id = :run_id", {"run_id": run_id})

    async def mark_redriven(self, run_id: str, nudges: int, at: datetime) -> bool:
        row = {"run_id": run_id, "nudges": nudges, "at": at.isoformat()}
        return await self._change(sql.MARK_REDRIVEN, row)

    async def see_spend(self, spent: Sequence[RunSpend]) -> None:
        rows = [vars(one) for one in spent]
        await self._database.write(lambda connection: connection.executemany(sql.SEE_SPEND, rows).rowcount)

    async def spend(self, *run_ids: str) -> list[RunSpend]:
        values = [json.dumps(run_ids)]
        return await self._database.read(
            lambda connection: [
                RunSpend.model_validate(dict(row)) for row in connection.execute(sql.SPEND, values)
            ]
        )

    async def missing(self, run_id: str, layer: Layer) -> AsyncIterator[Record]:
        values: sql.Values = {"run_id": run_id, "place": PENDING, "after": "", "limit": _BATCH}
        while records := await self._select(sql.MISSING[layer], values):
            for record in records:
                yield record
            values["after"] = records[-1].lead_id

    async def _select(self, statement: str, values: Any) -> list[Record]:
        # Records are parsed in the reader's thread, in pages, so that the event loop goes on meanwhile.
        return await self._database.read(
            lambda connection: [
                Record.model_validate_json(row["body"]) for row in connection.execute(statement, values)
            ]
        )

    async def _row(self, statement: str, values: Any) -> sqlite3.Row:
        def first(connection: sqlite3.Connection) -> sqlite3.Row:
            row: sqlite3.Row = connection.execute(statement, values).fetchone()
            return row

        return await self._database.read(first)

    async def _runs(self, statement: str, values: Any) -> list[Run]:
        return await self._database.read(
            lambda connection: [_to_run(row) for row in connection.execute(statement, values)]
        )

    async def _change(self, statement: str, row: dict[str, Any]) -> bool:
        """Run the statement; return whether it changed anything."""
        return await self._database.write(lambda connection: connection.execute(statement, row).rowcount > 0)


def _row(record: Record, revision: int) -> dict[str, Any]:
    return {
        "run_id": record.run_id,
        "lead_id": record.lead_id,
        "owner": record.owner,
        "offer_id": record.offer_id,
        "upload_id": record.upload_id,
        "status": record.status.value,
        "intent": record.intent,
        "place": rank_of(record),
        "latest": record.latest,
        "revision": revision,
        "body": record.model_copy(update={"revision": revision}).model_dump_json(),
    }


def _to_run(row: sqlite3.Row) -> Run:
    offer = row["offer"] and json.loads(row["offer"])
    return Run.model_validate({**dict(row), "offer": offer})
