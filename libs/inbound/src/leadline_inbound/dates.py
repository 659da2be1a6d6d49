"""Days and spans of time in a message, counted from the day it was received.

"Next Tuesday" is the first Tuesday after that day; a day without a year is the next one of that name. 3/12 is
the 3rd of December but in English, where it could be either and is nothing unless one reading is no date.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

from pydantic import BaseModel, ConfigDict

from leadline_contracts.inbound import Timeline
from leadline_inbound.lexicon import Language, load
from leadline_inbound.message import Message, phrase_book
from leadline_inbound.wordlists import fields, word_set
from leadline_text.phrases import Phrases

_NUMERIC = re.compile(
    r"(?<![\w./-])(?:(?P<iso>\d{4}-\d{1,2}-\d{1,2})"
    r"|(?P<day>\d{1,2})(?P<sign>[./-])(?P<month>\d{1,2})(?:(?P=sign)(?P<year>\d{4}|\d{2})?)?)(?![\w/]|[.-]\d)"
)
_DAY = re.compile(r"(\d{1,2})(?:st|nd|rd|th|er|o|a)?")
_BEFORE_DAY = frozenset(
    {"on", "am", "den", "el", "le", "dia", "em", "zum", "vom", "ab", "until", "by", "bis", "para", "no"}
)
_BETWEEN = frozenset({".", "of", "de", "do", "d", "del", "the"})
_WEEK = 7
_MOST_READ = 40


class _Names(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    names: tuple[tuple[str, ...], ...]
    before: str = ""


class _Past(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    before: str
    after: str


class _Relative(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    days: int
    exact: bool
    phrases: tuple[str, ...]


class _Unit(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    days: int
    phrases: tuple[str, ...]


class _Units(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    within: str
    names: tuple[_Unit, ...]


class _Masks(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    phrases: tuple[str, ...]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    months: _Names
    weekdays: _Names
    past: _Past
    relative: tuple[_Relative, ...]
    units: _Units
    masks: _Masks


@dataclass(frozen=True, slots=True)
class When:
    """A time at words[start:stop]: `days` from the day of receipt; `day` where one day is named."""

    start: int
    stop: int
    days: int
    day: date | None


@dataclass(frozen=True, slots=True)
class _Month:
    number: int


@dataclass(frozen=True, slots=True)
class _Weekday:
    number: int


_Word = _Month | _Weekday | _Relative | _Unit | None


def find_times(message: Message, language: Language | None, received: date) -> list[When]:
    """The times from the day of receipt on, in the order of the text; what is over is left out."""
    found = [*_numeric(message, language, received), *_worded(message, received)]
    return sorted((when for when in found if when.days >= 0), key=lambda when: when.start)[:_MOST_READ]


def timeline_of(times: Sequence[When]) -> Timeline:
    """The class of the soonest time."""
    if not times:
        return "unknown"
    soonest = min(when.days for when in times)
    return next((known.name for known in fields().timeline if soonest <= known.days), ">1m")


def _numeric(message: Message, language: Language | None, received: date) -> Iterator[When]:
    for match in _NUMERIC.finditer(message.plain):
        start = message.index_at(match.start())
        previous = message.words[start - 1] if start else ""
        day = _numeric_day(match, language, received, previous in _BEFORE_DAY)
        if day:
            yield _when(start, message.index_at(match.end() - 1) + 1, day, received)


def _numeric_day(
    match: re.Match[str], language: Language | None, received: date, announced: bool
) -> date | None:
    if match["iso"]:
        year, month, day = map(int, match["iso"].split("-"))
        return _date(year, month, day)
    first, second, year_text = int(match["day"]), int(match["month"]), match["year"]
    if year_text is None and not announced:
        return None  # 24/7, 1.5
    numbers = {(first, second)}
    if match["sign"] != "." and language in {None, "en"}:
        numbers.add((second, first))
    days = {_in_year(day, month, year_text, received) for day, month in numbers} - {None}
    return days.pop() if len(days) == 1 else None


def _in_year(day: int, month: int, year: str | None, received: date) -> date | None:
    if year is None:
        return _next(day, month, received)
    return _date(int(year) + (2000 if len(year) == 2 else 0), month, day)


def _next(day: int, month: int, received: date) -> date | None:
    this_year = _date(received.year, month, day)
    return this_year if this_year and this_year >= received else _date(received.year + 1, month, day)


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _when(start: int, stop: int, day: date, received: date) -> When:
    return When(start, stop, (day - received).days, day)


def _worded(message: Message, received: date) -> Iterator[When]:
    words = message.words
    hits = _book().find(words)
    next_weeks = {hit.start for hit in hits if isinstance(hit.value, _Relative) and hit.value.days == 8}
    for hit in hits:
        value = hit.value
        if value is None or _is_over(words, hit.start, hit.stop):
            continue
        if isinstance(value, _Month):
            yield from _of_month(words, hit.start, value.number, received)
        elif isinstance(value, _Weekday):
            sentence = message.sentence(hit.start)
            later = any(place in sentence for place in next_weeks)
            yield _weekday(hit.start, hit.stop, value.number, received, later=later)
        elif isinstance(value, _Unit):
            yield from _in_units(words, hit.start, value.days)
        else:
            yield When(
                hit.start, hit.stop, value.days, _shifted(received, value.days) if value.exact else None
            )


def _is_over(words: Sequence[str], start: int, stop: int) -> bool:
    past = _data().past
    before, after = words[start - 1] if start else "", words[stop] if stop < len(words) else ""
    return before in word_set(past.before) or after in word_set(past.after)


def _of_month(words: Sequence[str], at: int, month: int, received: date) -> Iterator[When]:
    before, after = at - 1, at + 1
    while before >= 0 and words[before] in _BETWEEN:
        before -= 1
    while after < len(words) and words[after] in _BETWEEN:
        after += 1
    year = None
    for place in (after, after + 1, after + 2):
        if place < len(words) and re.fullmatch(r"20\d\d", words[place]):
            year = words[place]
            break
    day_before, day_after = _day_number(words, before), _day_number(words, after)
    number = day_before or (day_after if after == at + 1 else None)
    if number:
        if day := _in_year(number, month, year, received):
            yield _when(before if day_before else at, at + 1 if day_before else after + 1, day, received)
    elif before >= 0 and words[before] in word_set(_data().months.before):
        first = _date(int(year), month, 1) if year else _date(received.year, month, 1)
        if first and first < received.replace(day=1) and not year:
            first = _date(received.year + 1, month, 1)
        if first and first >= received.replace(day=1):
            yield When(at, at + 1, max(_WEEK, (first - received).days), None)


def _day_number(words: Sequence[str], at: int) -> int | None:
    match = _DAY.fullmatch(words[at]) if 0 <= at < len(words) else None
    return int(match[1]) if match and 1 <= int(match[1]) <= 31 else None


def _weekday(start: int, stop: int, weekday: int, received: date, *, later: bool) -> When:
    ahead = (weekday - received.weekday() - 1) % _WEEK + 1
    if later:
        ahead = _WEEK - received.weekday() + weekday
    return When(start, stop, ahead, _shifted(received, ahead))


def _in_units(words: Sequence[str], at: int, days: int) -> Iterator[When]:
    if at < 2 or not re.fullmatch(r"\d{1,3}", words[at - 1]):
        return
    if words[at - 2] in word_set(_data().units.within):
        yield When(at - 2, at + 1, int(words[at - 1]) * days, None)


def _shifted(received: date, days: int) -> date | None:
    try:
        return received + timedelta(days=days)
    except OverflowError:
        return None


@cache
def _data() -> _Data:
    return load(_Data, "dates.toml")


@cache
def _book() -> Phrases[_Word]:
    data = _data()
    listed: list[tuple[str, _Word]] = [(phrase, None) for phrase in data.masks.phrases]
    for number, names in enumerate(data.months.names, 1):
        listed += [(name, _Month(number)) for name in names]
    for number, names in enumerate(data.weekdays.names):
        listed += [(name, _Weekday(number)) for name in names]
    listed += [(phrase, relative) for relative in data.relative for phrase in relative.phrases]
    listed += [(phrase, unit) for unit in data.units.names for phrase in unit.phrases]
    return phrase_book(listed)
