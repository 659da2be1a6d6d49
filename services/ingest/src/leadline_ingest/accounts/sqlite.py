"""Accounts in SQLite."""

import sqlite3
from datetime import UTC, datetime, timedelta

from leadline_ingest.accounts.store import Attempt, User
from leadline_ingest.stores.sqlite_tables import Tables

_ADD_USER = """
INSERT INTO users (id, email, email_key, password_hash, created_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (email_key) DO NOTHING
"""
_COUNT_ATTEMPT = """
INSERT INTO attempts (key, count, until) VALUES (?, 1, ?)
ON CONFLICT DO UPDATE SET count = count + 1 WHERE count < ?
"""


class SqliteAccounts(Tables):
    """The port's methods for users and attempts."""

    async def add_user(self, user: User) -> bool:
        values = (user.id, user.email, user.email_key, user.password_hash, user.created_at.isoformat())
        return await self._change(_ADD_USER, *values) > 0

    async def user(self, user_id: str) -> User | None:
        row = await self._one("SELECT * FROM users WHERE id = ?", user_id)
        return User.model_validate(dict(row)) if row else None

    async def user_by_email(self, email_key: str) -> User | None:
        row = await self._one("SELECT * FROM users WHERE email_key = ?", email_key)
        return User.model_validate(dict(row)) if row else None

    async def replace_hash(self, user_id: str, old: str, new: str) -> None:
        replace = "UPDATE users SET password_hash = ? WHERE id = ? AND password_hash = ?"
        await self._change(replace, new, user_id, old)

    async def count_attempt(self, key: str, limit: int, now: datetime, window: timedelta) -> Attempt:
        def work(connection: sqlite3.Connection) -> Attempt:
            connection.execute("DELETE FROM attempts WHERE until <= ?", (now.timestamp(),))
            counted = connection.execute(_COUNT_ATTEMPT, (key, (now + window).timestamp(), limit)).rowcount
            found = connection.execute("SELECT until, count FROM attempts WHERE key = ?", (key,)).fetchone()
            return Attempt(counted > 0, datetime.fromtimestamp(found["until"], UTC), found["count"])

        return await self._database.write(work)

    async def attempts(self, key: str, now: datetime) -> int:
        row = await self._one("SELECT count FROM attempts WHERE key = ? AND until > ?", key, now.timestamp())
        return int(row["count"]) if row else 0

    async def uncount_attempt(self, key: str, attempt: Attempt) -> None:
        uncount = "UPDATE attempts SET count = count - 1 WHERE key = ? AND until = ?"
        await self._change(uncount, key, attempt.until.timestamp())
