"""The IngestStore over its MongoDB database."""

import asyncio
from typing import Self

from leadline_common.storage.mongo import connect, ping
from leadline_common.telemetry.metrics import Metrics
from leadline_ingest.accounts.mongo import MongoAccounts
from leadline_ingest.inbound.mongo import MongoMessages
from leadline_ingest.prospects.mongo import MongoUploads
from leadline_ingest.runs.mongo import MongoRuns
from leadline_ingest.runs.mongo_claims import MongoClaims


class MongoIngestStore(MongoUploads, MongoRuns, MongoClaims, MongoMessages, MongoAccounts):
    """The port over one database, made by `connect`."""

    @classmethod
    async def connect(cls, url: str, metrics: Metrics | None = None) -> Self:
        """Open the database that the URL names, `leadline` where it names none, and create its indexes.

        Raises SettingsError where the URL cannot be read and Unavailable where no server answers.
        """
        store = cls(connect(url, "leadline-ingest", metrics))
        try:
            await store._create_indexes()
        except BaseException:
            await store.close()
            raise
        return store

    async def ping(self) -> None:
        await ping(self._database)

    async def close(self) -> None:
        # It takes leave of the server, which may be slow to answer.
        await asyncio.to_thread(self._database.client.close)
