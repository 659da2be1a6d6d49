"""The IngestStore over its SQLite file."""

from pathlib import Path

from leadline_common.idempotency.sqlite import KEY_TABLE, SqliteIdempotency
from leadline_common.storage.sqlite import Database
from leadline_ingest.accounts.sqlite import SqliteAccounts
from leadline_ingest.inbound.sqlite import SqliteMessages
from leadline_ingest.prospects.sqlite import SqliteUploads
from leadline_ingest.runs.sqlite import SqliteRuns
from leadline_ingest.runs.sqlite_claims import SqliteClaims
from leadline_ingest.stores.sqlite_tables import ADDED, INDEXES, SCHEMA


class SqliteIngestStore(
    SqliteUploads, SqliteRuns, SqliteClaims, SqliteMessages, SqliteAccounts, SqliteIdempotency
):
    """The port over one file; raises Unavailable where that cannot be opened."""

    def __init__(self, path: Path) -> None:
        super().__init__(Database(path, SCHEMA + KEY_TABLE, ADDED, INDEXES))
