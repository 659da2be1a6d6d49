"""The adapters of the IngestStore port: one SQLite file, or MongoDB shared by replicas."""
