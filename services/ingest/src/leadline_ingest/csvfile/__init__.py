"""Prospects out of a CSV file that arrives in pieces. Pure: bytes in, rows and rejections out."""

from leadline_ingest.csvfile.outcome import MAX_FIELD, CsvRefused, ProspectRow, Rejection
from leadline_ingest.csvfile.reader import CsvReader

__all__ = ["MAX_FIELD", "CsvReader", "CsvRefused", "ProspectRow", "Rejection"]
