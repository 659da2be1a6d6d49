"""Offers, uploads and their prospects in MongoDB."""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import datetime

from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo.errors import BulkWriteError, DuplicateKeyError

from leadline_common.storage.mongo import DUPLICATE_KEY, Document, reaching_mongo
from leadline_contracts.errors import NotFound
from leadline_contracts.scoring import LEAD_FIELDS, Offer
from leadline_ingest.prospects.store import Known, Prospect, RejectedCells, Upload
from leadline_ingest.stores.mongo_collections import Collections, read_upload

_AT_ONCE = 100
"""Documents that the server sends at once: all of them are in memory together."""


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

    async def offers(self, owner: str, before: str | None, limit: int) -> list[Offer]:
        wanted: Document = {"owner": owner, "inline": False} | _below(before)
        with reaching_mongo():
            found = await self._offers.find(wanted).sort("_id", -1).limit(limit).to_list(None)
        return [Offer.model_validate(document["offer"]) for document in found]

    async def newest_offer(self, owner: str) -> Offer | None:
        with reaching_mongo():
            found = await self._offers.find_one({"owner": owner, "inline": False}, sort=[("_id", -1)])
        return Offer.model_validate(found["offer"]) if found else None

    async def open_upload(self, upload: Upload, at: datetime) -> None:
        document = {
            **upload.model_dump(include={"owner", "offer_id", "source"}),
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
        await _insert(self._prospects, documents)

    async def known(self, numbers: Sequence[int]) -> dict[int, Known]:
        if not numbers:
            return {}
        wanted = list(numbers)
        either = {"$or": [{"fields_number": {"$in": wanted}}, {"mark_number": {"$in": wanted}}]}
        shown = {"upload_id": 1, "row": 1, "fields_number": 1, "mark_number": 1}
        with reaching_mongo():
            found = await self._prospects.find(either, shown).sort("_id", -1).to_list(None)
            upload_ids = list({document["upload_id"] for document in found})
            ready = await self._uploads.distinct("_id", {"_id": {"$in": upload_ids}, "ready": True})
        return {
            document[number]: Known(document["upload_id"], document["row"])
            for document in found
            if document["upload_id"] in ready
            for number in ("fields_number", "mark_number")
            if number in document
        }

    async def add_rejected(self, upload: Upload, rows: Sequence[RejectedCells]) -> None:
        documents = [
            {
                "upload_id": upload.id,
                "row": row,
                "title": title,
                "reason": reason,
                "cells": cells and list(cells),
            }
            for row, title, reason, cells in rows
        ]
        if documents:
            await _insert(self._rejected, documents)

    async def rejected(self, upload_id: str) -> AsyncIterator[RejectedCells]:
        found = self._rejected.find({"upload_id": upload_id}).sort("row", 1).batch_size(_AT_ONCE)
        with reaching_mongo():
            async for one in found:
                cells = None if one["cells"] is None else tuple(one["cells"])
                yield RejectedCells(one["row"], one["title"], one["reason"], cells)

    async def commit_upload(self, upload: Upload) -> None:
        changes = upload.model_dump(include={"offer_id", "last_row", "columns", "report"}) | {"ready": True}
        await self._change_upload(upload.id, changes)

    async def drop_upload(self, upload_id: str) -> None:
        # Marked first, so that it cannot become ready meanwhile and is found again after a crash.
        with reaching_mongo():
            mark = {"$set": {"dropped": True}}
            marked = await self._uploads.update_one({"_id": upload_id, "ready": False}, mark)
            if marked.matched_count:
                await self._prospects.delete_many({"upload_id": upload_id})
                await self._rejected.delete_many({"upload_id": upload_id})
                await self._uploads.delete_one({"_id": upload_id})

    async def abandoned_uploads(self, before: datetime) -> list[str]:
        with reaching_mongo():
            cursor = self._uploads.find({"ready": False, "alive_at": {"$lt": before}}, {"_id": 1})
            return [document["_id"] async for document in cursor]

    async def upload(self, owner: str, upload_id: str) -> Upload | None:
        with reaching_mongo():
            found = await self._uploads.find_one({"_id": upload_id, "owner": owner, "ready": True})
        return read_upload(found) if found else None

    async def uploads(self, owner: str, before: str | None, limit: int) -> list[Upload]:
        wanted: Document = {"owner": owner, "ready": True, "source": {"$ne": "queue"}} | _below(before)
        with reaching_mongo():
            found = await self._uploads.find(wanted).sort("_id", -1).limit(limit).to_list(None)
        return [read_upload(document) for document in found]

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


def _below(before: str | None) -> Document:
    return {} if before is None else {"_id": {"$lt": before}}


async def _insert(collection: AsyncIOMotorCollection[Document], documents: list[Document]) -> None:
    """Insert those that are not there yet."""
    with reaching_mongo():
        try:
            await collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            if not _only_duplicates(error):
                raise


def _prospect_document(upload: Upload, prospect: Prospect) -> Document:
    lead = prospect.lead
    document = {"_id": lead.id, "owner": upload.owner, "upload_id": upload.id, "row": prospect.row}
    for field in LEAD_FIELDS:
        document[field] = getattr(lead, field)
    numbers = prospect.identity or (None, None)
    lacking = {
        "external_id": lead.external_id,
        "extra": lead.extra and [list(column) for column in lead.extra.items()],
        "fields_number": numbers[0],
        "mark_number": numbers[1],
    }
    document.update((name, value) for name, value in lacking.items() if value is not None)
    return document


def _only_duplicates(error: BulkWriteError) -> bool:
    details = error.details or {}
    codes = {one["code"] for one in details.get("writeErrors", ())}
    return codes == {DUPLICATE_KEY} and not details.get("writeConcernErrors")
