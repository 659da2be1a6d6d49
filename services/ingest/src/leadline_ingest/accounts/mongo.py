"""Accounts in MongoDB."""

from datetime import datetime, timedelta

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from leadline_common.storage.mongo import Document, reaching_mongo
from leadline_ingest.accounts.store import Attempt, User
from leadline_ingest.stores.mongo_collections import Collections


class MongoAccounts(Collections):
    """The port's methods for users and attempts."""

    async def add_user(self, user: User) -> bool:
        with reaching_mongo():
            try:
                await self._users.insert_one({"_id": user.id, **user.model_dump(mode="json", exclude={"id"})})
            except DuplicateKeyError:
                return False
        return True

    async def user(self, user_id: str) -> User | None:
        return await self._found({"_id": user_id})

    async def user_by_email(self, email_key: str) -> User | None:
        return await self._found({"email_key": email_key})

    async def replace_hash(self, user_id: str, old: str, new: str) -> None:
        with reaching_mongo():
            await self._users.update_one(
                {"_id": user_id, "password_hash": old}, {"$set": {"password_hash": new}}
            )

    async def count_attempt(self, key: str, limit: int, now: datetime, window: timedelta) -> Attempt:
        # Found by its id alone: of two calls that create the count at once, the server repeats the second.
        with reaching_mongo():
            count = await self._attempts.find_one_and_update(
                {"_id": key},
                _count_update(limit, now, now + window),
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        return Attempt(count["counted"], count["until"], count["count"])

    async def attempts(self, key: str, now: datetime) -> int:
        with reaching_mongo():
            found = await self._attempts.find_one({"_id": key, "until": {"$gt": now}})
        return int(found["count"]) if found else 0

    async def uncount_attempt(self, key: str, attempt: Attempt) -> None:
        with reaching_mongo():
            await self._attempts.update_one({"_id": key, "until": attempt.until}, {"$inc": {"count": -1}})

    async def _found(self, which: Document) -> User | None:
        with reaching_mongo():
            found = await self._users.find_one(which)
        return User.model_validate(found | {"id": found["_id"]}) if found else None


def _count_update(limit: int, now: datetime, until: datetime) -> list[Document]:
    """Return the update that adds 1 to the count below the limit, or starts a count where none is running."""
    goes_on = {"$gt": ["$until", now]}
    return [
        {
            "$set": {
                "count": {"$cond": [goes_on, "$count", 0]},
                "until": {"$cond": [goes_on, "$until", until]},
            }
        },
        {"$set": {"counted": {"$lt": ["$count", limit]}}},
        {"$set": {"count": {"$add": ["$count", {"$cond": ["$counted", 1, 0]}]}}},
    ]
