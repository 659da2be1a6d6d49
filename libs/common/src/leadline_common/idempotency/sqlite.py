"""Idempotency keys in SQLite."""

import sqlite3
from datetime import UTC, datetime

from leadline_common.idempotency.store import KeyRecord, StoredAnswer
from leadline_common.storage.sqlite import SqliteStore

KEY_TABLE = """
CREATE TABLE IF NOT EXISTS idempotency_keys (
    key TEXT PRIMARY KEY,
    object_id TEXT NOT NULL,
    token TEXT NOT NULL,
    leased_until REAL NOT NULL,
    expires_at REAL NOT NULL,
    takes INTEGER NOT NULL,
    request TEXT,
    answer TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS idempotency_keys_expired ON idempotency_keys (expires_at);
"""
_TAKE = """
INSERT INTO idempotency_keys (key, object_id, token, leased_until, expires_at, takes, request)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET token = excluded.token, leased_until = excluded.leased_until, takes = takes + 1
WHERE answer IS NULL AND leased_until <= ?
"""
_HOLD = """
UPDATE idempotency_keys SET leased_until = ?, request = coalesce(?, request)
WHERE key = ? AND token = ? AND answer IS NULL
"""
_ANSWER = "UPDATE idempotency_keys SET answer = ? WHERE key = ? AND token = ? AND answer IS NULL"
_FORGET = "DELETE FROM idempotency_keys WHERE key = ? AND token = ? AND answer IS NULL"


class SqliteIdempotency(SqliteStore):
    """What the port says, over `KEY_TABLE` in the store's file."""

    async def take_key(self, key: str, wanted: KeyRecord, now: datetime) -> KeyRecord:
        values = (
            *(key, wanted.object_id, wanted.token, wanted.leased_until.timestamp()),
            *(wanted.expires_at.timestamp(), wanted.takes, wanted.request, now.timestamp()),
        )

        def work(connection: sqlite3.Connection) -> KeyRecord:
            connection.execute("DELETE FROM idempotency_keys WHERE expires_at <= ?", (now.timestamp(),))
            connection.execute(_TAKE, values)
            found = connection.execute("SELECT * FROM idempotency_keys WHERE key = ?", (key,)).fetchone()
            return _read(found)

        return await self._database.write(work)

    async def hold_key(self, key: str, token: str, until: datetime, request: str | None = None) -> bool:
        return await self._run(_HOLD, until.timestamp(), request, key, token)

    async def keep_answer(self, key: str, token: str, answer: StoredAnswer) -> bool:
        return await self._run(_ANSWER, answer.model_dump_json(), key, token)

    async def free_key(self, key: str, token: str, now: datetime, *, forget: bool) -> None:
        if forget:
            await self._run(_FORGET, key, token)
        else:
            await self._run(_HOLD, now.timestamp(), None, key, token)

    async def end_key_leases(self) -> None:
        """End every lease; for the one process that holds the file, at its start."""
        await self._database.write(lambda file: file.execute("UPDATE idempotency_keys SET leased_until = 0"))

    async def _run(self, statement: str, *values: str | float | None) -> bool:
        return await self._database.write(lambda file: file.execute(statement, values).rowcount) > 0


def _read(row: sqlite3.Row) -> KeyRecord:
    answer = None if row["answer"] is None else StoredAnswer.model_validate_json(row["answer"])
    times = {name: datetime.fromtimestamp(row[name], UTC) for name in ("leased_until", "expires_at")}
    return KeyRecord.model_validate({**dict(row), **times, "answer": answer})
