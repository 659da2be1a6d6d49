"""The IngestStore in MongoDB, shared by every replica."""

from leadline_ingest.stores.mongo.store import MongoIngestStore

__all__ = ["MongoIngestStore"]
