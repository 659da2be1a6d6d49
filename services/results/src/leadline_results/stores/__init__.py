"""The adapters of the ResultStore port: SQLite on a laptop, MongoDB shared by replicas."""
