"""The rows of one sheet of an Excel workbook, read from its XML as it is unpacked."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from xml.parsers import expat

from leadline_ingest.prospects.files.records import MAX_RECORD, ROW_TOO_LONG, TOO_LONG, Flaw, Record
from leadline_ingest.prospects.files.refusal import MAX_FIELD, CsvRefused

Attributes = dict[str, str]

DAMAGED = "The workbook is damaged. In Excel choose File > Save As > CSV UTF-8 and upload that file."
_MAX_ROWS = 1_048_576
_LAST_COLUMN = 1_000  # whatever stands beyond counts as one more cell; no header is as wide
_LONG_TAG = 1_000_000  # bytes between two events of the parser, which it holds in memory
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_LAST_DAY = 2_958_465  # 9999-12-31


@dataclass(slots=True)
class Formats:
    """How cells of numbers are shown: by style, a kind of format; and whether days count from 1904."""

    kinds: list[str] = field(default_factory=list)
    from_1904: bool = False

    def show(self, text: str, style: str) -> str:
        """A number as a person sees it: no ".0", a date as 2026-11-28, 25 % as 25%."""
        kind = self.kinds[int(style)] if style.isdigit() and int(style) < len(self.kinds) else ""
        if not kind and text.isdigit():
            return text
        number = float(text)
        if kind in {"date", "time", "date time"} and 0 <= number <= _LAST_DAY:
            return self._moment(number, kind)
        if kind == "%":
            return f"{number * 100:.15g}%"
        shown = str(int(number)) if number.is_integer() and abs(number) < 1e21 else f"{number:.15g}"
        return shown.zfill(len(kind)) if kind.startswith("0") else shown

    def _moment(self, number: float, kind: str) -> str:
        first = datetime(1904, 1, 1) if self.from_1904 else datetime(1899, 12, 30)  # noqa: DTZ001
        if not self.from_1904 and number < 60:
            first += timedelta(days=1)  # Excel takes 1900 for a leap year
        moment = first + timedelta(seconds=round(number * 86_400))
        if kind == "date":
            return f"{moment:%Y-%m-%d}"
        return f"{moment:%H:%M}" if kind == "time" else f"{moment:%Y-%m-%d %H:%M}"


def parse_xml(
    pieces: Iterable[bytes],
    start: Callable[[str, Attributes], None],
    end: Callable[[str], None] | None = None,
    text: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Parse piece by piece, names without prefix; yields after each, so that the caller can take what came.

    Raises CsvRefused where the XML is damaged, holds a document type, by which entities could grow without
    end, or a tag of more than a megabyte.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = lambda name, attributes: start(name.rpartition(":")[2], attributes)
    if end is not None:
        parser.EndElementHandler = lambda name: end(name.rpartition(":")[2])
    if text is not None:
        parser.CharacterDataHandler = text
    fed = 0
    with _refusing_damage():
        for piece in pieces:
            parser.Parse(piece, False)
            fed += len(piece)
            if fed - max(parser.CurrentByteIndex, 0) > _LONG_TAG:
                raise ValueError
            yield
        parser.Parse(b"", True)
        yield


def sheet_rows(
    pieces: Iterable[bytes], string: Callable[[int], str], formats: Formats
) -> Iterator[list[tuple[int, Record]]]:
    """The rows that are not empty, each under its own number, in lists as they come."""
    sheet = _Sheet(string, formats)
    for _ in parse_xml(pieces, sheet.start, sheet.end, sheet.text):
        rows, sheet.rows = sheet.rows, []
        if rows:
            yield rows


class _Sheet:
    """Takes the events of a sheet's XML and puts rows together."""

    def __init__(self, string: Callable[[int], str], formats: Formats) -> None:
        self.rows: list[tuple[int, Record]] = []
        self._string = string
        self._formats = formats
        self._row = 0
        self._column = 0
        self._cells: list[str] = []
        self._size = 0
        self._kind = self._style = ""
        self._parts: list[str] | None = None
        self._length = 0
        self._aside = 0
        self._flaw: Flaw | None = None

    def start(self, name: str, attributes: Attributes) -> None:
        if name == "c":
            self._begin_cell(attributes)
        elif name in {"v", "t"}:
            if self._parts is None and not self._aside:
                self._parts, self._length = [], 0
        elif name == "row":
            self._begin_row(attributes.get("r"))
        elif name == "rPh":  # how a word is pronounced
            self._aside += 1

    def text(self, text: str) -> None:
        if self._parts is not None:
            self._length += len(text)
            if self._length <= MAX_FIELD:
                self._parts.append(text)

    def end(self, name: str) -> None:
        if name in {"v", "t"} and self._parts is not None:
            self._take("".join(self._parts))
            self._parts = None
        elif name == "row":
            self._end_row()
        elif name == "rPh":
            self._aside -= 1

    def _begin_row(self, number: str | None) -> None:
        row = int(number) if number else self._row + 1
        if not self._row < row <= _MAX_ROWS:
            raise ValueError
        self._row, self._column = row, 0
        self._cells, self._size, self._flaw = [], 0, None

    def _begin_cell(self, attributes: Attributes) -> None:
        place = attributes.get("r")
        self._column = min(_column(place), _LAST_COLUMN + 1) if place else self._column + 1
        self._kind, self._style = attributes.get("t", "n"), attributes.get("s", "")

    def _take(self, raw: str) -> None:
        cell = min(self._column, _LAST_COLUMN + 1) - 1
        if self._length > MAX_FIELD:
            self._flaw = self._flaw or Flaw(cell, TOO_LONG)
        value = self._value(raw)
        self._size += len(value)
        if self._size > MAX_RECORD:
            self._flaw = self._flaw or Flaw(None, ROW_TOO_LONG)
        if not value or self._flaw or cell < 0:
            return
        self._cells += [""] * (cell + 1 - len(self._cells))
        self._cells[cell] += value  # an inline text comes in runs

    def _value(self, raw: str) -> str:
        match self._kind:
            case "s":
                return self._string(int(raw)) if raw.strip() else ""
            case "inlineStr" | "str":
                return unescaped(raw)
            case "b":
                return "FALSE" if raw.strip() == "0" else "TRUE"
            case "n":
                return self._formats.show(raw.strip(), self._style) if raw.strip() else ""
            case _:  # an error such as #N/A, a date as text
                return raw

    def _end_row(self) -> None:
        if self._flaw or self._cells:
            self.rows.append((self._row, self._flaw or self._cells))


def unescaped(text: str) -> str:
    """`text` with Excel's own escapes, such as _x000D_, as the characters they stand for."""
    if "_x" not in text:
        return text
    return (
        _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
        .encode("utf-16", "surrogatepass")
        .decode("utf-16", "replace")
    )


def _column(place: str) -> int:
    """1 for "A7", 27 for "AA1"."""
    column = 0
    for letter in place[:8]:
        if not "A" <= letter <= "Z":
            break
        column = column * 26 + ord(letter) - 64
    if not column:
        raise ValueError
    return column


def _refuse_doctype(*_: object) -> None:
    raise ValueError


@contextmanager
def _refusing_damage() -> Iterator[None]:
    try:
        yield
    except (expat.ExpatError, ValueError, LookupError, OverflowError):
        raise CsvRefused(400, DAMAGED) from None
