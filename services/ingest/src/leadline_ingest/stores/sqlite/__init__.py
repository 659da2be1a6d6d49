"""The IngestStore in one SQLite file, for one process."""

from leadline_ingest.stores.sqlite.store import SqliteIngestStore

__all__ = ["SqliteIngestStore"]
