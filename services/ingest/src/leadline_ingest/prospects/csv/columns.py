"""Finds the prospect's fields among the columns of a file, and picks them out of each row."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from operator import itemgetter

from leadline_ingest.prospects.csv.aliases import ALIASES, KNOWN_KEYS
from leadline_ingest.prospects.csv.outcome import CsvRefused, ProspectRow
from leadline_ingest.prospects.csv.records import TOO_MANY_CELLS, Flaw
from leadline_text.clip import clip

FIELDS = ("name", "role", "company", "industry", "location", "linkedin_bio")
MAX_COLUMNS = 1_000

_SCORED = ("role", "company", "industry")  # without one of these there is nothing to score
_SEPARATORS = {"name": " ", "location": ", "}
_SHOWN_TITLES = 20
_SHOWN_CHARACTERS = 60
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")


def column_key(title: str) -> str:
    """``title`` without case, accents, spaces and punctuation: 'Société_' and 'societe' are one."""
    decomposed = unicodedata.normalize("NFKD", title).casefold()
    return "".join(character for character in decomposed if character.isalnum())


def count_known(titles: Iterable[str]) -> int:
    """How many of ``titles`` are columns that Leadline knows."""
    return sum(column_key(title) in KNOWN_KEYS for title in titles)


class Columns:
    """The header of one file. ``warnings`` says which columns are unused and which fields have none.

    Raises CsvRefused (422) where no column gives a role, a company or an industry.
    """

    def __init__(self, titles: Sequence[str]) -> None:
        self._titles = [_printable(title) for title in titles]
        self._width = len(titles)
        sources = _find_sources([column_key(title) for title in titles])
        _refuse_useless(sources, self._width)
        self.warnings = list(self._describe_unused(sources))
        missing = [field for field in FIELDS if not sources[field]]
        if missing:
            self.warnings.append(
                f"No column was found for: {_listed(missing)}. The prospects are taken without."
            )
        self._joined = [(_SEPARATORS[field], parts) for field, parts in sources.items() if len(parts) > 1]
        self._pick = itemgetter(*self._positions(sources))

    def prospect(self, row: int, record: list[str]) -> ProspectRow | Flaw | None:
        """The prospect in ``record``, None where all cells are empty.

        Missing cells count as empty; surplus cells are a flaw unless they are empty.
        """
        cells = [cell.strip() for cell in record]
        if not any(cells):
            return None
        width = self._width
        if len(cells) > width:
            if any(cells[width:]):
                return Flaw(None, TOO_MANY_CELLS)
            del cells[width:]
        cells += [""] * (width + 1 - len(cells))
        for separator, parts in self._joined:
            cells.append(separator.join(filter(None, (cells[part] for part in parts))))
        return ProspectRow(row, *self._pick(cells))

    def title(self, cell: int | None) -> str | None:
        """What the header calls a cell, None where it has no title."""
        return self._titles[cell] or None if cell is not None and cell < self._width else None

    def _positions(self, sources: dict[str, list[int]]) -> list[int]:
        """Where ``prospect`` lays out each field: the row, then one empty cell, then the joined ones."""
        joined = iter(range(self._width + 1, self._width + 1 + len(FIELDS)))
        return [
            next(joined) if len(parts) > 1 else parts[0] if parts else self._width
            for parts in sources.values()
        ]

    def _describe_unused(self, sources: dict[str, list[int]]) -> Iterable[str]:
        used = {part for parts in sources.values() for part in parts}
        unused = [title for number, title in enumerate(self._titles) if title and number not in used]
        unknown = [title for title in unused if column_key(title) not in KNOWN_KEYS]
        repeated = [title for title in unused if column_key(title) in KNOWN_KEYS]
        if unknown:
            yield f"Columns that Leadline does not know were ignored: {_listed(unknown)}."
        if repeated:
            yield f"Columns were ignored because another one gives the same field: {_listed(repeated)}."


def _find_sources(keys: list[str]) -> dict[str, list[int]]:
    """For each field in order the columns it is read from: none, one, or several to be joined."""
    if "vorname" in keys and "nachname" not in keys:  # beside "Vorname", German "Name" is the surname
        keys = ["nachname" if key == "name" else key for key in keys]

    def find(*parts: str) -> list[int]:
        firsts = (next((keys.index(key) for key in ALIASES[part] if key in keys), None) for part in parts)
        return list(dict.fromkeys(first for first in firsts if first is not None))

    sources = {field: find(field) for field in FIELDS}
    halves = find("first_name", "last_name")
    if not sources["name"] or sources["name"][0] in halves:
        sources["name"] = halves
    sources["location"] = sources["location"] or find("city", "region", "country")
    return sources


def _refuse_useless(sources: dict[str, list[int]], width: int) -> None:
    if not any(sources[field] for field in _SCORED):
        raise CsvRefused(
            422,
            "The header has no column for role, company or industry, nor a usual name for one such as "
            "Job Title or Sector. Name at least one of them in the first row, and separate the columns "
            "by commas, semicolons or tabs.",
        )
    if width > MAX_COLUMNS:
        raise CsvRefused(
            422, f"The header has {width:,} columns; at most {MAX_COLUMNS:,} can be read. Remove the others."
        )


def _printable(title: str) -> str:
    return clip(_UNPRINTABLE.sub(" ", title).strip(), _SHOWN_CHARACTERS)


def _listed(titles: list[str]) -> str:
    more = len(titles) - _SHOWN_TITLES
    return ", ".join(titles[:_SHOWN_TITLES]) + (f" and {more} more" if more > 0 else "")
