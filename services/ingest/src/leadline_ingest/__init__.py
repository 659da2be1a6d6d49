"""The ingest service: the two entrypoints (REST and queue), offers, uploads, prospects and run requests."""
