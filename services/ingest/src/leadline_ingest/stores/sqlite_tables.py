"""The tables of the SQLite store, how a statement is run and how a row is read."""

import json
import sqlite3

from leadline_common.storage.sqlite import Column, SqliteStore
from leadline_contracts.scoring import LEAD_FIELDS, Lead, Offer
from leadline_ingest.prospects.store import Prospect, Upload
from leadline_ingest.runs.store import Cursor, RunRequest

# A claim names its prospect by number: a third of the size of a lead id, and in the order of the rows.
# Runs are numbered as they are stored; `newest_at_end` is the highest number there was when a run finished.
SCHEMA = """
CREATE TABLE IF NOT EXISTS offers (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    inline INTEGER NOT NULL,
    offer TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS offers_newest ON offers (owner, id) WHERE NOT inline;

CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    offer_id TEXT,
    ready INTEGER NOT NULL,
    last_row INTEGER NOT NULL,
    alive_at REAL NOT NULL,
    source TEXT NOT NULL DEFAULT 'file',
    columns TEXT,
    report TEXT
);
CREATE INDEX IF NOT EXISTS uploads_ready ON uploads (owner, id, offer_id) WHERE ready;
CREATE INDEX IF NOT EXISTS uploads_open ON uploads (alive_at) WHERE NOT ready;

CREATE TABLE IF NOT EXISTS prospects (
    number INTEGER PRIMARY KEY,
    lead_id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    upload_id TEXT NOT NULL,
    row INTEGER NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    company TEXT NOT NULL,
    industry TEXT NOT NULL,
    location TEXT NOT NULL,
    linkedin_bio TEXT NOT NULL,
    external_id TEXT,
    extra TEXT,
    fields_number INTEGER,
    mark_number INTEGER
);
CREATE INDEX IF NOT EXISTS prospects_by_row ON prospects (upload_id, row);

CREATE TABLE IF NOT EXISTS rejected_rows (
    upload_id TEXT NOT NULL,
    row INTEGER NOT NULL,
    title TEXT,
    reason TEXT NOT NULL,
    cells TEXT,
    PRIMARY KEY (upload_id, row)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS runs (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    submission TEXT UNIQUE,
    offer TEXT NOT NULL,
    model TEXT NOT NULL,
    upload_id TEXT,
    refresh INTEGER NOT NULL,
    state TEXT NOT NULL,
    queued INTEGER NOT NULL,
    cursor_upload TEXT,
    cursor_row INTEGER,
    scored INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    token INTEGER NOT NULL DEFAULT 0,
    leased_until REAL NOT NULL DEFAULT 0,
    newest_at_end INTEGER,
    trace TEXT,
    foreground INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    expected INTEGER
);
CREATE INDEX IF NOT EXISTS runs_publishable ON runs (id) WHERE state = 'publishing';

CREATE TABLE IF NOT EXISTS claims (
    claim_key TEXT NOT NULL,
    prospect INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    PRIMARY KEY (claim_key, prospect)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS covered (
    claim_key TEXT NOT NULL,
    upload_id TEXT NOT NULL,
    PRIMARY KEY (claim_key, upload_id)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS first_messages (
    key TEXT PRIMARY KEY,
    message TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS users (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    created_at TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS attempts (
    key TEXT PRIMARY KEY,
    count INTEGER NOT NULL,
    until REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS attempts_ended ON attempts (until);
"""

ADDED = (
    Column("runs", "trace", "TEXT"),
    Column("runs", "foreground", "INTEGER NOT NULL DEFAULT 0"),
    Column("runs", "cancelled", "INTEGER NOT NULL DEFAULT 0"),
    Column("runs", "expected", "INTEGER"),
    Column("uploads", "source", "TEXT NOT NULL DEFAULT 'file'"),
    Column("uploads", "columns", "TEXT"),
    Column("uploads", "report", "TEXT"),
    Column("prospects", "external_id", "TEXT"),
    Column("prospects", "extra", "TEXT"),
    Column("prospects", "fields_number", "INTEGER"),
    Column("prospects", "mark_number", "INTEGER"),
)
INDEXES = """
CREATE INDEX IF NOT EXISTS prospects_by_fields ON prospects (fields_number) WHERE fields_number IS NOT NULL;
CREATE INDEX IF NOT EXISTS prospects_by_mark ON prospects (mark_number) WHERE mark_number IS NOT NULL;
"""
"""Of columns that were added, which must be there first."""

Value = str | int | float | None


class Tables(SqliteStore):
    """The file, and the ways to run one statement on it. Each raises Unavailable."""

    async def _change(self, statement: str, *values: Value) -> int:
        """Return how many rows were written."""
        return await self._database.write(lambda connection: connection.execute(statement, values).rowcount)

    async def _written(self, statement: str, *values: Value) -> list[sqlite3.Row]:
        """Return the rows that a statement with RETURNING wrote."""
        return await self._database.write(lambda connection: connection.execute(statement, values).fetchall())

    async def _one(self, query: str, *values: Value) -> sqlite3.Row | None:
        return await self._database.read(lambda connection: connection.execute(query, values).fetchone())

    async def _all(self, query: str, *values: Value) -> list[sqlite3.Row]:
        return await self._database.read(lambda connection: connection.execute(query, values).fetchall())


def read_upload(row: sqlite3.Row) -> Upload:
    """Read an upload from its whole row."""
    read = dict(row)
    for name in ("columns", "report"):
        if read[name] is None:
            del read[name]  # stored by an older version
        else:
            read[name] = json.loads(read[name])
    return Upload.model_validate(read)


def read_prospect(row: sqlite3.Row) -> Prospect:
    """Read a prospect from its whole row."""
    lead = Lead.model_construct(
        id=row["lead_id"],
        **{field: row[field] for field in LEAD_FIELDS},
        external_id=row["external_id"],
        extra=row["extra"] and json.loads(row["extra"]),
    )
    return Prospect(row["row"], lead)


def read_run(row: sqlite3.Row) -> RunRequest:
    """Read a run from its whole row."""
    cursor = None if row["cursor_upload"] is None else Cursor(row["cursor_upload"], row["cursor_row"])
    offer = Offer.model_validate_json(row["offer"])
    return RunRequest.model_validate(dict(row) | {"offer": offer, "cursor": cursor})
