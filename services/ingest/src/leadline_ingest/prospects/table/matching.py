"""Which columns of a file hold which field of a prospect."""

import difflib
from collections.abc import Mapping, Sequence

from leadline_contracts.scoring import LEAD_FIELDS
from leadline_ingest.prospects.files.refusal import CsvRefused
from leadline_ingest.prospects.table.header_words import fold, words_of
from leadline_ingest.prospects.table.meaning import Meaning, meaning_of
from leadline_text.clip import clip

IDENTITIES = ("email", "linkedin_url", "record_id")
"""What a prospect may be recognised by, besides its fields."""
Mapped = Mapping[str, Sequence[str]]
"""For a field the titles of its columns as a person names them, none for "no column"."""

_HALF_OR_WHOLE = 90
"""How plainly "Name" alone says that it is a whole name: beside a first name it is the last name."""
_TITLE_MORE = 40
_GERMAN = frozenset({"vorname", "nachname", "anrede"})
_SHOWN_TITLES, _SHOWN_CHARACTERS = 20, 60


class Matching:
    """The columns found for each field in a header, by their number: none, one, or several to be joined.

    What `mapped` says overrules every guess; no column is guessed for two fields. Raises CsvRefused (422)
    where `mapped` names a column that is not there.
    """

    def __init__(self, titles: Sequence[str], mapped: Mapped) -> None:
        chosen = {field: [_named(title, titles, field) for title in named] for field, named in mapped.items()}
        taken = {column for columns in chosen.values() for column in columns}
        self.meanings = [
            None if column in taken else _meaning(title, titles) for column, title in enumerate(titles)
        ]
        self.sources = {
            field: chosen[field] if field in chosen else self._guess(field) for field in LEAD_FIELDS
        }
        self.identities = {identity: found[0] for identity in IDENTITIES if (found := self._best(identity))}

    @property
    def weight(self) -> int:
        """How much the titles look like a header: the strengths of the fields found, each once.

        A title more for the same field counts a little, or two titles read as one would count as much as two.
        """
        best: dict[str, int] = {}
        for meaning in self.meanings:
            if meaning is not None:
                best[meaning.field] = max(best.get(meaning.field, 0), meaning.strength)
        return sum(best.values()) + _TITLE_MORE * sum(meaning is not None for meaning in self.meanings)

    def _guess(self, field: str) -> list[int]:
        if field == "name":
            return self._name()
        return self._place() if field == "location" else self._best(field)

    def _best(self, field: str, *, company: bool | None = None) -> list[int]:
        """The column that names the field most plainly, the first of several; none where no column does."""
        found = [
            (-meaning.strength, column)
            for column, meaning in enumerate(self.meanings)
            if meaning is not None and meaning.field == field and company in {None, meaning.company}
        ]
        return [min(found)[1]] if found else []

    def _name(self) -> list[int]:
        whole, first, last = map(self._best, ("name", "first_name", "last_name"))
        if not whole:
            return first + last
        meaning = self.meanings[whole[0]]
        is_half = meaning is not None and meaning.strength == _HALF_OR_WHOLE and bool(first) != bool(last)
        return (first or whole) + (last or whole) if is_half else whole

    def _place(self) -> list[int]:
        """The person's place before the company's, one column that has all of it before several."""
        for company in (False, True):
            whole = self._best("location", company=company)
            parts = [self._best(part, company=company) for part in ("city", "region", "country")]
            if whole or any(parts):
                return whole or [column for part in parts for column in part]
        return []


def listed(titles: Sequence[str]) -> str:
    """Return titles for a sentence, the first twenty, each short."""
    more = len(titles) - _SHOWN_TITLES
    return ", ".join(clip(title, _SHOWN_CHARACTERS) for title in titles[:_SHOWN_TITLES]) + (
        f" and {more} more" if more > 0 else ""
    )


def _meaning(title: str, titles: Sequence[str]) -> Meaning | None:
    if fold(title.strip()) != "titel":
        return meaning_of(title)
    # In German an academic degree, in Danish, Dutch and Swedish what somebody does.
    german = any(fold(other.strip()) in _GERMAN for other in titles)
    return None if german else Meaning("role", 70)


def _named(wanted: str, titles: Sequence[str], field: str) -> int:
    """Find the column that a person names: exactly, else without case, accents and punctuation."""
    if wanted.strip() in titles:
        return titles.index(wanted.strip())
    words = words_of(wanted)
    for column, title in enumerate(titles):
        if words and words_of(title) == words:
            return column
    near = difflib.get_close_matches(wanted, [title for title in titles if title], n=1)
    did_you_mean = f" Did you mean {near[0]!r}?" if near else ""
    raise CsvRefused(
        422,
        f"The file has no column {wanted!r}, which the mapping names for {field}.{did_you_mean} "
        f"Its columns are: {listed([title for title in titles if title])}.",
    )
