"""Which run holds which prospect, in MongoDB."""

from collections.abc import AsyncIterator, Sequence

from leadline_common.storage.mongo import Document, reaching_mongo
from leadline_contracts.scoring import lead_bytes
from leadline_ingest.prospects.store import Prospect, Upload
from leadline_ingest.runs.store import RunRequest, page_is_full
from leadline_ingest.stores.mongo_collections import Collections, read_prospect, read_upload

_FEWEST, _MOST = 4, 128
"""Documents requested at a time: all of them are in memory together, however long their texts."""


class MongoClaims(Collections):
    """The port's methods for finding, claiming and releasing prospects."""

    async def next_upload(self, run: RunRequest, after: str | None) -> Upload | None:
        ids = {"$gt": after or ""}
        if run.upload_id:
            ids["$eq"] = run.upload_id
        wanted: Document = {
            "owner": run.owner,
            "ready": True,
            "offer_id": {"$in": [None, run.offer.id]},
            "_id": ids,
        }
        if not run.refresh:
            wanted["covered"] = {"$ne": run.claim_key}
        with reaching_mongo():
            found = await self._uploads.find_one(wanted, sort=[("_id", 1)], hint="ready")
        return read_upload(found) if found else None

    async def claim(
        self, run: RunRequest, upload: Upload, first_row: int, last_row: int
    ) -> AsyncIterator[list[Prospect]]:
        holder = _holder(run.claim_key)
        rows: Document = {"upload_id": upload.id, "row": {"$gte": first_row, "$lte": last_row}}
        with reaching_mongo():
            if run.refresh:
                # First, since a prospect that its holder releases in between is then claimed as open.
                await self._take_over(run, rows)
            await self._prospects.update_many(rows | {holder: {"$exists": False}}, {"$set": {holder: run.id}})
        while page := await self._held(rows | {holder: run.id}):
            rows["row"]["$gte"] = page[-1].row + 1
            yield page

    async def _held(self, wanted: Document) -> list[Prospect]:
        """Read a page of the prospects that are held; the longer they are, the fewer at a time."""
        page: list[Prospect] = []
        size, asked = 0, _FEWEST
        while True:
            rest = wanted | {"row": wanted["row"] | {"$gt": page[-1].row}} if page else wanted
            with reaching_mongo():
                found = await self._prospects.find(rest, {"claims": 0}).sort("row", 1).limit(asked).to_list()
            for document in found:
                page.append(read_prospect(document))
                size += lead_bytes(page[-1].lead)
                if page_is_full(len(page), size):
                    return page
            if len(found) < asked:
                return page
            asked = min(_MOST, 2 * asked)

    async def _take_over(self, run: RunRequest, rows: Document) -> None:
        # Only from holders that are finished, which they stay: another run that has claimed a prospect
        # meanwhile keeps it.
        holder = _holder(run.claim_key)
        refresh = await self._runs.find_one({"_id": run.id}, {"stored_at": 1})
        if refresh is None:
            return
        holders = {"_id": {"$in": await self._prospects.distinct(holder, rows)}}
        finished = await self._runs.distinct("_id", holders | {"finished_at": {"$lt": refresh["stored_at"]}})
        await self._prospects.update_many(rows | {holder: {"$in": finished}}, {"$set": {holder: run.id}})

    async def cover(self, run: RunRequest, upload_id: str) -> None:
        # Open prospects are looked for after the count of releases is read, and `release` raises the count
        # after it releases: a release that is missed here changes the count, so that the upload is not
        # covered and the next run looks again.
        with reaching_mongo():
            upload = await self._uploads.find_one({"_id": upload_id}, {"releases": 1})
            open_prospect = await self._prospects.find_one(
                {"upload_id": upload_id, _holder(run.claim_key): {"$exists": False}}, {"_id": 1}
            )
            if upload and not open_prospect:
                unchanged = {"_id": upload_id, "releases": upload["releases"]}
                await self._uploads.update_one(unchanged, {"$addToSet": {"covered": run.claim_key}})

    async def release(self, run_id: str, claim_key: str, lead_ids: Sequence[str]) -> None:
        # The uploads are updated second, whether or not claims were held: repeating it after a crash in
        # between completes it.
        leads = {"_id": {"$in": list(lead_ids)}}
        holder = _holder(claim_key)
        with reaching_mongo():
            await self._prospects.update_many(leads | {holder: run_id}, {"$unset": {holder: ""}})
            uploads = await self._prospects.distinct("upload_id", leads)
            await self._uploads.update_many(
                {"_id": {"$in": uploads}}, {"$pull": {"covered": claim_key}, "$inc": {"releases": 1}}
            )

    async def release_rows(self, run: RunRequest, upload_id: str, first_row: int, last_row: int) -> None:
        # In this order for the reason that `release` has.
        rows = {"upload_id": upload_id, "row": {"$gte": first_row, "$lte": last_row}}
        holder = _holder(run.claim_key)
        with reaching_mongo():
            await self._prospects.update_many(rows | {holder: run.id}, {"$unset": {holder: ""}})
            await self._uploads.update_one(
                {"_id": upload_id}, {"$pull": {"covered": run.claim_key}, "$inc": {"releases": 1}}
            )


def _holder(claim_key: str) -> str:
    """Return the field of a prospect that names the run holding it; ids and models contain no dot."""
    return f"claims.{claim_key}"
