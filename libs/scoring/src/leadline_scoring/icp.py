"""The ideal customer profile of an offer: which industries, and which roles beside the usual ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from leadline_scoring.evidence import excerpt
from leadline_scoring.taxonomy import taxonomy
from leadline_scoring.titles import Seniority, TitleReading, read_title, title_words
from leadline_text.tokens import read_text

_READ = 300


@dataclass(frozen=True, slots=True)
class Icp:
    """Whom an offer is for.

    `industries` are ids of the taxonomy, or phrases it does not know, which a lead's industry must contain.
    `roles` make decision makers of leads whose own title contains one; every other title reads as usual.
    """

    industries: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()


def read_icp(
    ideal_use_cases: Sequence[str],
    industries: Sequence[str] = (),
    roles: Sequence[str] = (),
) -> Icp:
    """The ICP of an offer; explicit `industries` replace those that the use cases name."""
    return _read_icp(tuple(ideal_use_cases), tuple(industries), tuple(roles))


@lru_cache(maxsize=256)
def _read_icp(
    use_cases: tuple[str, ...],
    industries: tuple[str, ...],
    roles: tuple[str, ...],
) -> Icp:
    explicit = [name for phrase in industries for name in _industry_ids(phrase)]
    named = [industry.id for text in use_cases for industry in taxonomy().named_in_use_case(text)]
    return Icp(_distinct(explicit or named), _distinct(roles))


def read_role(icp: Icp, role: str) -> TitleReading:
    """Reads a lead's title for this offer; never raises."""
    if wanted := wanted_role(icp, role):
        return TitleReading(
            Seniority.DECISION_MAKER, f'{excerpt(role)}: "{wanted}" is a role the offer names'
        )
    return read_title(role)


def wanted_role(icp: Icp, role: str) -> str | None:
    """The role of the ICP that is the lead's own ("CEO" is not the assistant's), as the offer spells it."""
    return _wanted_role(icp.roles, role[:_READ]) if icp.roles else None


@lru_cache(maxsize=32_768)
def _wanted_role(roles: tuple[str, ...], role: str) -> str | None:
    own = " ".join(word.word if word.ceiling else "|" for word in title_words(role))
    for wanted in roles:
        if (phrase := " ".join(read_text(wanted).words)) and f" {phrase} " in f" {own} ":
            return wanted
    return None


def _industry_ids(phrase: str) -> list[str]:
    phrase = phrase.strip()
    if phrase in taxonomy().industries:
        return [phrase]
    return [industry.id for industry in taxonomy().named_in_field(phrase)] or [phrase]


def _distinct(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(stripped for value in values if (stripped := value.strip())))
