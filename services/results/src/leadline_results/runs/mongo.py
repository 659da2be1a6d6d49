"""The ResultStore over MongoDB, shared by every replica of the service."""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError

from leadline_common.storage.mongo import DUPLICATE_KEY, Database, Document, MongoStore, reaching_mongo
from leadline_contracts.scoring import SourceColumn
from leadline_results.runs.columns import UploadColumns
from leadline_results.runs.mongo_documents import document_id, to_changes, to_document, to_record
from leadline_results.runs.mongo_queries import (
    INDEXES,
    OF_LEAD,
    OF_MODEL,
    OF_OWNER,
    OF_RUN,
    ORDER,
    RUN_INDEXES,
    SPEND_INDEXES,
    done_of_run,
    filters_after,
    index_for,
    missing_of_run,
    query_filter,
    run_filter,
    uploads_of,
)
from leadline_results.runs.record import Key, Record, Status
from leadline_results.runs.spend import FIGURES, RunSpend
from leadline_results.runs.store import Counts, Layer, Position, Query, Run, RunQuery

_BATCH = 50
"""Documents that the server sends at once: all of them are decoded together, however long their texts."""

_UPLOADS_AT_ONCE = 1_000


class MongoResultStore(MongoStore):
    """Collections `records`, `runs`, `run_spend` and `upload_columns`.

    Needs a replica set, one node is enough.
    """

    application = "leadline-results"
    indexes = {"records": INDEXES, "runs": RUN_INDEXES, "run_spend": SPEND_INDEXES}

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._records = database["records"]
        self._runs = database["runs"]
        self._spend = database["run_spend"]
        self._columns = database["upload_columns"]

    async def insert(self, records: Sequence[Record]) -> set[Key]:
        if not records:
            return set()
        with reaching_mongo():
            try:
                await self._records.insert_many([to_document(record, 1) for record in records], ordered=False)
            except BulkWriteError as error:
                failures = error.details["writeErrors"]
                if error.details["writeConcernErrors"] or any(f["code"] != DUPLICATE_KEY for f in failures):
                    raise
                return {records[failure["index"]].key for failure in failures}
        return set()

    async def replace(self, records: Sequence[Record]) -> set[Key]:
        if not records:
            return set()
        writer = ObjectId()
        updates = [
            UpdateOne(
                {"_id": document_id(record.key), "revision": record.revision},
                {"$set": to_changes(record, writer)},
            )
            for record in records
        ]
        with reaching_mongo():
            if await self._update(updates) == len(records):
                return set()
            ids = [document_id(record.key) for record in records]
            written = await self._records.distinct("_id", {"_id": {"$in": ids}, "writer": writer})
        return {record.key for record in records} - {Key(*i.split(":", 1)) for i in written}

    async def _update(self, updates: list[UpdateOne]) -> int:
        """Return how many of the conditional updates found their document.

        Within a transaction the server commits and logs the whole batch once, which halves its work; where
        another replica is writing one of the same documents, the updates go one by one instead.
        """
        try:
            async with await self._database.client.start_session() as session, session.start_transaction():
                done = await self._records.bulk_write(updates, ordered=False, session=session)
        except PyMongoError as error:
            if not error.has_error_label("TransientTransactionError"):
                raise
            done = await self._records.bulk_write(updates, ordered=False)
        return done.matched_count

    async def load(self, keys: Collection[Key]) -> dict[Key, Record]:
        ids = [document_id(key) for key in keys]
        with reaching_mongo():
            documents = await self._records.find({"_id": {"$in": ids}}).to_list(None)
        records = [to_record(document) for document in documents]
        return {record.key: record for record in records}

    async def settle_latest(self, records: Sequence[Record]) -> None:
        if not records:
            return
        named = {(record.owner, record.offer_id, record.lead_id) for record in records}
        chosen = {"lead_id": {"$in": list({record.lead_id for record in records})}, "latest": True}
        runs: dict[tuple[str, str, str], list[str]] = defaultdict(list)
        shown = {"_id": 0, "owner": 1, "offer_id": 1, "lead_id": 1, "run_id": 1}
        with reaching_mongo():
            for found in await self._records.find(chosen, shown).to_list(None):
                runs[found["owner"], found["offer_id"], found["lead_id"]].append(found["run_id"])
            outdated = [
                document_id(Key(run_id, lead_id))
                for (owner, offer_id, lead_id), run_ids in runs.items()
                if (owner, offer_id, lead_id) in named
                for run_id in sorted(run_ids)[:-1]
            ]
            if outdated:
                await self._records.update_many(
                    {"_id": {"$in": outdated}, "latest": True},
                    {"$set": {"latest": False}, "$inc": {"revision": 1}},
                )

    async def page(self, query: Query, after: Position | None, limit: int) -> list[Record]:
        found: list[Document] = []
        with reaching_mongo():
            for chosen in [query_filter(query)] if after is None else filters_after(query, after):
                if len(found) < limit:
                    ranked = self._records.find(chosen).sort(ORDER).hint(index_for(query))
                    found += await ranked.limit(limit - len(found)).to_list(None)
        return [to_record(document) for document in found]

    async def count(self, query: Query) -> int:
        with reaching_mongo():
            return await self._records.count_documents(query_filter(query), hint=index_for(query))

    async def stream(self, query: Query) -> AsyncIterator[Record]:
        ranked = self._records.find(query_filter(query)).sort(ORDER).hint(index_for(query))
        with reaching_mongo():
            async for document in ranked.batch_size(_BATCH):
                yield to_record(document)

    async def scorings(self, owner: str, lead_id: str) -> AsyncIterator[Record]:
        found = self._records.find({"lead_id": lead_id, "owner": owner}).hint(OF_LEAD)
        with reaching_mongo():
            async for document in found.sort("run_id", -1).batch_size(_BATCH):
                yield to_record(document)

    async def see_columns(self, told: Sequence[UploadColumns]) -> None:
        if not told:
            return
        with reaching_mongo():
            await self._columns.bulk_write([_keep_columns(one) for one in told], ordered=False)

    async def columns(self, upload_ids: Collection[str]) -> dict[str, list[SourceColumn]]:
        with reaching_mongo():
            found = await self._columns.find({"_id": {"$in": list(upload_ids)}}).to_list(None)
        return {
            document["_id"]: [SourceColumn.model_validate(one) for one in document["columns"]]
            for document in found
        }

    async def uploads_by_columns(self, query: Query) -> list[str | None]:
        firsts: dict[str | None, str] = {}
        with reaching_mongo():
            uploads = self._records.aggregate(uploads_of(query), hint=index_for(query))
            # Asked for by the thousand: a $lookup asks one by one, which takes ten times as long.
            while ids := [document["_id"] for document in await uploads.to_list(_UPLOADS_AT_ONCE)]:
                found = self._columns.find({"_id": {"$in": ids}}, {"layout": 1})
                layouts = {document["_id"]: document["layout"] async for document in found}
                for upload_id in ids:
                    firsts.setdefault(layouts.get(upload_id), upload_id)
        return [None if layout is None else upload_id for layout, upload_id in firsts.items()]

    async def see_run(self, run: Run) -> bool:
        known = run.model_dump(exclude={"run_id"})
        lacking = {name: known.pop(name) for name in ("total", "expected", "offer")}
        refresh = known.pop("refresh")
        seen = {"$setOnInsert": known, "$max": {"refresh": refresh}}
        with reaching_mongo():
            done = await self._runs.update_one({"_id": run.run_id}, seen, upsert=True)
            for name, value in lacking.items():
                if value is not None:
                    await self._runs.update_one({"_id": run.run_id, name: None}, {"$set": {name: value}})
        return done.upserted_id is not None

    async def run(self, run_id: str) -> Run | None:
        with reaching_mongo():
            document = await self._runs.find_one({"_id": run_id})
        return _to_run(document) if document else None

    async def runs(self, query: RunQuery, before: str | None, limit: int) -> list[Run]:
        found = self._runs.find(run_filter(query, before)).sort("_id", -1).hint(OF_OWNER)
        with reaching_mongo():
            return [_to_run(document) for document in await found.limit(limit).to_list(None)]

    async def count_runs(self, query: RunQuery) -> int:
        with reaching_mongo():
            return await self._runs.count_documents(run_filter(query), hint=OF_OWNER)

    async def unfinished_runs(self) -> list[Run]:
        with reaching_mongo():
            # A run's end is published after it is finished, so this finds the unfinished ones too.
            return [
                _to_run(document) for document in await self._runs.find({"announced": False}).to_list(None)
            ]

    async def count_run(self, run_id: str) -> Counts:
        by_status: list[Document] = [
            {"$match": done_of_run(run_id)},
            {"$group": {"_id": "$status", "leads": {"$sum": 1}}},
        ]
        with reaching_mongo():
            groups = await self._records.aggregate(by_status, hint=OF_RUN).to_list(None)
        leads = {group["_id"]: group["leads"] for group in groups}
        scored, dropped = leads.pop(Status.SCORED.value, 0), leads.pop(Status.CANCELLED.value, 0)
        return Counts(scored, sum(leads.values()), dropped)

    async def save_progress(self, run_id: str, counts: Counts, at: datetime) -> None:
        # Those that an earlier version stored have no `dropped`.
        same = {"scored": counts.scored, "failed": counts.failed, "dropped": {"$in": _stored(counts.dropped)}}
        with reaching_mongo():
            await self._runs.update_one(
                {"_id": run_id, "finished_at": None, "$nor": [same]},
                {"$set": {**counts._asdict(), "progress_at": at, "nudges": 0}},
            )

    async def finish_run(self, run_id: str, counts: Counts, at: datetime) -> bool:
        with reaching_mongo():
            done = await self._runs.update_one(
                {"_id": run_id, "finished_at": None}, {"$set": {**counts._asdict(), "finished_at": at}}
            )
        return done.matched_count == 1

    async def cancel_run(self, run_id: str, total: int, at: datetime) -> bool:
        with reaching_mongo():
            done = await self._runs.update_one(
                {"_id": run_id, "finished_at": None, "cancelled_at": None},
                [{"$set": {"cancelled_at": at, "total": {"$ifNull": ["$total", total]}}}],
            )
        return done.matched_count == 1

    async def mark_announced(self, run_id: str) -> None:
        with reaching_mongo():
            await self._runs.update_one({"_id": run_id}, {"$set": {"announced": True}})

    async def mark_redriven(self, run_id: str, nudges: int, at: datetime) -> bool:
        with reaching_mongo():
            done = await self._runs.update_one(
                {"_id": run_id, "nudges": nudges - 1}, {"$set": {"nudges": nudges, "progress_at": at}}
            )
        return done.matched_count == 1

    async def see_spend(self, spent: Sequence[RunSpend]) -> None:
        if not spent:
            return
        with reaching_mongo():
            await self._spend.bulk_write([_raise_spend(one) for one in spent], ordered=False)

    async def spend(self, *run_ids: str) -> list[RunSpend]:
        wanted = {"run_id": {"$in": run_ids}}
        with reaching_mongo():
            documents = await self._spend.find(wanted).sort(OF_MODEL).to_list(None)
        return [RunSpend.model_validate(document) for document in documents]

    async def missing(self, run_id: str, layer: Layer) -> AsyncIterator[Record]:
        found = self._records.find(missing_of_run(run_id, layer)).hint(OF_RUN).batch_size(_BATCH)
        with reaching_mongo():
            async for document in found:
                yield to_record(document)


def _keep_columns(told: UploadColumns) -> UpdateOne:
    kept = told.model_dump(include={"owner", "columns"}) | {"layout": told.layout}
    return UpdateOne({"_id": told.upload_id}, {"$setOnInsert": kept}, upsert=True)


def _raise_spend(spent: RunSpend) -> UpdateOne:
    figures = {name: getattr(spent, name) for name in FIGURES}
    return UpdateOne(
        {"run_id": spent.run_id, "source": spent.source, "assessor": spent.assessor},
        {"$max": figures, "$setOnInsert": {"owner": spent.owner}},
        upsert=True,
    )


def _stored(count: int) -> list[int | None]:
    return [count] if count else [0, None]


def _to_run(document: Document) -> Run:
    return Run.model_validate({**document, "run_id": document["_id"]})
