"""Prospects out of a file that arrives in pieces: CSV, also packed, or an Excel workbook.

Bytes in, rows and rejections out; what cannot be read as it arrives waits in a temporary file.
"""

from leadline_ingest.prospects.csv.outcome import MAX_FIELD, CsvRefused, ProspectRow, Rejection
from leadline_ingest.prospects.csv.reader import CsvReader

__all__ = ["MAX_FIELD", "CsvReader", "CsvRefused", "ProspectRow", "Rejection"]
