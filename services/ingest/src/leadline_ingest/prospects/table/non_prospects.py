"""Rows of a file that hold no prospect: lines of dashes, footers of reports, headers within the file."""

import re
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from leadline_ingest.prospects.table.header_words import words_of
from leadline_ingest.prospects.table.meaning import meaning_of

_LINE = re.compile(
    r"[-=_*~+#|.\s\u2013\u2014\u2500\u2550]*[-=_*~+#\u2013\u2014\u2500\u2550]{2,}[-=_*~+#|.\s]*"
)
_NUMBER = re.compile(r"[\s$€£¥%()+\-.,'\u2019\d]*\d[\s$€£¥%()+\-.,'\u2019\d]*")
_SURVEY = re.compile(
    r"response|open-ended response|other \(please specify\)|\{\"?importid.*", re.IGNORECASE | re.DOTALL
)
_PLAINLY = 80
_WHOLE = {
    "first_name": "name",
    "last_name": "name",
    "city": "location",
    "region": "location",
    "country": "location",
}
_FEW = 2
"""Cells that a footer has at most, in a file of more columns."""


def totals() -> frozenset[str]:
    """Return the first words of rows of totals, without capitals."""
    return _patterns().totals


def is_line(cells: Sequence[str]) -> bool:
    """Whether the filled cells are lines of dashes or the like."""
    return all(_LINE.fullmatch(cell) for cell in cells if cell)


def is_footer(cells: Sequence[str]) -> bool:
    """Whether the row is a report's footer: who made it, a copyright, a number of records, totals.

    In a file of several columns it has one text or two; a row of totals has numbers beside.
    """
    patterns = _patterns()
    filled = [cell for cell in cells if cell]
    if len(cells) > 1 and cells[0].rstrip(" :").casefold() in patterns.totals:
        return all(_NUMBER.fullmatch(cell) for cell in filled[1:])
    if len(filled) > min(_FEW, max(1, len(cells) - 1)):
        return False
    return patterns.line.fullmatch(" ".join(filled)) is not None


def is_survey_line(cells: Sequence[str]) -> bool:
    """Whether the row below the header is what survey tools put there: "Response", or the questions' ids."""
    return all(_SURVEY.fullmatch(cell) for cell in cells if cell)


class HeaderWithin:
    """Tells rows that are a header again, as files that were put together have them."""

    def __init__(self, titles: Sequence[str], fields: Sequence[int]) -> None:
        """`titles` of the header; `fields` are the numbers of the columns that fields are read from."""
        self._titles = [words_of(title) for title in titles]
        self._fields = {column: _field_of(titles[column]) for column in fields}

    def repeats(self, cells: Sequence[str]) -> bool:
        """Whether each filled cell says what the title of its column says, in these words or in others."""
        filled = [(column, cell) for column, cell in enumerate(cells[: len(self._titles)]) if cell]
        same = sum(words_of(cell) == self._titles[column] for column, cell in filled)
        if same == len(filled) and (same > 1 or len(cells) == 1):
            return True
        read = [(known, _field_of(cell)) for column, cell in filled if (known := self._fields.get(column))]
        return len(read) > 1 and all(known == found for known, found in read)

    def contradicts(self, cells: Sequence[str]) -> bool:
        """Whether the row is a header whose columns stand in another order than this one's."""
        read = [_field_of(cells[column]) for column in self._fields if cells[column]]
        return len(read) > 1 and all(read) and not self.repeats(cells)


def _field_of(title: str) -> str | None:
    """The field of a prospect that a title names plainly, None where it names none."""
    meaning = meaning_of(title)
    if meaning is None or meaning.strength < _PLAINLY:
        return None
    return _WHOLE.get(meaning.field, meaning.field)


class _Patterns(NamedTuple):
    line: re.Pattern[str]
    totals: frozenset[str]


@cache
def _patterns() -> _Patterns:
    data = files(__package__).joinpath("footers.toml").read_text(encoding="utf-8")
    read = tomllib.loads(data)
    named = {"counted": read["counted"], "number": read["number"]}
    lines = [re.sub(r"\{(counted|number)\}", lambda name: named[name[1]], line) for line in read["lines"]]
    return _Patterns(
        re.compile("|".join(f"(?:{line})" for line in lines), re.IGNORECASE | re.DOTALL),
        frozenset(read["totals"]),
    )
