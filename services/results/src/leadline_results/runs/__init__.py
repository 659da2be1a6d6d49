"""Prospects' results: partial scores merged into records, runs followed to their end, and their queries."""
