"""Branches of business, their sectors and their names, and the branches that a text names.

The division follows public classifications (NACE Rev. 2, NAICS 2022, GICS); software published as a service
is one branch with all other software publishing, as GICS has it ("application software"). The names are in
`data/industries.toml`.
"""

import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

from pydantic import BaseModel, ConfigDict, model_validator

from leadline_scoring.data_files import read_data
from leadline_text.phrases import Found, Phrases, expand
from leadline_text.tokens import SEPARATORS, Text, fold, read_text

_READ = 500
_SAME_WITH_S = frozenset({"news", "saas", "paas", "iaas", "gas"})


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    title: str
    sectors: tuple[str, ...]
    names: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()


class _Branch(_Entry):
    neighbours: tuple[str, ...] | None = None


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    companies: tuple[str, ...]
    endings: tuple[str, ...]
    serves: tuple[str, ...]
    ignored: tuple[str, ...]
    sectors: dict[str, str]
    umbrellas: dict[str, _Entry]
    branches: dict[str, _Branch]

    @model_validator(mode="after")
    def _every_reference_exists(self) -> "_Data":
        for key, entry in [*self.umbrellas.items(), *self.branches.items()]:
            unknown = set(entry.sectors) - self.sectors.keys()
            unknown |= set(getattr(entry, "neighbours", None) or ()) - self.branches.keys()
            if unknown:
                raise ValueError(f"{key} names {sorted(unknown)}, which the taxonomy does not have")
        return self


@dataclass(frozen=True, slots=True)
class Industry:
    """A branch, or an umbrella term ("technology") for all `branches` of some sectors."""

    id: str
    title: str
    branches: frozenset[str]
    nearby: frozenset[str]
    """Branches of the same sector that neighbour one of `branches`."""


@dataclass(frozen=True, slots=True)
class _Name:
    industry: Industry | None  # None: the phrase is known to name no industry
    alone: bool = False


class Taxonomy:
    """The industries by id, and the reading of texts."""

    def __init__(self, data: _Data) -> None:
        branches = data.branches
        self.industries = {
            key: Industry(key, branch.title, frozenset({key}), _nearby(key, branches))
            for key, branch in branches.items()
        }
        for key, umbrella in data.umbrellas.items():
            within = frozenset(
                b for b, branch in branches.items() if set(branch.sectors) & set(umbrella.sectors)
            )
            self.industries[key] = Industry(key, umbrella.title, within, frozenset())
        self._companies = frozenset(stem(fold(word)) for word in data.companies)
        self._serves = frozenset(fold(word) for word in data.serves)
        self._endings = tuple(sorted(map(fold, data.endings), key=len, reverse=True))
        self._names = Phrases(_names(data, self.industries))
        self._single_words = frozenset(
            p for p, name in _names(data, self.industries) if " " not in p and name
        )

    def named_in_field(self, text: str) -> tuple[Industry, ...]:
        """The industries an industry field names: "Software for banks" is software."""
        read = self._read(text)
        cut = self._index_of_service(read)
        found = self._names.find(read.words[:cut])
        return self._industries(read, found, self._fills_its_part)

    def named_in_use_case(self, text: str) -> tuple[Industry, ...]:
        """The industries a use case is meant for: "marketing automation for clinics" is health care.

        What follows a "for" counts alone where it names an industry; a word that is a function inside any
        company as well ("marketing", "security") counts only before a word for companies.
        """
        read = self._read(text)
        found = self._names.find(read.words)
        cut = self._index_of_service(read)
        served = [hit for hit in found if hit.start > cut]
        return self._industries(read, served, self._before_companies) or self._industries(
            read, found, self._before_companies
        )

    def _read(self, text: str) -> Text:
        read = read_text(text[:_READ])
        return Text(read.source, tuple(map(self._root, read.words)), read.spans)

    def _root(self, word: str) -> str:
        root = stem(word)
        if root in self._single_words:
            return root
        for ending in self._endings:
            front = stem(word.removesuffix(ending)) if word.endswith(ending) else ""
            if front in self._single_words:
                return front
        return root

    def _index_of_service(self, read: Text) -> int:
        return next((i for i, word in enumerate(read.words) if i and word in self._serves), len(read.words))

    @staticmethod
    def _industries(
        read: Text, found: Iterable[Found[_Name]], stands_alone: Callable[[Text, Found[_Name]], bool]
    ) -> tuple[Industry, ...]:
        industries = [
            hit.value.industry
            for hit in found
            if hit.value.industry and (not hit.value.alone or stands_alone(read, hit))
        ]
        return tuple(dict.fromkeys(industries))

    def _fills_its_part(self, read: Text, hit: Found[_Name]) -> bool:
        words = read.words
        before = hit.start == 0 or words[hit.start - 1] in SEPARATORS
        after = hit.stop == len(words) or words[hit.stop] in SEPARATORS or words[hit.stop] in self._serves
        return (before and after) or self._before_companies(read, hit)

    def _before_companies(self, read: Text, hit: Found[_Name]) -> bool:
        return hit.stop < len(read.words) and read.words[hit.stop] in self._companies


def stem(word: str) -> str:
    """`word` without an English plural's ending; a word for itself on either side of a comparison."""
    if len(word) < 4 or word in _SAME_WITH_S or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word.removesuffix("s")


@cache
def taxonomy() -> Taxonomy:
    """The taxonomy of the package's data file, read at the first call."""
    return Taxonomy(_Data.model_validate(tomllib.loads(read_data("industries.toml"))))


def _names(data: _Data, industries: dict[str, Industry]) -> list[tuple[str, _Name]]:
    entries: list[tuple[str, _Name]] = [(phrase, _Name(None)) for phrase in data.ignored]
    for key, entry in [*data.umbrellas.items(), *data.branches.items()]:
        entries += [(phrase, _Name(industries[key], alone=True)) for phrase in entry.alone]
        entries += [(phrase, _Name(industries[key])) for phrase in entry.names]
    return [
        (" ".join(map(stem, read_text(spelling).words)), name)
        for phrase, name in entries
        for spelling in expand(phrase)
    ]


def _nearby(key: str, branches: dict[str, _Branch]) -> frozenset[str]:
    return frozenset(
        other
        for other, branch in branches.items()
        if other != key
        and set(branch.sectors) & set(branches[key].sectors)
        and _admits(branches[key], other)
        and _admits(branch, key)
    )


def _admits(branch: _Branch, other: str) -> bool:
    """Neighbours are all of the sector, but where a branch that lies between sectors lists its own."""
    return branch.neighbours is None or other in branch.neighbours
