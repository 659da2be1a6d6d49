"""What a column title means: which field of a prospect it names, and how plainly."""

from collections import Counter
from functools import lru_cache
from typing import NamedTuple

from leadline_ingest.prospects.table.header_words import UNKNOWN, concepts_of

PLAIN = 50
"""A title that says less plainly than this which field it names, is not taken for it."""
_UNKNOWN_WORD = 20
_UNKNOWN_WORD_OF_A_COMPANY = 35
"""What a company has besides a name is rarely what it is called."""
_OF_THE_COMPANY = 15
_OF_AN_ACCOUNT = 10
_PLACES = ("location", "seat", "city", "region", "country", "address")
_STRENGTHS = {
    "location": 100,
    "city": 100,
    "region": 100,
    "country": 100,
    "seat": 65,
    "address": 66,
}
_HALVES = {"first_name": "first", "last_name": "last"}
_MAX_WORDS = 14


class Meaning(NamedTuple):
    """The field that a title names.

    `field` is one of the six fields of a prospect, a part of one (`first_name`, `last_name`, `city`,
    `region`, `country`), or what a prospect may be recognised by (`email`, `linkedin_url`, `record_id`).
    `strength` is 0..120; of two columns for a field the stronger is taken. `company` says that the place is
    that of the company, not of the person.
    """

    field: str
    strength: int
    company: bool = False


@lru_cache(maxsize=4096)
def meaning_of(title: str) -> Meaning | None:
    """Return what a column title means, None where it names no field plainly enough."""
    concepts = concepts_of(title)
    if not concepts or len(concepts) > _MAX_WORDS:
        return None
    counts = Counter(concepts)
    unknown = counts.pop(UNKNOWN, 0)
    has_neutral = bool(counts.pop("neutral", 0))
    if "other" in counts:
        return None
    account = counts.pop("account", 0)
    counts["org"] += account
    counts += Counter()  # without what has come to nothing
    identity = _identity(counts, unknown)
    if identity is not None or {"email", "link", "id"} & counts.keys():
        return identity
    meaning = _field(counts, ["org" if concept == "account" else concept for concept in concepts])
    if account and meaning is not None:
        meaning = meaning._replace(strength=meaning.strength - _OF_AN_ACCOUNT)
    # "Plan name" and "Page title" name something else; in a question the other words are those around it.
    bare_half = {"first", "last"} & counts.keys() and "name" not in counts  # "Last contacted"
    needs_context = meaning is not None and (meaning.field == "name" or bare_half)
    if meaning is None or (unknown and needs_context and not has_neutral):
        return None
    loss = (
        _UNKNOWN_WORD_OF_A_COMPANY if meaning.field == "company" and "name" not in counts else _UNKNOWN_WORD
    )
    weaker = meaning._replace(strength=meaning.strength - loss * unknown)
    return weaker if weaker.strength >= PLAIN else None


def _identity(counts: Counter[str], unknown: int) -> Meaning | None:
    """A title that names what a person is recognised by, not the company or somebody else."""
    if "email" in counts:
        return (
            None if {"link", "id", "org"} & counts.keys() else Meaning("email", 100 - _UNKNOWN_WORD * unknown)
        )
    if "linkedin" in counts and not counts.keys() - {"linkedin", "link", "person"}:
        return Meaning("linkedin_url", 100 - _UNKNOWN_WORD * unknown)
    if "id" in counts and "org" not in counts and "link" not in counts and not unknown:
        return Meaning("record_id", 100 if "person" in counts else 80)
    return None


def _field(counts: Counter[str], order: list[str]) -> Meaning | None:
    company = "org" in counts
    for read in (_industry, _role, _bio, _place, _name):
        meaning = read(counts, company)
        if meaning is not None:
            return meaning
    return _company_or_person(counts, order)


def _industry(counts: Counter[str], company: bool) -> Meaning | None:
    if "industry" in counts:
        return Meaning("industry", 100 - 10 * (counts["industry"] > 1))
    if "weak_industry" in counts and "name" not in counts:
        return Meaning("industry", 60)
    return None


def _role(counts: Counter[str], company: bool) -> Meaning | None:
    if "role" in counts:
        return Meaning("role", 95 if "job" in counts or "title" in counts else 90)
    if "title" in counts:
        return Meaning("role", 110 if "job" in counts else 90 if "person" in counts else 80)
    if "job" in counts and not company and "name" not in counts:
        return Meaning("role", 60 if "function" in counts else 75)
    return Meaning("role", 60) if "function" in counts else None


def _bio(counts: Counter[str], company: bool) -> Meaning | None:
    if "bio" not in counts or company:
        return None
    return Meaning("linkedin_bio", 100 if "linkedin" in counts else 90)


def _place(counts: Counter[str], company: bool) -> Meaning | None:
    named = [place for place in _PLACES if place in counts]
    if not named:
        return None
    # "City, State" holds a whole place; "Country/Region" and "State/Province" are one part each.
    field = (
        "location" if "city" in named and len(named) > 1 else named[-1] if "country" in named else named[0]
    )
    strength = _STRENGTHS[field] - (_OF_THE_COMPANY if company else 0)
    return Meaning(
        "location" if field in {"seat", "address"} else field, strength, company or field == "seat"
    )


def _name(counts: Counter[str], company: bool) -> Meaning | None:
    if company:
        return None
    halves = {half for half, adjective in _HALVES.items() if half in counts or adjective in counts}
    whole = "name" in counts and bool(_HALVES.keys() & counts.keys())  # "Name, Vorname"
    if "whole_name" in counts or whole or len(halves) == 2:
        return Meaning("name", 100)
    if halves:
        return Meaning(halves.pop(), 100)
    if "name" in counts:
        return Meaning("name", 95 if "person" in counts else 90)
    return None


def _company_or_person(counts: Counter[str], order: list[str]) -> Meaning | None:
    """ "Contact company" names a company, "Company contact" a person: the last word says what it is."""
    if "org" not in counts:
        return Meaning("name", 60) if "person" in counts and "linkedin" not in counts else None
    last = next(concept for concept in reversed(order) if concept in {"org", "person", "name"})
    if last == "person":
        return Meaning("name", 60)
    return Meaning("company", 100 if "name" in counts else 95 if "person" not in counts else 90)
