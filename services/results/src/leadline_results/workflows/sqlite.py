"""The WorkflowStore over SQLite, for one process."""

import json
import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from leadline_common.idempotency.sqlite import KEY_TABLE, SqliteIdempotency
from leadline_common.storage.sqlite import Database
from leadline_results.workflows.machine import Workflow
from leadline_results.workflows.store import WorkflowQuery

_SCHEMA = """
CREATE TABLE IF NOT EXISTS workflows (
    workflow_id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    status TEXT NOT NULL,
    category TEXT,
    queue TEXT,
    priority TEXT,
    sweep_at REAL,
    revision INTEGER NOT NULL,
    body TEXT NOT NULL
);
-- An owner's workflows by time; every filter is in the key, so that no workflow is read needlessly.
CREATE INDEX IF NOT EXISTS of_owner ON workflows (owner, workflow_id, status, category, queue, priority);
-- Workflows under way, by the time of their next timeout check.
CREATE INDEX IF NOT EXISTS due ON workflows (sweep_at) WHERE sweep_at IS NOT NULL;
"""
_INSERT = """
INSERT INTO workflows
VALUES (:workflow_id, :owner, :status, :category, :queue, :priority, :sweep_at, :revision, :body)
ON CONFLICT DO NOTHING
"""
_REPLACE = """
UPDATE workflows
SET status = :status, category = :category, queue = :queue, priority = :priority, sweep_at = :sweep_at,
    revision = :revision, body = :body
WHERE workflow_id = :workflow_id AND revision = :revision - 1
"""
_LOAD = "SELECT body FROM workflows WHERE workflow_id IN (SELECT value FROM json_each(?))"
_DUE = "SELECT body FROM workflows INDEXED BY due WHERE sweep_at <= ? ORDER BY sweep_at LIMIT ?"


class SqliteWorkflowStore(SqliteIdempotency):
    """Workflows in one file: each one's JSON, beside the columns that queries need."""

    def __init__(self, path: Path) -> None:
        """Open or create the file; raises Unavailable where that cannot be done."""
        super().__init__(Database(path, _SCHEMA + KEY_TABLE))

    async def insert(self, workflows: Sequence[Workflow]) -> set[str]:
        return await self._write(_INSERT, [_row(workflow, 1) for workflow in workflows])

    async def replace(self, workflows: Sequence[Workflow]) -> set[str]:
        return await self._write(_REPLACE, [_row(workflow, workflow.revision + 1) for workflow in workflows])

    async def _write(self, statement: str, rows: list[dict[str, Any]]) -> set[str]:
        """Run the statement on each row; return the ids of the rows it did not change."""

        def write(connection: sqlite3.Connection) -> set[str]:
            return {row["workflow_id"] for row in rows if connection.execute(statement, row).rowcount == 0}

        return await self._database.write(write) if rows else set()

    async def load(self, workflow_ids: Collection[str]) -> dict[str, Workflow]:
        workflows = await self._select(_LOAD, [json.dumps(list(workflow_ids))])
        return {workflow.workflow_id: workflow for workflow in workflows}

    async def due(self, now: datetime, limit: int) -> list[Workflow]:
        return await self._select(_DUE, [now.timestamp(), limit])

    async def page(self, query: WorkflowQuery, before: str | None, limit: int) -> list[Workflow]:
        source, values = _from_where(query, before)
        ordered = f"SELECT body {source} ORDER BY workflow_id DESC LIMIT :limit"
        return await self._select(ordered, {**values, "limit": limit})

    async def count(self, query: WorkflowQuery) -> int:
        source, values = _from_where(query, None)
        return await self._database.read(
            lambda connection: int(connection.execute(f"SELECT count(*) {source}", values).fetchone()[0])
        )

    async def _select(self, statement: str, values: Any) -> list[Workflow]:
        # Parsed in the reader's thread, so that the event loop goes on meanwhile.
        return await self._database.read(
            lambda connection: [
                Workflow.model_validate_json(row["body"]) for row in connection.execute(statement, values)
            ]
        )


def _from_where(query: WorkflowQuery, before: str | None) -> tuple[str, dict[str, str]]:
    """Return `FROM … WHERE …` for the query's workflows below an id, and its values."""
    values: dict[str, str] = query.model_dump(mode="json", exclude_none=True, exclude={"since"})
    conditions = [f"{name} = :{name}" for name in values]
    conditions.append("workflow_id >= :first")
    values["first"] = query.first_id
    if before is not None:
        conditions.append("workflow_id < :before")
        values["before"] = before
    return f"FROM workflows INDEXED BY of_owner WHERE {' AND '.join(conditions)}", values


def _row(workflow: Workflow, revision: int) -> dict[str, Any]:
    return {
        "workflow_id": workflow.workflow_id,
        "owner": workflow.owner,
        "status": workflow.status.value,
        "category": workflow.category,
        "queue": workflow.queue,
        "priority": workflow.priority,
        "sweep_at": workflow.sweep_at and workflow.sweep_at.timestamp(),
        "revision": revision,
        "body": workflow.model_copy(update={"revision": revision}).model_dump_json(),
    }
