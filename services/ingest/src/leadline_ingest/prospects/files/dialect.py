"""Finds the delimiter of a file by its first lines."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leadline_ingest.prospects.files.records import ANY_WIDTH, end_of_last_line, parse_record
from leadline_ingest.prospects.files.refusal import MAX_FIELD, CsvRefused

_DELIMITERS = (",", ";", "\t", "|")
_EXCEL_HINT = re.compile(
    r'\s*+(?:[,;\t|]*+(?:\r\n|\r|\n))*+"?(?i:sep)=([^\w\s"]|\t)"?[ ,;\t|]*+(?:\r\n|\r|\n)'
)
_NOTHING = re.compile(r"[\s,;\t|]*+\Z")
_SAMPLE = 65_536  # characters
_RECORDS = 30


Weigh = Callable[[Sequence[str]], int]
"""Tells how much a row looks like the header of a table of prospects."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """The delimiter, and where in the text the first record starts: behind Excel's line "sep=;"."""

    delimiter: str
    start: int


def find_dialect(text: str, final: bool, weigh: Weigh) -> Dialect | None:
    """The dialect of a file that begins with ``text``, None where more text is needed.

    Excel's line "sep=;" names the delimiter. Otherwise it is the one by which one of the first lines has
    most known columns, or, where none has any, the one that cuts most lines into the same number of cells.
    Counting characters, as csv.Sniffer does, is misled by decimal commas. Raises CsvRefused where the file
    is empty or has no line end within MAX_FIELD.
    """
    if len(text) < _SAMPLE and not final:
        return None
    end = end_of_last_line(text[:_SAMPLE]) or end_of_last_line(text)
    lines = text[:end]
    hint = _EXCEL_HINT.match(lines)
    start = hint.end() if hint else 0
    if _NOTHING.match(lines, start):
        return _wait_for_more(text, final)
    if hint:
        return Dialect(hint[1], start)
    return Dialect(max(_DELIMITERS, key=lambda delimiter: _fitness(lines, delimiter, weigh)), 0)


def _fitness(lines: str, delimiter: str, weigh: Weigh) -> tuple[int, int]:
    """How much the best of the first records looks like a header, and how many records are of one width."""
    known, at = 0, 0
    widths: Counter[int] = Counter()
    for _ in range(_RECORDS):
        parsed = parse_record(lines, at, delimiter, ANY_WIDTH, final=True) if at < len(lines) else None
        if parsed is None:
            break
        record, at = parsed
        if isinstance(record, list):
            known = max(known, weigh(record))
            widths[len(record)] += len(record) > 1
    return known, max(widths.values(), default=0)


def _wait_for_more(text: str, final: bool) -> Dialect | None:
    if final:
        raise CsvRefused(400, "The file is empty. Upload a CSV with a header row and one prospect a row.")
    if len(text) > MAX_FIELD:
        raise CsvRefused(
            400,
            f"No header row ends within the first {MAX_FIELD:,} characters, so this is no CSV of prospects. "
            "Save the table as CSV UTF-8 with the column names in the first row.",
        )
    return None
