"""The first message of each idempotency key, in MongoDB."""

from pymongo import ReturnDocument

from leadline_common.storage.mongo import reaching_mongo
from leadline_contracts.inbound import MessageAccepted
from leadline_ingest.stores.mongo_collections import Collections


class MongoMessages(Collections):
    """The port's methods for messages."""

    async def first_message(self, key: str, message: MessageAccepted) -> MessageAccepted:
        # One write, also where it changes nothing: so whoever comes second waits for a majority as well. The
        # server itself tries again where two insert at once.
        keep = {"$setOnInsert": {"message": message.model_dump_json()}}
        with reaching_mongo():
            kept = await self._first_messages.find_one_and_update(
                {"_id": key}, keep, upsert=True, return_document=ReturnDocument.AFTER
            )
        return MessageAccepted.model_validate_json(kept["message"])
