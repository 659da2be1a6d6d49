"""The header of one file: what each column is, and a prospect picked out of each row."""

import re
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from types import MappingProxyType

from leadline_contracts.scoring import LEAD_FIELDS
from leadline_ingest.prospects.files.records import TOO_MANY_CELLS, Flaw
from leadline_ingest.prospects.files.refusal import CsvRefused
from leadline_ingest.prospects.table.matching import Mapped, Matching, listed
from leadline_ingest.prospects.table.outcome import ProspectRow
from leadline_text.clip import clip

MAX_COLUMNS = 1_000

_SCORED = ("role", "company", "industry")  # without one of these there is nothing to score
_NEEDED = ("role", "industry")  # without one of these every prospect loses most of its points
_SEPARATORS = {"name": " ", "location": ", "}
_TITLE_CHARACTERS = 500
_NOTHING: Mapping[str, str] = MappingProxyType({})
_PROSPECT = ProspectRow._make
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")


class Columns:
    """What the columns of one file are.

    `taken` names for each field that has one its column, several joined by " + ". `titles` are unique and
    never empty: a column without a title is called "Column 7"; `headers` are as they stand in the file.
    `warnings` says which columns are not used for the score and which fields have none.
    Raises CsvRefused (422) where no column gives a role, a company or an industry, or where `mapped` names a
    column that is not there.
    """

    def __init__(self, titles: Sequence[str], mapped: Mapped) -> None:
        shown = [_printable(title) for title in titles]
        self._width = len(titles)
        matching = Matching(shown, mapped)
        sources = matching.sources
        _refuse_useless(sources, shown)
        self.headers = shown
        self.titles = _unique(shown)
        self.taken = {
            field: " + ".join(self.titles[column] for column in columns)
            for field, columns in sources.items()
            if columns
        }
        self.warnings = list(self._describe(matching))
        self.fields = {columns[0]: field for field, columns in sources.items() if len(columns) == 1}
        """The columns that hold one whole field, by number."""
        self.identities = {identity: self.titles[column] for identity, column in matching.identities.items()}
        """The titles of the columns that a prospect may be recognised by."""
        self._joined = [
            (_SEPARATORS.get(field, " "), parts) for field, parts in sources.items() if len(parts) > 1
        ]
        self._pick = itemgetter(*self._positions(sources))
        self._rest = [
            (column, title) for column, title in enumerate(self.titles) if column not in self.fields
        ]

    def prospect(self, row: int, record: list[str]) -> ProspectRow | Flaw:
        """The prospect in `record`, whose cells are stripped, at least one a column.

        Surplus cells are a flaw unless they are empty.
        """
        if len(record) > self._width and any(record[self._width :]):
            return Flaw(None, TOO_MANY_CELLS)
        cells = [*record[: self._width], ""]
        extra = (
            {title: cell for column, title in self._rest if (cell := cells[column])}
            if self._rest
            else _NOTHING
        )
        for separator, parts in self._joined:
            cells.append(separator.join(filter(None, (cells[part] for part in parts))))
        return _PROSPECT((row, *self._pick(cells), extra))

    def title(self, cell: int | None) -> str | None:
        """What a cell's column is called, None where no single cell is meant or it has no column."""
        return self.titles[cell] if cell is not None and cell < self._width else None

    def _positions(self, sources: dict[str, list[int]]) -> list[int]:
        """Where `prospect` lays out each field: the row, then one empty cell, then the joined ones."""
        joined = iter(range(self._width + 1, self._width + 1 + len(LEAD_FIELDS)))
        return [
            next(joined) if len(parts) > 1 else parts[0] if parts else self._width
            for parts in sources.values()
        ]

    def _describe(self, matching: Matching) -> Iterable[str]:
        sources = matching.sources
        used = {part for parts in sources.values() for part in parts}
        spare = [
            title
            for column, title in enumerate(self.titles)
            if column not in used and matching.meanings[column] and column not in matching.identities.values()
        ]
        if spare:
            yield f"Columns were not used because another one says the same more plainly: {listed(spare)}."
        missing = [field for field in LEAD_FIELDS if not sources[field]]
        needed = [field for field in missing if field in _NEEDED]
        if needed:
            fields = " and ".join(needed)
            yield (
                f"No column was taken for {fields}, so every prospect is scored without. If one holds it, "
                f"say which: {_how_to_map(needed[0])}. The columns are: {listed(self.titles)}."
            )
        others = [field for field in missing if field not in _NEEDED]
        if others:
            yield f"No column was taken for: {', '.join(others)}. The prospects are taken without."


def _refuse_useless(sources: dict[str, list[int]], titles: Sequence[str]) -> None:
    if len(titles) > MAX_COLUMNS:
        raise CsvRefused(
            422,
            f"The header has {len(titles):,} columns; at most {MAX_COLUMNS:,} can be read. "
            "Remove the others.",
        )
    if not any(sources[field] for field in _SCORED):
        seen = [title for title in titles if title]
        raise CsvRefused(
            422,
            "No column was recognised as role, company or industry. Say which column holds one, as in "
            f"{_how_to_map('role')}, or name it so in the header. "
            + (f"The first row with text has: {listed(seen)}." if seen else "The header has no titles."),
        )


def _how_to_map(field: str) -> str:
    """Say how a person names a column, over REST and on the command line."""
    return f'map={{"{field}": "<column>"}} or --map {field}="<column>"'


def _unique(titles: Sequence[str]) -> list[str]:
    """Give each column a name of its own."""
    names: list[str] = []
    known: set[str] = set()
    for number, title in enumerate(titles, 1):
        name = base = title or f"Column {number}"
        times = 1
        while name in known:
            times += 1
            name = f"{base} ({times})"
        known.add(name)
        names.append(name)
    return names


def _printable(title: str) -> str:
    return clip(_UNPRINTABLE.sub(" ", title).strip(), _TITLE_CHARACTERS)
