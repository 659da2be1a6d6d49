"""The streaming reader: bytes of an uploaded file in, prospects and rejected rows out."""

from sys import getsizeof

from leadline_ingest.prospects.csv.decode import TextDecoder
from leadline_ingest.prospects.csv.formats import refuse_other_formats
from leadline_ingest.prospects.csv.header import find_header
from leadline_ingest.prospects.csv.matching import Mapped
from leadline_ingest.prospects.csv.outcome import CsvRefused, ProspectRow, Rejection
from leadline_ingest.prospects.csv.rows import Rows

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
    ``mapped`` says which columns hold a field, for those that are not to be guessed.
    """

    def __init__(self, mapped: Mapped | None = None) -> None:
        self._mapped = mapped or {}
        self._bytes = bytearray()
        self._decoder = TextDecoder()
        self._begun = False
        self._line_open = False
        self._head = ""  # the text so far, until the header is complete
        self._rows: Rows | None = None

    @property
    def rows(self) -> Rows:
        """What stands below the header, once that was found: after `finish` at the latest."""
        if self._rows is None:
            raise CsvRefused(400, "The file is empty. Upload a CSV with a header row and one prospect a row.")
        return self._rows

    @property
    def warnings(self) -> list[str]:
        """What is to be known of how the file was read."""
        guessed = [_GUESSED] if self._decoder.guessed else []
        return [*(self._rows.warnings if self._rows else []), *guessed]

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
        if not self.rows.any_found:
            raise CsvRefused(422, "The file has a header but no rows. Add one prospect a row below it.")
        return found

    def _read(self, block: bytes, final: bool) -> list[ProspectRow | Rejection]:
        text = self._decoder.decode(block, final)
        if not self._begun:
            refuse_other_formats(block, text)
            self._begun = True
        self._line_open = not text.endswith(("\n", "\r")) if text else self._line_open
        if final and self._line_open:
            text += "\n"
        if self._rows is None:
            self._head += text
            header = find_header(self._head, final, self._mapped)
            if header is None:
                return []
            text, self._head = self._head[header.end :], ""
            self._rows = Rows(header, self._mapped)
        return self._rows.read(text, final)
