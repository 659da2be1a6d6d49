"""Finds the header among the first rows of a file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from leadline_ingest.prospects.files.records import Flaw, Record
from leadline_ingest.prospects.files.refusal import CsvRefused
from leadline_ingest.prospects.table.header_words import words_of
from leadline_ingest.prospects.table.matching import Mapped, Matching

HEAD_ROWS = 30
"""The header is looked for in so many rows: exports have titles, filters and notes above it."""
_CERTAIN = 250
"""A row that names so much of a prospect is the header, whatever comes below it."""
_ONE_FIELD = 100
"""A row further down is the header only where it names a whole field more."""
_MAPPED = 1_000
_UNMAPPED: Mapped = MappingProxyType({})
_SAYS_SOMETHING = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Header:
    """The titles, the header's row, how many rows with text stand above it, and the rows below it so far."""

    titles: list[str]
    row: int
    above: int
    below: list[tuple[int, Record]]


class HeaderSearch:
    """Takes the first rows one by one until it is clear which of them is the header.

    It is the row whose titles name most fields; titles that `mapped` names count above all.
    """

    def __init__(self, mapped: Mapped) -> None:
        self._mapped = mapped
        self._rows: list[tuple[int, Record]] = []
        self._candidates: list[tuple[int, int, list[str]]] = []  # weight, place among the rows, titles
        self._unclosed = False

    def add(self, row: int, record: Record) -> Header | None:
        """Take the next row; return the header, where it is clear by now.

        Raises CsvRefused (422) where the header is not readable.
        """
        self._rows.append((row, record))
        titles = [*record.cells] if isinstance(record, Flaw) else record
        self._unclosed = self._unclosed or (not self._candidates and not titles)
        if any(map(_SAYS_SOMETHING.search, titles)):
            weight = title_weight(titles, self._mapped)
            self._candidates.append((weight, len(self._rows) - 1, titles))
            if weight >= _CERTAIN:
                return self._chosen()
        return self._chosen() if len(self._rows) == HEAD_ROWS and self._candidates else None

    def end(self) -> Header | None:
        """Return the best of the rows there were; None where none has text. Raises CsvRefused as `add`."""
        return self._chosen() if self._candidates else None

    def _chosen(self) -> Header:
        best = self._candidates[0]
        for candidate in self._candidates[1:]:
            if candidate[0] >= best[0] + _ONE_FIELD:
                best = candidate
        weight, place, titles = best
        if self._unclosed and not weight:
            raise CsvRefused(422, "A double quote in the header is not closed. Close it and upload again.")
        above = sum(candidate[1] < place for candidate in self._candidates)
        return Header(titles, self._rows[place][0], above, self._rows[place + 1 :])


def title_weight(titles: Sequence[str], mapped: Mapped = _UNMAPPED) -> int:
    """How much a row looks like the header; more than all guesses where it has what a person named."""
    weight = Matching(titles, {}).weight
    named = {tuple(words_of(title)) for wanted in mapped.values() for title in wanted}
    return _MAPPED + weight if named and named <= {tuple(words_of(title)) for title in titles} else weight
