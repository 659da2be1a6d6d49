"""The rows of an uploaded file, whatever it is: text, text in gzip or ZIP, or an Excel workbook."""

from collections.abc import Iterator

from leadline_ingest.prospects.files.archive import Archive, Gunzip, listed
from leadline_ingest.prospects.files.dialect import Weigh
from leadline_ingest.prospects.files.encodings import find_encoding
from leadline_ingest.prospects.files.formats import Kind, is_workbook, kind_of
from leadline_ingest.prospects.files.refusal import CsvRefused
from leadline_ingest.prospects.files.stored import StoredFile
from leadline_ingest.prospects.files.text_rows import Found, Row, TextRows
from leadline_ingest.prospects.files.workbook import Workbook

_SMALLER = "Upload the table itself as CSV UTF-8, in parts if need be."
_LONGEST_MAGIC = 4


class FileRows:
    """Reads one file, fed in pieces of any size, row by row.

    Text, also in gzip, comes out as it arrives; a ZIP and a workbook at ``finish``. ``found`` is complete
    when the last row is out. Memory is bounded by the piece fed, one record, and a few bytes for each text
    of a workbook. Both methods raise CsvRefused where the file as a whole is unusable; rows that came out
    before are then to be dropped. Who reads a file closes it.
    """

    def __init__(self, weigh: Weigh, encoding: str | None = None, charset: str | None = None) -> None:
        """``weigh`` tells how much a row looks like the header, by which the delimiter is chosen.

        ``encoding`` is the one that the sender named, ``charset`` what a Content-Type says.

        Raises CsvRefused (422) where there is no such encoding; an unknown charset counts for nothing.
        """
        self.found = Found()
        self._text = TextRows(self.found, weigh, encoding and find_encoding(encoding), _known(charset))
        self._head = b""
        self._kind: Kind | None = None
        self._gunzip = Gunzip()
        self._stored = StoredFile(_SMALLER)

    @property
    def width(self) -> int:
        """The number of cells in the header, by which the quotes of a row are made sense of."""
        return self._text.width

    @width.setter
    def width(self, width: int) -> None:
        self._text.width = width

    @property
    def held(self) -> int:
        """Bytes of memory that the record not yet complete takes, and what is stored in memory."""
        return self._text.held + self._stored.in_memory

    @property
    def stored(self) -> int:
        """Bytes of temporary files."""
        return self._stored.size + (self._text.stored.size if self._text.stored else 0)

    def feed(self, data: bytes) -> Iterator[Iterator[Row]]:
        """The rows that ``data`` completes, block by block; all of a block are taken before the next."""
        if self._kind is None:
            data = self._head + data
            if len(data) < _LONGEST_MAGIC:
                self._head = data
                return
            self._kind = kind_of(data)
        if self._kind is Kind.TEXT:
            yield from self._text.feed(data)
        elif self._kind is Kind.GZIP:
            for piece in self._gunzip.feed(data):
                yield from self._text.feed(piece)
        else:
            self._stored.write(data)

    def finish(self) -> Iterator[Iterator[Row]]:
        """The rows still held back, once all of the file has been fed."""
        if self._kind is Kind.ZIP:
            yield from self._read_archive()
            return
        if self._kind is Kind.GZIP:
            for piece in self._gunzip.finish():
                yield from self._text.feed(piece)
        elif self._kind is None:
            yield from self._text.feed(self._head)
        yield from self._text.finish()

    def close(self) -> None:
        """Remove the temporary files."""
        self._stored.close()
        if self._text.stored is not None:
            self._text.stored.close()

    def _read_archive(self) -> Iterator[Iterator[Row]]:
        archive = Archive(self._stored.file, self._stored.size)
        if is_workbook(archive.names):
            workbook = Workbook(archive)
            for rows in workbook.rows():
                yield iter(rows)
            self.found.sheet = workbook.sheet or None
            if workbook.warning:
                self.found.warnings.append(workbook.warning)
            return
        table, others = archive.table()
        for piece in archive.read(table):
            yield from self._text.feed(piece)
        yield from self._text.finish()
        if others:
            self.found.warnings.append(
                f"{listed([table])} of the archive was read. It holds other files: {listed(others)}."
            )


def _known(charset: str | None) -> str | None:
    try:
        return find_encoding(charset) if charset else None
    except CsvRefused:
        return None
