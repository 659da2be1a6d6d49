"""The data of this package, read once and checked: signals, languages, words for fields, rules of routing."""

import tomllib
from functools import cache
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from leadline_contracts.inbound import (
    BudgetRange,
    Category,
    IssueType,
    Level,
    RouteQueue,
    SignalKind,
    Timeline,
)
from leadline_inbound.data_files import read_data
from leadline_inbound.message import phrase_book
from leadline_text.phrases import Phrases

Language = Literal["en", "es", "de", "fr", "pt"]
LANGUAGES: tuple[Language, ...] = ("en", "es", "de", "fr", "pt")

Share = Annotated[float, Field(ge=0, le=1)]
Weights = dict[Category, float]
D = TypeVar("D", bound=BaseModel)


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SignalData(_Data):
    """One signal: what it speaks for, and its phrases by language."""

    says: str
    weights: Weights
    negatable: bool = False
    kind: SignalKind | None = None
    strength: Share = 0.0
    issue: IssueType | None = None
    en: tuple[str, ...] = ()
    es: tuple[str, ...] = ()
    de: tuple[str, ...] = ()
    fr: tuple[str, ...] = ()
    pt: tuple[str, ...] = ()


class Together(_Data):
    """Extra points for signals that occur together."""

    signals: tuple[str, ...]
    weights: Weights


class ClassScale(_Data):
    """How points become a category and a confidence."""

    least: float
    foreign: Share
    strength: float
    lone_spam: Share
    unread_language: Share
    most: Share
    unsure: Share
    nothing: Share


class Signals(_Data):
    """`signals.toml`."""

    signal: dict[str, SignalData]
    together: tuple[Together, ...]
    scale: ClassScale


class LanguageScale(_Data):
    """How points become a language."""

    phrase: float
    least: float
    ahead: float
    cover: Share
    long: int


class LanguageData(_Data):
    """The common words of a language, and those that deny."""

    words: str
    not_words: str
    not_pairs: str = ""
    breaks: str


class Languages(_Data):
    """`languages.toml`."""

    scale: LanguageScale
    language: dict[Language, LanguageData]
    others: dict[str, str]
    letters: dict[str, dict[str, float]]


class DefaultRules(_Data):
    """The thresholds of the default queue."""

    clarify_below: Share
    ignore_from: Share
    ignore_unread: Share
    support_from: Share


class RouteWeights(_Data):
    """How much each thing adds to the sum that makes a priority."""

    urgency: Share
    budget: Share
    churn_risk: Share
    timeline: Share
    severity: Share
    complaint: Share
    sentiment: Share


class RouteLevels(_Data):
    """The strength (0..1) of each value of a field."""

    urgency: dict[Level, Share]
    severity: dict[Level, Share]
    timeline: dict[Timeline, Share]
    budget: dict[BudgetRange, Share]


class PriorityRules(_Data):
    """The sums from which a priority holds, and what p0 needs besides."""

    p0: Share
    p1: Share
    most: Share
    p0_signals: int
    of_weight: Share


class RoutingRules(_Data):
    """`routing.toml`."""

    default: DefaultRules
    queues: dict[Category, RouteQueue]
    weights: RouteWeights
    levels: RouteLevels
    priority: PriorityRules
    actions: dict[RouteQueue, str]
    actions_for: dict[str, str]
    followups: dict[str, str]


@cache
def signals() -> Signals:
    """The signals by id, and how they add up. Raises ValueError where some together are not known."""
    data = load(Signals, "signals.toml")
    for together in data.together:
        if unknown := set(together.signals) - set(data.signal):
            raise ValueError(f"signals together: {sorted(unknown)} are none, use ids of [signal.*]")
    return data


@cache
def signal_phrases() -> Phrases[tuple[str, Language]]:
    """All phrases of all signals, each with the signal's id and its language."""
    return phrase_book(
        (phrase, (name, language))
        for name, signal in signals().signal.items()
        for language in LANGUAGES
        for phrase in getattr(signal, language)
    )


@cache
def languages() -> Languages:
    """The words of the languages."""
    return load(Languages, "languages.toml")


@cache
def routing() -> RoutingRules:
    """The rules of routing."""
    return load(RoutingRules, "routing.toml")


def load(kind: type[D], name: str) -> D:
    """A data file in its checked form. Raises pydantic's ValidationError, which names the place."""
    return kind.model_validate(tomllib.loads(read_data(name)))
