"""Prospects out of a CSV file that arrives in pieces. Pure: bytes in, rows and rejections out."""

from leadline_ingest.prospects.csv.outcome import MAX_FIELD, CsvRefused, ProspectRow, Rejection
from leadline_ingest.prospects.csv.reader import CsvReader

__all__ = ["MAX_FIELD", "CsvReader", "CsvRefused", "ProspectRow", "Rejection"]
