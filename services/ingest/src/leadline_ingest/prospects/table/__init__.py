"""Prospects out of the rows of a file: the header found, columns understood, other rows left out."""

from leadline_ingest.prospects.files.refusal import MAX_FIELD, CsvRefused
from leadline_ingest.prospects.table.outcome import ProspectRow, Rejection
from leadline_ingest.prospects.table.reader import CsvReader

__all__ = ["MAX_FIELD", "CsvReader", "CsvRefused", "ProspectRow", "Rejection"]
