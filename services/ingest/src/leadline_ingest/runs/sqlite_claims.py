"""Which run holds which prospect, in SQLite."""

import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from functools import partial

from leadline_contracts.scoring import lead_bytes
from leadline_ingest.prospects.store import Prospect, Upload
from leadline_ingest.runs.store import RunRequest, page_is_full
from leadline_ingest.stores.sqlite_tables import Tables, Value, read_prospect, read_upload

_NEXT_UPLOAD = """
SELECT * FROM uploads
WHERE owner = ? AND ready AND (offer_id IS NULL OR offer_id = ?) AND id > ?
AND (? OR NOT EXISTS (SELECT 1 FROM covered WHERE claim_key = ? AND upload_id = uploads.id))
"""
_CLAIM = """
INSERT INTO claims (claim_key, prospect, run_id)
SELECT ?, number, ? FROM prospects WHERE upload_id = ? AND row BETWEEN ? AND ?
ON CONFLICT DO NOTHING
"""
_TAKE_OVER = """
UPDATE claims SET run_id = ?1
WHERE claim_key = ?2
AND prospect IN (SELECT number FROM prospects WHERE upload_id = ?3 AND row BETWEEN ?4 AND ?5)
AND EXISTS (
    SELECT 1 FROM runs AS refresh, runs AS holder
    WHERE refresh.id = ?1 AND holder.id = claims.run_id AND holder.newest_at_end < refresh.number
)
"""
# A cross join keeps this order of the tables: from the few rows asked for to their claims.
_HELD = """
SELECT prospects.* FROM prospects CROSS JOIN claims
WHERE upload_id = ? AND row BETWEEN ? AND ?
AND claims.claim_key = ? AND claims.prospect = prospects.number AND claims.run_id = ?
ORDER BY row
"""
_COVER = """
INSERT INTO covered (claim_key, upload_id)
SELECT :claim_key, :upload_id WHERE NOT EXISTS (
    SELECT 1 FROM prospects WHERE upload_id = :upload_id AND NOT EXISTS (
        SELECT 1 FROM claims WHERE claim_key = :claim_key AND claims.prospect = prospects.number
    )
)
ON CONFLICT DO NOTHING
"""
_UNCOVER = """
DELETE FROM covered WHERE claim_key = ? AND upload_id IN (
    SELECT upload_id FROM prospects WHERE lead_id IN (SELECT value FROM json_each(?))
)
"""
_RELEASE = """
DELETE FROM claims WHERE claim_key = ? AND run_id = ? AND prospect IN (
    SELECT number FROM prospects WHERE lead_id IN (SELECT value FROM json_each(?))
)
"""

_UNCOVER_ONE = "DELETE FROM covered WHERE claim_key = ? AND upload_id = ?"
_RELEASE_ROWS = """
DELETE FROM claims WHERE claim_key = ? AND run_id = ? AND prospect IN (
    SELECT number FROM prospects WHERE upload_id = ? AND row BETWEEN ? AND ?
)
"""


class SqliteClaims(Tables):
    """The port's methods for finding, claiming and releasing prospects."""

    async def next_upload(self, run: RunRequest, after: str | None) -> Upload | None:
        values = (run.owner, run.offer.id, after or "", run.refresh, run.claim_key)
        if run.upload_id:
            row = await self._one(f"{_NEXT_UPLOAD} AND id = ?", *values, run.upload_id)
        else:
            row = await self._one(f"{_NEXT_UPLOAD} ORDER BY id LIMIT 1", *values)
        return read_upload(row) if row else None

    async def claim(
        self, run: RunRequest, upload: Upload, first_row: int, last_row: int
    ) -> AsyncIterator[list[Prospect]]:
        if run.refresh:
            # First, since a prospect that its holder releases in between is then claimed as open.
            await self._change(_TAKE_OVER, run.id, run.claim_key, upload.id, first_row, last_row)
        await self._change(_CLAIM, run.claim_key, run.id, upload.id, first_row, last_row)
        while page := await self._database.read(
            partial(_held, values=(upload.id, first_row, last_row, run.claim_key, run.id))
        ):
            first_row = page[-1].row + 1
            yield page

    async def cover(self, run: RunRequest, upload_id: str) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute(_COVER, {"claim_key": run.claim_key, "upload_id": upload_id})

        await self._database.write(work)

    async def release(self, run_id: str, claim_key: str, lead_ids: Sequence[str]) -> None:
        leads = json.dumps(list(lead_ids))

        def work(connection: sqlite3.Connection) -> None:
            if connection.execute(_RELEASE, (claim_key, run_id, leads)).rowcount:
                connection.execute(_UNCOVER, (claim_key, leads))

        await self._database.write(work)

    async def release_rows(self, run: RunRequest, upload_id: str, first_row: int, last_row: int) -> None:
        rows = (run.claim_key, run.id, upload_id, first_row, last_row)

        def work(connection: sqlite3.Connection) -> None:
            if connection.execute(_RELEASE_ROWS, rows).rowcount:
                connection.execute(_UNCOVER_ONE, (run.claim_key, upload_id))

        await self._database.write(work)


def _held(connection: sqlite3.Connection, values: tuple[Value, ...]) -> list[Prospect]:
    """Read a page of the prospects that are held."""
    page: list[Prospect] = []
    size = 0
    for row in connection.execute(_HELD, values):
        page.append(read_prospect(row))
        size += lead_bytes(page[-1].lead)
        if page_is_full(len(page), size):
            break
    return page
