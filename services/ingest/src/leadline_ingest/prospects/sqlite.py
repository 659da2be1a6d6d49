"""Offers, uploads and their prospects in SQLite."""

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime

from leadline_contracts.errors import NotFound
from leadline_contracts.scoring import LEAD_FIELDS, Offer
from leadline_ingest.prospects.store import Known, Prospect, RejectedCells, Upload
from leadline_ingest.stores.sqlite_tables import Tables, read_upload

_ADD_OFFER = "INSERT INTO offers (id, owner, inline, offer) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_OPEN_UPLOAD = """
INSERT INTO uploads (id, owner, offer_id, ready, last_row, alive_at, source) VALUES (?, ?, ?, 0, 0, ?, ?)
ON CONFLICT DO UPDATE SET alive_at = excluded.alive_at
"""
_ADD_PROSPECT = f"""
INSERT INTO prospects
    (lead_id, owner, upload_id, row, {", ".join(LEAD_FIELDS)}, external_id, extra, fields_number, mark_number)
VALUES (?, ?, ?, ?, {", ".join("?" * len(LEAD_FIELDS))}, ?, ?, ?, ?)
ON CONFLICT (lead_id) DO NOTHING
"""  # noqa: S608 - the names are our own
_READY_WITH_PROSPECT = """
SELECT id FROM uploads WHERE owner = ? AND ready
AND EXISTS (SELECT 1 FROM prospects WHERE upload_id = uploads.id)
LIMIT 1
"""
_KNOWN = """
SELECT number_of.value AS number, prospects.upload_id, prospects.row
FROM json_each(?) AS number_of CROSS JOIN prospects ON prospects.{column} = number_of.value
JOIN uploads ON uploads.id = prospects.upload_id AND uploads.ready
ORDER BY prospects.number DESC
"""
_REJECTED_AT_ONCE = 500
_COMMIT = """
UPDATE uploads SET ready = 1, offer_id = ?, last_row = ?, columns = ?, report = ? WHERE id = ?
"""


class SqliteUploads(Tables):
    """The port's methods for offers, uploads and prospects."""

    async def add_offer(self, owner: str, offer: Offer, *, inline: bool) -> None:
        await self._change(_ADD_OFFER, offer.id, owner, inline, offer.model_dump_json())

    async def offer(self, owner: str, offer_id: str) -> Offer | None:
        row = await self._one("SELECT offer FROM offers WHERE owner = ? AND id = ?", owner, offer_id)
        return Offer.model_validate_json(row["offer"]) if row else None

    async def offers(self, owner: str, before: str | None, limit: int) -> list[Offer]:
        query = """
        SELECT offer FROM offers WHERE owner = ? AND NOT inline AND (? IS NULL OR id < ?)
        ORDER BY id DESC LIMIT ?
        """
        rows = await self._all(query, owner, before, before, limit)
        return [Offer.model_validate_json(row["offer"]) for row in rows]

    async def newest_offer(self, owner: str) -> Offer | None:
        query = "SELECT offer FROM offers WHERE owner = ? AND NOT inline ORDER BY id DESC LIMIT 1"
        row = await self._one(query, owner)
        return Offer.model_validate_json(row["offer"]) if row else None

    async def open_upload(self, upload: Upload, at: datetime) -> None:
        await self._change(
            _OPEN_UPLOAD, upload.id, upload.owner, upload.offer_id, at.timestamp(), upload.source
        )

    async def add_prospects(self, upload: Upload, prospects: Sequence[Prospect], at: datetime) -> None:
        def work(connection: sqlite3.Connection) -> None:
            alive = "UPDATE uploads SET alive_at = ? WHERE id = ?"
            if not connection.execute(alive, (at.timestamp(), upload.id)).rowcount:
                raise _gone(upload.id)
            connection.executemany(_ADD_PROSPECT, _prospect_rows(upload, prospects))

        await self._database.write(work)

    async def known(self, numbers: Sequence[int]) -> dict[int, Known]:
        wanted = json.dumps(list(numbers))

        def read(connection: sqlite3.Connection) -> dict[int, Known]:
            return {
                row["number"]: Known(row["upload_id"], row["row"])
                for column in ("fields_number", "mark_number")
                for row in connection.execute(_KNOWN.format(column=column), [wanted])
            }

        return await self._database.read(read) if numbers else {}

    async def add_rejected(self, upload: Upload, rows: Sequence[RejectedCells]) -> None:
        add = "INSERT INTO rejected_rows VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        values = [
            (upload.id, one.row, one.column, one.reason, None if one.cells is None else json.dumps(one.cells))
            for one in rows
        ]
        await self._database.write(lambda connection: connection.executemany(add, values).rowcount)

    async def rejected(self, upload_id: str) -> AsyncIterator[RejectedCells]:
        query = "SELECT * FROM rejected_rows WHERE upload_id = ? AND row > ? ORDER BY row LIMIT ?"
        row = 0
        while page := await self._all(query, upload_id, row, _REJECTED_AT_ONCE):
            for one in page:
                cells = None if one["cells"] is None else tuple(json.loads(one["cells"]))
                yield RejectedCells(one["row"], one["title"], one["reason"], cells)
            row = page[-1]["row"]

    async def commit_upload(self, upload: Upload) -> None:
        columns = json.dumps([column.model_dump() for column in upload.columns])
        report = None if upload.report is None else upload.report.model_dump_json()
        if not await self._change(_COMMIT, upload.offer_id, upload.last_row, columns, report, upload.id):
            raise _gone(upload.id)

    async def drop_upload(self, upload_id: str) -> None:
        def work(connection: sqlite3.Connection) -> None:
            forget = "DELETE FROM uploads WHERE id = ? AND NOT ready"
            if connection.execute(forget, (upload_id,)).rowcount:
                connection.execute("DELETE FROM prospects WHERE upload_id = ?", (upload_id,))
                connection.execute("DELETE FROM rejected_rows WHERE upload_id = ?", (upload_id,))

        await self._database.write(work)

    async def abandoned_uploads(self, before: datetime) -> list[str]:
        query = "SELECT id FROM uploads WHERE NOT ready AND alive_at < ?"
        return [row["id"] for row in await self._all(query, before.timestamp())]

    async def upload(self, owner: str, upload_id: str) -> Upload | None:
        query = "SELECT * FROM uploads WHERE id = ? AND owner = ? AND ready"
        row = await self._one(query, upload_id, owner)
        return read_upload(row) if row else None

    async def uploads(self, owner: str, before: str | None, limit: int) -> list[Upload]:
        query = """
        SELECT * FROM uploads WHERE owner = ? AND ready AND source = 'file' AND (? IS NULL OR id < ?)
        ORDER BY id DESC LIMIT ?
        """
        return [read_upload(row) for row in await self._all(query, owner, before, before, limit)]

    async def has_prospects(self, owner: str) -> bool:
        return await self._one(_READY_WITH_PROSPECT, owner) is not None


def _prospect_rows(upload: Upload, prospects: Sequence[Prospect]) -> Iterator[tuple[str | int | None, ...]]:
    for row, lead, identity in prospects:
        yield (
            *(lead.id, upload.owner, upload.id, row),
            *(getattr(lead, field) for field in LEAD_FIELDS),
            lead.external_id,
            None if lead.extra is None else json.dumps(lead.extra, ensure_ascii=False),
            *(identity or (None, None)),
        )


def _gone(upload_id: str) -> NotFound:
    return NotFound(f"upload {upload_id} is not known, perhaps dropped as abandoned; start it again")
