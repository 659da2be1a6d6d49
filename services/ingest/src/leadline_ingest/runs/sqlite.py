"""Run requests in SQLite."""

from datetime import datetime

from leadline_ingest.runs.store import Cursor, Lease, RunRequest
from leadline_ingest.stores.sqlite_tables import Tables, Value, read_run

# On a conflict a column is set to itself, so that RETURNING gives the existing row.
_ADD = """
INSERT INTO runs (
    id, owner, submission, offer, model, upload_id, refresh, foreground, trace,
    expected, state, cancelled, queued, cursor_upload, cursor_row, scored, failed
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET token = token
RETURNING *
"""
_LEASE = """
UPDATE runs SET token = token + 1, leased_until = ?
WHERE id = ? AND state = 'publishing' AND leased_until <= ?
RETURNING *
"""
_ADVANCE = """
UPDATE runs SET cursor_upload = ?, cursor_row = ?, queued = ?, leased_until = ?
WHERE id = ? AND token = ? AND state = 'publishing'
"""
# The end of a run may be reported before its outbox has noted that all chunks are published.
_FINISH_PUBLISHING = """
UPDATE runs SET state = CASE state WHEN 'publishing' THEN 'published' ELSE state END, leased_until = 0
WHERE id = ? AND token = ? AND cancelled = ?
"""
_CANCEL = """
UPDATE runs SET cancelled = 1, state = 'publishing'
WHERE owner = ? AND id = ? AND state <> 'finished' AND NOT cancelled
"""
_NOTE_PROGRESS = """
UPDATE runs SET scored = ?, failed = ? WHERE id = ? AND state <> 'finished'
"""
_FINISH = """
UPDATE runs
SET scored = ?, failed = ?, cancelled = ?, state = 'finished', newest_at_end = (SELECT max(number) FROM runs)
WHERE id = ? AND state <> 'finished'
"""
_UNFINISHED = """
SELECT runs.*, (SELECT count(*) FROM prospects WHERE prospects.upload_id = runs.upload_id) AS prospects
FROM runs WHERE foreground AND state <> 'finished' AND NOT cancelled ORDER BY id
"""


class SqliteRuns(Tables):
    """The port's methods for run requests and their leases."""

    async def add_run(self, run: RunRequest) -> None:
        await self._written(_ADD, *_columns(run, submission=None))

    async def add_submission_run(self, run: RunRequest) -> RunRequest:
        [row] = await self._written(_ADD, *_columns(run, submission=run.upload_id))
        return read_run(row)

    async def run(self, owner: str, run_id: str) -> RunRequest | None:
        row = await self._one("SELECT * FROM runs WHERE owner = ? AND id = ?", owner, run_id)
        return read_run(row) if row else None

    async def cancel(self, owner: str, run_id: str) -> RunRequest | None:
        await self._change(_CANCEL, owner, run_id)
        return await self.run(owner, run_id)

    async def lease_run(self, run_id: str, now: datetime, until: datetime) -> Lease | None:
        leased = await self._written(_LEASE, until.timestamp(), run_id, now.timestamp())
        return Lease(read_run(leased[0]), leased[0]["token"]) if leased else None

    async def publishable_runs(self, now: datetime) -> list[str]:
        query = "SELECT id FROM runs WHERE state = 'publishing' AND leased_until <= ? ORDER BY id"
        return [row["id"] for row in await self._all(query, now.timestamp())]

    async def end_leases(self) -> None:
        """End every lease; for the one process that holds the data directory, at its start."""
        await self._change("UPDATE runs SET leased_until = 0")

    async def unfinished_foreground_runs(self) -> list[tuple[RunRequest, int]]:
        """Return the foreground runs without an end, each with how many prospects its upload has.

        For the one process that holds the data directory, at its start: their commands have ended.
        """
        return [(read_run(row), row["prospects"]) for row in await self._all(_UNFINISHED)]

    async def advance(self, lease: Lease, cursor: Cursor, queued: int, until: datetime) -> bool:
        changed = await self._change(_ADVANCE, *cursor, queued, until.timestamp(), lease.run.id, lease.token)
        return changed > 0

    async def finish_publishing(self, lease: Lease) -> bool:
        return await self._change(_FINISH_PUBLISHING, lease.run.id, lease.token, lease.run.cancelled) > 0

    async def note_progress(
        self, run_id: str, scored: int, failed: int, *, finished: bool, cancelled: bool = False
    ) -> None:
        if finished:
            await self._change(_FINISH, scored, failed, cancelled, run_id)
        else:
            await self._change(_NOTE_PROGRESS, scored, failed, run_id)


def _columns(run: RunRequest, *, submission: str | None) -> tuple[Value, ...]:
    return (
        *(run.id, run.owner, submission, run.offer.model_dump_json(), run.model, run.upload_id),
        *(
            run.refresh,
            run.foreground,
            run.trace,
            run.expected,
            run.state,
            run.cancelled,
            run.queued,
            *(run.cursor or (None, None)),
            run.scored,
            run.failed,
        ),
    )
