"""The streaming reader: bytes of an uploaded file in, prospects and rejected rows out."""

from sys import getsizeof

from leadline_ingest.prospects.csv.columns import Columns
from leadline_ingest.prospects.csv.decode import TextDecoder
from leadline_ingest.prospects.csv.formats import refuse_other_formats
from leadline_ingest.prospects.csv.header import Header, find_header
from leadline_ingest.prospects.csv.outcome import CsvRefused, ProspectRow, Rejection
from leadline_ingest.prospects.csv.records import Flaw, RecordSplitter

BLOCK = 65_536  # bytes worked at once, whatever the size of a feed

_GUESSED = (
    "The file is not UTF-8 and was read as Windows-1252. "
    "If names look wrong, save it as CSV UTF-8 and upload it again."
)


class CsvReader:
    """Reads one file, fed in pieces of any size; how it is cut changes nothing.

    Rows come out in the order of the file, at the latest from ``finish``. Memory is bounded by the
    piece fed plus one record. ``feed`` and ``finish`` raise CsvRefused where the file as a whole is
    unusable; rows that came out before are then to be dropped. ``warnings`` is complete after ``finish``.
    """

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._bytes = bytearray()
        self._decoder = TextDecoder()
        self._begun = False
        self._head = ""  # the text so far, until the header is complete
        self._rows: _Rows | None = None

    @property
    def held(self) -> int:
        """Bytes of memory that the record not yet complete takes."""
        rows = self._rows.held if self._rows else 0
        return len(self._bytes) + getsizeof(self._head) + rows

    def feed(self, data: bytes) -> list[ProspectRow | Rejection]:
        """The rows that ``data`` completes."""
        self._bytes += data
        found: list[ProspectRow | Rejection] = []
        while len(self._bytes) >= BLOCK:
            block = bytes(self._bytes[:BLOCK])
            del self._bytes[:BLOCK]
            found += self._read(block, final=False)
        return found

    def finish(self) -> list[ProspectRow | Rejection]:
        """The rows still held back, once all of the file has been fed."""
        found = self._read(bytes(self._bytes), final=True)
        if self._decoder.guessed:
            self.warnings.append(_GUESSED)
        if self._rows is None or not self._rows.any_found:
            raise CsvRefused(422, "The file has a header but no rows. Add one prospect a row below it.")
        return found

    def _read(self, block: bytes, final: bool) -> list[ProspectRow | Rejection]:
        text = self._decoder.decode(block, final)
        if not self._begun:
            refuse_other_formats(block, text)
            self._begun = True
        if final:
            text += "\n"  # the last line may lack its end; an empty line more does no harm
        if self._rows is None:
            self._head += text
            header = find_header(self._head, final)
            if header is None:
                return []
            text, self._head = self._head[header.end :], ""
            self._rows = _Rows(header)
            self.warnings += self._rows.columns.warnings
        return self._rows.read(text, final)


class _Rows:
    """The part of the file below its header."""

    def __init__(self, header: Header) -> None:
        self.columns = Columns(header.titles)
        self.any_found = False
        self._splitter = RecordSplitter(header.delimiter, len(header.titles))
        self._row = 1

    @property
    def held(self) -> int:
        return self._splitter.held

    def read(self, text: str, final: bool) -> list[ProspectRow | Rejection]:
        found: list[ProspectRow | Rejection] = []
        for record in self._splitter.split(text, final):
            self._row += 1
            row = record if isinstance(record, Flaw) else self.columns.prospect(self._row, record)
            if isinstance(row, Flaw):
                found.append(Rejection(self._row, self.columns.title(row.cell), row.reason))
            elif row is not None:
                found.append(row)
        self.any_found = self.any_found or bool(found)
        return found
