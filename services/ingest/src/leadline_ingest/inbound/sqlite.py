"""The first message of each idempotency key, in SQLite."""

from leadline_contracts.inbound import MessageAccepted
from leadline_ingest.stores.sqlite_tables import Tables

# On a conflict a column is set to itself, so that RETURNING gives the existing row.
_KEEP_FIRST = """
INSERT INTO first_messages (key, message) VALUES (?, ?)
ON CONFLICT DO UPDATE SET message = message
RETURNING message
"""


class SqliteMessages(Tables):
    """The port's methods for messages."""

    async def first_message(self, key: str, message: MessageAccepted) -> MessageAccepted:
        [row] = await self._written(_KEEP_FIRST, key, message.model_dump_json())
        return MessageAccepted.model_validate_json(row["message"])
