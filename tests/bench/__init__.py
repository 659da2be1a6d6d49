"""Benchmarks: whole runs, and their ratio to the floor of the same broker and store in the same run."""
