"""The rows below a header: prospects, rejected rows, and those that hold no prospect."""

from collections.abc import Iterator

from leadline_ingest.prospects.files.records import Flaw
from leadline_ingest.prospects.files.text_rows import Row
from leadline_ingest.prospects.table.columns import Columns
from leadline_ingest.prospects.table.header import Header
from leadline_ingest.prospects.table.header_words import header_words
from leadline_ingest.prospects.table.matching import Mapped
from leadline_ingest.prospects.table.non_prospects import (
    HeaderWithin,
    is_footer,
    is_line,
    is_survey_line,
    totals,
)
from leadline_ingest.prospects.table.outcome import ProspectRow, Rejection
from leadline_text.clip import clip

_OTHER_ORDER = (
    "It stands below a second header, in row {row}, whose columns are in another order. Put those rows "
    "into a file of their own and upload that."
)
_FOOTER = "the footer of a report"
_FEW = 2
_HELD_BACK = 5
"""Rows of a single cell after an empty one, which a footer may begin with."""
_SHOWN = 10
_SHOWN_CHARACTERS = 60


class Rows:
    """Reads rows and counts them: `count` = what came out + `blank`.

    `blank` counts the rows that hold no prospect: empty ones, lines of dashes, headers again, report footers.
    `warnings` names all of those but the empty ones.
    """

    def __init__(self, header: Header, mapped: Mapped) -> None:
        self.columns = Columns(header.titles, mapped)
        self.count = 0
        self.blank = 0
        self._out = 0
        self._header = header
        self._width = len(header.titles)
        self._within = HeaderWithin(self.columns.titles, sorted(self.columns.fields))
        self._suspects = header_words() | totals() | {title.casefold() for title in self.columns.titles}
        self._row = header.row
        self._after_empty = False
        self._in_footer = False
        self._held_back: list[tuple[int, list[str]]] = []
        self._other_header: int | None = None
        self._left_out: dict[str, list[tuple[int, str]]] = {}

    @property
    def any_found(self) -> bool:
        """Whether there was any prospect or rejected row."""
        return self._out > 0

    @property
    def warnings(self) -> list[str]:
        """What is to be known of the columns and of the rows that were left out."""
        above = []
        if self._header.above:
            above.append(
                f"The header is row {self._header.row}; rows with text above it were left out: "
                f"{self._header.above}."
            )
        left_out = [f"{_where(rows)} left out: {kind}." for kind, rows in self._left_out.items()]
        return [*above, *self.columns.warnings, *left_out]

    def read(self, rows: Iterator[Row]) -> list[ProspectRow | Rejection]:
        """The prospects and rejected rows among these rows, in order; a few may be held back."""
        found: list[ProspectRow | Rejection] = []
        for row, record in rows:
            self._row = row
            self.count += 1
            if isinstance(record, Flaw):
                found += self._release()
                found.append(
                    Rejection(row, self.columns.title(record.cell), record.reason, record.cells or None)
                )
                continue
            cells = [cell.strip() for cell in record]
            if self._is_plain(cells):
                found.append(self._prospect(row, cells))
            else:
                found += self._sorted(cells)
        self._out += len(found)
        return found

    def end(self) -> list[ProspectRow | Rejection]:
        """What was held back to the end of the file."""
        found = [*self._release()]
        self._out += len(found)
        return found

    def _is_plain(self, cells: list[str]) -> bool:
        """Whether a row is a prospect at first sight, as nearly all are; the others are looked at closely."""
        if len(cells) != self._width or self._width - cells.count("") <= _FEW or not cells[0][:1].isalnum():
            return False
        if self._after_empty or self._in_footer or self._row == self._header.row + 1:
            return False
        first = cells[0].casefold()
        return first not in self._suspects and first[first.rfind(" ") + 1 :] not in self._suspects

    def _sorted(self, cells: list[str]) -> Iterator[ProspectRow | Rejection]:
        cells += [""] * (self._width - len(cells))
        filled = sum(map(bool, cells))
        if not filled:
            self.blank += 1
            self._after_empty = True
            return
        kind = self._kind_without_prospect(cells, filled)
        if kind is not None:
            if kind == _FOOTER:
                for row, held in self._held_back:
                    self._leave_out(kind, row, held)
                self._held_back = []
            self._in_footer = kind == _FOOTER
            self._leave_out(kind, self._row, cells)
            return
        self._in_footer = False
        if filled == 1 and self._after_empty and self._width > 1 and len(self._held_back) < _HELD_BACK:
            self._held_back.append((self._row, cells))
            return
        yield from self._release()
        yield self._prospect(self._row, cells)

    def _prospect(self, row: int, cells: list[str]) -> ProspectRow | Rejection:
        if self._other_header is not None:
            return Rejection(row, None, _OTHER_ORDER.format(row=self._other_header), tuple(cells))
        found = self.columns.prospect(row, cells)
        return found if isinstance(found, ProspectRow) else Rejection(row, None, found.reason, tuple(cells))

    def _kind_without_prospect(self, cells: list[str], filled: int) -> str | None:
        """What the row is, where it holds no prospect."""
        if (filled <= _FEW or not cells[0][:1].isalnum()) and is_line(cells):
            return "a line of dashes"
        if (filled == 1 and self._in_footer) or is_footer(cells):
            return _FOOTER if filled <= _FEW else "totals"
        if self._row == self._header.row + 1 and is_survey_line(cells):
            return "a second header"
        if self._within.repeats(cells):
            self._other_header = None
            return "the header again"
        if self._within.contradicts(cells):
            self._other_header = self._row
            return "a header whose columns stand in another order"
        return None

    def _leave_out(self, kind: str, row: int, cells: list[str]) -> None:
        self.blank += 1
        text = next(cell for cell in cells if cell)
        self._left_out.setdefault(kind, []).append((row, text))

    def _release(self) -> Iterator[ProspectRow | Rejection]:
        """Yield the rows held back, which turned out to be no footer."""
        self._after_empty = False
        held, self._held_back = self._held_back, []
        for row, cells in held:
            yield self._prospect(row, cells)


def _where(rows: list[tuple[int, str]]) -> str:
    """Name rows by their numbers and the beginning of the first one's text."""
    numbers = ", ".join(f"{row:,}" for row, _ in rows[:_SHOWN])
    more = len(rows) - _SHOWN
    row = "Row" if len(rows) == 1 else "Rows"
    others = f" and {more:,} more" if more > 0 else ""
    return f"{row} {numbers}{others} ({clip(rows[0][1], _SHOWN_CHARACTERS)!r})"
