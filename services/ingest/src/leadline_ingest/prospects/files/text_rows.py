"""The rows of a text file: decoded, its delimiter found, cut into records and numbered."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from sys import getsizeof

from leadline_ingest.prospects.files.decode import TextDecoder
from leadline_ingest.prospects.files.dialect import Weigh, find_dialect
from leadline_ingest.prospects.files.encodings import is_like_ascii, shown_name
from leadline_ingest.prospects.files.formats import refuse_other_formats
from leadline_ingest.prospects.files.guess import guess_encoding
from leadline_ingest.prospects.files.records import ANY_WIDTH, Record, RecordSplitter
from leadline_ingest.prospects.files.stored import StoredFile

Row = tuple[int, Record]
"""The number of a row, as a spreadsheet shows it, and its cells or why it is left out."""

BLOCK = 65_536  # bytes worked at once, whatever the size of a feed
_SAMPLE = 65_536
_SHOWN_CELL = 60
_SAY_WHICH = "Give the field encoding, or ?encoding= in the address."


@dataclass(slots=True)
class Found:
    """What was found of a file; complete when its last row came out."""

    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    warnings: list[str] = field(default_factory=list)


class TextRows:
    """Reads text fed in pieces of any size; how it is cut changes nothing.

    ``given`` is the codec that the sender named, ``hinted`` one that the part's Content-Type names: it counts
    where the text is not UTF-8. What is in neither, nor UTF-16, is stored until the end, when its letters
    tell. ``width`` is the number of cells in the
    header, to be set when that has come out.
    """

    def __init__(self, found: Found, weigh: Weigh, given: str | None, hinted: str | None) -> None:
        if given is None and hinted is not None and not is_like_ascii(hinted):
            given = hinted
        self.width = ANY_WIDTH
        self.stored: StoredFile | None = None
        self._found = found
        self._weigh = weigh
        self._given = given
        self._hinted = hinted
        self._bytes = bytearray()
        self._decoder = TextDecoder(given)
        self._begun = False
        self._line_open = True  # an empty file is one empty line
        self._head = ""  # the text so far, until the delimiter is known
        self._splitter: RecordSplitter | None = None
        self._numbers = count(1)

    @property
    def held(self) -> int:
        """Bytes of memory that the record not yet complete takes, and what waits with it."""
        record = self._splitter.held if self._splitter else 0
        stored = self.stored.in_memory if self.stored else 0
        return len(self._bytes) + len(self._decoder.held) + getsizeof(self._head) + record + stored

    def feed(self, data: bytes) -> Iterator[Iterator[Row]]:
        """The rows that ``data`` completes, block by block; all are to be taken."""
        self._bytes += data
        while len(self._bytes) >= BLOCK:
            block = bytes(self._bytes[:BLOCK])
            del self._bytes[:BLOCK]
            yield self._read(block, final=False)

    def finish(self) -> Iterator[Iterator[Row]]:
        """The rows still held back, once all of the file has been fed."""
        block, self._bytes = bytes(self._bytes), bytearray()
        yield self._read(block, final=True)
        self._check_given()
        if self.stored is not None:
            self._choose(self._given or self._hinted)
            yield from self._read_stored()
        self._found.encoding = shown_name(self._decoder.encoding or self._given or "utf-8")

    def _read(self, block: bytes, final: bool) -> Iterator[Row]:
        text = self._decoder.decode(block, final)
        if not self._begun:
            self._begun = True
            coded = self._decoder.encoding is not None
            refuse_other_formats(block, text if coded else block[:4096].decode("latin-1"))
        if self._decoder.unsure:
            self._store()
        return self._rows(text, final and self.stored is None)

    def _rows(self, text: str, final: bool) -> Iterator[Row]:
        self._line_open = not text.endswith(("\n", "\r")) if text else self._line_open
        if final and self._line_open:
            text += "\n"
        if self._splitter is None:
            self._head += text
            dialect = find_dialect(self._head, final, self._weigh)
            if dialect is None:
                return
            text, self._head = self._head[dialect.start :], ""
            self._splitter = RecordSplitter(dialect.delimiter)
            self._found.delimiter = dialect.delimiter
        self._splitter.width = self.width
        for record in self._splitter.split(text, final):
            yield next(self._numbers), record
            self._splitter.width = self.width

    def _store(self) -> None:
        if self.stored is None:
            self.stored = StoredFile(f"Save it as CSV UTF-8, or say how it is encoded: {_SAY_WHICH}")
        self.stored.write(bytes(self._decoder.held))
        self._decoder.held.clear()

    def _check_given(self) -> None:
        """Say so where a byte order mark was believed rather than the sender."""
        read = self._decoder.encoding or ""
        if self._given is not None and self._decoder.marked and not read.startswith(self._given):
            self._found.warnings.append(
                f"The file begins with the byte order mark of {shown_name(read)} and was read as that, "
                f"not as {shown_name(self._given)}."
            )

    def _choose(self, encoding: str | None) -> None:
        assert self.stored is not None  # noqa: S101 - only what is stored is chosen for
        if encoding is None:
            self.stored.file.seek(0)
            guess = guess_encoding(self._decoder.before + self.stored.file.read(_SAMPLE))
            encoding = guess.encoding
            if not guess.certain:
                cell = " ".join(guess.cell.split())[:_SHOWN_CELL]
                self._found.warnings.append(
                    f"The file is not UTF-8 and was read as {shown_name(encoding)}, which is not certain. "
                    f'One cell then reads "{cell}". If that is wrong, upload the file again and name its '
                    "encoding, such as encoding=windows-1250."
                )
        self._decoder.decode_as(encoding)

    def _read_stored(self) -> Iterator[Iterator[Row]]:
        assert self.stored is not None  # noqa: S101 - as above
        self.stored.file.seek(0)
        while piece := self.stored.file.read(BLOCK):
            yield self._rows(self._decoder.decode(piece), final=False)
        yield self._rows(self._decoder.decode(b"", final=True), final=True)
