"""The WorkflowStore over MongoDB, shared by every replica of the service."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, IndexModel, ReplaceOne
from pymongo.errors import BulkWriteError

from leadline_common.idempotency.mongo import KEY_INDEXES, MongoIdempotency
from leadline_common.storage.mongo import DUPLICATE_KEY, Database, Document, reaching_mongo
from leadline_results.workflows.machine import Workflow
from leadline_results.workflows.store import WorkflowQuery

_OF_OWNER = "of_owner"
_FILTERS = ("status", "category", "queue", "priority")
_INDEXES = [
    # An owner's workflows by time; every filter is in the key, so that no workflow is read needlessly.
    IndexModel(
        [("owner", ASCENDING), ("_id", DESCENDING), *((name, ASCENDING) for name in _FILTERS)],
        name=_OF_OWNER,
    ),
    # Workflows under way, by the time of their next timeout check; an ended one has no such field.
    IndexModel(
        [("sweep_at", ASCENDING)], name="due", partialFilterExpression={"sweep_at": {"$exists": True}}
    ),
]


class MongoWorkflowStore(MongoIdempotency):
    """Collections `workflows` and `results_idempotency_keys`; needs a replica set, one node is enough."""

    application = "leadline-results"
    key_collection = "results_idempotency_keys"
    indexes = {"workflows": _INDEXES, key_collection: KEY_INDEXES}

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._workflows = database["workflows"]

    async def insert(self, workflows: Sequence[Workflow]) -> set[str]:
        if not workflows:
            return set()
        documents = [_to_document(workflow, 1) for workflow in workflows]
        with reaching_mongo():
            try:
                await self._workflows.insert_many(documents, ordered=False)
            except BulkWriteError as error:
                failures = error.details["writeErrors"]
                if error.details["writeConcernErrors"] or any(f["code"] != DUPLICATE_KEY for f in failures):
                    raise
                return {workflows[failure["index"]].workflow_id for failure in failures}
        return set()

    async def replace(self, workflows: Sequence[Workflow]) -> set[str]:
        if not workflows:
            return set()
        writer = ObjectId()
        replacements = [
            ReplaceOne(
                {"_id": workflow.workflow_id, "revision": workflow.revision},
                {**_to_document(workflow, workflow.revision + 1), "writer": writer},
            )
            for workflow in workflows
        ]
        ids = {workflow.workflow_id for workflow in workflows}
        with reaching_mongo():
            done = await self._workflows.bulk_write(replacements, ordered=False)
            if done.matched_count == len(workflows):
                return set()
            # The server tells how many it found and not which; another may have written over ours since,
            # which then counts as lost: applying again is safe.
            written = await self._workflows.distinct("_id", {"_id": {"$in": list(ids)}, "writer": writer})
        return ids - set(written)

    async def load(self, workflow_ids: Collection[str]) -> dict[str, Workflow]:
        workflows = await self._find({"_id": {"$in": list(workflow_ids)}})
        return {workflow.workflow_id: workflow for workflow in workflows}

    async def due(self, now: datetime, limit: int) -> list[Workflow]:
        return await self._find({"sweep_at": {"$lte": now}}, sort=[("sweep_at", ASCENDING)], limit=limit)

    async def page(self, query: WorkflowQuery, before: str | None, limit: int) -> list[Workflow]:
        chosen = _query_filter(query)
        if before is not None:
            chosen["_id"]["$lt"] = before
        return await self._find(chosen, sort=[("_id", DESCENDING)], hint=_OF_OWNER, limit=limit)

    async def count(self, query: WorkflowQuery) -> int:
        with reaching_mongo():
            return await self._workflows.count_documents(_query_filter(query), hint=_OF_OWNER)

    async def _find(self, chosen: Document, **options: Any) -> list[Workflow]:
        with reaching_mongo():
            documents = await self._workflows.find(chosen, **options).to_list(None)
        return [_to_workflow(document) for document in documents]


def _query_filter(query: WorkflowQuery) -> Document:
    chosen: Document = query.model_dump(mode="json", exclude_none=True, exclude={"since"})
    return {**chosen, "_id": {"$gte": query.first_id}}


def _to_document(workflow: Workflow, revision: int) -> Document:
    """Return the workflow as JSON has it, since times in MongoDB lose their microseconds.

    A step's message must be the same whenever it is made again. `sweep_at` alone is stored as a time.
    """
    document: Document = workflow.model_dump(mode="json", exclude={"workflow_id", "sweep_at"})
    if workflow.sweep_at is not None:
        document["sweep_at"] = workflow.sweep_at
    return {"_id": workflow.workflow_id, **document, "revision": revision}


def _to_workflow(document: Document) -> Workflow:
    return Workflow.model_validate({**document, "workflow_id": document["_id"]})
