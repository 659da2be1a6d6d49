"""The IngestStore over its SQLite file."""

import asyncio
from pathlib import Path

from leadline_common.storage.sqlite import Database
from leadline_contracts.errors import Unavailable
from leadline_ingest.accounts.sqlite import SqliteAccounts
from leadline_ingest.inbound.sqlite import SqliteMessages
from leadline_ingest.prospects.sqlite import SqliteUploads
from leadline_ingest.runs.sqlite import SqliteRuns
from leadline_ingest.runs.sqlite_claims import SqliteClaims
from leadline_ingest.stores.sqlite_tables import ADDED, SCHEMA


class SqliteIngestStore(SqliteUploads, SqliteRuns, SqliteClaims, SqliteMessages, SqliteAccounts):
    """The port over one file; raises Unavailable where that cannot be opened."""

    def __init__(self, path: Path) -> None:
        super().__init__(Database(path, SCHEMA, ADDED))

    async def ping(self) -> None:
        """Ask the writer, since a store that can only be read is of no use."""
        try:
            async with asyncio.timeout(2):
                await self._database.write(lambda connection: None)
        except TimeoutError:
            raise Unavailable("the ingest store does not answer within 2 seconds") from None

    async def close(self) -> None:
        """Finish what was handed in, then close the file."""
        self._database.close()
