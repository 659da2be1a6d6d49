"""The IngestStore over its MongoDB database."""

from leadline_ingest.accounts.mongo import MongoAccounts
from leadline_ingest.inbound.mongo import MongoMessages
from leadline_ingest.prospects.mongo import MongoUploads
from leadline_ingest.runs.mongo import MongoRuns
from leadline_ingest.runs.mongo_claims import MongoClaims


class MongoIngestStore(MongoUploads, MongoRuns, MongoClaims, MongoMessages, MongoAccounts):
    """The port over one database, made by `connect`."""
