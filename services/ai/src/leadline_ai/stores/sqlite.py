"""The AiStore over one SQLite file, for one process."""

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from leadline_ai.budget.store import Budget
from leadline_ai.cache.store import StoredAnswer
from leadline_ai.cancelled.store import KEPT
from leadline_common.storage.sqlite import Database, SqliteStore
from leadline_contracts.scoring import AiSpend

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    run_id TEXT NOT NULL,
    answer TEXT NOT NULL,
    source TEXT NOT NULL,
    assessor TEXT NOT NULL,
    prompt TEXT NOT NULL,
    PRIMARY KEY (owner, key)
);
CREATE TABLE IF NOT EXISTS calls (
    run_id TEXT NOT NULL,
    lead_id TEXT NOT NULL,
    calls INTEGER NOT NULL,
    PRIMARY KEY (run_id, lead_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spend (
    run_id TEXT NOT NULL,
    source TEXT NOT NULL,
    assessor TEXT NOT NULL,
    owner TEXT NOT NULL,
    calls INTEGER NOT NULL,
    failed_calls INTEGER NOT NULL,
    cached INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    nano_usd INTEGER NOT NULL,
    PRIMARY KEY (run_id, source, assessor)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS budgets (
    name TEXT PRIMARY KEY,
    committed INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cancelled_runs (
    owner TEXT NOT NULL,
    run_id TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (owner, run_id)
) WITHOUT ROWID;
"""
_ANSWERS = "SELECT * FROM answers WHERE owner = ? AND key IN (SELECT value FROM json_each(?))"
_KEEP_ANSWER = """
INSERT OR REPLACE INTO answers
VALUES (:owner, :key, :run_id, :answer, :source, :assessor, :prompt)
"""
_CALLS = "SELECT lead_id, calls FROM calls WHERE run_id = ? AND lead_id IN (SELECT value FROM json_each(?))"
_NOTE_CALLS = """
INSERT INTO calls VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET calls = max(calls, excluded.calls)
"""
_SPEND = """
INSERT INTO spend
VALUES (:run_id, :source, :assessor, :owner, :calls, :failed_calls, :cached, :input_tokens, :output_tokens,
    :cache_read_tokens, :cache_write_tokens, :nano_usd)
ON CONFLICT DO UPDATE SET
    calls = calls + excluded.calls,
    failed_calls = failed_calls + excluded.failed_calls,
    cached = cached + excluded.cached,
    input_tokens = input_tokens + excluded.input_tokens,
    output_tokens = output_tokens + excluded.output_tokens,
    cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens,
    cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens,
    nano_usd = nano_usd + excluded.nano_usd
RETURNING *
"""
_NOTE_CANCELLED = "INSERT INTO cancelled_runs VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_FORGET_CANCELLED = "DELETE FROM cancelled_runs WHERE at < ?"
_CANCELLED = "SELECT 1 FROM cancelled_runs WHERE owner = ? AND run_id = ?"
_COMMITTED = "SELECT committed FROM budgets WHERE name = ?"
_COMMIT = """
INSERT INTO budgets VALUES (?, ?)
ON CONFLICT DO UPDATE SET committed = committed + excluded.committed
"""


class SqliteAiStore(SqliteStore):
    """Answers, notes of calls, spend, budgets and cancelled runs, each in a table of its own."""

    def __init__(self, path: Path) -> None:
        """Open or create the file; raises Unavailable where that cannot be done."""
        super().__init__(Database(path, _SCHEMA))

    async def answers(self, owner: str, keys: Collection[str]) -> dict[str, StoredAnswer]:
        rows = await self._select(_ANSWERS, [owner, json.dumps(list(keys))])
        return {row["key"]: StoredAnswer.model_validate(dict(row)) for row in rows}

    async def keep_answers(self, owner: str, answers: Sequence[StoredAnswer]) -> None:
        rows = [{"owner": owner, **vars(answer)} for answer in answers]
        await self._database.write(lambda connection: connection.executemany(_KEEP_ANSWER, rows).rowcount)

    async def bought(self, run_id: str) -> int:
        """Return how many answers a run has paid for. Reads all that there are: for the end of a command."""
        [row] = await self._select("SELECT count(*) AS answers FROM answers WHERE run_id = ?", [run_id])
        return int(row["answers"])

    async def calls(self, run_id: str, lead_ids: Collection[str]) -> dict[str, int]:
        rows = await self._select(_CALLS, [run_id, json.dumps(list(lead_ids))])
        return {row["lead_id"]: row["calls"] for row in rows}

    async def note_calls(self, run_id: str, calls: Mapping[str, int]) -> None:
        rows = [(run_id, lead_id, number) for lead_id, number in calls.items()]
        await self._database.write(lambda connection: connection.executemany(_NOTE_CALLS, rows).rowcount)

    async def reserve(self, budgets: Sequence[Budget], amount: int) -> Budget | None:
        def write(connection: sqlite3.Connection) -> Budget | None:
            for budget in budgets:
                if _committed(connection, budget.name) + amount > budget.limit:
                    return budget
            _commit(connection, budgets, amount)
            return None

        return await self._database.write(write)

    async def settle(
        self, owner: str, run_id: str, spend: AiSpend, budgets: Sequence[Budget], unused: int
    ) -> AiSpend:
        values = {"owner": owner, "run_id": run_id, **vars(spend)}

        def write(connection: sqlite3.Connection) -> AiSpend:
            _commit(connection, budgets, -unused)
            [total] = connection.execute(_SPEND, values)
            return AiSpend.model_validate(dict(total))

        return await self._database.write(write)

    async def committed(self, budget_name: str) -> int:
        return await self._database.read(lambda connection: _committed(connection, budget_name))

    async def note_cancelled(self, owner: str, run_id: str, at: datetime) -> None:
        def write(connection: sqlite3.Connection) -> None:
            connection.execute(_FORGET_CANCELLED, [(at - KEPT).timestamp()])
            connection.execute(_NOTE_CANCELLED, [owner, run_id, at.timestamp()])

        await self._database.write(write)

    async def cancelled(self, owner: str, run_id: str) -> bool:
        return bool(await self._select(_CANCELLED, [owner, run_id]))

    async def _select(self, statement: str, values: Sequence[Any]) -> list[sqlite3.Row]:
        return await self._database.read(lambda connection: connection.execute(statement, values).fetchall())


def _committed(connection: sqlite3.Connection, name: str) -> int:
    row = connection.execute(_COMMITTED, [name]).fetchone()
    return row["committed"] if row else 0


def _commit(connection: sqlite3.Connection, budgets: Sequence[Budget], amount: int) -> None:
    connection.executemany(_COMMIT, [(budget.name, amount) for budget in budgets])
