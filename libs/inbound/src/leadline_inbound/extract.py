"""The fields of a message of a known category."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final, TypedDict, TypeVar

from leadline_contracts.inbound import (
    BudgetRange,
    Category,
    ChangeRequest,
    Channel,
    Extraction,
    IssueType,
    LeadType,
    Level,
    MissingInfo,
    SalesExistingExtraction,
    SalesNewExtraction,
    SpamExtraction,
    SpamReason,
    SupportExtraction,
    Timeline,
    UnknownExtraction,
)
from leadline_inbound.amounts import read_budget
from leadline_inbound.dates import When, find_times, timeline_of
from leadline_inbound.details import account_hint, customer_name, location, service_interest
from leadline_inbound.lexicon import Language, signals
from leadline_inbound.signals import Reading, read_signals
from leadline_inbound.wordlists import fields

V = TypeVar("V", bound=str)

_LEAD_TYPES: Final[Mapping[str, LeadType]] = {
    "comparison": "comparison",
    "quote": "quote_request",
    "price": "pricing",
    "availability": "availability",
    "booking": "availability",
}
"""The first signal of this order that was seen says it."""

_CHANGES: Final[Sequence[ChangeRequest]] = ("reschedule", "upgrade", "add_on", "cancel")
_SPAM_REASONS: Final[Mapping[str, SpamReason]] = {
    "phishing": "phishing",
    "abuse": "abusive",
    "promo": "promo",
    "promise": "promo",
    "unsolicited": "promo",
    "links": "promo",
    "chain": "irrelevant",
}


class _Core(TypedDict):
    """The fields of every category."""

    customer_name: str | None
    contact_channel: Channel
    service_interest: str | None
    location: str | None
    urgency: Level
    timeline: Timeline
    budget_range: BudgetRange
    language: Language | None
    confidence: float


def extract(text: str, category: Category, channel: Channel, name: str | None, received: date) -> Extraction:
    """The fields of any text as a message of that category; times count from `received`. Never raises."""
    reading = read_signals(text)
    times = find_times(reading.message, reading.detected.language, received)
    core = _core(reading, category, channel, name, times)
    if category == "sales_new":
        return SalesNewExtraction(
            **core,
            category=category,
            lead_type=_first(_LEAD_TYPES, reading, "other"),
            service_date=next((when.day.isoformat() for when in times if when.day), None),
        )
    if category == "sales_existing":
        return SalesExistingExtraction(
            **core,
            category=category,
            account_hint=account_hint(reading.message),
            change_request=_change_request(reading),
        )
    if category == "support":
        return SupportExtraction(
            **core, category=category, issue_type=_issue_type(reading), severity=_severity(reading)
        )
    if category == "spam":
        return SpamExtraction(**core, category=category, spam_reason=_first(_SPAM_REASONS, reading, "other"))
    return UnknownExtraction(**core, category=category, missing_info=_missing_info(reading, core))


def _core(
    reading: Reading, category: Category, channel: Channel, name: str | None, times: Sequence[When]
) -> _Core:
    message, language = reading.message, reading.detected.language
    timeline = timeline_of(times)
    about_sales = category in {"sales_new", "sales_existing"}
    budget = read_budget(message, list(reading.amounts), words_needed=not about_sales)
    core = _Core(
        customer_name=customer_name(message, name),
        contact_channel=channel,
        service_interest=service_interest(message),
        location=location(message, language),
        urgency=_urgency(reading, timeline),
        timeline=timeline,
        budget_range=budget.range,
        language=language,
        confidence=0.0,
    )
    core["confidence"] = _confidence(core, category)
    return core


def _urgency(reading: Reading, timeline: Timeline) -> Level:
    urgent = "urgent" in reading.seen or "danger" in reading.seen
    if "patient" in reading.seen:
        return "medium" if urgent else "low"
    if urgent:
        return "high"
    return "medium" if "soonish" in reading.seen or timeline in {"now", "<1w"} else "low"


def _first(table: Mapping[str, V], reading: Reading, otherwise: V) -> V:
    return next((value for name, value in table.items() if name in reading.seen), otherwise)


def _change_request(reading: Reading) -> ChangeRequest:
    wanted = [change for change in _CHANGES if change in reading.seen]
    return max(wanted, key=lambda change: reading.seen[change].weight, default="other")


def _issue_type(reading: Reading) -> IssueType:
    points: dict[IssueType, float] = {}
    for name, seen in reading.seen.items():
        data = signals().signal[name]
        if data.issue:
            points[data.issue] = points.get(data.issue, 0.0) + data.weights["support"] * seen.weight
    return max(points, key=lambda issue: points[issue], default="other")


def _severity(reading: Reading) -> Level:
    data = fields().severity
    total = 0.0
    for name, seen in reading.seen.items():
        signal = signals().signal[name]
        if signal.kind:
            total += data.kinds.get(signal.kind, 0.0) * signal.strength * seen.weight
    if total >= data.high:
        return "high"
    return "medium" if total >= data.medium else "low"


def _missing_info(reading: Reading, core: _Core) -> list[MissingInfo]:
    missing: list[MissingInfo] = []
    if core["service_interest"] is None:
        missing.append("service_type")
    if core["timeline"] == "unknown":
        missing.append("timeline")
    if core["budget_range"] == "unknown" and "price" in reading.seen:
        missing.append("budget")
    if core["customer_name"] is None and core["contact_channel"] in {"webchat", "other"}:
        missing.append("contact")
    return missing or ["other"]


def _confidence(core: _Core, category: Category) -> float:
    scale = fields().confidence
    found = (
        core["customer_name"] is not None,
        core["service_interest"] is not None,
        core["location"] is not None,
        core["timeline"] != "unknown",
        core["budget_range"] != "unknown",
    )
    total = scale.base + scale.fields * sum(found) / len(found)
    total += scale.language * (core["language"] is not None) + scale.known * (category != "unknown")
    return round(min(1.0, total), 2)
