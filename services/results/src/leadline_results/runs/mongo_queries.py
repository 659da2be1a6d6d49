"""The indexes over records in MongoDB, and queries that each read from one of them alone."""

from typing import Any

from pymongo import ASCENDING, IndexModel

from leadline_common.storage.mongo import Document
from leadline_results.runs.rank import NO_SCORE, PENDING, rank_at, ranks_of
from leadline_results.runs.record import Status
from leadline_results.runs.store import Layer, Position, Query, RunQuery

RANKED = "ranked"
OF_OFFER = "of_offer"
OF_RUN = "of_run"
WAITING = "waiting"
OF_LEAD = "of_lead"
OF_OWNER = "of_owner"
ORDER = [("place", ASCENDING), ("lead_id", ASCENDING), ("run_id", ASCENDING)]
OF_MODEL = [("run_id", ASCENDING), ("source", ASCENDING), ("assessor", ASCENDING)]

_LATEST = {"latest": True}
_STATED_BY_PLACE = {Status.PENDING, Status.FAILED, Status.CANCELLED}


def _index(name: str, fields: str, **options: Any) -> IndexModel:
    return IndexModel([(field, ASCENDING) for field in fields.split()], name=name, **options)


# Filters that narrow little are at the end of each key, so that pages and counts fetch no record needlessly.
INDEXES = [
    # Ranked lists of an owner; pending and outdated records are not in it and cost it nothing.
    _index(
        RANKED,
        "owner latest place lead_id run_id upload_id intent status",
        partialFilterExpression=_LATEST,
    ),
    # The same for one offer, which may have few results among an owner's many.
    _index(
        OF_OFFER,
        "owner offer_id latest place lead_id run_id upload_id intent status",
        partialFilterExpression=_LATEST,
    ),
    # One run: its ranked list, its counts, and what it waits for.
    _index(OF_RUN, "run_id place lead_id owner status intent"),
    # The pending records of all runs; its size is that of the work under way.
    _index(WAITING, "owner place lead_id run_id", partialFilterExpression={"place": {"$gte": PENDING}}),
    # The other results of a prospect, to settle which is the latest.
    _index(OF_LEAD, "lead_id"),
]

RUN_INDEXES = [
    # The few runs that are still tracked, among all there ever were.
    _index("followed", "announced", partialFilterExpression={"announced": False}),
    # An owner's runs by time.
    _index(OF_OWNER, "owner _id offer_id finished_at"),
]

SPEND_INDEXES = [
    # One document a run and model, also where two replicas are the first to see it: the server tries again.
    IndexModel(OF_MODEL, name="of_model", unique=True),
]


def index_for(query: Query) -> str:
    """Return the index to read."""
    if query.run_id is not None:
        return OF_RUN
    if query.status is Status.PENDING:
        return WAITING
    return RANKED if query.offer_id is None else OF_OFFER


def query_filter(query: Query) -> Document:
    """Return the filter for the query's records."""
    chosen = query.model_dump(mode="json", exclude_none=True, exclude={"min_score", "status"})
    if query.status is not None and query.status not in _STATED_BY_PLACE:
        chosen["status"] = query.status.value
    if index_for(query) in {RANKED, OF_OFFER}:
        chosen |= _LATEST
    ranks = ranks_of(query)
    return {**chosen, "place": {"$gte": ranks.start, "$lt": ranks.stop}}


def filters_after(query: Query, after: Position) -> list[Document]:
    """Return filters for those of the query's records that come after the position, to be read in turn.

    First those of the same rank, then those of worse ones: each is one range of the index, whereas a single
    filter for both has the server look for the second before it is needed.
    """
    chosen = query_filter(query)
    ranks = ranks_of(query)
    rank = rank_at(query, after)
    worse = {**chosen, "place": {"$gte": max(ranks.start, rank + 1), "$lt": ranks.stop}}
    if rank not in ranks:
        return [worse]
    before = {"lead_id": after.lead_id, "run_id": {"$lte": after.run_id}}
    return [{**chosen, "place": rank, "lead_id": {"$gte": after.lead_id}, "$nor": [before]}, worse]


def uploads_of(query: Query) -> list[Document]:
    """Return the stages for the ids of the uploads among the query's records, in order."""
    return [{"$match": query_filter(query)}, {"$group": {"_id": "$upload_id"}}, {"$sort": {"_id": 1}}]


def run_filter(query: RunQuery, before: str | None = None) -> Document:
    """Return the filter for the query's runs below an id."""
    chosen: Document = query.model_dump(exclude_none=True, exclude={"status"})
    if query.status is not None:
        chosen["cancelled_at"] = {"$ne": None} if query.status == "cancelled" else None
    if query.status in {"running", "finished"}:
        chosen["finished_at"] = None if query.status == "running" else {"$ne": None}
    return chosen if before is None else {**chosen, "_id": {"$lt": before}}


def done_of_run(run_id: str) -> Document:
    """Return the filter for a run's done records."""
    return {"run_id": run_id, "place": {"$lte": NO_SCORE}}


def missing_of_run(run_id: str, layer: Layer) -> Document:
    """Return the filter for a run's pending records whose lead is known and that lack the layer's part."""
    return {"run_id": run_id, "place": PENDING, "lead": {"$ne": None}, layer: None}
