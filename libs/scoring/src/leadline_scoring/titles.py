"""Who a job title makes of a lead in a purchase: one who decides, one who shapes the decision, or neither.

A decision maker can sign: C-level, founder, owner, president, partner, managing or general director, VP,
head, director. An influencer shapes the purchase: manager of whatever function (account, community and case
managers too), team lead, senior, principal or staff contributor, architect, consultant. A director's deputy
and a member of a supervising board shape it, too. The words are in `data/titles.toml`.
"""

import re
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from typing import Literal

from pydantic import BaseModel, ConfigDict

from leadline_scoring.data_files import read_data
from leadline_scoring.evidence import excerpt
from leadline_text.phrases import Found, Phrases, expand
from leadline_text.placeholders import is_missing
from leadline_text.tokens import SEPARATORS, Text, read_text

_READ = 300
_REMEMBERED = 32_768

Reach = Literal["whole", "serves", "part", "onward", "next", "area", "employer", "owner"]
_STATEMENT = frozenset({"|"})
_REACHES: dict[Reach, tuple[frozenset[str] | None, frozenset[str] | None]] = {
    "whole": (_STATEMENT, _STATEMENT),
    "serves": (SEPARATORS - {"-", "(", ")"}, _STATEMENT),
    "part": (SEPARATORS, SEPARATORS),
    "onward": (None, _STATEMENT),
    "next": (None, SEPARATORS - {"and"}),
    "area": (None, SEPARATORS),
    "employer": (None, SEPARATORS),
    "owner": (SEPARATORS - {"and"}, None),
}
"""Where a shield stops on its way back and on its way ahead; None where it does not go."""

_GENDER_SIGNS = re.compile(
    r"(?<=\w)(?:[:*_]in(?:nen)?\b|/-?in\b|/-?(?:a|rice|trice)\b|\((?:in|a|e|r|ne|rice|trice)\)|·(?:e|ne|rice|trice)\b)|(?<=\w{3})\.(?:e|ne|rice|trice)\b"
)


_LEFT_THE_JOB = re.compile(r"\b(?:i\. ?r|a\. ?d)\.", re.IGNORECASE)  # with dots only: IR and Ad are fields


class Seniority(StrEnum):
    """A lead's part in a purchase."""

    DECISION_MAKER = "decision_maker"
    INFLUENCER = "influencer"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class TitleReading:
    """A seniority and, in plain words, what in the title decided it."""

    seniority: Seniority
    evidence: str


@dataclass(frozen=True, slots=True)
class TitleWord:
    """A folded word or separator of a title and the highest seniority it may show, None for no seniority."""

    word: str
    ceiling: Seniority | None


class _Words(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    phrases: tuple[str, ...]
    endings: tuple[str, ...] = ()


class _Shield(_Words):
    says: str
    reach: Reach
    leaves: Seniority | None = None


class _Lexicon(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    decision_maker: _Words
    influencer: _Words
    other: _Words
    masks: _Words
    shields: tuple[_Shield, ...]


_Meaning = Seniority | _Shield | None
_Hit = Found[_Meaning]


@dataclass(frozen=True, slots=True)
class _Analysis:
    text: Text
    hits: list[_Hit]
    shielded: dict[int, _Hit]
    """By the index of a hit: the shield that keeps it from counting."""

    def quote(self, hit: _Hit) -> str:
        return self.text.quote(hit.start, hit.stop)

    def counts_as(self, index: int) -> Seniority | None:
        """The seniority of the hit once shields are taken into account."""
        value, shield = self.hits[index].value, self.shielded.get(index)
        if not isinstance(value, Seniority):
            return None
        return shield.value.leaves if shield and isinstance(shield.value, _Shield) else value

    def first(self, seniority: Seniority) -> _Hit | None:
        """The first phrase that counts as that seniority."""
        return next((hit for i, hit in enumerate(self.hits) if self.counts_as(i) is seniority), None)


def read_title(title: str) -> TitleReading:
    """Reads the first 300 characters of `title`, of any language and spelling; never raises."""
    return _read_title(title[:_READ])


def title_words(title: str) -> tuple[TitleWord, ...]:
    """The words of `title` with the seniority each may show, for models with keyword tables of their own."""
    return _title_words(title[:_READ])


@lru_cache(maxsize=_REMEMBERED)
def _read_title(title: str) -> TitleReading:
    if is_missing(title):
        return TitleReading(Seniority.OTHER, "no role given")
    analysis = _analyse(title)
    for seniority in (Seniority.DECISION_MAKER, Seniority.INFLUENCER):
        if hit := analysis.first(seniority):
            return TitleReading(seniority, f'{excerpt(title)}: "{analysis.quote(hit)}"')
    return TitleReading(Seniority.OTHER, f"{excerpt(title)}: {_why_other(analysis)}")


@lru_cache(maxsize=_REMEMBERED)
def _title_words(title: str) -> tuple[TitleWord, ...]:
    analysis = _analyse(title)
    ceilings: list[Seniority | None] = [Seniority.DECISION_MAKER] * len(analysis.text.words)
    for index, hit in enumerate(analysis.hits):
        if isinstance(hit.value, Seniority):
            ceilings[hit.start : hit.stop] = [analysis.counts_as(index)] * (hit.stop - hit.start)
    return tuple(map(TitleWord, analysis.text.words, ceilings))


def _why_other(analysis: _Analysis) -> str:
    for seniority in (Seniority.DECISION_MAKER, Seniority.INFLUENCER):
        for index, shield in analysis.shielded.items():
            hit = analysis.hits[index]
            if hit.value is seniority and isinstance(shield.value, _Shield):
                why = f'"{analysis.quote(shield)}" {shield.value.says}'
                return f'{why}, so "{analysis.quote(hit)}" does not count'
    for hit in analysis.hits:
        if isinstance(hit.value, _Shield) and hit.value.reach in {"whole", "serves", "part"}:
            return f'"{analysis.quote(hit)}" {hit.value.says}'
    for hit in analysis.hits:
        if hit.value is Seniority.OTHER:
            return f'"{analysis.quote(hit)}" neither decides nor shapes a purchase'
    return "no word for one who decides or shapes a purchase"


@lru_cache(maxsize=256)  # a title's reading and its words are asked for one after the other
def _analyse(title: str) -> _Analysis:
    text = read_text(_LEFT_THE_JOB.sub("im Ruhestand", _GENDER_SIGNS.sub("", title)))
    hits = _lexicon().find(text.words)
    shielded: dict[int, _Hit] = {}
    for index, hit in enumerate(hits):
        if isinstance(hit.value, _Shield) and _is_active(text, hit, shielded.get(index)):
            places = _places(text.words, hit, hit.value.reach)
            for other, found in enumerate(hits):
                if other != index and found.start in places:
                    shielded.setdefault(other, hit)
    return _Analysis(text, hits, shielded)


def _is_active(text: Text, hit: _Hit, behind: _Hit | None) -> bool:
    """A shielded shield has no force, but for "Head of Sales Assistant", where the last noun is the job."""
    if behind is None:
        return True
    last = hit.stop == len(text.words) or text.words[hit.stop] in SEPARATORS
    return last and isinstance(behind.value, _Shield) and behind.value.reach == "area"


def _places(words: tuple[str, ...], hit: _Hit, reach: Reach) -> range:
    back, ahead = _REACHES[reach]
    start, stop = hit.start, hit.stop
    while back is not None and start > 0 and words[start - 1] not in back:
        start -= 1
    while ahead is not None and stop < len(words) and words[stop] not in ahead:
        stop += 1
    return range(start, stop)


@cache
def _lexicon() -> Phrases[_Meaning]:
    data = _Lexicon.model_validate(tomllib.loads(read_data("titles.toml")))
    meanings: list[tuple[_Words, _Meaning]] = [(data.masks, None)]
    meanings += [(shield, shield) for shield in data.shields]
    meanings += [(data.influencer, Seniority.INFLUENCER), (data.decision_maker, Seniority.DECISION_MAKER)]
    meanings += [(data.other, Seniority.OTHER)]
    return Phrases(
        [
            (spelling, value)
            for words, value in meanings
            for phrase in words.phrases
            for spelling in expand(phrase)
        ],
        [
            (spelling, value)
            for words, value in meanings
            for ending in words.endings
            for spelling in expand(ending)
        ],
    )
