"""Finds the header of a file and, by it, the delimiter."""

import re
from dataclasses import dataclass

from leadline_ingest.prospects.csv.columns import count_known
from leadline_ingest.prospects.csv.outcome import MAX_FIELD, CsvRefused
from leadline_ingest.prospects.csv.records import Flaw, Record, end_of_last_line, parse_record

_DELIMITERS = (",", ";", "\t")
_EMPTY_LINES = r"(?:[ ,;\t]*+(?:\r\n|\r|\n))*+"
_EXCEL_HINT = r'(?:"?(?i:sep)=([^\w\s"]|\t)"?[ ,;\t]*+(?:\r\n|\r|\n))?'
_PREAMBLE = re.compile(_EMPTY_LINES + _EXCEL_HINT + _EMPTY_LINES)
_ANY_WIDTH = MAX_FIELD  # no header within the limit has as many cells


@dataclass(frozen=True, slots=True)
class Header:
    """The titles, the delimiter, and where in the text the first row starts."""

    titles: list[str]
    delimiter: str
    end: int


def find_header(text: str, final: bool) -> Header | None:
    """The header at the start of ``text``, None where more text is needed.

    Empty lines before it are skipped. Excel's line "sep=;" names the delimiter; otherwise it is the
    one that finds most known columns. Counting characters, as csv.Sniffer does, is misled by decimal
    commas. Raises CsvRefused where there is no header, or none within MAX_FIELD.
    """
    lines = text[: end_of_last_line(text)]
    preamble = _PREAMBLE.match(lines)
    start, hint = (preamble.end(), preamble[1]) if preamble else (0, None)
    if start == len(lines):
        return _wait_for_more(text, final)
    candidates: list[tuple[str, Record, int]] = []
    for delimiter in (hint,) if hint else _DELIMITERS:
        parsed = parse_record(lines, start, delimiter, _ANY_WIDTH, final)
        if parsed is None:
            return _wait_for_more(text, final)
        candidates.append((delimiter, *parsed))
    delimiter, titles, end = max(candidates, key=_known_columns)
    if isinstance(titles, Flaw):
        raise CsvRefused(422, "A double quote in the header is not closed. Close it and upload again.")
    return Header(titles, delimiter, end)


def _known_columns(candidate: tuple[str, Record, int]) -> int:
    titles = candidate[1]
    return -1 if isinstance(titles, Flaw) else count_known(titles)


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
