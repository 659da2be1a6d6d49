"""The default queue of a message, and the signals that routing weighs."""

from datetime import date
from typing import Final

from leadline_contracts.inbound import Category, Extraction, RouteDefault, RouteQueue, Signal, SignalKind
from leadline_inbound.amounts import read_budget
from leadline_inbound.dates import find_times
from leadline_inbound.lexicon import routing, signals
from leadline_inbound.message import excerpt
from leadline_inbound.signals import Reading, read_signals

_EVIDENCE = 120
_ANY_DAY: Final = date(2000, 1, 1)  # which words speak of a time does not depend on the day


def default_route(category: Category, confidence: float, extraction: Extraction, text: str) -> RouteDefault:
    """The queue of a message by the rules, why, and what was seen in it. Never raises."""
    reading = read_signals(text)
    found = sorted(_signals(reading, extraction), key=lambda signal: -signal.strength)
    queue, reason = _queue(category, confidence, reading, found)
    return RouteDefault(queue=queue, reason=reason, signals=found)


def _queue(
    category: Category, confidence: float, reading: Reading, found: list[Signal]
) -> tuple[RouteQueue, str]:
    rules, usual = routing().default, routing().queues[category]
    if category == "unknown":
        return usual, "It cannot be told what the message is about."
    if category == "spam":
        needed = rules.ignore_from if reading.detected.language else rules.ignore_unread
        if confidence >= needed:
            return usual, f"It is spam with a confidence of {confidence:.2f}."
        why = "" if reading.detected.language else " in a language that is not known"
        return "needs_clarification", f"It may be spam{why}, but {confidence:.2f} is less than {needed:.2f}."
    if confidence < rules.clarify_below:
        needed = rules.clarify_below
        return "needs_clarification", f"A confidence of {confidence:.2f} is less than {needed:.2f}."
    complaint = next((signal for signal in found if signal.kind == "complaint"), None)
    if category == "sales_existing" and complaint and complaint.strength >= rules.support_from:
        return "support", f'An existing customer complains ("{excerpt(complaint.evidence, 60)}").'
    return usual, f"{category} goes to {usual}."


def _signals(reading: Reading, extraction: Extraction) -> list[Signal]:
    found = [signal for kind in _WORDED if (signal := _worded(reading, kind))]
    levels = routing().levels
    if extraction.budget_range != "unknown":
        read = read_budget(reading.message, list(reading.amounts), words_needed=False)
        evidence = read.evidence or extraction.budget_range
        found.append(_signal("budget", levels.budget[extraction.budget_range], evidence))
    if extraction.timeline != "unknown":
        times = find_times(reading.message, reading.detected.language, _ANY_DAY)
        evidence = reading.message.excerpt(times[0].start, times[0].stop) if times else extraction.timeline
        found.append(_signal("timeline", levels.timeline[extraction.timeline], evidence))
    return found


_WORDED: Final[tuple[SignalKind, ...]] = ("urgency", "churn_risk", "sentiment", "complaint", "injection")


def _worded(reading: Reading, kind: SignalKind) -> Signal | None:
    """The signals of a kind as one: each takes its share of what the others left of 1."""
    left = 1.0
    evidence: list[str] = []
    for name, seen in reading.seen.items():
        data = signals().signal[name]
        if data.kind == kind and not _is_disowned(name, reading):
            left *= (1 - data.strength) ** seen.weight
            evidence.extend(seen.evidence)
    return _signal(kind, 1 - left, ", ".join(dict.fromkeys(evidence))) if evidence else None


def _is_disowned(name: str, reading: Reading) -> bool:
    return name in {"urgent", "soonish"} and "patient" in reading.seen


def _signal(kind: SignalKind, strength: float, evidence: str) -> Signal:
    bounded = round(min(1.0, max(0.0, strength)), 2)
    return Signal(kind=kind, strength=bounded, evidence=excerpt(evidence, _EVIDENCE))
