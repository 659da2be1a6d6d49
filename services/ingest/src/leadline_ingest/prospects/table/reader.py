"""The streaming reader: bytes of an uploaded file in, prospects and rejected rows out."""

from collections.abc import Iterator

from leadline_ingest.prospects.files.file_rows import FileRows
from leadline_ingest.prospects.files.refusal import CsvRefused
from leadline_ingest.prospects.files.text_rows import Row
from leadline_ingest.prospects.table.header import Header, HeaderSearch, title_weight
from leadline_ingest.prospects.table.matching import Mapped
from leadline_ingest.prospects.table.outcome import ProspectRow, Rejection
from leadline_ingest.prospects.table.rows import Rows

Outcomes = list[ProspectRow | Rejection]


class CsvReader:
    """Reads one file, fed in pieces of any size; how it is cut changes nothing.

    Rows come out in the order of the file, in lists, at the latest from ``finish``; each list is to be taken
    before the next. Memory is bounded by the piece fed plus one record. ``feed`` and ``finish`` raise
    CsvRefused where the file as a whole is unusable; rows that came out before are then to be dropped.
    ``file.found`` and ``warnings`` are complete after ``finish``. Who reads closes ``file``.
    """

    def __init__(
        self, mapped: Mapped | None = None, encoding: str | None = None, charset: str | None = None
    ) -> None:
        """``mapped`` says which columns hold a field, for those that are not to be guessed.

        Raises CsvRefused (422) where there is no such ``encoding``.
        """
        self.file = FileRows(title_weight, encoding, charset)
        self._mapped = mapped or {}
        self._search = HeaderSearch(self._mapped)
        self._rows: Rows | None = None

    @property
    def rows(self) -> Rows:
        """What stands below the header, once that was found: after `finish` at the latest."""
        if self._rows is None:
            raise CsvRefused(400, "The file is empty. Upload a CSV with a header row and one prospect a row.")
        return self._rows

    @property
    def warnings(self) -> list[str]:
        """What the sender should know of the file."""
        return self.file.found.warnings + (self._rows.warnings if self._rows else [])

    def feed(self, data: bytes) -> Iterator[Outcomes]:
        """The rows that ``data`` completes."""
        return map(self._take, self.file.feed(data))

    def finish(self) -> Iterator[Outcomes]:
        """The rows still held back, once all of the file has been fed."""
        yield from map(self._take, self.file.finish())
        if self._rows is None and (header := self._search.end()) is not None:
            yield self._begin(header)
        yield self.rows.end()
        if not self.rows.any_found:
            raise CsvRefused(422, "The file has a header but no rows. Add one prospect a row below it.")

    def _take(self, rows: Iterator[Row]) -> Outcomes:
        outcomes: Outcomes = []
        if self._rows is None:
            for row in rows:
                header = self._search.add(*row)
                if header is not None:
                    outcomes = self._begin(header)
                    break
        if self._rows is not None:
            outcomes += self._rows.read(rows)
        return outcomes

    def _begin(self, header: Header) -> Outcomes:
        self._rows = Rows(header, self._mapped)
        self.file.width = len(header.titles)
        return self._rows.read(iter(header.below))
