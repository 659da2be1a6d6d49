"""Cuts CSV text into records (RFC 4180, read leniently), so that a bad one costs no other.

csv.reader in its strict mode reads what stands on one line. What it refuses, and what spans lines,
goes through ``parse_record``, which can tell a cell with line breaks from a quote left open.
"""

import csv
import io
import re
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from sys import getsizeof

from leadline_ingest.prospects.files.refusal import MAX_FIELD

MAX_RECORD = 4 * MAX_FIELD  # characters; a longer record is given up, so that memory stays flat
ANY_WIDTH = MAX_FIELD  # no header within the limit has as many cells
_LINES_AT_ONCE = 100  # lines csv.reader may read in vain, where a quote is left open

TOO_MANY_CELLS = (
    "The row has more cells than the header. Put a cell that contains the delimiter in double quotes."
)
_UNCLOSED = (
    "The double quote that opens this cell is not closed properly. "
    "Close the cell with one and double every quote inside it."
)
TOO_LONG = f"The cell is longer than {MAX_FIELD:,} characters. Shorten it."
ROW_TOO_LONG = f"The row is longer than {MAX_RECORD:,} characters. Shorten it."
_NUL = "The cell contains a NUL character. Remove it."
_UNREADABLE = "The cell holds bytes that are not valid in the file's encoding. Save the file as CSV UTF-8."

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a record is left out; ``cell`` counts from 0, None where no single cell is at fault.

    ``cells`` is what it holds, where its quotes at least are in order: damaged titles are titles still.
    """

    cell: int | None
    reason: str
    cells: tuple[str, ...] = ()


Record = list[str] | Flaw


class RecordSplitter:
    """Text in, one record for each row of the sheet out; a blank line is a record of empty cells.

    The text may be cut anywhere but between CR and LF, and the last piece ends with a line end.
    ``width`` is the number of cells in the header; it may be set once the header has come out.
    """

    def __init__(self, delimiter: str, width: int = ANY_WIDTH) -> None:
        self.width = width
        self._delimiter = delimiter
        self._text = ""  # from the start of the first record not yet returned
        self._enough = 0  # characters; with fewer, the record waited for is not worth another look
        self._skipping_line = False

    @property
    def held(self) -> int:
        """Bytes of memory that the text not yet returned takes."""
        return getsizeof(self._text)

    def split(self, text: str, final: bool = False) -> Iterator[Record]:
        """The records that ``text`` completes, each when it is asked for; all are to be.

        After the final piece nothing is left over.
        """
        self._text += text
        if self._skipping_line:
            self._skip_line()
        if len(self._text) < self._enough and not final:
            return
        yield from self._complete_records(final)
        if len(self._text) > MAX_RECORD:
            yield self._give_up()
        self._enough = min(2 * len(self._text), MAX_RECORD)  # doubling keeps the work linear

    def _complete_records(self, final: bool) -> Iterator[Record]:
        text = self._text[: end_of_last_line(self._text)]
        check = _checked if _is_suspect(text) else None
        lines = list(io.StringIO(text, newline=""))
        starts = list(accumulate(map(len, lines), initial=0))
        line = 0
        while line < len(lines):
            one_line = self._one_line_records(lines[line : line + _LINES_AT_ONCE])
            yield from map(check, one_line) if check else one_line
            line += len(one_line)
            if line == len(lines):
                break
            parsed = parse_record(text, starts[line], self._delimiter, self.width, final)
            if parsed is None:
                break
            record, end = parsed
            yield check(record) if check else record
            line = bisect_left(starts, end)
        self._text = self._text[starts[line] :]

    def _one_line_records(self, lines: list[str]) -> list[list[str]]:
        """The records before the first that spans lines or that csv.reader refuses."""
        reader = csv.reader(lines, delimiter=self._delimiter, skipinitialspace=True, strict=True)
        records: list[list[str]] = []
        with suppress(csv.Error):
            for record in reader:
                if reader.line_num > len(records) + 1:
                    break
                records.append(record)
        return records

    def _give_up(self) -> Flaw:
        parsed = parse_record(self._text + "\n", 0, self._delimiter, self.width, final=True)
        self._skip_line()
        record = _checked(parsed[0]) if parsed else None
        return record if isinstance(record, Flaw) else Flaw(None, ROW_TOO_LONG)

    def _skip_line(self) -> None:
        found = _LINE_END.search(self._text)
        self._skipping_line = found is None
        self._text = self._text[found.end() :] if found else ""


def end_of_last_line(text: str) -> int:
    """Where the last complete line of ``text`` ends, 0 where there is none."""
    return max(text.rfind("\n"), text.rfind("\r")) + 1


def parse_record(text: str, start: int, delimiter: str, width: int, final: bool) -> tuple[Record, int] | None:
    """The record at ``start`` and where the next one starts; None where more text is needed.

    ``text`` holds complete lines. Text after a closing quote belongs to the cell, as in csv.reader
    and spreadsheets. But after a quoted line break it shows that the quote was left open and that
    the cell has swallowed other rows: then, as where no closing quote comes within MAX_FIELD, the
    next record starts on the next line.
    """
    cells: list[str] = []
    spans_lines = False
    for cell in _cell_pattern(delimiter).finditer(text, start):
        quoted, closing, rest, bare, end = cell.groups()
        if quoted is not None:
            breaks = _LINE_END.search(quoted) is not None
            spans_lines = spans_lines or breaks
            if breaks and len(cells) >= width:
                return Flaw(None, TOO_MANY_CELLS), _next_line(text, start)
            if len(quoted) > MAX_FIELD or (final and not closing) or (spans_lines and rest.strip()):
                return Flaw(len(cells), _quoting_fault(quoted)), _next_line(text, start)
            if not closing:
                return None
        cells.append(bare if quoted is None else quoted.replace('""', '"') + rest)
        if end != delimiter:
            return cells, cell.end()
    return None


@cache
def _cell_pattern(delimiter: str) -> re.Pattern[str]:
    stop = re.escape(delimiter) + r"\r\n"
    quoted = rf'"([^"]*+(?:""[^"]*+)*+)("?)([^{stop}]*+)'
    return re.compile(rf" *+(?:{quoted}|([^{stop}]*+))({re.escape(delimiter)}|\r\n|\r|\n|\Z)")


def _quoting_fault(quoted: str) -> str:
    """A cell too long on one line is just that; one that runs over lines was never closed."""
    one_line = len(quoted) > MAX_FIELD and _LINE_END.search(quoted, 0, MAX_FIELD) is None
    return TOO_LONG if one_line else _UNCLOSED


def _next_line(text: str, start: int) -> int:
    found = _LINE_END.search(text, start)
    return found.end() if found else len(text)


def _is_suspect(text: str) -> bool:
    """Whether any cell of ``text`` could fail ``_checked``; spares the clean blocks its cost."""
    return len(text) > MAX_FIELD or "\0" in text or not _is_encodable(text)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()  # by far the fastest search for a lone surrogate
    except UnicodeEncodeError:
        return False
    return True


def _checked(record: Record) -> Record:
    if isinstance(record, Flaw):
        return record
    faults = ((number, _cell_fault(cell)) for number, cell in enumerate(record))
    return next((Flaw(number, reason, tuple(record)) for number, reason in faults if reason), record)


def _cell_fault(cell: str) -> str | None:
    if len(cell) > MAX_FIELD:
        return TOO_LONG
    if "\0" in cell:
        return _NUL
    return None if _is_encodable(cell) else _UNREADABLE
