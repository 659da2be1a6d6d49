"""The IngestStore over its MongoDB database."""

from leadline_common.idempotency.mongo import MongoIdempotency
from leadline_ingest.accounts.mongo import MongoAccounts
from leadline_ingest.inbound.mongo import MongoMessages
from leadline_ingest.prospects.mongo import MongoUploads
from leadline_ingest.runs.mongo import MongoRuns
from leadline_ingest.runs.mongo_claims import MongoClaims
from leadline_ingest.stores.mongo_collections import KEY_COLLECTION


class MongoIngestStore(MongoUploads, MongoRuns, MongoClaims, MongoMessages, MongoAccounts, MongoIdempotency):
    """The port over one database, made by `connect`."""

    key_collection = KEY_COLLECTION
