"""Offers, uploads and their prospects in MongoDB."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from pymongo.errors import BulkWriteError, DuplicateKeyError

from leadline_common.storage.mongo import DUPLICATE_KEY, Document, reaching_mongo
from leadline_contracts.errors import NotFound
from leadline_contracts.scoring import Offer
from leadline_ingest.prospects.store import Prospect, Upload
from leadline_ingest.stores.mongo_collections import Collections, read_upload


class MongoUploads(Collections):
    """The port's methods for offers, uploads and prospects."""

    async def add_offer(self, owner: str, offer: Offer, *, inline: bool) -> None:
        document = {"_id": offer.id, "owner": owner, "inline": inline, "offer": offer.model_dump()}
        with reaching_mongo(), suppress(DuplicateKeyError):
            await self._offers.insert_one(document)

    async def offer(self, owner: str, offer_id: str) -> Offer | None:
        with reaching_mongo():
            found = await self._offers.find_one({"_id": offer_id, "owner": owner})
        return Offer.model_validate(found["offer"]) if found else None

    async def newest_offer(self, owner: str) -> Offer | None:
        with reaching_mongo():
            found = await self._offers.find_one({"owner": owner, "inline": False}, sort=[("_id", -1)])
        return Offer.model_validate(found["offer"]) if found else None

    async def open_upload(self, upload: Upload, at: datetime) -> None:
        document = {
            **upload.model_dump(include={"owner", "offer_id"}),
            **{"ready": False, "last_row": 0, "covered": [], "releases": 0},
        }
        change = {"$setOnInsert": document, "$set": {"alive_at": at}}
        with reaching_mongo():
            await self._uploads.update_one({"_id": upload.id}, change, upsert=True)

    async def add_prospects(self, upload: Upload, prospects: Sequence[Prospect], at: datetime) -> None:
        await self._change_upload(upload.id, {"alive_at": at})
        documents = [_prospect_document(upload, prospect) for prospect in prospects]
        if not documents:
            return
        with reaching_mongo():
            try:
                await self._prospects.insert_many(documents, ordered=False)
            except BulkWriteError as error:
                if not _only_duplicates(error):
                    raise

    async def commit_upload(self, upload: Upload) -> None:
        changes = {"ready": True, "offer_id": upload.offer_id, "last_row": upload.last_row}
        await self._change_upload(upload.id, changes)

    async def drop_upload(self, upload_id: str) -> None:
        # Marked first, so that it cannot become ready meanwhile and is found again after a crash.
        with reaching_mongo():
            mark = {"$set": {"dropped": True}}
            marked = await self._uploads.update_one({"_id": upload_id, "ready": False}, mark)
            if marked.matched_count:
                await self._prospects.delete_many({"upload_id": upload_id})
                await self._uploads.delete_one({"_id": upload_id})

    async def abandoned_uploads(self, before: datetime) -> list[str]:
        with reaching_mongo():
            cursor = self._uploads.find({"ready": False, "alive_at": {"$lt": before}}, {"_id": 1})
            return [document["_id"] async for document in cursor]

    async def upload(self, owner: str, upload_id: str) -> Upload | None:
        with reaching_mongo():
            found = await self._uploads.find_one({"_id": upload_id, "owner": owner, "ready": True})
        return read_upload(found) if found else None

    async def has_prospects(self, owner: str) -> bool:
        first = {
            "from": self._prospects.name,
            "localField": "_id",
            "foreignField": "upload_id",
            "pipeline": [{"$limit": 1}, {"$project": {"_id": 1}}],
            "as": "first",
        }
        stages: list[Document] = [
            {"$match": {"owner": owner, "ready": True}},
            {"$lookup": first},
            {"$match": {"first": {"$ne": []}}},
            {"$limit": 1},
        ]
        with reaching_mongo():
            return bool(await self._uploads.aggregate(stages).to_list(1))

    async def _change_upload(self, upload_id: str, fields: Document) -> None:
        known = {"_id": upload_id, "dropped": {"$exists": False}}
        with reaching_mongo():
            changed = await self._uploads.update_one(known, {"$set": fields})
        if not changed.matched_count:
            raise NotFound(f"upload {upload_id} is not known, perhaps dropped as abandoned; start it again")


def _prospect_document(upload: Upload, prospect: Prospect) -> Document:
    return {
        "_id": prospect.lead.id,
        "owner": upload.owner,
        "upload_id": upload.id,
        "row": prospect.row,
        **prospect.lead.model_dump(exclude={"id"}),
    }


def _only_duplicates(error: BulkWriteError) -> bool:
    details = error.details or {}
    codes = {one["code"] for one in details.get("writeErrors", ())}
    return codes == {DUPLICATE_KEY} and not details.get("writeConcernErrors")
