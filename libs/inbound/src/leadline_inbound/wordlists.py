"""The words that fields are read from (`fields.toml`), in the form in which they are looked up."""

from dataclasses import dataclass
from functools import cache

from pydantic import BaseModel, ConfigDict

from leadline_contracts.inbound import BudgetRange, SignalKind, Timeline
from leadline_inbound.lexicon import Language, load
from leadline_inbound.message import phrase_book, words_of
from leadline_text.phrases import Phrases
from leadline_text.tokens import fold_letters


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NameData(_Data):
    """How people introduce themselves."""

    certain: str
    before: tuple[str, ...]
    never: str
    titles: str


class SignOffData(_Data):
    """How mails end, and how a quoted mail begins."""

    phrases: tuple[str, ...]
    replies: tuple[str, ...]
    headers: str
    originals: tuple[str, ...]


class ServiceData(_Data):
    """What stands before the service that is asked for, and what ends its name."""

    first: tuple[str, ...]
    then: tuple[str, ...]
    ends: str
    links: str
    vague: str


class PlaceData(_Data):
    """What stands before a place, and places by name ("new_york")."""

    before: tuple[str, ...]
    known_only_in: tuple[Language, ...]
    never: str
    known: str


class AccountData(_Data):
    """What stands before a customer's or an order's number."""

    verbs: str
    before: tuple[str, ...]


class BudgetClass(_Data):
    """A class of budgets: the amounts below its bound that no class before it has."""

    below: float
    name: BudgetRange


class BudgetData(_Data):
    """Words around amounts of money."""

    words: str
    signs: tuple[str, ...]
    units: tuple[str, ...]
    thousands: tuple[str, ...]
    under: str
    over: str
    never: str
    classes: tuple[BudgetClass, ...]


class TimelineClass(_Data):
    """A class of timelines: up to so many days."""

    days: int
    name: Timeline


class ConfidenceData(_Data):
    """What the confidence of an extraction is added up from."""

    base: float
    fields: float
    language: float
    known: float


class SeverityData(_Data):
    """The sums of weighted strengths from which a case is severe."""

    high: float
    medium: float
    kinds: dict[SignalKind, float]


class Fields(_Data):
    """`fields.toml`."""

    name: NameData
    sign_off: SignOffData
    service: ServiceData
    place: PlaceData
    account: AccountData
    budget: BudgetData
    timeline: tuple[TimelineClass, ...]
    confidence: ConfidenceData
    severity: SeverityData


@cache
def fields() -> Fields:
    """The words of all fields, as they stand in the file."""
    return load(Fields, "fields.toml")


@cache
def word_set(text: str) -> frozenset[str]:
    """The folded words of a list with spaces in between."""
    return frozenset(words_of(text))


def book(phrases: tuple[str, ...]) -> Phrases[bool]:
    """Phrases that all stand for the same."""
    return phrase_book((phrase, True) for phrase in phrases)


@dataclass(frozen=True, slots=True)
class ServiceBooks:
    """What stands before a service's name, the better phrases first."""

    first: Phrases[bool]
    then: Phrases[bool]
    ends: frozenset[str]
    links: frozenset[str]
    vague: frozenset[str]


@cache
def service_books() -> ServiceBooks:
    """The words around a service's name."""
    data = fields().service
    return ServiceBooks(
        book(data.first), book(data.then), word_set(data.ends), word_set(data.links), word_set(data.vague)
    )


@dataclass(frozen=True, slots=True)
class PlaceBooks:
    """What stands before a place, and the places that are known."""

    before: Phrases[bool]
    known: Phrases[bool]
    never: frozenset[str]


@cache
def place_books() -> PlaceBooks:
    """The words around places."""
    data = fields().place
    known = tuple(name.replace("_", " ") for name in fold_letters(data.known).split())
    return PlaceBooks(book(data.before), book(known), word_set(data.never))


@dataclass(frozen=True, slots=True)
class NameBooks:
    """What stands before a name."""

    before: Phrases[bool]
    certain: frozenset[str]
    never: frozenset[str]
    titles: frozenset[str]


@cache
def name_books() -> NameBooks:
    """The words around names."""
    data = fields().name
    return NameBooks(book(data.before), word_set(data.certain), word_set(data.never), word_set(data.titles))


@cache
def account_book() -> Phrases[bool]:
    """What stands before the number of a customer or an order."""
    return book(fields().account.before)
