"""Offers, uploads and their prospects in SQLite."""

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime

from leadline_contracts.errors import NotFound
from leadline_contracts.scoring import LEAD_FIELDS, Offer
from leadline_ingest.prospects.store import Prospect, Upload
from leadline_ingest.stores.sqlite_tables import Tables, read_upload

_ADD_OFFER = "INSERT INTO offers (id, owner, inline, offer) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_OPEN_UPLOAD = """
INSERT INTO uploads (id, owner, offer_id, ready, last_row, alive_at) VALUES (?, ?, ?, 0, 0, ?)
ON CONFLICT DO UPDATE SET alive_at = excluded.alive_at
"""
_ADD_PROSPECT = f"""
INSERT INTO prospects (lead_id, owner, upload_id, row, {", ".join(LEAD_FIELDS)})
VALUES (?, ?, ?, ?, {", ".join("?" * len(LEAD_FIELDS))})
ON CONFLICT (lead_id) DO NOTHING
"""  # noqa: S608 - the names are our own
_READY_WITH_PROSPECT = """
SELECT id FROM uploads WHERE owner = ? AND ready
AND EXISTS (SELECT 1 FROM prospects WHERE upload_id = uploads.id)
LIMIT 1
"""


class SqliteUploads(Tables):
    """The port's methods for offers, uploads and prospects."""

    async def add_offer(self, owner: str, offer: Offer, *, inline: bool) -> None:
        await self._change(_ADD_OFFER, offer.id, owner, inline, offer.model_dump_json())

    async def offer(self, owner: str, offer_id: str) -> Offer | None:
        row = await self._one("SELECT offer FROM offers WHERE owner = ? AND id = ?", owner, offer_id)
        return Offer.model_validate_json(row["offer"]) if row else None

    async def newest_offer(self, owner: str) -> Offer | None:
        query = "SELECT offer FROM offers WHERE owner = ? AND NOT inline ORDER BY id DESC LIMIT 1"
        row = await self._one(query, owner)
        return Offer.model_validate_json(row["offer"]) if row else None

    async def open_upload(self, upload: Upload, at: datetime) -> None:
        await self._change(_OPEN_UPLOAD, upload.id, upload.owner, upload.offer_id, at.timestamp())

    async def add_prospects(self, upload: Upload, prospects: Sequence[Prospect], at: datetime) -> None:
        def work(connection: sqlite3.Connection) -> None:
            alive = "UPDATE uploads SET alive_at = ? WHERE id = ?"
            if not connection.execute(alive, (at.timestamp(), upload.id)).rowcount:
                raise _gone(upload.id)
            connection.executemany(_ADD_PROSPECT, _prospect_rows(upload, prospects))

        await self._database.write(work)

    async def commit_upload(self, upload: Upload) -> None:
        commit = "UPDATE uploads SET ready = 1, offer_id = ?, last_row = ? WHERE id = ?"
        if not await self._change(commit, upload.offer_id, upload.last_row, upload.id):
            raise _gone(upload.id)

    async def drop_upload(self, upload_id: str) -> None:
        def work(connection: sqlite3.Connection) -> None:
            forget = "DELETE FROM uploads WHERE id = ? AND NOT ready"
            if connection.execute(forget, (upload_id,)).rowcount:
                connection.execute("DELETE FROM prospects WHERE upload_id = ?", (upload_id,))

        await self._database.write(work)

    async def abandoned_uploads(self, before: datetime) -> list[str]:
        query = "SELECT id FROM uploads WHERE NOT ready AND alive_at < ?"
        return [row["id"] for row in await self._all(query, before.timestamp())]

    async def upload(self, owner: str, upload_id: str) -> Upload | None:
        query = "SELECT * FROM uploads WHERE id = ? AND owner = ? AND ready"
        row = await self._one(query, upload_id, owner)
        return read_upload(row) if row else None

    async def has_prospects(self, owner: str) -> bool:
        return await self._one(_READY_WITH_PROSPECT, owner) is not None


def _prospect_rows(upload: Upload, prospects: Sequence[Prospect]) -> Iterator[tuple[str | int, ...]]:
    for row, lead in prospects:
        yield lead.id, upload.owner, upload.id, row, *(getattr(lead, field) for field in LEAD_FIELDS)


def _gone(upload_id: str) -> NotFound:
    return NotFound(f"upload {upload_id} is not known, perhaps dropped as abandoned; start it again")
