"""An Excel workbook (.xlsx): its sheets, its table of strings, and how it shows numbers.

Nothing of it is loaded whole: strings go to a temporary file, of which four bytes each stay in memory.
"""

import posixpath
import re
from array import array
from collections.abc import Callable, Iterator
from itertools import chain
from tempfile import TemporaryFile

from leadline_ingest.prospects.files.archive import Archive, listed
from leadline_ingest.prospects.files.records import Record
from leadline_ingest.prospects.files.refusal import CsvRefused
from leadline_ingest.prospects.files.worksheet import (
    DAMAGED,
    Attributes,
    Formats,
    parse_xml,
    sheet_rows,
    unescaped,
)

_MOST_SHEETS = 1_000
_MOST_STYLES = 100_000
_MOST_STRINGS = 8_000_000
_MOST_BYTES = 500_000_000  # of strings
_LONGEST_STRING = 40_000  # characters; Excel itself takes 32,767
_KEPT_STRINGS = 10_000
_SHORT_STRING = 100
_PIECE = 8_192  # bytes of a sheet parsed at once: each cell in them may name the longest string

_TOO_MUCH = "The workbook has too many {}. In Excel choose File > Save As > CSV UTF-8 and upload that file."
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]')
_BUILT_IN = {
    **dict.fromkeys((9, 10), "%"),
    **dict.fromkeys((14, 15, 16, 17, *range(27, 32), 36, *range(50, 59)), "date"),
    **dict.fromkeys((18, 19, 20, 21, *range(32, 36), 45, 46, 47), "time"),
    22: "date time",
}


class Workbook:
    """A workbook in an archive; ``sheet`` is the name of the sheet that is read, ``others`` are not."""

    def __init__(self, archive: Archive) -> None:
        """Raise CsvRefused where it is damaged or has too much of something."""
        self._archive = archive
        self.sheet = ""
        self.others: list[str] = []
        self._formats = Formats()
        main = next((target for kind, target in self._related("").values() if kind == "officeDocument"), "")
        self._related_parts = self._related(main)
        self._sheets = self._read_sheets(main)
        self._read_styles()

    def rows(self) -> Iterator[list[tuple[int, Record]]]:
        """The rows of the first sheet that has any, in lists; an empty list is a pause."""
        with _Strings() as strings:
            for part in self._parts("sharedStrings"):
                for _ in self._read_strings(part, strings):
                    yield []
            for name, part in self._sheets:
                pieces = _cut(self._archive.read(part))
                found = sheet_rows(pieces, strings.get, self._formats)
                first = next(found, None)
                if first is not None:
                    self.sheet = name
                    self.others = [other for other, _ in self._sheets if other != name]
                    yield from chain([first], found)
                    return

    def _related(self, part: str) -> dict[str, tuple[str, str]]:
        """The parts that a part refers to: by id, the kind and the name in the archive."""
        folder, name = posixpath.split(part)
        related: dict[str, tuple[str, str]] = {}

        def start(tag: str, attributes: Attributes) -> None:
            if tag == "Relationship" and len(related) < 10 * _MOST_SHEETS:
                target = posixpath.normpath(posixpath.join("/", folder, attributes.get("Target", "")))
                kind = attributes.get("Type", "").rpartition("/")[2]
                related[attributes.get("Id", "")] = (kind, target.lstrip("/"))

        self._parse(posixpath.join(folder, "_rels", f"{name}.rels"), start)
        return related

    def _parts(self, kind: str) -> list[str]:
        found = (part for other, part in self._related_parts.values() if other == kind)
        return [part for part in found if part in self._archive.names]

    def _read_sheets(self, main: str) -> list[tuple[str, str]]:
        """Names and parts in their order, hidden sheets last; charts and macros have no rows."""
        sheets: list[tuple[bool, str, str]] = []

        def start(tag: str, attributes: Attributes) -> None:
            if tag == "workbookPr":
                self._formats.from_1904 = attributes.get("date1904", "0") in {"1", "true"}
            elif tag == "sheet":
                key = next((value for name, value in attributes.items() if name.endswith(":id")), "")
                kind, part = self._related_parts.get(key, ("", ""))
                if kind == "worksheet" and part in self._archive.names:
                    hidden = attributes.get("state", "visible") != "visible"
                    sheets.append((hidden, attributes.get("name", ""), part))
            if len(sheets) > _MOST_SHEETS:
                raise CsvRefused(422, _TOO_MUCH.format("sheets"))

        self._parse(main, start)
        if not sheets:
            raise CsvRefused(400, DAMAGED)
        return [(name, part) for _, name, part in sorted(sheets, key=lambda sheet: sheet[0])]

    def _read_styles(self) -> None:
        custom: dict[str, str] = {}
        kinds = self._formats.kinds
        within = ""

        def start(tag: str, attributes: Attributes) -> None:
            nonlocal within
            if tag in {"cellXfs", "cellStyleXfs"}:
                within = tag
            elif tag == "numFmt":
                custom[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")[:200]
            elif tag == "xf" and within == "cellXfs":
                number = attributes.get("numFmtId", "0")
                kinds.append(_kind(custom[number]) if number in custom else _BUILT_IN.get(int(number), ""))
            if max(len(kinds), len(custom)) > _MOST_STYLES:
                raise CsvRefused(422, _TOO_MUCH.format("styles"))

        for part in self._parts("styles"):
            self._parse(part, start)

    def _read_strings(self, part: str, strings: "_Strings") -> Iterator[None]:
        parts: list[str] = []
        length, collecting, aside = 0, False, 0

        def start(tag: str, attributes: Attributes) -> None:
            nonlocal length, collecting, aside
            if tag == "si":
                parts.clear()
                length = 0
            elif tag == "rPh":  # how a word is pronounced
                aside += 1
            collecting = tag == "t" and not aside

        def end(tag: str) -> None:
            nonlocal collecting, aside
            collecting = False
            if tag == "rPh":
                aside -= 1
            elif tag == "si":
                strings.add(unescaped("".join(parts)))

        def text(text: str) -> None:
            nonlocal length
            if collecting:
                length += len(text)
                if length > _LONGEST_STRING:
                    raise CsvRefused(422, _TOO_MUCH.format("characters in one cell"))
                parts.append(text)

        yield from parse_xml(self._archive.read(part), start, end, text)
        strings.finish()

    def _parse(self, part: str, start: Callable[[str, Attributes], None]) -> None:
        if part not in self._archive.names:
            raise CsvRefused(400, DAMAGED)
        for _ in parse_xml(self._archive.read(part), start):
            pass

    @property
    def warning(self) -> str | None:
        """Which sheets were not read."""
        if not self.others:
            return None
        return f"The sheet {listed([self.sheet])} was read. The workbook has others: {listed(self.others)}."


class _Strings:
    """The workbook's table of strings, in a temporary file."""

    def __init__(self) -> None:
        self._file = TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._starts = array("I", [0])
        self._kept: dict[int, str] = {}
        self._unwritten = bytearray()

    def __enter__(self) -> "_Strings":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, text: str) -> None:
        if len(self._starts) > _MOST_STRINGS:
            raise CsvRefused(422, _TOO_MUCH.format("different texts"))
        coded = text.encode("utf-8", "replace")
        if self._starts[-1] + len(coded) > _MOST_BYTES:
            raise CsvRefused(422, _TOO_MUCH.format("different texts"))
        self._unwritten += coded
        self._starts.append(self._starts[-1] + len(coded))
        if len(self._unwritten) > 65_536:
            self.finish()

    def finish(self) -> None:
        self._file.write(self._unwritten)
        self._unwritten.clear()

    def get(self, number: int) -> str:
        """Raises IndexError where there is no such string."""
        if number < 0:
            raise IndexError
        text = self._kept.get(number)
        if text is None:
            start, stop = self._starts[number], self._starts[number + 1]
            self._file.seek(start)
            text = self._file.read(stop - start).decode()
            if len(text) <= _SHORT_STRING:
                if len(self._kept) >= _KEPT_STRINGS:
                    self._kept.clear()
                self._kept[number] = text
        return text


def _cut(pieces: Iterator[bytes]) -> Iterator[bytes]:
    return (piece[at : at + _PIECE] for piece in pieces for at in range(0, len(piece), _PIECE))


def _kind(code: str) -> str:
    """What a format code of Excel makes of a number: a date, a time, both, %, zeros to fill, or nothing."""
    if re.fullmatch(r"0{2,20}", code):
        return code
    bare = _LITERAL.sub("", code.partition(";")[0]).lower()
    if bare.endswith("%"):
        return "%"
    day, hour = "y" in bare or "d" in bare, "h" in bare or "s" in bare
    if "general" in bare:
        return ""
    date = day or ("m" in bare and not hour)
    return " ".join(name for name, shown in (("date", date), ("time", hour)) if shown)
