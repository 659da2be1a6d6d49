"""Prospects' results: partial scores merged into records, runs tracked to their end, and their queries."""
