"""The collections of the MongoDB store and their indexes."""

from collections.abc import Mapping, Sequence

from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo import IndexModel

from leadline_common.idempotency.mongo import KEY_INDEXES
from leadline_common.storage.mongo import Database, Document, MongoStore
from leadline_contracts.scoring import LEAD_FIELDS, Lead
from leadline_ingest.prospects.store import Prospect, Upload
from leadline_ingest.runs.store import RunRequest

KEY_COLLECTION = "ingest_idempotency_keys"
"""Named for the service, since others may keep theirs in the same database."""
_INDEXES: Mapping[str, Sequence[IndexModel]] = {
    "offers": [IndexModel(["owner", "_id"], name="newest", partialFilterExpression={"inline": False})],
    "uploads": [
        IndexModel(["owner", "offer_id", "_id"], name="ready", partialFilterExpression={"ready": True}),
        IndexModel(["alive_at"], name="open", partialFilterExpression={"ready": False}),
    ],
    "prospects": [
        IndexModel(["upload_id", "row"], name="by_row"),
        IndexModel(
            ["fields_number"], name="by_fields", partialFilterExpression={"fields_number": {"$exists": True}}
        ),
        IndexModel(
            ["mark_number"], name="by_mark", partialFilterExpression={"mark_number": {"$exists": True}}
        ),
    ],
    "rejected_rows": [IndexModel(["upload_id", "row"], name="by_row", unique=True)],
    "run_requests": [
        IndexModel(["state", "_id"], name="publishable", partialFilterExpression={"state": "publishing"}),
        IndexModel(
            ["submission"],
            name="submission",
            unique=True,
            partialFilterExpression={"submission": {"$exists": True}},
        ),
    ],
    "users": [IndexModel(["email_key"], name="email", unique=True)],
    # Deleted later than the count's end, since the server's clock may be ahead of the services'.
    "attempts": [IndexModel(["until"], name="ended", expireAfterSeconds=3600)],
    KEY_COLLECTION: KEY_INDEXES,
}


class Collections(MongoStore):
    """What the store keeps, one attribute a collection.

    Offers have their id as `_id`, `owner`, `inline` and the `offer`.
    Uploads have also `alive_at`, `covered` (the claim keys for which none of their prospects is open),
    `releases` (how often some were released) and `dropped` while they are being deleted.
    Prospects have their lead's id as `_id`, its other fields, `owner`, `upload_id`, `row`, the numbers of
    their identity and `claims`: the id of the run that holds them, by claim key.
    Rejected rows have the id of their upload, `row`, `title`, `reason` and, where there are any, `cells`.
    Runs have also `token`, `leased_until`, `stored_at` and `finished_at` (in the server's cluster time, which
    orders them whoever wrote them) and, where they score a queue submission, its upload's id as `submission`.
    First messages have their idempotency key as `_id` and the `message` as JSON text.
    Users have their id as `_id`.
    Attempts have what they are counted under as `_id`, `count`, `until` when, and whether the last one was
    `counted`.
    """

    application = "leadline-ingest"
    indexes = _INDEXES

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._offers: AsyncIOMotorCollection[Document] = database["offers"]
        self._uploads: AsyncIOMotorCollection[Document] = database["uploads"]
        self._prospects: AsyncIOMotorCollection[Document] = database["prospects"]
        self._rejected: AsyncIOMotorCollection[Document] = database["rejected_rows"]
        self._runs: AsyncIOMotorCollection[Document] = database["run_requests"]
        self._first_messages: AsyncIOMotorCollection[Document] = database["first_messages"]
        self._users: AsyncIOMotorCollection[Document] = database["users"]
        self._attempts: AsyncIOMotorCollection[Document] = database["attempts"]


def read_upload(document: Document) -> Upload:
    """Read an upload from its whole document."""
    return Upload.model_validate(document | {"id": document["_id"]})


def read_prospect(document: Document) -> Prospect:
    """Read a prospect from its whole document."""
    extra = document.get("extra")
    lead = Lead.model_construct(
        id=document["_id"],
        **{field: document[field] for field in LEAD_FIELDS},
        external_id=document.get("external_id"),
        extra=None if extra is None else dict(extra),
    )
    return Prospect(document["row"], lead)


def read_run(document: Document) -> RunRequest:
    """Read a run from its whole document."""
    return RunRequest.model_validate(document | {"id": document["_id"]})
