"""The port to all that the ingest service owns, feature by feature."""

from typing import Protocol

from leadline_common.idempotency.store import IdempotencyStore
from leadline_ingest.accounts.store import AccountStore
from leadline_ingest.inbound.store import MessageStore
from leadline_ingest.prospects.store import ProspectStore
from leadline_ingest.runs.store import RunStore


class IngestStore(AccountStore, ProspectStore, RunStore, MessageStore, IdempotencyStore, Protocol):
    """One store for all features of the service."""

    async def ping(self) -> None:
        """Raise Unavailable unless the store answers within two seconds."""

    async def close(self) -> None:
        """Release the store's connections and files."""
