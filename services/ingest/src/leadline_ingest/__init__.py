"""The ingest service: the two doors in (REST and queue), offers, uploads, prospects and run requests."""
