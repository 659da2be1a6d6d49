"""Run requests in MongoDB."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from bson import Timestamp
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from leadline_common.storage.mongo import Document, reaching_mongo
from leadline_ingest.runs.store import Cursor, Lease, RunRequest, RunState
from leadline_ingest.stores.mongo_collections import Collections, read_run

_NEVER = datetime.fromtimestamp(0, UTC)
_STAMPED_BY_SERVER = Timestamp(0, 0)
"""In an inserted document the server replaces this by its cluster time.

https://www.mongodb.com/docs/manual/reference/bson-types/#timestamps
"""
# The end of a run may be reported before its outbox has noted that all chunks are published.
_STATE_AFTER_PUBLISHING = {
    "$cond": [{"$eq": ["$state", RunState.PUBLISHING.value]}, RunState.PUBLISHED.value, "$state"]
}


class MongoRuns(Collections):
    """The port's methods for run requests and their leases."""

    async def add_run(self, run: RunRequest) -> None:
        with reaching_mongo(), suppress(DuplicateKeyError):
            await self._runs.insert_one(_document(run))

    async def add_submission_run(self, run: RunRequest) -> RunRequest:
        document = _document(run) | {"submission": run.upload_id}
        with reaching_mongo():
            try:
                await self._runs.insert_one(document)
            except DuplicateKeyError:
                document = await self._runs.find_one({"submission": run.upload_id}) or document
        return read_run(document)

    async def run(self, owner: str, run_id: str) -> RunRequest | None:
        with reaching_mongo():
            found = await self._runs.find_one({"_id": run_id, "owner": owner})
        return read_run(found) if found else None

    async def cancel(self, owner: str, run_id: str) -> RunRequest | None:
        running = {"state": {"$ne": RunState.FINISHED.value}, "cancelled": {"$ne": True}}
        change = {"$set": {"cancelled": True, "state": RunState.PUBLISHING.value}}
        await self._change_run({"_id": run_id, "owner": owner, **running}, change)
        return await self.run(owner, run_id)

    async def lease_run(self, run_id: str, now: datetime, until: datetime) -> Lease | None:
        free = {"_id": run_id, "state": RunState.PUBLISHING.value, "leased_until": {"$lte": now}}
        change = {"$set": {"leased_until": until}, "$inc": {"token": 1}}
        with reaching_mongo():
            leased = await self._runs.find_one_and_update(free, change, return_document=ReturnDocument.AFTER)
        return Lease(read_run(leased), leased["token"]) if leased else None

    async def publishable_runs(self, now: datetime) -> list[str]:
        free = {"state": RunState.PUBLISHING.value, "leased_until": {"$lte": now}}
        with reaching_mongo():
            return [document["_id"] async for document in self._runs.find(free, {"_id": 1}).sort("_id", 1)]

    async def advance(self, lease: Lease, cursor: Cursor, queued: int, until: datetime) -> bool:
        held = {"_id": lease.run.id, "token": lease.token, "state": RunState.PUBLISHING.value}
        return await self._change_run(
            held, {"$set": {"cursor": list(cursor), "queued": queued, "leased_until": until}}
        )

    async def finish_publishing(self, lease: Lease) -> bool:
        # Runs that an earlier version stored have no `cancelled`.
        known = {"cancelled": True if lease.run.cancelled else {"$ne": True}}
        held = {"_id": lease.run.id, "token": lease.token, **known}
        ended = {"state": _STATE_AFTER_PUBLISHING, "leased_until": _NEVER}
        return await self._change_run(held, [{"$set": ended}])

    async def note_progress(
        self, run_id: str, scored: int, failed: int, *, finished: bool, cancelled: bool = False
    ) -> None:
        change: Document = {"$set": {"scored": scored, "failed": failed}}
        if finished:
            change["$set"] |= {"state": RunState.FINISHED.value, "cancelled": cancelled}
            change["$currentDate"] = {"finished_at": {"$type": "timestamp"}}
        await self._change_run({"_id": run_id, "state": {"$ne": RunState.FINISHED.value}}, change)

    async def _change_run(self, which: Document, change: Document | list[Any]) -> bool:
        with reaching_mongo():
            changed = await self._runs.update_one(which, change)
        return bool(changed.matched_count)


def _document(run: RunRequest) -> Document:
    fields = run.model_dump(mode="json", exclude={"id"})
    own = {"token": 0, "leased_until": _NEVER, "stored_at": _STAMPED_BY_SERVER}
    return {"_id": run.id, **fields, **own}
