"""Finds the header of a file and, by it, the delimiter."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from leadline_ingest.prospects.csv.header_words import words_of
from leadline_ingest.prospects.csv.matching import Mapped, Matching
from leadline_ingest.prospects.csv.outcome import MAX_FIELD, CsvRefused
from leadline_ingest.prospects.csv.records import Flaw, Record, end_of_last_line, parse_record

HEAD_ROWS = 30
"""The header is looked for in so many rows: exports have titles, filters and notes above it."""
_HEAD_CHARACTERS = 65_536
"""So much text is enough to decide by, where its rows are long."""
_DELIMITERS = (",", ";", "\t", "|")
_EXCEL_HINT = re.compile(r'\s*"?(?i:sep)=([^\w\s"]|\t)"?[ ,;\t]*+(?:\r\n|\r|\n)')
_SAYS_SOMETHING = re.compile(r"[^\W_]")
_ANY_WIDTH = MAX_FIELD  # no header within the limit has as many cells
_ONE_FIELD = 100
"""A row further down is the header only where it names a whole field more."""
_MAPPED = 1_000


@dataclass(frozen=True, slots=True)
class Header:
    """The titles, the delimiter, and where in the text the first row starts.

    `row` is the header's number in a spreadsheet, where the line "sep=;" is none; `above` counts the rows
    with text that stand before it.
    """

    titles: list[str]
    delimiter: str
    end: int
    row: int = 1
    above: int = 0


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A row that may be the header, or a flaw where a quote is left open."""

    titles: Record
    delimiter: str
    end: int
    row: int
    above: int
    weight: int


def find_header(text: str, final: bool, mapped: Mapped) -> Header | None:
    """The header in the first rows of ``text``, None where more text is needed.

    It is the row whose titles name most fields, under the delimiter that finds most; titles that `mapped`
    names count above all. Excel's line "sep=;" names the delimiter. Counting characters, as csv.Sniffer does,
    is misled by decimal commas.
    Raises CsvRefused where there is no text, or no row ends within MAX_FIELD.
    """
    lines = text[: end_of_last_line(text)]
    hint = _EXCEL_HINT.match(lines)
    start = hint.end() if hint else 0
    if not lines[start:].strip(" ,;|\t\r\n"):
        return _wait_for_more(text, final)
    enough = final or len(text) - start >= _HEAD_CHARACTERS
    best: _Candidate | None = None
    for delimiter in (hint[1],) if hint else _DELIMITERS:
        rows = 0
        for candidate in _candidates(lines, start, delimiter, final, mapped):
            rows = candidate.row
            more = _ONE_FIELD if best is not None and best.delimiter == delimiter else 1
            if best is None or candidate.weight >= best.weight + more:
                best = candidate
        if not rows or (rows < HEAD_ROWS and not enough):
            return _wait_for_more(text, final)
    assert best is not None  # noqa: S101 - there were rows
    if isinstance(best.titles, Flaw):
        raise CsvRefused(422, "A double quote in the header is not closed. Close it and upload again.")
    return Header(best.titles, best.delimiter, best.end, best.row, best.above)


def _candidates(lines: str, start: int, delimiter: str, final: bool, mapped: Mapped) -> Iterator[_Candidate]:
    """Yield each of the first rows that are not empty."""
    above = 0
    for row in range(1, HEAD_ROWS + 1):
        parsed = parse_record(lines, start, delimiter, _ANY_WIDTH, final)
        if parsed is None:
            return
        titles, start = parsed
        if isinstance(titles, Flaw) or any(map(_SAYS_SOMETHING.search, titles)):
            weight = 0 if isinstance(titles, Flaw) else _weight(titles, mapped)
            yield _Candidate(titles, delimiter, start, row, above, weight)
            above += 1


def _weight(titles: list[str], mapped: Mapped) -> int:
    """How much a row looks like the header; more than all guesses where it has what a person named."""
    if mapped:
        present = {tuple(words_of(title)) for title in titles}
        named = {tuple(words_of(title)) for wanted in mapped.values() for title in wanted}
        if named and named <= present:
            return _MAPPED + Matching(titles, {}).weight
    return Matching(titles, {}).weight


def _wait_for_more(text: str, final: bool) -> Header | None:
    if final:
        raise CsvRefused(400, "The file is empty. Upload a CSV with a header row and one prospect a row.")
    if len(text) > MAX_FIELD:
        raise CsvRefused(
            400,
            f"No header row ends within the first {MAX_FIELD:,} characters, so this is no CSV of prospects. "
            "Save the table as CSV UTF-8 with the column names in the first row.",
        )
    return None
