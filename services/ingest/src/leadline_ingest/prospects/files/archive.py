"""Unpacks gzip and ZIP piece by piece, however much a hostile file would unpack to."""

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from leadline_ingest.prospects.files.refusal import CsvRefused
from leadline_text.clip import clip, printable

PIECE = 65_536  # bytes unpacked at once
MAX_UNPACKED = 2_000_000_000
_MAX_RATIO = 250  # of a file that is not small; tables of text reach 30
_SMALL = 50_000_000
_MAX_DIRECTORY = 1_000_000  # bytes of a ZIP's directory, which is read in one piece
_SHOWN_NAMES = 10
_SHOWN_CHARACTERS = 60
_TABLES = (".csv", ".tsv", ".tab", ".txt")
_READABLE = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ENCRYPTED = 1

_DAMAGED = "The archive is damaged or cut off. Make it again, or upload the CSV inside."


class Unpacked:
    """Counts what comes out of an archive; ``add`` raises CsvRefused (413) where it is too much."""

    def __init__(self) -> None:
        self._size = 0

    def add(self, unpacked: int, packed: int) -> None:
        """Note bytes that came out, and how many had gone in by then."""
        self._size += unpacked
        if self._size > MAX_UNPACKED or self._size > max(_SMALL, _MAX_RATIO * packed):
            raise CsvRefused(
                413,
                f"The file unpacks to more than {MAX_UNPACKED // 1_000_000_000} GB, or to more than "
                f"{_MAX_RATIO} times its size. Upload the table itself as CSV UTF-8, in parts if need be.",
            )


class Gunzip:
    """A gzip file, fed in pieces; several members one after the other are one file."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)
        self._packed = 0
        self._unpacked = Unpacked()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` unpacks to, in pieces. Raises CsvRefused where it is damaged or too much."""
        self._packed += len(data)
        while data:
            if self._stream.eof:
                data = data.lstrip(b"\0")  # some fill their last block
                if not data:
                    return
                self._stream = zlib.decompressobj(wbits=31)
            try:
                piece = self._stream.decompress(data, PIECE)
            except zlib.error:
                raise CsvRefused(400, _DAMAGED) from None
            self._unpacked.add(len(piece), self._packed)
            yield piece
            data = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail

    def finish(self) -> Iterator[bytes]:
        """What is left. Raises CsvRefused where the file ends too early."""
        while not self._stream.eof:
            piece = self._stream.decompress(b"", PIECE)
            if not piece:
                raise CsvRefused(400, _DAMAGED)
            self._unpacked.add(len(piece), self._packed)
            yield piece


class Archive:
    """A ZIP file, also one that is a workbook; its members are read one at a time, piece by piece."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        """Raise CsvRefused where the file is damaged or has too many members."""
        self._size = size
        self._unpacked = Unpacked()
        with refusing_damage():
            self._zip = zipfile.ZipFile(_ShortReads(file))
        self.names = frozenset(self._zip.namelist())

    def read(self, name: str) -> Iterator[bytes]:
        """A member in pieces. Raises CsvRefused where it cannot be unpacked."""
        member = self._zip.getinfo(name)
        if member.flag_bits & _ENCRYPTED:
            raise CsvRefused(422, "The archive has a password. Unpack it and upload the CSV inside.")
        if member.compress_type not in _READABLE:
            raise CsvRefused(
                422, "The archive is packed in an unusual way. Unpack it and upload the CSV inside."
            )
        with refusing_damage(), self._zip.open(member) as source:
            while piece := source.read(PIECE):
                self._unpacked.add(len(piece), self._size)
                yield piece

    def table(self) -> tuple[str, list[str]]:
        """The one member that is a table, and the names of the others. Raises CsvRefused (422)."""
        names = [name for name in self._zip.namelist() if not _is_byproduct(name)]
        tables = [name for name in names if name.lower().endswith(_TABLES)]
        found = tables or names
        if len(found) == 1:
            return found[0], [name for name in names if name != found[0]]
        if not found:
            raise CsvRefused(400, "The archive is empty. Upload a CSV, or an archive with one CSV.")
        kind = "tables" if tables else "files, none of them a CSV"
        raise CsvRefused(
            422,
            f"The archive holds {len(found)} {kind}: {listed(found)}. Upload each by itself.",
        )


@contextmanager
def refusing_damage() -> Iterator[None]:
    """Raise CsvRefused (400) for whatever zipfile raises over a damaged file."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OverflowError):
        raise CsvRefused(400, _DAMAGED) from None


def listed(names: list[str]) -> str:
    """The first ten names, as they can be shown, and how many more there are."""
    shown = [clip(printable(name), _SHOWN_CHARACTERS) for name in names[:_SHOWN_NAMES]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _is_byproduct(name: str) -> bool:
    """A folder, or what a Mac or Windows adds to an archive."""
    last = name.rstrip("/").rpartition("/")[2]
    return name.endswith("/") or name.startswith("__MACOSX/") or last.startswith(".") or last == "Thumbs.db"


class _ShortReads(io.RawIOBase):
    """The file as zipfile may see it: no read, which it does all at once, is long."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._file.seek(offset, whence)
        return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(_MAX_DIRECTORY + 1 if size < 0 else min(size, _MAX_DIRECTORY + 1))
        if len(data) > _MAX_DIRECTORY:
            raise zipfile.BadZipFile
        return data
