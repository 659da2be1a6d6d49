"""Idempotency keys in MongoDB."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo import IndexModel, ReturnDocument

from leadline_common.idempotency.store import KeyRecord, StoredAnswer
from leadline_common.storage.mongo import Document, MongoStore, reaching_mongo

# Later than the record's end, since the server's clock may be ahead of those who wrote it.
KEY_INDEXES: Sequence[IndexModel] = [IndexModel(["expires_at"], name="expired", expireAfterSeconds=3600)]


class MongoIdempotency(MongoStore):
    """What the port says, over a collection of the service's own. Records have their key as `_id`."""

    key_collection: ClassVar[str]

    async def take_key(self, key: str, wanted: KeyRecord, now: datetime) -> KeyRecord:
        # By its id alone: of two that make the record at once, the server has the second try again.
        with reaching_mongo():
            found = await self._keys.find_one_and_update(
                {"_id": key}, _taking(key, wanted, now), upsert=True, return_document=ReturnDocument.AFTER
            )
        return KeyRecord.model_validate(found)

    async def hold_key(self, key: str, token: str, until: datetime, request: str | None = None) -> bool:
        noted = {} if request is None else {"request": request}
        return await self._change(key, token, {"leased_until": until, **noted})

    async def keep_answer(self, key: str, token: str, answer: StoredAnswer) -> bool:
        return await self._change(key, token, {"answer": answer.model_dump()})

    async def free_key(self, key: str, token: str, now: datetime, *, forget: bool) -> None:
        if forget:
            with reaching_mongo():
                await self._keys.delete_one({"_id": key, "token": token, "answer": None})
        else:
            await self._change(key, token, {"leased_until": now})

    async def _change(self, key: str, token: str, fields: Document) -> bool:
        with reaching_mongo():
            changed = await self._keys.update_one(
                {"_id": key, "token": token, "answer": None}, {"$set": fields}
            )
        return changed.matched_count > 0

    @property
    def _keys(self) -> AsyncIOMotorCollection[Document]:
        return self._database[self.key_collection]


def _taking(key: str, wanted: KeyRecord, now: datetime) -> list[Document]:
    document = {"_id": key, **wanted.model_dump()}
    gone = {"$not": [{"$gt": ["$expires_at", now]}]}  # a record that is not there has no end
    free = {"$and": [{"$eq": ["$answer", None]}, {"$lte": ["$leased_until", now]}]}
    taken = {
        "token": wanted.token,
        "leased_until": wanted.leased_until,
        "takes": {"$add": ["$takes", 1]},
    }
    kept = {"$cond": [free, {"$mergeObjects": ["$$ROOT", taken]}, "$$ROOT"]}
    return [{"$replaceWith": {"$cond": [gone, {"$literal": document}, kept]}}]
